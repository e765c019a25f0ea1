//! Events come in: from the router as they happen, and from the log when there is room again. What finds no room in its lane
//! is its lane's rest (`Lane::spilled`): only where it begins is kept, and it is read from the log when the lane has drained.

use super::Queue;
use super::entry::{Entry, EntryState, Taken};
use super::kept::Kept;
use super::lane::LaneKey;
use crate::model::Ordering;

impl Queue {
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

    /// Of the lanes that have room again for what they spilled, the one whose rest is the oldest: `(lane, read from,
    /// up to)`.
    #[must_use]
    pub fn drained_lane(&self) -> Option<(LaneKey, u64, u64)> {
        if self.spilled == 0 || self.room() == 0 {
            return None;
        }
        let limit = self.lane_limit();
        self.lanes
            .iter()
            .filter(|(_, lane)| lane.order.len() * 2 <= limit)
            .filter_map(|(key, lane)| Some((lane.spilled?, *key)))
            .min()
            .map(|(from, key)| (key, from, self.next))
    }

    /// Takes back events of a spilled lane, in order, as read from the log up to `until`.
    pub(in crate::queues) fn take_spilled(
        &mut self,
        key: LaneKey,
        events: Vec<(u64, Option<Kept>)>,
        until: u64,
    ) {
        let limit = self.lane_limit();
        let mut spilled = (until < self.next).then_some(until);
        for (offset, record) in events {
            if self.settled.remove(&offset) || self.entries.contains_key(&offset) {
                continue;
            }
            let full = self.room() == 0 || self.lanes.get(&key).is_some_and(|l| l.order.len() >= limit);
            if full {
                spilled = Some(offset);
                break;
            }
            self.insert(offset, key, record);
        }
        if let Some(lane) = self.lanes.get_mut(&key) {
            self.spilled -= usize::from(lane.spilled.is_some());
            self.spilled += usize::from(spilled.is_some());
            lane.spilled = spilled;
        }
        self.drop_if_empty(key);
    }

    /// Whether any lane has a rest in the log.
    #[must_use]
    pub fn has_spilled(&self) -> bool {
        self.spilled > 0
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
        if lane.head() == Some(offset)
            && let Some(due_us) = past.due_us
        {
            lane.due = Some(due_us);
            self.timers.insert((due_us, key));
        }
        self.advance(key);
    }
}
