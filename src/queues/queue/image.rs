//! A queue as a checkpoint holds it, and its way back from there.
//!
//! `unsettled`, `spilled`, `settled` and `past` are what a checkpoint keeps beside `next`. After a start they are put back in
//! this order, before anything is taken.

use super::Queue;
use super::entry::{Entry, EntryState, Past};
use super::lane::LaneKey;

impl Queue {
    /// Puts back a delivery that a checkpoint names; in the order of offsets, before anything is taken.
    pub fn restore(&mut self, offset: u64, key: LaneKey, past: Past) {
        self.past.insert(offset, past);
        self.insert(offset, key, None);
    }

    /// Marks a lane as spilled from `from` on, as a checkpoint names it.
    pub fn restore_spilled(&mut self, key: LaneKey, from: u64) {
        if self.lanes.entry(key).or_default().spilled.replace(from).is_none() {
            self.spilled += 1;
        }
    }

    /// Puts back what was settled after the checkpoint, or ahead of a spilled lane.
    pub fn restore_settled(&mut self, offsets: impl IntoIterator<Item = u64>) {
        self.settled.extend(offsets);
        // What is taken of them is not remembered any longer: nothing may be given up below.
        self.touched = self.touched.max(self.settled.last().map_or(0, |last| last + 1));
    }

    /// Puts back what is known of deliveries that are not in the window.
    pub fn restore_past(&mut self, past: impl IntoIterator<Item = (u64, Past)>) {
        self.past.extend(past);
    }

    /// The deliveries in the window, with their lanes and what is known of them.
    pub fn unsettled(&self) -> impl Iterator<Item = (u64, LaneKey, Past)> {
        self.entries.iter().map(|(offset, entry)| (*offset, entry.lane, self.past_of(*offset, entry)))
    }

    fn past_of(&self, offset: u64, entry: &Entry) -> Past {
        let lane = self.lanes.get(&entry.lane).filter(|lane| lane.head() == Some(offset));
        // Whether the hook works is not known after a restart: a suspect gets one more try.
        let again = u16::from(matches!(entry.state, EntryState::Suspect { .. }));
        Past {
            attempts: entry.attempts,
            tries: entry.tries.saturating_sub(again),
            due_us: lane.and_then(|lane| lane.due),
            first_failed_us: entry.first_failed_us,
        }
    }

    /// The lanes that have a rest in the log, and where it begins.
    pub fn spilled_lanes(&self) -> impl Iterator<Item = (LaneKey, u64)> {
        self.lanes.iter().filter_map(|(key, lane)| Some((*key, lane.spilled?)))
    }

    /// What was settled before a restart at or above `next`, or in the rest of a lane.
    pub fn settled(&self) -> impl Iterator<Item = u64> {
        self.settled.iter().copied()
    }

    /// What is known of deliveries that are not in the window.
    pub fn past(&self) -> impl Iterator<Item = (u64, Past)> {
        self.past.iter().map(|(offset, past)| (*offset, *past))
    }
}
