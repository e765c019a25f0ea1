//! The broker's consumer: connects and consumes; when the connection ends, it reconnects, without end.

use std::time::Duration;

use tokio::sync::watch;

use super::handle::Ingest;
use super::session::{self, Ended};
use super::topology::{QueueBounds, QueueType};
use crate::amqp::{Address, BrokerStatus, Status, Waits};
use crate::log::AppendError;
use crate::model::Origin;
use crate::tasks::{Beat, Pulse, Stop, pulse};

/// Settings of the consumer.
#[derive(Debug, Clone)]
pub struct ConsumerOptions {
    /// The queue's name.
    pub queue: String,
    /// How much the queue may hold.
    pub bounds: QueueBounds,
    /// The type as which the queue is declared.
    pub queue_type: QueueType,
    /// Identifies the broker when there are several.
    pub origin: Option<Origin>,
    /// How often exchanges and bindings are declared again on a living connection.
    pub check_every: Duration,
    /// How many messages the broker hands out before it waits for an acknowledgement. All of them are in memory.
    pub prefetch: u16,
    /// The largest number of events in one append.
    pub batch_events: usize,
    /// The largest number of bytes of events in one append. A single event may be larger.
    pub batch_bytes: usize,
    /// How many batches may wait for the disk.
    pub batches_in_flight: usize,
    /// The longest time for the goodbye: acknowledging what was appended, then closing the connection.
    pub stop_grace: Duration,
    /// The wait after the first failure to connect.
    pub reconnect_initial: Duration,
    /// The longest wait between attempts.
    pub reconnect_max: Duration,
    /// How often an append is retried while the disk is full.
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

/// Why consuming ended. Only a failure of the log ends it.
#[derive(Debug, thiserror::Error)]
#[error("the event log takes no more events: {0}")]
pub struct ConsumeError(#[from] pub AppendError);

/// Consumes from the broker. Messages are acknowledged in order, and only after they are on disk.
#[derive(Debug)]
pub struct AmqpConsumer {
    address: Address,
    options: ConsumerOptions,
    ingest: Ingest,
    seen: ConsumerStatus,
    pulse: Pulse,
}

/// The parts of the consumer that other tasks watch.
#[derive(Debug)]
pub(super) struct ConsumerStatus {
    /// The state of the connection.
    pub(super) status: Status,
    /// Requests for a sign of life from the broker.
    pub(super) beat: Beat,
}

impl AmqpConsumer {
    /// A consumer of the broker at `address`; it connects when it runs.
    #[must_use]
    pub fn new(address: Address, options: ConsumerOptions, ingest: Ingest) -> Self {
        let status = Status::new(ingest.clock().now_us());
        let (pulse, beat) = pulse();
        Self { address, options, ingest, seen: ConsumerStatus { status, beat }, pulse }
    }

    /// The state of the connection; the receiver follows its changes.
    #[must_use]
    pub fn status(&self) -> watch::Receiver<BrokerStatus> {
        self.seen.status.watch()
    }

    /// Asks the broker for a sign of life. Gets no answer while there is no connection.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Consumes until `stop` is cancelled, and reconnects after every failure of the broker. Returns an error only when
    /// the log takes no more events; the broker then keeps all messages that were not acknowledged.
    pub async fn run(mut self, stop: Stop) -> Result<(), ConsumeError> {
        let mut waits = Waits::new(self.options.reconnect_initial, self.options.reconnect_max);
        while !stop.is_cancelled() {
            // Boxed because the future is large and lives only as long as one connection.
            let session = session::run(&self.address, &self.options, &self.ingest, &stop, &mut self.seen);
            let ended = Box::pin(session).await;
            let reason = match ended {
                Ended::Stopped => break,
                Ended::LogFailed(error) => return Err(error.into()),
                Ended::Lost(reason) => reason,
            };
            // Only a connection that worked shortens the waits. A broker that refuses each connection is asked
            // more and more rarely.
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
