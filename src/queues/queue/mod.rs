//! The queue of one hook (or of one replay): what is unsettled, lane by lane, in a bounded window over the log.
//!
//! Pure: time is an argument and reading the log is the caller's work. What is unsettled is exactly: the
//! entries, the spilled rest of each spilled lane below `next`, and every wanted event from `next` on.
//! Memory is bounded by the window, whatever the backlog.

mod changes;
mod course;
pub(in crate::queues) mod entry;
mod image;
#[cfg(test)]
mod inspect;
mod intake;
mod invariants;
pub(in crate::queues) mod kept;
pub(in crate::queues) mod lane;
#[cfg(test)]
mod model;
mod shrink;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::Ordering;
use entry::{Entry, Limits, Past};
use lane::{Lane, LaneKey};

/// A queue's unsettled deliveries. Its methods are in the files of this folder, one idea each; its fields are seen by them
/// alone, and `invariants` says what is always true of them together.
#[derive(Debug)]
pub struct Queue {
    limits: Limits,
    ordering: Ordering,
    entries: BTreeMap<u64, Entry>,
    lanes: BTreeMap<LaneKey, Lane>,
    ready: VecDeque<LaneKey>,
    timers: BTreeSet<(u64, LaneKey)>,
    suspects: BTreeSet<(u64, u64)>,
    /// First offset that has not been looked at for this queue.
    next: u64,
    /// From here on nothing has been settled that `next` is past.
    touched: u64,
    /// Settled at or above `next` (or in a spilled lane) before a restart.
    settled: BTreeSet<u64>,
    /// Tried before a restart, or before there was no more room for it, and not yet back in the window.
    past: BTreeMap<u64, Past>,
    in_flight: u32,
    /// How many lanes have a rest in the log; asked for with every result, so it is counted.
    spilled: usize,
}

impl Queue {
    /// An empty queue that looks at the log from `next` on.
    #[must_use]
    pub fn new(limits: Limits, ordering: Ordering, next: u64) -> Self {
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
            past: BTreeMap::new(),
            in_flight: 0,
            spilled: 0,
        }
    }

    /// First offset not looked at.
    #[must_use]
    pub fn next(&self) -> u64 {
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

    /// Whether more than half of the window is free, so that reading on is worth it.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        self.entries.len() * 2 <= self.limits.window
    }

    /// How many entries still fit.
    #[must_use]
    pub fn room(&self) -> usize {
        self.limits.window.saturating_sub(self.entries.len())
    }

    /// Everything of this queue below this offset is settled.
    #[must_use]
    pub fn cursor(&self) -> u64 {
        let first = self.entries.keys().next().copied().unwrap_or(self.next);
        let spilled = self.lanes.values().filter_map(|l| l.spilled).min().unwrap_or(self.next);
        first.min(spilled).min(self.next)
    }

    /// The oldest unsettled entry in the window.
    #[must_use]
    pub fn oldest(&self) -> Option<(u64, &Entry)> {
        self.entries.iter().next().map(|(o, e)| (*o, e))
    }

    /// The lane that an event belongs to.
    #[must_use]
    pub fn lane_of(&self, offset: u64, subject_hash: u64) -> LaneKey {
        match self.ordering {
            Ordering::Subject => subject_hash,
            Ordering::Hook => 0,
            Ordering::None => offset,
        }
    }

    /// Whether a lane may be tried now.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// When `wake` or a suspect's end is next due.
    #[must_use]
    pub fn next_due(&self) -> Option<u64> {
        let timer = self.timers.first().map(|(due, _)| *due);
        let suspect = self.suspects.first().map(|(until, _)| *until);
        timer.into_iter().chain(suspect).min()
    }

    /// When the next retry is due.
    #[must_use]
    pub fn next_try(&self) -> Option<u64> {
        self.timers.first().map(|(due, _)| *due)
    }

    /// How the deliveries are ordered now; the hook's own ordering may be another one for a while (`reorder`).
    #[must_use]
    pub fn ordering(&self) -> Ordering {
        self.ordering
    }

    /// The unsettled deliveries in the window, in the order of the log.
    pub fn entries(&self) -> impl Iterator<Item = (u64, &Entry)> {
        self.entries.iter().map(|(offset, entry)| (*offset, entry))
    }

    /// Whether `count` attempts can be started one after the other before anything has to be read from the log. Not when
    /// a lane waits for its rest: only a read brings that.
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
