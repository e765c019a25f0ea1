//! What the simulation looks at in a queue, beside what the engine sees of it. Only for tests.

use super::Queue;
use super::entry::EntryState;
use super::lane::Lane;

impl Queue {
    /// The deliveries that could be started at this time, by what their lanes say: no list of ready lanes is looked at.
    pub(in crate::queues) fn startable(&self, now_us: u64) -> impl Iterator<Item = u64> {
        let may_start = move |lane: &&Lane| lane.under_way == 0 && lane.due.is_none_or(|due| due <= now_us);
        self.lanes.values().filter(may_start).filter_map(Lane::head)
    }

    /// How many deliveries the longest lane holds.
    pub(in crate::queues) fn longest_lane(&self) -> usize {
        self.lanes.values().map(|lane| lane.order.len()).max().unwrap_or(0)
    }

    /// The deliveries in the window that `shrink` may give up above `floor`: the newest ones that wait. A suspect stays, and so
    /// does what is before it.
    pub(in crate::queues) fn can_be_given_up(&self, floor: u64) -> usize {
        let spilled = self.spilled_lanes().map(|(_, from)| from + 1).max().unwrap_or(0);
        let newest = self.entries.range(floor.max(self.touched).max(spilled)..).rev();
        newest.take_while(|(_, entry)| entry.state == EntryState::Waiting).count()
    }
}
