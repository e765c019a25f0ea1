//! How many events came in, by where they came from and what became of them.

use crate::metrics::Counter;

/// The counts since the start of the program.
#[derive(Debug, Default)]
pub struct Counts {
    /// From the broker, understood and handed to the log.
    pub(super) amqp_taken: Counter,
    /// From the broker, not understood and handed to the log all the same.
    pub(super) amqp_quarantined: Counter,
    /// From the broker a second time, in the log already.
    pub(super) amqp_duplicate: Counter,
    /// From HTTP clients, on disk.
    pub(super) http_taken: Counter,
    /// From HTTP clients, answered with an error.
    pub(super) http_refused: Counter,
    /// Of our own, on disk.
    pub(super) internal_taken: Counter,
}

impl Counts {
    /// Source, result and count of each.
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
