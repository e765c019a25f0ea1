//! The start of a subscription: now, after an event that the client has seen, or at a time.

use serde_json::{Map, Value};

use super::subscriptions::StartPosition;
use crate::log::{ReadError, ReaderOf};
use crate::model::{EventId, EventOffset, GREGORIAN_OFFSET_S, LogIds};

/// The start that a client requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RequestedStart {
    /// At the next event.
    Now,
    /// After this event.
    After(EventId),
    /// At the first event of this time or later, in microseconds since 1970.
    Since(u64),
}

/// Why a subscription cannot start there; the text goes to the client.
#[derive(Debug, thiserror::Error)]
pub(super) enum StartError {
    #[error("invalid event id : {0}")]
    NoEventId(String),
    #[error("invalid time : {0}")]
    NoTime(String),
    #[error("event {0} is not in the log")]
    Unknown(EventId),
    #[error("events after {0} are no longer kept")]
    Dropped(EventId),
    #[error("event log cannot be read")]
    Read(#[from] ReadError),
    #[error("too many sessions watch webhooks : at most {0}")]
    TooManyWatch(usize),
    #[error("shutting down")]
    Ending,
}

impl RequestedStart {
    /// Reads `after` (an event's id) or `since` (Gregorian seconds); `after` takes precedence.
    pub(super) fn of(members: &Map<String, Value>) -> Result<Self, StartError> {
        let given = |name: &str| members.get(name).filter(|value| !value.is_null());
        if let Some(after) = given("after") {
            let id = after.as_str().and_then(|text| text.parse().ok());
            return id.map(Self::After).ok_or_else(|| StartError::NoEventId(excerpt(after)));
        }
        let Some(since) = given("since") else { return Ok(Self::Now) };
        let seconds = since.as_u64().or_else(|| since.as_str()?.parse().ok());
        let unix = seconds.and_then(|seconds| seconds.checked_sub(GREGORIAN_OFFSET_S));
        let unix_us = unix.and_then(|seconds| seconds.checked_mul(1_000_000));
        unix_us.map(Self::Since).ok_or_else(|| StartError::NoTime(excerpt(since)))
    }

    /// Finds the position in the log. Only `Since` reads from the disk.
    pub(super) fn locate(
        self,
        log: &ReaderOf<EventOffset>,
        log_ids: &LogIds,
    ) -> Result<StartPosition, StartError> {
        // Taken before the search: events that arrive during it are new ones for the client, not replayed ones.
        let live_from = log.end();
        let from = match self {
            Self::Now => live_from,
            Self::Since(time_us) => log.offset_at_time(time_us)?.min(live_from),
            Self::After(id) if log_ids.offset_of(id).is_none() || id.offset >= live_from => {
                return Err(StartError::Unknown(id));
            }
            // The event itself may be gone, as long as the one after it is still there.
            Self::After(id) if id.offset + 1 < log.first() => return Err(StartError::Dropped(id)),
            Self::After(id) => id.offset + 1,
        };
        let since_us = if let Self::Since(time_us) = self { time_us } else { 0 };
        Ok(StartPosition { from, live_from, since_us })
    }
}

fn excerpt(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned).chars().take(64).collect()
}
