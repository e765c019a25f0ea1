//! What the simulation checks in a queue, beyond what the engine can see. Only for tests.

use super::Queue;
use super::lane::Lane;
use super::window::EntryState;
use crate::model::{EventOffset, Moment};

impl Queue {
    /// The deliveries that could be started at this time, found through the lanes alone. If `ready` lacks one, it was
    /// forgotten.
    pub(in crate::queues) fn startable(&self, now: Moment) -> impl Iterator<Item = EventOffset> {
        let may_start = move |lane: &&Lane| lane.under_way == 0 && lane.due.is_none_or(|due| due <= now);
        self.lanes.values().filter(may_start).filter_map(Lane::head)
    }

    /// The number of deliveries in the longest lane.
    pub(in crate::queues) fn longest_lane(&self) -> usize {
        self.lanes.values().map(|lane| lane.order.len()).max().unwrap_or(0)
    }

    /// The number of deliveries that `shrink` may remove from `floor` on: the newest ones that wait. A suspect stays, and so
    /// do all deliveries before it.
    pub(in crate::queues) fn can_be_given_up(&self, floor: EventOffset) -> usize {
        let spilled = self.spilled_lanes().map(|(_, from)| from + 1).max().unwrap_or_default();
        let newest = self.entries.range(floor.max(self.touched).max(spilled)..).rev();
        newest.take_while(|(_, entry)| entry.state == EntryState::Waiting).count()
    }
}
