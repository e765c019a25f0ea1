//! A hook that gets nothing gives up its memory: its deliveries leave the window, and only the position in the log is left.

use super::Queue;
use super::window::{EntryState, Past, WindowEntry};
use crate::model::EventOffset;

impl Queue {
    /// Removes the newest waiting deliveries from `floor` on until `keep` are left. They are taken again when the log is
    /// read on; `past` keeps the counts of the deliveries that have been tried. Also frees the kept records of the deliveries that
    /// stay, because other hooks need that memory now. Returns whether any delivery was removed.
    pub fn shrink(&mut self, keep: usize, floor: EventOffset) -> bool {
        // Going back behind the beginning of a lane's rest would take the lane's events twice: once as the rest, and once
        // as new events. Going back behind `touched` would take settled ones again.
        let spilled = self
            .lanes
            .values()
            .filter_map(|lane| lane.spilled)
            .max()
            .map_or(EventOffset::FIRST, |from| from + 1);
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
        self.past.extend(tried);
        for entry in self.entries.values_mut() {
            entry.record = None;
        }
        // Otherwise the memory for the lanes of a full window would stay allocated.
        self.ready.retain(|key| self.lanes.contains_key(key));
        self.ready.shrink_to(keep);
        debug_assert_eq!(self.broken(), None);
        self.entries.len() < before
    }

    /// The hook is disabled. All tries begin again when it is enabled, so nobody needs to know those of deliveries outside the
    /// window.
    pub fn forget_tries(&mut self) {
        self.past.forget_tries();
    }

    /// Removes a waiting delivery from its lane. Returns what is known of it.
    fn forget(&mut self, offset: EventOffset, entry: &WindowEntry) -> Past {
        let due = self.lanes.get_mut(&entry.lane).and_then(|lane| {
            let due = if lane.head() == Some(offset) { lane.due.take() } else { None };
            lane.remove(offset);
            due
        });
        if let Some(due) = due {
            self.timers.remove(&(due, entry.lane));
        }
        // An event that waited for its account is behind later ones in its lane. It may be the head now.
        self.advance(entry.lane);
        self.drop_if_empty(entry.lane);
        let WindowEntry { tries, attempts, first_failed, .. } = *entry;
        Past { attempts, tries, due, first_failed }
    }
}
