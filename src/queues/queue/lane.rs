//! A lane: the ordered waiting line of one subject within a hook. At most one of its deliveries is tried at a
//! time, and the next one not before the one ahead of it is delivered, dead or set aside as suspect.

use std::collections::VecDeque;

/// The key of a lane within its queue: a hash of the subject (two subjects with one hash share a lane, which
/// keeps order all the same), 0 for a strict queue, the offset for an unordered one.
pub type LaneKey = u64;

/// One subject's waiting line.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// Offsets in order; the first `suspects` of them are set aside.
    pub(super) order: VecDeque<u64>,
    /// How many at the front are suspects.
    pub(super) suspects: usize,
    /// Attempts of this lane under way: at most one, except for what was under way in lanes that became this one.
    pub(super) under_way: u32,
    /// Whether the queue's ready list holds this lane.
    pub(super) queued: bool,
    /// Not before this time (µs since 1970).
    pub(super) due: Option<u64>,
    /// The first offset of this subject that found no room: it and all later ones are read from the log
    /// again when the lane has drained.
    pub(super) spilled: Option<u64>,
}

impl Lane {
    /// The delivery whose turn it is.
    pub(super) fn head(&self) -> Option<u64> {
        self.order.get(self.suspects).copied()
    }

    /// Whether the head could be tried if it were due.
    pub(super) fn idle(&self) -> bool {
        self.under_way == 0 && !self.queued && self.head().is_some()
    }

    /// Takes a settled offset out, wherever it stands.
    pub(super) fn remove(&mut self, offset: u64) {
        if let Some(at) = self.order.iter().position(|o| *o == offset) {
            self.order.remove(at);
            if at < self.suspects {
                self.suspects -= 1;
            }
        }
    }

    /// Whether nothing refers to this lane any more.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty() && self.spilled.is_none() && self.under_way == 0
    }
}
