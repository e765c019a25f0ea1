//! The course of a delivery: it is started, and then settled, tried again or set aside, and its lane goes on.

use super::Queue;
use super::entry::{Entry, EntryState, Start, Tried};
use super::lane::{Lane, LaneKey};

impl Queue {
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

    /// Takes note that an attempt has ended, before it is decided what follows: `is_try` counts it towards the bound of the
    /// delivery's tries, `failed_us` is when it ended if it failed. What is known of the delivery then; `None`: it is not in
    /// the window.
    pub(in crate::queues) fn ended(
        &mut self,
        offset: u64,
        is_try: bool,
        failed_us: Option<u64>,
    ) -> Option<Tried> {
        let entry = self.entries.get_mut(&offset)?;
        entry.tries = entry.tries.saturating_add(u16::from(is_try));
        entry.first_failed_us = entry.first_failed_us.or(failed_us);
        let Entry { tries, attempts, first_failed_us, .. } = *entry;
        Some(Tried { attempts, tries, first_failed_us })
    }
}
