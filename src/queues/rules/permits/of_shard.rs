//! What the permits know of one shard: its attempts under way, its ready slots, and the permits that it is offered.

use std::collections::VecDeque;

use super::SlotName;
use super::on_host::HostId;

/// One shard.
#[derive(Debug, Default)]
pub(super) struct OfShard {
    pub(super) in_flight: u32,
    pub(super) ready: VecDeque<SlotName>,
    /// Slots for which another shard has found a permit.
    pub(super) offered: VecDeque<Unparked>,
}

/// A slot that was parked and may have a permit now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Unparked {
    pub(super) slot: SlotName,
    pub(super) parked_for: ParkedFor,
}

/// Where a slot was parked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ParkedFor {
    /// For the limit of its tenant or account.
    Total,
    /// For a shared permit of this host.
    Host(HostId),
    /// For its first permit on this host.
    First(HostId),
}
