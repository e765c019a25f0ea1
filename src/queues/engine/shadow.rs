//! The queues beside a running KAZOO: some deliveries are settled without being sent, events wait until it is known which
//! system they belong to, and no hook is probed while this program sends nothing.
//!
//! `delivery/` decides whether a delivery is sent, by the event's offset. For the queues it is as if the delivery had arrived:
//! no retry, no failure, no disabling. But it says nothing about the receiver, so it does not enable a hook either.

use std::time::Duration;

use crate::model::{EventOffset, Ownership};

/// The delay before a probe that came due while nothing may be sent is looked at again.
pub(super) const QUIET_PROBE: Duration = Duration::from_secs(5);

/// What the mode beside a KAZOO means for the queues. The default: there is no KAZOO.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stance {
    /// Events from this offset on are not routed.
    pub hold_from: Option<EventOffset>,
    /// Nothing may be sent, so no hook is probed.
    pub is_quiet: bool,
}

impl Stance {
    /// What an ownership means for the queues.
    #[must_use]
    pub fn of(ownership: &Ownership) -> Self {
        Self { hold_from: ownership.waits_from(), is_quiet: ownership.is_quiet() }
    }

    /// The end of what may be routed of a log that ends at `end`.
    pub(super) fn end(self, end: EventOffset) -> EventOffset {
        self.hold_from.map_or(end, |hold| hold.min(end))
    }
}
