//! The queue of one hook (or of one replay): what is unsettled, lane by lane, in a bounded window over the log.
//!
//! Pure: time is an argument and reading the log is the caller's work. What is unsettled is exactly: the
//! entries, the spilled rest of each spilled lane below `next`, and every wanted event from `next` on.
//! Memory is bounded by the window, whatever the backlog.

pub(in crate::queues) mod entry;
mod invariants;
pub(in crate::queues) mod kept;
pub(in crate::queues) mod lane;
#[cfg(test)]
mod model;
mod moves;
mod spilled;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use crate::model::Ordering;
use entry::{Entry, EntryState, Limits, Past, Start, Taken};
use kept::Kept;
use lane::{Lane, LaneKey};

/// A queue's unsettled deliveries.
#[derive(Debug)]
pub struct Queue {
    pub(in crate::queues) limits: Limits,
    pub(in crate::queues) ordering: Ordering,
    pub(in crate::queues) entries: BTreeMap<u64, Entry>,
    pub(in crate::queues) lanes: BTreeMap<LaneKey, Lane>,
    pub(in crate::queues) ready: VecDeque<LaneKey>,
    pub(in crate::queues) timers: BTreeSet<(u64, LaneKey)>,
    pub(in crate::queues) suspects: BTreeSet<(u64, u64)>,
    /// First offset that has not been looked at for this queue.
    pub(in crate::queues) next: u64,
    /// From here on nothing has been settled that `next` is past.
    pub(in crate::queues) touched: u64,
    /// Settled at or above `next` (or in a spilled lane) before a restart.
    pub(in crate::queues) settled: BTreeSet<u64>,
    /// Tried before a restart, or before there was no more room for it, and not yet back in the window.
    pub(in crate::queues) past: BTreeMap<u64, Past>,
    pub(in crate::queues) in_flight: u32,
    /// How many lanes have a rest in the log; asked for with every result, so it is counted.
    pub(in crate::queues) spilled: usize,
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

    pub(in crate::queues) fn lane_limit(&self) -> usize {
        match self.ordering {
            Ordering::Subject => self.limits.lane.min(self.limits.window),
            Ordering::Hook | Ordering::None => self.limits.window,
        }
    }

    /// Offers the wanted event at `offset`; unless the answer is `Full`, `next` is past it.
    pub(in crate::queues) fn take(&mut self, offset: u64, subject_hash: u64, record: Option<Kept>) -> Taken {
        if offset < self.next {
            return Taken::Settled;
        }
        let key = self.lane_of(offset, subject_hash);
        if self.settled.contains(&offset) {
            // The rest of a spilled lane is read again later, and must find then that this one is settled.
            if self.lanes.get(&key).is_none_or(|lane| lane.spilled.is_none()) {
                self.settled.remove(&offset);
            }
            self.next = offset + 1;
            return Taken::Settled;
        }
        if self.room() == 0 {
            return Taken::Full;
        }
        self.next = offset + 1;
        let limit = self.lane_limit();
        let lane = self.lanes.entry(key).or_default();
        if lane.spilled.is_some() || lane.order.len() >= limit {
            if lane.spilled.is_none() {
                lane.spilled = Some(offset);
                self.spilled += 1;
            }
            return Taken::Spilled;
        }
        self.insert(offset, key, record);
        Taken::Waiting
    }

    /// Takes the wanted event at `offset`, which `next` is past, because its account was not known then. Later events of
    /// its lane come after it. Without room, a lane of a subject reads it from the log when there is some; lanes of the
    /// other orderings cannot be told apart in the log, so they take it beyond the window.
    pub(in crate::queues) fn take_late(&mut self, offset: u64, subject_hash: u64, has_room: bool) -> Taken {
        let key = self.lane_of(offset, subject_hash);
        let spilled = self.lanes.get(&key).and_then(|lane| lane.spilled);
        if spilled.is_some_and(|from| from <= offset) {
            // The rest of the lane is read from the log, and this event with it.
            return Taken::Spilled;
        }
        if self.settled.remove(&offset) || self.entries.contains_key(&offset) {
            return Taken::Settled;
        }
        let lane = self.lanes.entry(key).or_default();
        let is_full = !has_room || lane.order.len() >= self.limits.lane;
        if is_full && self.ordering == Ordering::Subject && spilled.is_none() {
            lane.spilled = Some(offset);
            self.spilled += 1;
            return Taken::Spilled;
        }
        self.insert(offset, key, None);
        Taken::Waiting
    }

    pub(in crate::queues) fn insert(&mut self, offset: u64, key: LaneKey, record: Option<Kept>) {
        let past = self.past.remove(&offset).unwrap_or_default();
        let entry = Entry {
            lane: key,
            tries: past.tries,
            attempts: past.attempts,
            first_failed_us: past.first_failed_us,
            state: EntryState::Waiting,
            record,
        };
        self.entries.insert(offset, entry);
        let lane = self.lanes.entry(key).or_default();
        lane.order.push_back(offset);
        if lane.head() == Some(offset) && past.due_us > 0 {
            lane.due = Some(past.due_us);
            self.timers.insert((past.due_us, key));
        }
        self.advance(key);
    }

    /// Whether a lane may be tried now.
    #[must_use]
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }

    /// Begins the next attempt that is ready.
    pub fn start(&mut self) -> Option<Start> {
        while let Some(key) = self.ready.pop_front() {
            let Some(lane) = self.lanes.get_mut(&key) else { continue };
            lane.queued = false;
            if lane.under_way > 0 || lane.due.is_some() {
                continue;
            }
            let head = lane.head();
            let waits =
                |offset: &u64| self.entries.get(offset).is_some_and(|e| e.state == EntryState::Waiting);
            if let Some(offset) = head.filter(waits) {
                return self.begin(offset, key);
            }
        }
        None
    }

    /// Begins an attempt of the oldest delivery that is not under way, due or not: the recovery probe.
    pub fn start_oldest(&mut self) -> Option<Start> {
        let found = self.entries.iter().find(|(offset, entry)| {
            entry.state == EntryState::Waiting
                && self.lanes.get(&entry.lane).is_some_and(|l| l.under_way == 0 && l.head() == Some(**offset))
        });
        let (offset, key) = found.map(|(offset, entry)| (*offset, entry.lane))?;
        self.begin(offset, key)
    }

    fn begin(&mut self, offset: u64, key: LaneKey) -> Option<Start> {
        let lane = self.lanes.get_mut(&key)?;
        let entry = self.entries.get_mut(&offset)?;
        if let Some(due) = lane.due.take() {
            self.timers.remove(&(due, key));
        }
        lane.under_way += 1;
        entry.state = EntryState::InFlight;
        entry.attempts = entry.attempts.saturating_add(1);
        self.in_flight += 1;
        Some(Start { offset, attempt: entry.attempts, record: entry.record.take() })
    }

    /// Takes a delivery out for good: delivered, dead or skipped.
    pub fn settle(&mut self, offset: u64) -> bool {
        let Some(entry) = self.entries.remove(&offset) else { return false };
        self.touched = self.touched.max(offset + 1);
        match entry.state {
            EntryState::InFlight => self.in_flight -= 1,
            EntryState::Suspect { until } => {
                self.suspects.remove(&(until, offset));
            }
            EntryState::Waiting => {}
        }
        if let Some(lane) = self.lanes.get_mut(&entry.lane) {
            // Its retry must not be taken for that of a delivery which comes later in the same lane.
            if lane.head() == Some(offset)
                && let Some(due) = lane.due.take()
            {
                self.timers.remove(&(due, entry.lane));
            }
            lane.remove(offset);
            lane.under_way -= u32::from(entry.state == EntryState::InFlight);
        }
        self.advance(entry.lane);
        self.drop_if_empty(entry.lane);
        true
    }

    /// The attempt failed: the same delivery is tried again at `due_us`, and its lane waits.
    pub fn retry(&mut self, offset: u64, due_us: u64) {
        let Some(entry) = self.entries.get_mut(&offset) else { return };
        let ended = u32::from(entry.state == EntryState::InFlight);
        self.in_flight -= ended;
        entry.state = EntryState::Waiting;
        let key = entry.lane;
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.under_way -= ended;
            if lane.head() == Some(offset) {
                lane.due = Some(due_us);
                self.timers.insert((due_us, key));
            }
        }
        // A released suspect may stand before it.
        self.advance(key);
    }

    /// Deliveries of the same lane that stand before `offset`. There are some only when they had used up their
    /// tries and were passed by: once `offset` is delivered they come too late.
    #[must_use]
    pub fn passed_by(&self, offset: u64) -> Vec<u64> {
        let lane = self.entries.get(&offset).and_then(|entry| self.lanes.get(&entry.lane));
        lane.into_iter().flat_map(|l| l.order.iter().copied()).take_while(|o| *o < offset).collect()
    }

    /// Whether a delivery is the first of its lane that is not set aside.
    #[must_use]
    pub fn is_head(&self, offset: u64) -> bool {
        let lane = self.entries.get(&offset).and_then(|entry| self.lanes.get(&entry.lane));
        lane.and_then(Lane::head) == Some(offset)
    }

    /// The last try failed and nobody knows yet whether the hook works: set it aside, let its lane go on.
    /// False when another delivery stands before it (the hook was disabled and enabled meanwhile): then it
    /// waits for its turn again instead.
    pub fn suspect(&mut self, offset: u64, until: u64) -> bool {
        let Some(entry) = self.entries.get_mut(&offset) else { return false };
        if self.lanes.get(&entry.lane).and_then(Lane::head) != Some(offset) {
            self.retry(offset, 0);
            return false;
        }
        let ended = u32::from(entry.state == EntryState::InFlight);
        self.in_flight -= ended;
        entry.state = EntryState::Suspect { until };
        self.suspects.insert((until, offset));
        let key = entry.lane;
        if let Some(lane) = self.lanes.get_mut(&key) {
            lane.under_way -= ended;
            lane.suspects += 1;
        }
        self.advance(key);
        true
    }

    /// Suspects whose time has passed; with `u64::MAX` all of them. The caller settles them.
    #[must_use]
    pub fn suspects_until(&self, now_us: u64) -> Vec<u64> {
        self.suspects.iter().take_while(|(until, _)| *until <= now_us).map(|(_, offset)| *offset).collect()
    }

    /// Moves lanes whose time has come to the ready list.
    pub fn wake(&mut self, now_us: u64) {
        while let Some((due, key)) = self.timers.first().copied() {
            if due > now_us {
                break;
            }
            self.timers.pop_first();
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.due = None;
            }
            self.advance(key);
        }
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

    /// When a waiting entry's lane is due, for the checkpoint.
    #[must_use]
    pub fn due_of(&self, offset: u64, entry: &Entry) -> u64 {
        let lane = self.lanes.get(&entry.lane);
        lane.filter(|l| l.head() == Some(offset)).and_then(|l| l.due).unwrap_or(0)
    }

    pub(in crate::queues) fn advance(&mut self, key: LaneKey) {
        if let Some(lane) = self.lanes.get_mut(&key)
            && lane.idle()
            && lane.due.is_none()
        {
            lane.queued = true;
            self.ready.push_back(key);
        }
    }

    pub(in crate::queues) fn drop_if_empty(&mut self, key: LaneKey) {
        if self.lanes.get(&key).is_some_and(Lane::is_empty) {
            self.lanes.remove(&key);
        }
    }
}
