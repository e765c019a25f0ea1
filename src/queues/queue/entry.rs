//! What a queue holds of each delivery, and what it answers.

use serde::{Serialize, Serializer};

use super::kept::Kept;
use super::lane::LaneKey;

/// Bounds of a queue's memory.
#[derive(Debug, Clone, Copy)]
pub struct Limits {
    /// Most entries in the window.
    pub window: usize,
    /// Most entries of one lane; further events of the subject are read from the log again later.
    pub lane: usize,
}

/// What an entry is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EntryState {
    /// Waiting for its turn.
    Waiting,
    /// An attempt is under way.
    InFlight,
    /// Out of tries, but the hook as a whole has not worked since: dead at `until`, or at the hook's next
    /// success; waiting again if the hook is disabled first.
    Suspect {
        /// Microseconds since 1970.
        until: u64,
    },
}

/// One unsettled delivery in the window.
#[derive(Debug)]
pub struct Entry {
    /// Its lane.
    pub lane: LaneKey,
    /// Tries since it last got a fresh start; bounded by the hook's tries.
    pub tries: u16,
    /// All attempts so far.
    pub attempts: u16,
    /// When its first try since it last got a fresh start failed (µs). `None`: none has.
    pub first_failed_us: Option<u64>,
    /// What it is doing.
    pub state: EntryState,
    /// The event's record, if memory allowed to keep it.
    pub(in crate::queues) record: Option<Kept>,
}

/// What is known of a delivery from before a restart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Past {
    /// Attempts made.
    pub attempts: u16,
    /// Tries counted against the bound.
    pub tries: u16,
    /// Not before this time (µs since 1970). `None`: at once.
    #[serde(serialize_with = "as_number")]
    pub due_us: Option<u64>,
    /// When its first try failed (µs since 1970). `None`: none has.
    #[serde(serialize_with = "as_number")]
    pub first_failed_us: Option<u64>,
}

/// A time that may be missing, shown as the ledger stores it: 0 when there is none.
#[expect(clippy::ref_option, reason = "serde hands over a reference to the field")]
pub(in crate::queues) fn as_number<S: Serializer>(
    time_us: &Option<u64>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(time_us.unwrap_or(0))
}

/// What is known of a delivery whose attempt has just ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) struct Tried {
    /// Attempts at it, this one included.
    pub(in crate::queues) attempts: u16,
    /// Tries that count against its bound, this one included if it counts.
    pub(in crate::queues) tries: u16,
    /// When its first try since it last got a fresh start failed (µs).
    pub(in crate::queues) first_failed_us: Option<u64>,
}

/// What `take` did with an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is in the window.
    Waiting,
    /// Its lane is full: it will be read again.
    Spilled,
    /// It had been settled before a restart.
    Settled,
    /// The window is full: nothing was taken; offer it again later.
    Full,
}

/// An attempt to make.
#[derive(Debug)]
pub struct Start {
    /// Which delivery.
    pub offset: u64,
    /// Which attempt, from 1.
    pub attempt: u16,
    /// The record, if it was kept.
    pub(in crate::queues) record: Option<Kept>,
}
