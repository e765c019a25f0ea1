//! What changes a queue as a whole: its hook is disabled, works again, orders its deliveries otherwise, or starts later.

use super::Queue;
use super::entry::{Entry, EntryState, Past};
use super::lane::LaneKey;
use crate::model::Ordering;

impl Queue {
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
                entry.first_failed_us = None;
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
}
