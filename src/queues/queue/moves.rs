//! The queue's larger moves: coming back from a checkpoint, being held and released, starting over elsewhere.

use super::Queue;
use super::entry::{Entry, EntryState, Past};
use super::lane::LaneKey;
use crate::model::Ordering;

impl Queue {
    /// Puts back a delivery that a checkpoint names; in the order of offsets, before anything is taken.
    pub fn restore(&mut self, offset: u64, key: LaneKey, past: Past) {
        self.past.insert(offset, past);
        self.insert(offset, key, None);
    }

    /// Marks a lane as spilled from `from` on, as a checkpoint names it.
    pub fn restore_spilled(&mut self, key: LaneKey, from: u64) {
        if self.lanes.entry(key).or_default().spilled.replace(from).is_none() {
            self.spilled += 1;
        }
    }

    /// Puts back what was settled after the checkpoint, or ahead of a spilled lane.
    pub fn restore_settled(&mut self, offsets: impl IntoIterator<Item = u64>) {
        self.settled.extend(offsets);
        // What is taken of them is not remembered any longer: nothing may be given up below.
        self.touched = self.touched.max(self.settled.last().map_or(0, |last| last + 1));
    }

    /// Passes over events that are not for this queue.
    pub fn skip_to(&mut self, next: u64) {
        if next <= self.next {
            return;
        }
        self.next = next;
        if self.spilled == 0 && !(self.settled.is_empty() && self.past.is_empty()) {
            self.settled = self.settled.split_off(&next);
            self.past = self.past.split_off(&next);
        }
    }

    /// The hook's ordering changed: everything unsettled is put into new lanes. Not while a lane has a rest in
    /// the log, which only its present key can find: false then, to be asked again later.
    pub fn reorder(&mut self, ordering: Ordering) -> bool {
        if self.has_spilled() {
            return false;
        }
        let mut fresh = Self::new(self.limits, ordering, self.next);
        fresh.settled = std::mem::take(&mut self.settled);
        fresh.past = std::mem::take(&mut self.past);
        (fresh.in_flight, fresh.touched) = (self.in_flight, self.touched);
        for (offset, entry) in std::mem::take(&mut self.entries) {
            let key = match ordering {
                // Its subject is not known any more; a lane of its own lane key keeps its order.
                Ordering::Subject => entry.lane,
                Ordering::Hook => 0,
                Ordering::None => offset,
            };
            let lane = fresh.lanes.entry(key).or_default();
            lane.order.push_back(offset);
            let in_flight = entry.state == EntryState::InFlight;
            lane.under_way += u32::from(in_flight);
            let state = if in_flight { EntryState::InFlight } else { EntryState::Waiting };
            fresh.entries.insert(offset, Entry { lane: key, state, ..entry });
        }
        let keys: Vec<LaneKey> = fresh.lanes.keys().copied().collect();
        for key in keys {
            fresh.advance(key);
        }
        *self = fresh;
        debug_assert_eq!(self.broken(), None);
        true
    }

    /// Drops everything below `floor` that is not under way: a person asked to start from there.
    pub fn raise_floor(&mut self, floor: u64) {
        let gone: Vec<u64> = self
            .entries
            .range(..floor)
            .filter(|(_, entry)| entry.state != EntryState::InFlight)
            .map(|(offset, _)| *offset)
            .collect();
        for offset in gone {
            self.settle(offset);
        }
        for lane in self.lanes.values_mut() {
            lane.spilled = lane.spilled.map(|from| from.max(floor)).filter(|from| *from < self.next);
        }
        self.spilled = self.lanes.values().filter(|lane| lane.spilled.is_some()).count();
        self.lanes.retain(|_, lane| !lane.is_empty());
        self.skip_to(floor);
        debug_assert_eq!(self.broken(), None);
    }

    /// Forgets the newest deliveries that wait, from `floor` on, until only `keep` are left: they are taken again
    /// when the log is read on. Of those that have been tried it is kept how often. Whether there were any. Of those
    /// that are left the records are given up: a hook that gets something has better use for the memory.
    pub fn shrink(&mut self, keep: usize, floor: u64) -> bool {
        let spilled = self.lanes.values().filter_map(|lane| lane.spilled).max().map_or(0, |from| from + 1);
        let (floor, before) = (floor.max(self.touched).max(spilled), self.entries.len());
        let mut tried = Vec::new();
        while self.entries.len() > keep
            && let Some(newest) = self.entries.last_entry()
            && *newest.key() >= floor
            && newest.get().state == EntryState::Waiting
        {
            let (offset, entry) = newest.remove_entry();
            self.next = offset;
            let past = self.forget(offset, &entry);
            if past.attempts > 0 {
                tried.push((offset, past));
            }
        }
        // All at once: put in one after the other, backwards, they would take twice the memory.
        self.past.append(&mut tried.into_iter().collect());
        for entry in self.entries.values_mut() {
            entry.record = None;
        }
        // A window that was full once leaves room for ready lanes behind.
        self.ready.retain(|key| self.lanes.contains_key(key));
        self.ready.shrink_to(keep);
        debug_assert_eq!(self.broken(), None);
        self.entries.len() < before
    }

    /// Takes a waiting delivery out of its lane; what is known of it.
    fn forget(&mut self, offset: u64, entry: &Entry) -> Past {
        let due = self.lanes.get_mut(&entry.lane).and_then(|lane| {
            let due = if lane.head() == Some(offset) { lane.due.take() } else { None };
            lane.remove(offset);
            due
        });
        if let Some(due) = due {
            self.timers.remove(&(due, entry.lane));
        }
        self.drop_if_empty(entry.lane);
        let Entry { tries, attempts, first_failed_us, .. } = *entry;
        Past { attempts, tries, due_us: due.unwrap_or(0), first_failed_us }
    }

    /// The hook is disabled: suspects wait again at the head of their lanes, with fresh tries.
    pub fn release_suspects(&mut self) {
        for (_, offset) in std::mem::take(&mut self.suspects) {
            if let Some(entry) = self.entries.get_mut(&offset) {
                entry.state = EntryState::Waiting;
                let key = entry.lane;
                if let Some(lane) = self.lanes.get_mut(&key) {
                    lane.suspects = 0;
                    if let Some(due) = lane.due.take() {
                        self.timers.remove(&(due, key));
                    }
                }
                self.advance(key);
            }
        }
    }

    /// Every waiting delivery gets a fresh start and is ready now: the hook works again.
    pub fn refresh(&mut self) {
        for entry in self.entries.values_mut() {
            if entry.state == EntryState::Waiting {
                entry.tries = 0;
                entry.first_failed_us = 0;
            }
        }
        for past in self.past.values_mut() {
            *past = Past { attempts: past.attempts, ..Past::default() };
        }
        self.timers.clear();
        let mut keys: Vec<(u64, LaneKey)> =
            self.lanes.iter().filter_map(|(key, lane)| lane.head().map(|head| (head, *key))).collect();
        keys.sort_unstable();
        for (_, key) in keys {
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.due = None;
            }
            self.advance(key);
        }
    }
}
