//! A lane: the deliveries of one subject within a queue, in order. At most one of them is under way at a time, and the next
//! one starts only after the one ahead of it is settled or set aside as suspect.

use std::collections::VecDeque;

use serde::Serialize;

use crate::model::{EventOffset, Moment};

/// The key of a lane within its queue: a hash of the subject; in a queue that orders all deliveries of its hook, always 0;
/// in an unordered queue, the offset. Subjects with the same hash share a lane, and still keep their order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct LaneKey(pub u64);

/// The key of the only lane of a queue that orders all deliveries of its hook.
pub(in crate::queues) const ONE_LANE: LaneKey = LaneKey(0);

/// A lane.
#[derive(Debug, Default)]
pub(super) struct Lane {
    /// The offsets of its deliveries, in their order. The first `suspects` of them are set aside.
    pub(super) order: VecDeque<EventOffset>,
    pub(super) suspects: usize,
    /// Attempts under way: at most one, unless several lanes became this one while attempts were under way.
    pub(super) under_way: u32,
    /// Whether the lane is in the queue's `ready`.
    pub(super) queued: bool,
    /// The head is not tried before this time.
    pub(super) due: Option<Moment>,
    /// The first offset of this subject for which there was no room. This event and all later ones of the lane are read from
    /// the log again when the lane has drained.
    pub(super) spilled: Option<EventOffset>,
}

impl Lane {
    /// The delivery whose turn it is: the first one that is not set aside.
    pub(super) fn head(&self) -> Option<EventOffset> {
        self.order.get(self.suspects).copied()
    }

    /// Whether the lane belongs into `ready` once its head is due.
    pub(super) fn idle(&self) -> bool {
        self.under_way == 0 && !self.queued && self.head().is_some()
    }

    /// Removes an offset, wherever it is in the lane.
    pub(super) fn remove(&mut self, offset: EventOffset) {
        if let Some(at) = self.order.iter().position(|o| *o == offset) {
            self.order.remove(at);
            if at < self.suspects {
                self.suspects -= 1;
            }
        }
    }

    /// Whether nothing of the lane is left, in memory or in the log.
    pub(super) fn is_empty(&self) -> bool {
        self.order.is_empty() && self.spilled.is_none() && self.under_way == 0
    }
}
