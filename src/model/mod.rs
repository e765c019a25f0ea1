//! The words of the project (events, hooks, accounts, attempts) as plain values: no I/O, no async.

mod account;
mod actor;
mod address;
mod attempt;
mod event;
mod family;
mod hook;
mod id;
mod log_ids;
mod queue;
mod time;

pub use account::{Account, FailureLimits};
pub use actor::Actor;
pub use address::forbidden;
pub use attempt::{Attempt, AttemptResult, Job, JobKey, Response, TransportError};
pub use event::{DecodeEventError, Encoding, Event, EventId, Source};
pub use family::Family;
pub use hook::{Format, Hook, HookRetry, Ordering, Resume, Success, Trigger, Verb};
pub use id::{AccountId, DeliveryId, HookId, Id, ParseIdError};
pub use log_ids::LogIds;
pub use queue::{
    AttemptPage, AttemptQuery, AttemptRow, Gap, QueueState, QueueStatus, ReplayOnly, ReplayPoint,
    ReplayRequest, ReplayState, ReplayStatus,
};
pub use time::{Clock, GREGORIAN_OFFSET_S, gregorian_seconds, iso8601};
