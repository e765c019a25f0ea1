//! Counters of events, by source and result.

use crate::metrics::Counter;

/// The counts since the program started.
#[derive(Debug, Default)]
pub struct Counts {
    /// From the broker: understood and passed to the log.
    pub(super) amqp_taken: Counter,
    /// From the broker: not understood, and passed to the log as quarantined.
    pub(super) amqp_quarantined: Counter,
    /// From the broker: handed out again although the log had the event.
    pub(super) amqp_duplicate: Counter,
    /// From HTTP clients: on disk.
    pub(super) http_taken: Counter,
    /// From HTTP clients: refused with an error.
    pub(super) http_refused: Counter,
    /// From Switchhook itself (changes of documents): on disk.
    pub(super) internal_taken: Counter,
}

impl Counts {
    /// The source, the result and the value of each counter.
    #[must_use]
    pub fn all(&self) -> [(&'static str, &'static str, u64); 6] {
        [
            ("amqp", "taken", self.amqp_taken.get()),
            ("amqp", "quarantined", self.amqp_quarantined.get()),
            ("amqp", "duplicate", self.amqp_duplicate.get()),
            ("http", "taken", self.http_taken.get()),
            ("http", "refused", self.http_refused.get()),
            ("internal", "taken", self.internal_taken.get()),
        ]
    }
}
