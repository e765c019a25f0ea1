//! How events get into the queue: from the router when they are routed, and from the log when there is room again.
//!
//! An event for which its lane has no room *spills*: it and all later events of the lane are the lane's rest. The queue
//! stores only where the rest begins (`Lane::spilled`), and reads it from the log when the lane has drained.

use super::Queue;
use super::kept::Kept;
use super::lane::LaneKey;
use super::window::{EntryState, Taken, WindowEntry};
use crate::model::{EventOffset, Ordering};

/// The rest of a lane: its events in this range of the log, except those that are settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rest {
    /// The lane.
    pub lane: LaneKey,
    /// Where the rest begins.
    pub from: EventOffset,
    /// Where it ends.
    pub until: EventOffset,
}

impl Queue {
    /// Takes the event at `offset`, which the hook wants. Afterwards `next` is behind the event, unless the window is full.
    pub(in crate::queues) fn take(
        &mut self,
        offset: EventOffset,
        subject_hash: u64,
        record: Option<Kept>,
    ) -> Taken {
        if offset < self.next {
            return Taken::Settled;
        }
        let key = self.lane_of(offset, subject_hash);
        if self.settled.contains(&offset) {
            // If the event belongs to the rest of a spilled lane, the queue meets it again when it reads the rest, and must
            // then still know that it is settled. Otherwise the queue never meets it again.
            if self.lanes.get(&key).is_none_or(|lane| lane.spilled.is_none()) {
                self.settled.remove(&offset);
            }
            self.next = offset + 1;
            return Taken::Settled;
        }
        if self.room() == 0 {
            // `next` stays before the event, so the event is read from the log when there is room.
            return Taken::Full;
        }
        self.next = offset + 1;
        let limit = self.lane_limit();
        let lane = self.lanes.entry(key).or_default();
        // Once a lane has spilled, later events must spill too, even if there is room by now: they would overtake the rest.
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

    /// Takes the event at `offset`, which `next` has passed because the event's account was unknown then. Events of that
    /// account that come later are taken later. Without room, a lane of a subject spills, as in `take`. The lanes of the
    /// other orderings cannot spill, because their events cannot be told apart in the log, so they exceed the window.
    pub(in crate::queues) fn take_late(
        &mut self,
        offset: EventOffset,
        subject_hash: u64,
        has_room: bool,
    ) -> Taken {
        let key = self.lane_of(offset, subject_hash);
        let spilled = self.lanes.get(&key).and_then(|lane| lane.spilled);
        if spilled.is_some_and(|from| from <= offset) {
            // The event is part of the rest that will be read from the log.
            return Taken::Spilled;
        }
        if self.settled.remove(&offset) || self.entries.contains_key(&offset) {
            return Taken::Settled;
        }
        let lane = self.lanes.entry(key).or_default();
        // A lane that has spilled already gets the event into memory: its rest begins behind the event, and would leave it
        // out.
        let is_full = !has_room || lane.order.len() >= self.limits.lane;
        if is_full && self.ordering == Ordering::Subject && spilled.is_none() {
            lane.spilled = Some(offset);
            self.spilled += 1;
            return Taken::Spilled;
        }
        self.insert(offset, key, None);
        Taken::Waiting
    }

    /// Passes over all events below `next`, because the hook wants none of them.
    pub fn skip_to(&mut self, next: EventOffset) {
        if next <= self.next {
            return;
        }
        self.next = next;
        // What is known of offsets below `next` is needed only while the rest of some lane will be read again.
        if self.spilled == 0 && !(self.settled.is_empty() && self.past.is_empty()) {
            self.settled = self.settled.split_off(&next);
            self.past.forget_below(next);
        }
    }

    /// The lane to read next: of the lanes that are at most half full and have a rest, the one whose rest begins first.
    #[must_use]
    pub fn drained_lane(&self) -> Option<Rest> {
        if self.spilled == 0 || self.room() == 0 {
            return None;
        }
        let limit = self.lane_limit();
        self.lanes
            .iter()
            .filter(|(_, lane)| lane.order.len() * 2 <= limit)
            .filter_map(|(key, lane)| Some((lane.spilled?, *key)))
            .min()
            .map(|(from, lane)| Rest { lane, from, until: self.next })
    }

    /// Takes events of the rest of a lane, as they were read from the log in order up to `until`.
    pub(in crate::queues) fn take_spilled(
        &mut self,
        key: LaneKey,
        events: Vec<(EventOffset, Option<Kept>)>,
        until: EventOffset,
    ) {
        let limit = self.lane_limit();
        // While the log was read, further events of the lane may have been routed and have spilled: from `until` on.
        let mut spilled = (until < self.next).then_some(until);
        for (offset, record) in events {
            // The rest may begin at an event that came late (`take_late`), before events that are in the window already.
            if self.settled.remove(&offset) || self.entries.contains_key(&offset) {
                continue;
            }
            let full = self.room() == 0 || self.lanes.get(&key).is_some_and(|l| l.order.len() >= limit);
            if full {
                // The rest begins at the first event that found no room. The read brings it and all after it again.
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

    /// Puts a delivery at the end of its lane. Everything that is known of it from before applies again.
    pub(in crate::queues) fn insert(&mut self, offset: EventOffset, key: LaneKey, record: Option<Kept>) {
        let past = self.past.take(offset).unwrap_or_default();
        let entry = WindowEntry {
            lane: key,
            tries: past.tries,
            attempts: past.attempts,
            first_failed: past.first_failed,
            state: EntryState::Waiting,
            record,
        };
        self.entries.insert(offset, entry);
        self.lanes.entry(key).or_default().order.push_back(offset);
        // After a restart, a delivery with a due time may be behind a former suspect. The whole lane waits for that time then:
        // otherwise the delivery would be tried too early as soon as the suspect is settled.
        if let Some(due) = past.due {
            self.delay(key, due);
        }
        self.advance(key);
    }
}
