//! The rest of a lane that found no room in its queue: where in the log it begins, and how it comes back.

use super::Queue;
use super::kept::Kept;
use super::lane::LaneKey;

impl Queue {
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
}
