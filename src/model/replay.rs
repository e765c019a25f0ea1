//! A replay: what is asked for, and how far it is.

use serde::{Deserialize, Serialize};

use super::{AccountId, Actor, EventFilter, HookId, Id};

/// One end of a replay's range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayPoint {
    /// An offset of the event log.
    Offset(u64),
    /// The first event at or after a time, microseconds since 1970.
    TimeUs(u64),
}

impl ReplayPoint {
    /// The time, when it is one.
    #[must_use]
    pub fn time_us(self) -> Option<u64> {
        match self {
            Self::Offset(_) => None,
            Self::TimeUs(time) => Some(time),
        }
    }
}

/// Which deliveries a replay makes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayOnly {
    /// Every matching event of the range.
    All,
    /// Those whose last known outcome is a failure: dead, or failed so far.
    Failed,
    /// Those that were given up and have not been delivered since.
    Dead,
    /// Those that the request names one by one.
    Chosen,
}

/// A replay as asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayRequest {
    /// The new replay's id, and its queue's key.
    pub id: Id,
    /// The hook that gets the events.
    pub hook: HookId,
    /// The hook's owner.
    pub account: AccountId,
    /// First event.
    pub from: ReplayPoint,
    /// First event that is not replayed; `None`: the log's end when the replay starts.
    pub until: Option<ReplayPoint>,
    /// Which of them.
    pub only: ReplayOnly,
    /// For `ReplayOnly::Chosen`: the offsets.
    pub offsets: Vec<u64>,
    /// Of those, only events that fit this.
    pub filter: EventFilter,
    /// Count, and deliver nothing.
    pub dry_run: bool,
    /// Deliveries per second at most; `None`: as the hook's share allows.
    pub rate: Option<u32>,
    /// Who asked for it.
    pub by: Option<Actor>,
}

/// How far a replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayState {
    /// Reading and delivering.
    Running,
    /// Held back by a person; what was reached is kept.
    Paused,
    /// All of its range is settled.
    Done,
    /// Ended by a person, or with its hook.
    Cancelled,
    /// The log could not be read.
    Failed,
}

/// A replay's progress (`GET …/webhooks/{H}/replay/{id}`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayStatus {
    /// Its id.
    pub id: Id,
    /// Its hook.
    pub hook_id: HookId,
    /// How far it is.
    pub state: ReplayState,
    /// Whether it only counts.
    pub dry_run: bool,
    /// Which deliveries it makes again.
    pub only: ReplayOnly,
    /// Of those, only events that fit this.
    pub filter: EventFilter,
    /// First offset of the range.
    pub from_offset: u64,
    /// First offset after the range.
    pub until_offset: u64,
    /// Below this offset the replay is settled.
    pub next_offset: u64,
    /// Events that matched so far.
    pub matched: u64,
    /// Delivered so far.
    pub delivered: u64,
    /// Given up so far.
    pub dead: u64,
    /// When it was asked for, microseconds since 1970.
    pub started_us: u64,
    /// When it ended.
    pub ended_us: Option<u64>,
}
