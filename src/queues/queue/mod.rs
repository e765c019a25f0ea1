//! The queue of one hook or replay: its unsettled deliveries, lane by lane, in a bounded window over the log.
//!
//! Pure: time is an argument, and the caller reads the log. The unsettled deliveries are exactly
//! - the entries,
//! - the rest of each spilled lane: its events in the log from `Lane::spilled` to `next`, except those in `settled`,
//! - every event that the hook wants from `next` on, except those in `settled`.
//!
//! So memory is bounded by the window, however long the backlog is.

mod changes;
mod course;
mod image;
#[cfg(test)]
mod inspect;
pub(in crate::queues) mod intake;
mod invariants;
pub(in crate::queues) mod kept;
pub(in crate::queues) mod lane;
#[cfg(test)]
mod model;
mod pasts;
mod shrink;
mod waiting;
pub(in crate::queues) mod window;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::{EventOffset, Moment, Ordering};
use lane::{Lane, LaneKey, ONE_LANE};
use pasts::Pasts;
use window::{WindowEntry, WindowLimits};

/// A queue. Each file of this folder has the methods for one idea, and only these files see the fields. `invariants` says
/// what is always true for the fields together.
#[derive(Debug)]
pub struct Queue {
    limits: WindowLimits,
    ordering: Ordering,
    /// The window: unsettled deliveries in memory, by offset.
    entries: BTreeMap<EventOffset, WindowEntry>,
    lanes: BTreeMap<LaneKey, Lane>,
    /// The lanes whose head can be tried now. Some may have changed since they were added; `start` checks that.
    ready: VecDeque<LaneKey>,
    /// The lanes whose head waits for its retry.
    timers: BTreeSet<(Moment, LaneKey)>,
    /// The suspects, by the time at which they are dead.
    suspects: BTreeSet<(Moment, EventOffset)>,
    /// The first offset of the log that this queue has not taken or passed over yet.
    next: EventOffset,
    /// Of the offsets below `next`, none from here on has been settled. So `shrink` may move `next` back to here without
    /// taking a settled delivery again.
    touched: EventOffset,
    /// Offsets that were settled before a restart and that the queue will meet again: those from `next` on, and those in the
    /// rest of a lane.
    settled: BTreeSet<EventOffset>,
    /// What is known of deliveries that have been tried and are not in the window: from before a restart, or from before
    /// `shrink` removed them.
    past: Pasts,
    in_flight: u32,
    /// By delivery under way, the suspects before it that its lane had left behind when it started. Few: most lanes have no
    /// suspects. The lane alone does not say it later: suspects are released, and lanes become one, during an attempt.
    passed: BTreeMap<EventOffset, Vec<EventOffset>>,
    /// The number of lanes with a rest in the log. It is needed after every result, so it is counted here.
    spilled: usize,
}

impl Queue {
    /// An empty queue that begins at `next`.
    #[must_use]
    pub fn new(limits: WindowLimits, ordering: Ordering, next: EventOffset) -> Self {
        Self {
            limits,
            ordering,
            entries: BTreeMap::new(),
            lanes: BTreeMap::new(),
            ready: VecDeque::new(),
            timers: BTreeSet::new(),
            suspects: BTreeSet::new(),
            next,
            touched: next,
            settled: BTreeSet::new(),
            past: Pasts::default(),
            in_flight: 0,
            passed: BTreeMap::new(),
            spilled: 0,
        }
    }

    /// The first offset that the queue has not taken or passed over yet.
    #[must_use]
    pub fn next(&self) -> EventOffset {
        self.next
    }

    /// Attempts under way.
    #[must_use]
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Unsettled deliveries in the window.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the window is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether at least half of the window is free, so that a read of the log is worth its cost.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        self.entries.len() * 2 <= self.limits.window
    }

    /// The number of entries that still fit into the window.
    #[must_use]
    pub fn room(&self) -> usize {
        self.limits.window.saturating_sub(self.entries.len())
    }

    /// The cursor: all deliveries of this queue below this offset are settled.
    #[must_use]
    pub fn cursor(&self) -> EventOffset {
        let first = self.entries.keys().next().copied().unwrap_or(self.next);
        let spilled = self.lanes.values().filter_map(|l| l.spilled).min().unwrap_or(self.next);
        first.min(spilled).min(self.next)
    }

    /// The oldest unsettled entry in the window.
    #[must_use]
    pub fn oldest(&self) -> Option<(EventOffset, &WindowEntry)> {
        self.entries.iter().next().map(|(o, e)| (*o, e))
    }

    /// The lane that an event belongs to.
    #[must_use]
    pub fn lane_of(&self, offset: EventOffset, subject_hash: u64) -> LaneKey {
        match self.ordering {
            Ordering::Subject => LaneKey(subject_hash),
            Ordering::Hook => ONE_LANE,
            Ordering::None => LaneKey(offset.0),
        }
    }

    /// Whether any delivery may be tried now.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When the next retry is due, or the next suspect is dead.
    #[must_use]
    pub fn next_due(&self) -> Option<Moment> {
        let timer = self.timers.first().map(|(due, _)| *due);
        let suspect = self.suspects.first().map(|(until, _)| *until);
        timer.into_iter().chain(suspect).min()
    }

    /// When the next retry is due.
    #[must_use]
    pub fn next_try(&self) -> Option<Moment> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// How the deliveries are ordered now. For a while this may differ from the hook's ordering (`reorder`).
    #[must_use]
    pub fn ordering(&self) -> Ordering {
        self.ordering
    }

    /// The unsettled deliveries in the window, in the order of the log.
    pub fn entries(&self) -> impl Iterator<Item = (EventOffset, &WindowEntry)> {
        self.entries.iter().map(|(offset, entry)| (*offset, entry))
    }

    /// Whether `count` attempts can be started one after another before the log has to be read. Never if a lane has drained
    /// and has a rest in the log, because only a read brings the lane on.
    #[must_use]
    pub fn is_stocked(&self, count: usize) -> bool {
        let one_after_the_other = self.lanes.len() == 1 && self.len() >= count;
        (self.ready.len() >= count || one_after_the_other) && self.drained_lane().is_none()
    }

    fn lane_limit(&self) -> usize {
        match self.ordering {
            Ordering::Subject => self.limits.lane.min(self.limits.window),
            Ordering::Hook | Ordering::None => self.limits.window,
        }
    }
}
