//! What is always true between two calls of a queue's methods: its fields agree with each other.
//!
//! The model and the simulation check this after every step, debug builds after every change of a whole queue.

use std::collections::{BTreeSet, HashSet};

use super::Queue;
use super::lane::{Lane, LaneKey};
use super::window::EntryState;
use crate::model::{EventOffset, Moment};

impl Queue {
    /// The first rule that does not hold, with the state that breaks it.
    pub(in crate::queues) fn broken(&self) -> Option<String> {
        let ready: HashSet<LaneKey> = self.ready.iter().copied().collect();
        let of_lanes = self.lanes.iter().find_map(|(key, lane)| {
            let why = self.broken_lane(*key, lane, ready.contains(key))?;
            Some(format!("{why}: {key:?}, {lane:?}"))
        });
        of_lanes.or_else(|| self.broken_total().map(|why| format!("{why}: {self:?}")))
    }

    fn broken_lane(&self, key: LaneKey, lane: &Lane, is_listed: bool) -> Option<&'static str> {
        let state =
            |offset: &EventOffset| self.entries.get(offset).filter(|e| e.lane == key).map(|e| e.state);
        let is_suspect = |offset: &EventOffset| matches!(state(offset), Some(EntryState::Suspect { .. }));
        let under_way = lane.order.iter().filter(|o| state(o) == Some(EntryState::InFlight)).count();
        let head = lane.head().and_then(|offset| state(&offset));
        let may_start = head == Some(EntryState::Waiting) && lane.under_way == 0 && lane.due.is_none();
        let rules = [
            (lane.order.iter().all(|o| state(o).is_some()), "a lane contains only its own entries"),
            (lane.under_way as usize == under_way, "a lane counts its attempts under way"),
            (
                lane.order.iter().take(lane.suspects).all(is_suspect),
                "suspects are at the front of their lane",
            ),
            (!lane.order.iter().skip(lane.suspects).any(is_suspect), "a lane counts its suspects"),
            (!lane.queued || is_listed, "a lane that is marked as ready is in `ready`"),
            (!may_start || lane.queued, "a lane that may start is marked as ready"),
            (
                lane.due.is_none_or(|due| self.timers.contains(&(due, key))),
                "a lane that waits for a retry has a timer",
            ),
            (!lane.is_empty(), "an empty lane is removed"),
        ];
        rules.iter().find(|(holds, _)| !holds).map(|(_, rule)| *rule)
    }

    fn broken_total(&self) -> Option<&'static str> {
        let in_flight = self.entries.values().filter(|e| e.state == EntryState::InFlight).count();
        let suspects: BTreeSet<(Moment, EventOffset)> = self
            .entries
            .iter()
            .filter_map(|(offset, entry)| match entry.state {
                EntryState::Suspect { until } => Some((until, *offset)),
                EntryState::Waiting | EntryState::InFlight => None,
            })
            .collect();
        let in_lanes: usize = self.lanes.values().map(|lane| lane.order.len()).sum();
        let spilled = self.lanes.values().filter(|lane| lane.spilled.is_some()).count();
        let has_timer =
            |(due, key): &(Moment, LaneKey)| self.lanes.get(key).is_some_and(|l| l.due == Some(*due));
        let last = self.entries.last_key_value().map(|(offset, _)| *offset);
        let rules = [
            (self.entries.len() == in_lanes, "every entry is in one lane"),
            (self.in_flight as usize == in_flight, "a queue counts its attempts under way"),
            (
                self.passed
                    .keys()
                    .all(|o| self.entries.get(o).is_some_and(|e| e.state == EntryState::InFlight)),
                "only a delivery under way has passed suspects",
            ),
            (self.suspects == suspects, "every suspect has a time at which it is dead"),
            (self.spilled == spilled, "a queue counts its spilled lanes"),
            (self.timers.iter().all(has_timer), "every timer belongs to a lane"),
            (last.is_none_or(|last| last < self.next), "the window is below `next`"),
            (!self.entries.keys().any(|o| self.settled.contains(o)), "no settled delivery is in the window"),
            (
                !self.entries.keys().any(|o| self.past.contains(*o)),
                "a delivery in the window has its past in its entry only",
            ),
        ];
        rules.iter().find(|(holds, _)| !holds).map(|(_, rule)| *rule)
    }
}
