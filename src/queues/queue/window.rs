//! The window's entries: what a queue stores for each delivery, and the results of its methods.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::kept::Kept;
use super::lane::LaneKey;
use crate::model::{EventOffset, Moment};

/// How many deliveries of a queue may be in memory.
#[derive(Debug, Clone, Copy)]
pub struct WindowLimits {
    /// The most entries in the window.
    pub window: usize,
    /// The most entries of one lane. Further events of the lane are read from the log again later.
    pub lane: usize,
}

/// The state of a delivery in the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryState {
    /// Waiting for its turn.
    Waiting,
    /// An attempt is under way.
    InFlight,
    /// Out of tries, while the hook has had no success since the first failure. The delivery is dead at `until` or at the
    /// hook's next success, whichever comes first. If the hook is disabled before that, the delivery waits again.
    Suspect {
        /// When it is dead.
        until: Moment,
    },
}

/// One unsettled delivery in the window.
#[derive(Debug)]
pub struct WindowEntry {
    /// Its lane.
    pub lane: LaneKey,
    /// The tries since it last got new ones; bounded by the hook's tries.
    pub tries: u16,
    /// All attempts so far. Unlike tries, they are never reset.
    pub attempts: u16,
    /// When its first try since it last got new tries failed. `None`: no try has failed.
    pub first_failed: Option<Moment>,
    /// Its state.
    pub state: EntryState,
    /// The event's record, if it was kept in memory.
    pub(in crate::queues) record: Option<Kept>,
}

/// What is known of a delivery that has been tried, while the delivery is not in the window and across restarts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Past {
    /// All attempts.
    pub attempts: u16,
    /// The tries since it last got new ones.
    pub tries: u16,
    /// When the next try is due. `None`: at once.
    #[serde(rename = "due_us", serialize_with = "as_number")]
    pub due: Option<Moment>,
    /// When its first try failed. `None`: no try has failed.
    #[serde(rename = "first_failed_us", serialize_with = "as_number")]
    pub first_failed: Option<Moment>,
}

impl Past {
    /// A delivery of which only the number of attempts is known. It has all its tries.
    pub(super) fn of_attempts(attempts: u16) -> Self {
        Self { attempts, ..Self::default() }
    }

    /// What an earlier run recorded, as far as it can be true: no failure is later than now, and no try is due later than
    /// the longest delay after now. Without this, a run whose clock was years ahead would hold its deliveries back for
    /// years.
    #[must_use]
    pub fn at(self, now: Moment, longest_delay: Duration) -> Self {
        let due = self.due.map(|due| due.min(now + longest_delay));
        Self { due, first_failed: self.first_failed.map(|failed| failed.min(now)), ..self }
    }
}

/// Serializes a time that may be missing as the ledger stores it, with 0 for none.
#[expect(
    clippy::ref_option,
    clippy::trivially_copy_pass_by_ref,
    reason = "serde hands over a reference to the field"
)]
pub(in crate::queues) fn as_number<S: Serializer>(
    time: &Option<Moment>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time.map_or(0, Moment::micros))
}

/// The counts of a delivery whose attempt has just ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) struct Tried {
    /// All attempts, including this one.
    pub(in crate::queues) attempts: u16,
    /// The tries, including this attempt if it counts as one.
    pub(in crate::queues) tries: u16,
    /// When its first try since it last got new tries failed.
    pub(in crate::queues) first_failed: Option<Moment>,
}

/// What `take` has done with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is in the window.
    Waiting,
    /// Its lane is full. It belongs to the lane's rest, which is read from the log later.
    Spilled,
    /// It is already settled, or already in the window.
    Settled,
    /// The window is full. The event was not taken, and is offered again later.
    Full,
}

/// An attempt to make.
#[derive(Debug)]
pub struct Start {
    /// The offset of its delivery.
    pub offset: EventOffset,
    /// The number of the attempt, from 1.
    pub attempt: u16,
    /// The event's record, if it was kept in memory.
    pub(in crate::queues) record: Option<Kept>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_clock_that_was_ahead_recorded_holds_nothing_back_for_longer_than_the_longest_delay() {
        let (now, hour) = (Moment::from_micros(1_760_000_000_000_000), Duration::from_secs(3_600));
        let ahead = now + hour * 8_760;
        let past = Past { attempts: 3, tries: 2, due: Some(ahead), first_failed: Some(ahead) };
        let restored = Past { due: Some(now + hour), first_failed: Some(now), ..past };
        assert_eq!(past.at(now, hour), restored);
        let right = Past { due: Some(now + hour / 2), first_failed: Some(now - hour), ..past };
        assert_eq!(right.at(now, hour), right, "a clock that was right changes nothing");
        assert_eq!(Past::default().at(now, hour), Past::default());
    }
}
