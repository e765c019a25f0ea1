//! The parts of a queue that a checkpoint stores, and their restoration after a restart.
//!
//! A checkpoint stores `next`, `unsettled`, `spilled_lanes`, `settled` and `past`. They are restored in this order, before
//! any event is taken.

use super::Queue;
use super::lane::LaneKey;
use super::window::{EntryState, Past, WindowEntry};
use crate::model::EventOffset;

impl Queue {
    /// Restores an unsettled delivery. The calls come in the order of offsets.
    pub fn restore(&mut self, offset: EventOffset, key: LaneKey, past: Past) {
        self.past.insert(offset, past);
        self.insert(offset, key, None);
    }

    /// Restores that a lane has a rest in the log, from `from` on.
    pub fn restore_spilled(&mut self, key: LaneKey, from: EventOffset) {
        if self.lanes.entry(key).or_default().spilled.replace(from).is_none() {
            self.spilled += 1;
        }
    }

    /// Restores what was settled after the checkpoint, or before it in the rest of a lane.
    pub fn restore_settled(&mut self, offsets: impl IntoIterator<Item = EventOffset>) {
        self.settled.extend(offsets);
        // `take` removes offsets from this set as it meets them. So `shrink` must not go back behind any of them: it would
        // take them again, and deliver them twice.
        self.touched = self.touched.max(self.settled.last().map_or(EventOffset::FIRST, |last| *last + 1));
    }

    /// Restores what is known of deliveries outside the window.
    pub fn restore_past(&mut self, past: impl IntoIterator<Item = (EventOffset, Past)>) {
        self.past.extend(past);
    }

    /// The deliveries in the window, with their lanes and pasts.
    pub fn unsettled(&self) -> impl Iterator<Item = (EventOffset, LaneKey, Past)> {
        self.entries.iter().map(|(offset, entry)| (*offset, entry.lane, self.past_of(*offset, entry)))
    }

    fn past_of(&self, offset: EventOffset, entry: &WindowEntry) -> Past {
        // The due time belongs to the lane and waits for its head, so only the head is stored with it.
        let lane = self.lanes.get(&entry.lane).filter(|lane| lane.head() == Some(offset));
        // Nobody knows after a restart whether the hook works, so a suspect gets one more try.
        let again = u16::from(matches!(entry.state, EntryState::Suspect { .. }));
        Past {
            attempts: entry.attempts,
            tries: entry.tries.saturating_sub(again),
            due: lane.and_then(|lane| lane.due),
            first_failed: entry.first_failed,
        }
    }

    /// The lanes with a rest in the log, and where it begins.
    pub fn spilled_lanes(&self) -> impl Iterator<Item = (LaneKey, EventOffset)> {
        self.lanes.iter().filter_map(|(key, lane)| Some((*key, lane.spilled?)))
    }

    /// The settled offsets that the queue will meet again, from `next` on or in the rest of a lane.
    pub fn settled(&self) -> impl Iterator<Item = EventOffset> {
        self.settled.iter().copied()
    }

    /// What is known of deliveries outside the window.
    pub fn past(&self) -> impl Iterator<Item = (EventOffset, Past)> {
        self.past.iter()
    }
}
