//! What a queue says about its unsettled deliveries when somebody wants to see them.

use super::Queue;
use super::window::EntryState;
use crate::model::{EventOffset, Moment, Ordering, WaitingDelivery, WaitingPart, WaitingState};

/// The most settled offsets in an answer.
const MOST_SETTLED: usize = 4096;

impl Queue {
    /// At most `most` deliveries in the window from an offset on, and where the others are in the log.
    #[must_use]
    pub fn waiting(&self, from: EventOffset, most: usize) -> WaitingPart {
        let mut entries = self.entries.range(from..);
        let deliveries = entries.by_ref().take(most).map(|(offset, entry)| {
            let lane = self.lanes.get(&entry.lane);
            let due = lane.filter(|lane| lane.head() == Some(*offset)).and_then(|lane| lane.due);
            let state = match entry.state {
                EntryState::InFlight => WaitingState::UnderWay,
                EntryState::Suspect { .. } => WaitingState::SetAside,
                EntryState::Waiting if due.is_some() => WaitingState::Retrying,
                EntryState::Waiting => WaitingState::Waiting,
            };
            let next_try_us = due.map(Moment::micros);
            WaitingDelivery { offset: *offset, state, attempts: entry.attempts, next_try_us }
        });
        let deliveries: Vec<_> = deliveries.collect();
        let by_subject = self.ordering == Ordering::Subject;
        WaitingPart {
            deliveries,
            is_last: entries.next().is_none(),
            rest: self.next,
            rest_of: self.spilled_lanes().filter(|_| by_subject).map(|(lane, from)| (lane.0, from)).collect(),
            settled: self.settled.range(from..).take(MOST_SETTLED).copied().collect(),
        }
    }
}
