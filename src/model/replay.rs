//! A replay: the request and the progress.

use serde::{Deserialize, Serialize};

use super::{AccountId, Actor, EventFilter, EventOffset, HookId, ReplayId};

/// One end of a replay's range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayPoint {
    /// An offset of the event log.
    Offset(EventOffset),
    /// The first event at or after a time, microseconds since 1970.
    TimeUs(u64),
}

impl ReplayPoint {
    /// The time, if this is one.
    #[must_use]
    pub fn time_us(self) -> Option<u64> {
        match self {
            Self::Offset(_) => None,
            Self::TimeUs(time) => Some(time),
        }
    }
}

/// The deliveries that a replay repeats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayOnly {
    /// Every matching event of the range.
    All,
    /// Deliveries whose last known outcome is a failure: dead, or failed so far.
    Failed,
    /// Dead deliveries that have not been delivered since.
    Dead,
    /// Deliveries that the request lists.
    Chosen,
}

/// A request for a replay.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayRequest {
    /// Id of the new replay; also the key of its queue.
    pub id: ReplayId,
    /// The hook that gets the events.
    pub hook: HookId,
    /// The hook's owner.
    pub account: AccountId,
    /// First event.
    pub from: ReplayPoint,
    /// End of the range, exclusive; `None` for the log's end when the replay starts.
    pub until: Option<ReplayPoint>,
    /// Which deliveries of the range.
    pub only: ReplayOnly,
    /// For `ReplayOnly::Chosen`: the offsets.
    pub offsets: Vec<EventOffset>,
    /// Only events that match this filter.
    pub filter: EventFilter,
    /// Only count events, deliver nothing.
    pub dry_run: bool,
    /// Most deliveries per second; `None`: limited only by the hook's share.
    pub rate: Option<u32>,
    /// Sender of the request.
    pub by: Option<Actor>,
}

/// State of a replay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayState {
    /// Reading and delivering.
    Running,
    /// Paused by a person; the progress is kept.
    Paused,
    /// The whole range is settled.
    Done,
    /// Ended by a person, or because its hook was deleted.
    Cancelled,
    /// The log could not be read.
    Failed,
}

/// A replay's progress (`GET …/webhooks/{H}/replay/{id}`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplayStatus {
    /// Its id.
    pub id: ReplayId,
    /// Its hook.
    pub hook_id: HookId,
    /// Its state.
    pub state: ReplayState,
    /// Whether the replay only counts.
    pub dry_run: bool,
    /// Which deliveries it makes again.
    pub only: ReplayOnly,
    /// Only events that match this filter.
    pub filter: EventFilter,
    /// First offset of the range.
    pub from_offset: EventOffset,
    /// First offset after the range.
    pub until_offset: EventOffset,
    /// All deliveries of the replay below this offset are settled.
    pub next_offset: EventOffset,
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
