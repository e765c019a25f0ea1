//! The queues beside a running KAZOO: deliveries that are settled without being sent, events that wait until it is known
//! which system they belong to, and no probes while nothing may leave.
//!
//! Whether a delivery is sent is decided where it is made (`delivery/`), by the event's offset. The queues go on as if it
//! had been delivered: no retry, no failure, no disabling. They learn nothing of the receiver, so nothing is enabled either.

use crate::model::Ownership;

/// How often a disabled hook is looked at while nothing may leave, µs.
pub(super) const QUIET_PROBE_US: u64 = 5_000_000;

/// What of the mode the queues work by. The default: no KAZOO is beside this program.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stance {
    /// Events from this offset on are not routed.
    pub hold_from: Option<u64>,
    /// Nothing may leave: no hook is probed.
    pub is_quiet: bool,
}

impl Stance {
    /// What an ownership means for the queues.
    #[must_use]
    pub fn of(ownership: &Ownership) -> Self {
        Self { hold_from: ownership.waits_from(), is_quiet: ownership.is_quiet() }
    }

    /// The end of what may be routed of a log that ends at `end`.
    pub(super) fn end(self, end: u64) -> u64 {
        self.hold_from.map_or(end, |hold| hold.min(end))
    }
}
