//! How a client stands with the broker, as health and errors tell it.

use tokio::sync::watch;

/// How it stands with the broker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BrokerStatus {
    /// No `amqp.uri` is configured.
    Disabled,
    /// Not consuming, and trying to.
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
        /// How our queue was found.
        queue: QueueReport,
    },
}

/// What a look at our queue, its bindings and KAZOO's exchanges has shown.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct QueueReport {
    /// Messages that the broker has and has not handed out; `None` before the first look.
    pub waiting: Option<u64>,
    /// Since when there were some at every look, microseconds since 1970.
    pub waiting_since_us: Option<u64>,
    /// How old the latest event was when it came, in milliseconds, by what its message says; `None`: nothing waited at the
    /// last look, or no message says it.
    pub event_age_ms: Option<u64>,
    /// The broker blocks who publishes: it is short of memory or disk.
    pub blocked: bool,
    /// Why exchanges or bindings cannot be declared: events may be missing.
    pub fault: Option<String>,
    /// That the queue has no bound, or that it was full.
    pub notices: Vec<String>,
}

/// A client's own status, which others watch.
#[derive(Debug)]
pub struct Status(watch::Sender<BrokerStatus>);

impl Status {
    /// Of a client that has not connected yet.
    #[must_use]
    pub fn new(now_us: u64) -> Self {
        Self(watch::Sender::new(BrokerStatus::Connecting { since_us: now_us, last_error: None }))
    }

    /// The status of a program without a broker.
    #[must_use]
    pub fn disabled() -> watch::Receiver<BrokerStatus> {
        watch::Sender::new(BrokerStatus::Disabled).subscribe()
    }

    /// For whoever wants to know.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<BrokerStatus> {
        self.0.subscribe()
    }

    /// Whether it is connected.
    #[must_use]
    pub fn is_connected(&self) -> bool {
        matches!(*self.0.borrow(), BrokerStatus::Connected { .. })
    }

    /// It is connected from now on.
    pub fn connected(&self, now_us: u64) {
        self.0.send_replace(BrokerStatus::Connected { since_us: now_us, queue: QueueReport::default() });
    }

    /// The queue was looked at.
    pub fn looked(&self, look: impl FnOnce(&mut QueueReport)) {
        self.0.send_modify(|status| {
            if let BrokerStatus::Connected { queue, .. } = status {
                look(queue);
            }
        });
    }

    /// It is not connected; since when stays as it was if it was not before.
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
