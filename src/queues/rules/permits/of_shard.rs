//! The part of one shard in the permits: its attempts under way, its slots that are ready, and what others offer it.

use std::collections::VecDeque;

/// The part of one shard.
#[derive(Debug, Default)]
pub(super) struct OfShard {
    pub(super) in_flight: u32,
    pub(super) ready: VecDeque<usize>,
    /// Slots for which another shard found a permit.
    pub(super) offered: VecDeque<Back>,
}

/// A slot that may have the permit now that it waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Back {
    pub(super) slot: usize,
    /// The host, when it waited for a permit of its host.
    pub(super) host: Option<usize>,
}
