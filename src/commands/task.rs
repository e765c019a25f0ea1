//! The task behind the requester: reconnects without end, with growing waits.
//!
//! Without a connection, requests are refused at once: a command carried out minutes later would be worse than one that
//! failed.

use tokio::sync::mpsc;

use super::error::CommandError;
use super::nodes::{Delivering, Nodes};
use super::request::{Heard, Request, RequesterOptions};
use super::session::{Ended, Listener, Session};
use crate::amqp::{Address, Status, Waits};
use crate::model::Clock;
use crate::tasks::Stop;

/// The task that owns the connection.
#[derive(Debug)]
pub struct RequesterTask {
    address: Address,
    options: RequesterOptions,
    clock: Clock,
    status: Status,
    requests: mpsc::Receiver<Request>,
    nodes: Nodes,
    listener: Option<Listener>,
}

impl RequesterTask {
    pub(super) fn new(
        address: Address,
        options: RequesterOptions,
        clock: Clock,
        ends: (Status, mpsc::Receiver<Request>),
    ) -> Self {
        let (status, requests) = ends;
        let nodes = Nodes::seen_by(options.node.clone());
        Self { address, options, clock, status, requests, nodes, listener: None }
    }

    /// The nodes of this broker's zone that deliver webhooks themselves.
    #[must_use]
    pub fn delivering(&self) -> Delivering {
        self.nodes.delivering.clone()
    }

    /// Passes questions to KAZOO's applications in this broker's zone to `listener`.
    pub fn listen(&mut self, listener: Listener) {
        self.listener = Some(listener);
    }

    /// Runs until `stop` is cancelled, and reconnects after every failure of the broker.
    pub async fn run(mut self, stop: Stop) {
        let mut waits = Waits::new(self.options.reconnect_initial, self.options.reconnect_max);
        while !stop.is_cancelled() {
            let reason = match self.connection(&stop).await {
                Ended::Stopped => break,
                Ended::Lost(reason) => reason,
            };
            if self.status.is_connected() {
                waits.after_success();
            }
            let wait = waits.after_failure();
            let again_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
            tracing::warn!(broker = %self.address, reason, again_in_ms, "no commands can be sent to the broker");
            self.status.failed(reason, self.clock.now_us());
            let pause = tokio::time::sleep(wait);
            if stop.run_until_cancelled(refusing(&mut self.requests, pause)).await.is_none() {
                break;
            }
        }
    }

    async fn connection(&mut self, stop: &Stop) -> Ended {
        let opening =
            refusing(&mut self.requests, Session::open(&self.address, &self.options, self.listener.clone()));
        let mut session = match stop.run_until_cancelled(opening).await {
            None => return Ended::Stopped,
            Some(Err(reason)) => return Ended::Lost(reason),
            Some(Ok(session)) => session,
        };
        tracing::info!(broker = %self.address, "commands can be sent to the broker");
        self.status.connected(self.clock.now_us());
        let working = session.work(&mut self.requests, &mut self.nodes, &self.clock, &self.status);
        let ended = stop.run_until_cancelled(working).await.unwrap_or(Ended::Stopped);
        if matches!(ended, Ended::Stopped) {
            session.close().await;
        }
        ended
    }
}

/// Runs `work` and refuses all requests meanwhile.
async fn refusing<T>(requests: &mut mpsc::Receiver<Request>, work: impl Future<Output = T>) -> T {
    tokio::pin!(work);
    loop {
        tokio::select! {
            // The work first: once the connection is open, a request must not be refused any more.
            biased;
            done = &mut work => return done,
            Some(request) = requests.recv() => {
                let error = CommandError::NotConnected("the connection was lost".to_owned());
                // Fails if the caller has given up, which does not matter.
                drop(request.heard.try_send(Heard::Failed(error)));
            }
        }
    }
}
