//! The clients of the brokers: for each broker a consumer of events, and a requester through which everything is
//! published.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use tokio::sync::watch;

use super::keeper::Announcer;
use super::ports::WebsocketsPort;
use crate::amqp::{Address, BrokerStatus, Identity, Tls};
use crate::commands::{
    Delivering, Requester, RequesterOptions, RequesterTask, StandIn, StandInTask, Websockets, ZoneRequesters,
    Zones,
};
use crate::config::{AmqpZone, Config, QueueType};
use crate::http::BrokerSeen;
use crate::ingest::{self, AmqpConsumer, ConsumerOptions, Ingest, QueueBounds};
use crate::live::Sessions;
use crate::model::{Clock, Duty, Origin};
use crate::state::State;
use crate::tasks::Pulse;

/// The brokers' clients, before they run.
pub(super) struct Brokers {
    /// Handles for publishing. Without a broker they refuse.
    pub(super) zones: Zones,
    /// The state of each broker, for health and metrics.
    pub(super) watched: Vec<Watched>,
    /// The tasks to run.
    pub(super) tasks: BrokerTasks,
}

/// The tasks of the brokers' clients.
#[derive(Default)]
pub(super) struct BrokerTasks {
    pub(super) consumers: Vec<AmqpConsumer>,
    pub(super) requesters: Vec<RequesterTask>,
    /// Answers in place of KAZOO's applications, if configured.
    pub(super) stand_in: Option<StandInTask>,
}

/// What answering in place of KAZOO's applications needs.
#[derive(Debug, Clone, Copy)]
pub(super) struct StandingIn<'a> {
    pub(super) state: &'a State,
    pub(super) sessions: &'a Sessions,
    pub(super) clock: &'a Clock,
    pub(super) duty: &'a Duty,
}

/// What other parts of the program see of a broker's clients.
#[derive(Debug, Clone)]
pub(super) struct Watched {
    /// The name of the broker's zone; empty without zones.
    pub(super) zone: String,
    /// Host and port of the broker.
    pub(super) host: String,
    pub(super) status: watch::Receiver<BrokerStatus>,
    /// The state of the connection on which commands are published.
    pub(super) publishing: watch::Receiver<BrokerStatus>,
    /// The nodes that deliver webhooks beside this program.
    pub(super) delivering: Delivering,
    pub(super) pulse: Pulse,
}

impl Watched {
    /// The present state.
    pub(super) fn seen(&self) -> BrokerSeen {
        let status = self.status.borrow().clone();
        BrokerSeen { zone: self.zone.clone(), broker: self.host.clone(), status }
    }
}

impl Brokers {
    /// The clients for the configured brokers. They connect when they run.
    pub(super) fn new(config: &Config, ingest: &Ingest, clock: &Clock) -> anyhow::Result<Self> {
        let configured = addresses(config)?;
        if configured.is_empty() {
            tracing::info!(
                "neither amqp.uri nor amqp.zones is set: no broker is used, events arrive over HTTP only"
            );
        }
        let (mut zones, mut watched, mut tasks) = (Vec::new(), Vec::new(), BrokerTasks::default());
        for (zone, (name, addresses)) in (0..).zip(configured) {
            let mut brokers = Vec::new();
            for address in addresses {
                let origin = Origin { zone, broker: u16::try_from(watched.len()).unwrap_or(u16::MAX) };
                let consumer = AmqpConsumer::new(address.clone(), consuming(config, origin), ingest.clone());
                let (zone_name, host) = (name.clone(), address.host());
                let (status, pulse) = (consumer.status(), consumer.pulse());
                tasks.consumers.push(consumer);
                let (requester, task) = Requester::new(address, &requesting(config, zone), clock.clone());
                let publishing = requester.status();
                let delivering = task.delivering();
                watched.push(Watched { zone: zone_name, host, status, publishing, delivering, pulse });
                brokers.push(requester);
                tasks.requesters.push(task);
            }
            zones.push(ZoneRequesters { name, brokers });
        }
        let zones = if zones.is_empty() { Zones::none() } else { Zones::new(zones) };
        Ok(Self { zones, watched, tasks })
    }

    /// The task that announces disabled hooks to the cluster. Without a broker it only logs the event.
    pub(super) fn announcer(&self, ingest: &Ingest, duty: Duty) -> Announcer {
        let zones = (!self.watched.is_empty()).then(|| self.zones.clone());
        Announcer { zones, ingest: ingest.clone(), node: node_name(), duty }
    }

    /// Answers in place of the KAZOO applications that the configuration names.
    pub(super) fn stand_in(&mut self, config: &Config, standing: StandingIn<'_>) {
        let StandingIn { state, sessions, clock, duty } = standing;
        if self.watched.is_empty() {
            return;
        }
        let websockets = || Arc::new(WebsocketsPort(sessions.clone())) as Arc<dyn Websockets>;
        let stand_in = StandIn {
            webhooks: config.kazoo.replace_webhooks,
            blackhole: config.kazoo.replace_blackhole.then(websockets),
            zone: own_zone(config),
            duty: duty.clone(),
        };
        let made = StandInTask::new(stand_in, self.zones.clone(), state.clone(), clock.clone());
        let Some((listener, task)) = made else { return };
        self.tasks.requesters.iter_mut().for_each(|requester| requester.listen(listener.clone()));
        self.tasks.stand_in = Some(task);
    }
}

/// The zone that this program names to other nodes: the first that has a name, or else KAZOO's name for the only one.
fn own_zone(config: &Config) -> String {
    let named = config.amqp.zones.iter().map(|zone| &zone.name).find(|name| !name.is_empty());
    named.cloned().unwrap_or_else(|| "local".to_owned())
}

/// The brokers of each zone, with the zone's name. Reads the files of certificates.
pub(super) fn addresses(config: &Config) -> anyhow::Result<Vec<(String, Vec<Address>)>> {
    let zone = |zone: AmqpZone| {
        let tls = tls(&zone)?;
        let address =
            |uri: &crate::config::Masked| Address::parse(uri.reveal()).map(|parsed| parsed.with_tls(&tls));
        let addresses: Result<Vec<Address>, _> = zone.uris.iter().map(address).collect();
        Ok((zone.name, addresses.context("amqp")?))
    };
    config.amqp.all_zones().into_iter().map(zone).collect()
}

fn tls(zone: &AmqpZone) -> anyhow::Result<Tls> {
    let read = |path: &std::path::PathBuf| {
        std::fs::read(path).with_context(|| format!("amqp.zones '{}': {}", zone.name, path.display()))
    };
    let authorities =
        zone.ca_file.as_ref().map(|path| read(path).map(|pem| String::from_utf8_lossy(&pem).into_owned()));
    let identity = match (&zone.certificate_file, &zone.key_file) {
        (Some(certificate), Some(key)) => Some(Identity { certificate: read(certificate)?, key: read(key)? }),
        _ => None,
    };
    Ok(Tls { authorities: authorities.transpose()?, identity })
}

/// The bounds and the type of our queues.
pub(super) fn queue(config: &Config) -> (QueueBounds, ingest::QueueType) {
    let bounds = QueueBounds { bytes: config.amqp.queue_max_bytes, messages: config.amqp.queue_max_messages };
    let queue_type = match config.amqp.queue_type {
        QueueType::Classic => ingest::QueueType::Classic,
        QueueType::Quorum => ingest::QueueType::Quorum,
    };
    (bounds, queue_type)
}

fn reconnect_max(config: &Config) -> Duration {
    Duration::from_millis(config.amqp.reconnect_max_ms)
}

fn consuming(config: &Config, origin: Origin) -> ConsumerOptions {
    let (bounds, queue_type) = queue(config);
    ConsumerOptions {
        queue: config.amqp.queue.clone(),
        bounds,
        queue_type,
        origin: Some(origin),
        check_every: Duration::from_millis(config.amqp.check_interval_ms),
        prefetch: config.amqp.prefetch,
        batch_events: config.ingest.batch_events,
        reconnect_max: reconnect_max(config),
        ..ConsumerOptions::default()
    }
}

fn requesting(config: &Config, zone: u16) -> RequesterOptions {
    RequesterOptions {
        node: node_name(),
        zone,
        timeout: Duration::from_millis(config.commands.timeout_ms),
        max_in_flight: config.commands.max_in_flight,
        reconnect_max: reconnect_max(config),
        ..RequesterOptions::default()
    }
}

/// The name of this node in the cluster: `switchhook@host`.
pub(super) fn node_name() -> String {
    format!("switchhook@{}", host_name())
}

/// The name of this host in listings.
pub(super) fn host_name() -> String {
    let host = std::fs::read_to_string("/etc/hostname").unwrap_or_default();
    let host = host.trim();
    if host.is_empty() { "localhost" } else { host }.to_owned()
}
