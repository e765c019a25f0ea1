//! What the permits know of one shard: its attempts under way, its ready slots, and the permits that it is offered.

use std::collections::VecDeque;

use super::SlotName;
use super::hosts::HostId;

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
    /// The host, if the slot was parked for a permit of its host.
    pub(super) host: Option<HostId>,
}
