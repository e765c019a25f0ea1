//! The broker's clients: the consumer of events, and the requester that everything published goes through.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use super::keeper::Announcer;
use super::ports::WebsocketsPort;
use crate::commands::{Requester, RequesterOptions, RequesterTask, StandIn, StandInTask, Websockets};
use crate::config::Config;
use crate::ingest::{AmqpConsumer, ConsumerOptions, Ingest, QueueBounds};
use crate::live::Sessions;
use crate::model::{Clock, Duty};
use crate::state::State;

/// What there is of the broker.
pub(super) struct Broker {
    /// Handles also without a broker; then they refuse.
    pub(super) requester: Requester,
    /// What runs.
    pub(super) tasks: Option<BrokerTasks>,
}

/// The tasks of the broker's clients.
pub(super) struct BrokerTasks {
    pub(super) consumer: AmqpConsumer,
    pub(super) requester: RequesterTask,
    /// When we stand in for one of KAZOO's applications.
    pub(super) stand_in: Option<StandInTask>,
}

impl Broker {
    /// The clients that the configuration asks for; they connect when they run.
    pub(super) fn new(config: &Config, ingest: &Ingest, clock: &Clock) -> anyhow::Result<Self> {
        let Some(uri) = &config.amqp.uri else {
            tracing::info!("amqp.uri is not set: no broker, events come by HTTP only");
            return Ok(Self { requester: Requester::disabled(), tasks: None });
        };
        let reconnect_max = Duration::from_millis(config.amqp.reconnect_max_ms);
        let consuming = ConsumerOptions {
            queue: config.amqp.queue.clone(),
            bounds: QueueBounds {
                bytes: config.amqp.queue_max_bytes,
                messages: config.amqp.queue_max_messages,
            },
            check_every: Duration::from_millis(config.amqp.check_interval_ms),
            prefetch: config.amqp.prefetch,
            batch_events: config.ingest.batch_events,
            reconnect_max,
            ..ConsumerOptions::default()
        };
        let requesting = RequesterOptions {
            node: node_name(),
            timeout: Duration::from_millis(config.commands.timeout_ms),
            max_in_flight: config.commands.max_in_flight,
            reconnect_max,
            ..RequesterOptions::default()
        };
        let consumer = AmqpConsumer::new(uri.reveal(), consuming, ingest.clone()).context("amqp.uri")?;
        let (requester, task) =
            Requester::new(uri.reveal(), &requesting, clock.clone()).context("amqp.uri")?;
        Ok(Self { requester, tasks: Some(BrokerTasks { consumer, requester: task, stand_in: None }) })
    }

    /// Who tells the cluster what became of hooks; without a broker, it tells only us.
    pub(super) fn announcer(&self, config: &Config, ingest: &Ingest, clock: Clock, duty: Duty) -> Announcer {
        let requester = config.amqp.uri.is_some().then(|| self.requester.clone());
        Announcer { requester, ingest: ingest.clone(), node: node_name(), clock, duty }
    }

    /// Stands in for those of KAZOO's applications that the configuration names.
    pub(super) fn stand_in(&mut self, config: &Config, state: &State, sessions: &Sessions, duty: &Duty) {
        let Some(tasks) = &mut self.tasks else { return };
        let websockets = || Arc::new(WebsocketsPort(sessions.clone())) as Arc<dyn Websockets>;
        let stand_in = StandIn {
            webhooks: config.kazoo.replace_webhooks,
            blackhole: config.kazoo.replace_blackhole.then(websockets),
            duty: duty.clone(),
        };
        tasks.stand_in = tasks.requester.stand_in(stand_in, self.requester.clone(), state.clone());
    }
}

/// How this program names itself to the cluster: `switchhook@host`.
pub(super) fn node_name() -> String {
    format!("switchhook@{}", host_name())
}

/// This host, as listings name it.
pub(super) fn host_name() -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = host.trim();
    if host.is_empty() { "localhost" } else { host }.to_owned()
}
