//! Memory is given up: what a hook that gets nothing has in its window goes back to being a place in the log.

use super::Queue;
use super::entry::{Entry, EntryState, Past};

impl Queue {
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
        Past { attempts, tries, due_us: due, first_failed_us }
    }
}
