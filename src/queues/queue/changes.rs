//! Changes of a whole queue: its hook is disabled, works again, gets another ordering, or is to start later in the log.

use super::Queue;
use super::lane::{LaneKey, ONE_LANE};
use super::window::{EntryState, WindowEntry};
use crate::model::{EventOffset, Ordering};

impl Queue {
    /// The hook is disabled: its suspects wait again, at the heads of their lanes. So the deliveries that failed while the
    /// receiver was down are not dead, but continue when the hook is enabled.
    pub fn release_suspects(&mut self) {
        for (_, offset) in std::mem::take(&mut self.suspects) {
            if let Some(entry) = self.entries.get_mut(&offset) {
                entry.state = EntryState::Waiting;
                let key = entry.lane;
                if let Some(lane) = self.lanes.get_mut(&key) {
                    lane.suspects = 0;
                    // The time was that of a delivery behind the suspects, which is no longer at the head.
                    if let Some(due) = lane.due.take() {
                        self.timers.remove(&(due, key));
                    }
                }
                self.advance(key);
            }
        }
    }

    /// The hook works again: every waiting delivery gets new tries and is ready now.
    pub fn refresh(&mut self) {
        for entry in self.entries.values_mut() {
            // An attempt under way counts with the tries that it started with.
            if entry.state == EntryState::Waiting {
                entry.tries = 0;
                entry.first_failed = None;
            }
        }
        self.past.forget_tries();
        self.timers.clear();
        // In the order of the log, so that the oldest deliveries go first.
        let mut keys: Vec<(EventOffset, LaneKey)> =
            self.lanes.iter().filter_map(|(key, lane)| lane.head().map(|head| (head, *key))).collect();
        keys.sort_unstable();
        for (_, key) in keys {
            if let Some(lane) = self.lanes.get_mut(&key) {
                lane.due = None;
            }
            self.advance(key);
        }
    }

    /// The hook has another ordering: all deliveries are put into new lanes. Returns false if that has to wait; the caller tries
    /// again after the next change. It waits while a lane has a rest in the log, because the rest can be found only under the
    /// present key of the lane. And lanes of subjects wait until all deliveries of the hook's one lane are settled: nobody knows
    /// the subjects of these, so a later delivery in a lane of its own could overtake one of the same subject.
    pub fn reorder(&mut self, ordering: Ordering) -> bool {
        let is_one_lane = self.ordering == Ordering::Hook && ordering == Ordering::Subject;
        if self.has_spilled() || (is_one_lane && !self.entries.is_empty()) {
            return false;
        }
        let mut fresh = Self::new(self.limits, ordering, self.next);
        fresh.settled = std::mem::take(&mut self.settled);
        fresh.past = std::mem::take(&mut self.past);
        // Offsets keep their meaning, so nothing else of the queue depends on the ordering.
        (fresh.in_flight, fresh.touched) = (self.in_flight, self.touched);
        // Without order nothing comes too late.
        if ordering != Ordering::None {
            fresh.passed = std::mem::take(&mut self.passed);
        }
        for (offset, entry) in std::mem::take(&mut self.entries) {
            let key = match ordering {
                // The subject is no longer known. In a queue that was ordered by subject, the old key is its hash. In any
                // other, the delivery stays in its old lane and keeps its order among the deliveries there.
                Ordering::Subject => entry.lane,
                Ordering::Hook => ONE_LANE,
                Ordering::None => LaneKey(offset.0),
            };
            let lane = fresh.lanes.entry(key).or_default();
            lane.order.push_back(offset);
            // Suspects wait again: the lanes that went on without them are gone.
            let in_flight = entry.state == EntryState::InFlight;
            lane.under_way += u32::from(in_flight);
            let state = if in_flight { EntryState::InFlight } else { EntryState::Waiting };
            fresh.entries.insert(offset, WindowEntry { lane: key, state, ..entry });
        }
        let keys: Vec<LaneKey> = fresh.lanes.keys().copied().collect();
        for key in keys {
            fresh.advance(key);
        }
        *self = fresh;
        debug_assert_eq!(self.broken(), None);
        true
    }

    /// Settles all deliveries below `floor` that are not under way, because a person asked to start there.
    pub fn raise_floor(&mut self, floor: EventOffset) {
        let gone: Vec<EventOffset> = self
            .entries
            .range(..floor)
            .filter(|(_, entry)| entry.state != EntryState::InFlight)
            .map(|(offset, _)| *offset)
            .collect();
        for offset in gone {
            self.settle(offset);
        }
        for lane in self.lanes.values_mut() {
            // A rest that would begin at `next` is empty.
            lane.spilled = lane.spilled.map(|from| from.max(floor)).filter(|from| *from < self.next);
        }
        self.spilled = self.lanes.values().filter(|lane| lane.spilled.is_some()).count();
        self.lanes.retain(|_, lane| !lane.is_empty());
        self.skip_to(floor);
        debug_assert_eq!(self.broken(), None);
    }
}
