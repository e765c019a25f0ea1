//! The broker's consumer: connects, consumes, and when that ends tries again, for ever.

use std::time::Duration;

use tokio::sync::watch;

use super::handle::Ingest;
use super::session::{self, Ended};
use super::topology::{QueueBounds, QueueType};
use crate::amqp::{Address, BrokerStatus, Status, Waits};
use crate::log::AppendError;
use crate::model::Origin;
use crate::tasks::{Beat, Pulse, Stop, pulse};

/// How the broker is consumed from.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// The queue's name.
    pub queue: String,
    /// What the queue may hold.
    pub bounds: QueueBounds,
    /// What kind of queue it is made as.
    pub queue_type: QueueType,
    /// Which of several brokers it is.
    pub origin: Option<Origin>,
    /// How often exchanges and bindings are declared again on a connection that lives.
    pub check_every: Duration,
    /// How many messages the broker hands out before it waits for an acknowledgement; they are all in memory.
    pub prefetch: u16,
    /// How many events are appended together at most.
    pub batch_events: usize,
    /// How many bytes of events are appended together at most, or one event.
    pub batch_bytes: usize,
    /// How many batches may wait for the disk.
    pub batches_in_flight: usize,
    /// How long the goodbye may take: what was appended is acknowledged, then the connection is closed.
    pub stop_grace: Duration,
    /// The wait after the first failure to connect.
    pub reconnect_initial: Duration,
    /// The longest wait between attempts.
    pub reconnect_max: Duration,
    /// How often a full disk is tried again.
    pub full_retry: Duration,
}

impl Default for ConsumerOptions {
    fn default() -> Self {
        Self {
            queue: "switchhook".to_owned(),
            bounds: QueueBounds { bytes: 1 << 30, messages: 1_000_000 },
            queue_type: QueueType::Classic,
            origin: None,
            check_every: Duration::from_secs(60),
            prefetch: 1000,
            batch_events: 256,
            batch_bytes: 1 << 20,
            batches_in_flight: 4,
            stop_grace: Duration::from_secs(5),
            reconnect_initial: Duration::from_millis(500),
            reconnect_max: Duration::from_secs(30),
            full_retry: Duration::from_secs(1),
        }
    }
}

/// Why consuming had to end: only because of the log.
#[derive(Debug, thiserror::Error)]
#[error("the event log takes no more events: {0}")]
pub struct ConsumeError(#[from] pub AppendError);

/// Consumes from the broker. Messages are acknowledged after they are on disk, in order, and never before.
#[derive(Debug)]
pub struct AmqpConsumer {
    address: Address,
    options: ConsumerOptions,
    ingest: Ingest,
    seen: Seen,
    pulse: Pulse,
}

/// What others see of the consumer.
#[derive(Debug)]
pub(super) struct Seen {
    /// How it stands with the broker.
    pub(super) status: Status,
    /// Who asks whether the broker answers.
    pub(super) beat: Beat,
}

impl AmqpConsumer {
    /// A consumer of the broker at `address`; it connects when it runs.
    #[must_use]
    pub fn new(address: Address, options: ConsumerOptions, ingest: Ingest) -> Self {
        let status = Status::new(ingest.clock().now_us());
        let (pulse, beat) = pulse();
        Self { address, options, ingest, seen: Seen { status, beat }, pulse }
    }

    /// How it stands with the broker, now and later.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<BrokerStatus> {
        self.seen.status.watch()
    }

    /// Asks the broker for a sign of life. While not connected, nobody gives one.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Consumes until told to stop, through every failure of the broker. Ends with an error only when the log
    /// takes nothing any more; the broker keeps what was not acknowledged.
    pub async fn run(mut self, stop: Stop) -> Result<(), ConsumeError> {
        let mut waits = Waits::new(self.options.reconnect_initial, self.options.reconnect_max);
        while !stop.is_cancelled() {
            // Of a connection only; in memory of its own, as it is large.
            let session = session::run(&self.address, &self.options, &self.ingest, &stop, &mut self.seen);
            let ended = Box::pin(session).await;
            let reason = match ended {
                Ended::Stopped => break,
                Ended::LogFailed(error) => return Err(error.into()),
                Ended::Lost(reason) => reason,
            };
            if self.seen.status.is_connected() {
                waits.after_success();
            }
            let wait = waits.after_failure();
            self.failed(reason, wait);
            if stop.run_until_cancelled(tokio::time::sleep(wait)).await.is_none() {
                break;
            }
        }
        Ok(())
    }

    fn failed(&self, reason: String, wait: Duration) {
        let again_in_ms = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        tracing::warn!(broker = %self.address, reason, again_in_ms, "not consuming from the broker");
        self.seen.status.failed(reason, self.ingest.clock().now_us());
    }
}
