//! The state of the connection to the broker, for health and for error texts.

use tokio::sync::watch;

/// The state of the connection to the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerStatus {
    /// No `amqp.uri` is configured.
    Disabled,
    /// Not consuming; reconnecting.
    Connecting {
        /// Since when, microseconds since 1970.
        since_us: u64,
        /// Why the last attempt or the last connection failed.
        last_error: Option<String>,
    },
    /// Consuming.
    Connected {
        /// Since when, microseconds since 1970.
        since_us: u64,
        /// The queue's state at the last check.
        queue: QueueReport,
    },
}

/// The result of checking our queue, its bindings and KAZOO's exchanges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueReport {
    /// Messages that the broker has not handed out yet; `None` before the first check.
    pub waiting: Option<u64>,
    /// The time since which every check has found waiting messages, in microseconds since 1970.
    pub waiting_since_us: Option<u64>,
    /// The age of the latest event at its arrival, in milliseconds, computed from the time in its message. `None` when
    /// nothing waited at the last check, or when messages contain no time.
    pub event_age_ms: Option<u64>,
    /// Whether the broker blocks publishers because it is short of memory or disk.
    pub blocked: bool,
    /// Why exchanges or bindings cannot be declared. Events may be missing.
    pub fault: Option<String>,
    /// Warnings that the queue has no bound, or was full.
    pub notices: Vec<String>,
}

/// A client's own status, for others to watch.
#[derive(Debug)]
pub struct Status(watch::Sender<BrokerStatus>);

impl Status {
    /// The status of a client that has not connected.
    #[must_use]
    pub fn new(now_us: u64) -> Self {
        Self(watch::Sender::new(BrokerStatus::Connecting { since_us: now_us, last_error: None }))
    }

    /// The status of a program without a broker.
    #[must_use]
    pub fn disabled() -> watch::Receiver<BrokerStatus> {
        watch::Sender::new(BrokerStatus::Disabled).subscribe()
    }

    /// A receiver that follows the status.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<BrokerStatus> {
        self.0.subscribe()
    }

    /// Whether the client is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(*self.0.borrow(), BrokerStatus::Connected { .. })
    }

    /// Sets the status to connected.
    pub fn connected(&self, now_us: u64) {
        self.0.send_replace(BrokerStatus::Connected { since_us: now_us, queue: QueueReport::default() });
    }

    /// Notes a check of the queue.
    pub fn looked(&self, look: impl FnOnce(&mut QueueReport)) {
        self.0.send_modify(|status| {
            if let BrokerStatus::Connected { queue, .. } = status {
                look(queue);
            }
        });
    }

    /// Sets the status to not connected. Keeps the start time if it was not connected before.
    pub fn failed(&self, reason: String, now_us: u64) {
        self.0.send_modify(|status| {
            let since_us = match status {
                BrokerStatus::Connecting { since_us, .. } => *since_us,
                BrokerStatus::Disabled | BrokerStatus::Connected { .. } => now_us,
            };
            *status = BrokerStatus::Connecting { since_us, last_error: Some(reason) };
        });
    }
}
