//! The project's basic types (events, hooks, accounts, attempts) as plain values, without I/O or async.

mod account;
mod actor;
mod address;
mod attempt;
mod called;
mod event;
mod family;
mod filter;
mod hook;
mod id;
mod inbox;
mod known_secrets;
mod log_ids;
mod mended;
mod meter;
mod mode;
mod moment;
mod offset;
mod origin;
mod phases;
mod queue;
mod queue_row;
mod replay;
mod search;
mod secrets;
mod time;
mod trace;
mod waiting;
mod weight;

pub use account::{Account, FailureLimits};
pub use actor::Actor;
pub use address::forbidden;
pub use attempt::{
    Attempt, AttemptResult, Failure, Job, JobKey, OwnFault, QueueKey, Response, Sent, SentRequest, Tested,
    TransportError, Unsendable,
};
pub use called::{name_key, realm_key};
pub use event::{DecodeEventError, Encoding, Event, EventId, HandedIn, Source};
pub use family::Family;
pub use filter::EventFilter;
pub use hook::{Birth, Format, Hook, HookRetry, Ordering, Resume, Secret, Success, Trigger, Verb};
pub use id::{
    AccountId, DeliveryId, DocumentId, HookId, NumberedAttempt, ParseDeliveryIdError, ParseIdError, QueueId,
    ReplayId,
};
pub use inbox::{INBOX_HOST, Received, inbox_status};
pub use known_secrets::KnownSecrets;
pub use log_ids::LogIds;
pub use mended::Mended;
pub use meter::{ByteMeter, ByteRate, Payer, TENANT_MULTIPLE};
pub use mode::{Border, Duty, Mode, ModeError, Ownership, UnknownMode};
pub use moment::{Moment, Now, WallTime};
pub use offset::{EventOffset, LedgerOffset, Offset};
pub use origin::Origin;
pub use phases::Phases;
pub use queue::{
    AttemptNews, AttemptNewsPage, AttemptPage, AttemptQuery, AttemptRow, Dead, DeadLeft, DeadList, DeadQuery,
    DeadRow, Gap, LastAttempt, Minute, Pulse, QueueState, QueueStatus, Standing,
};
pub use queue_row::{last_attempt_row, queue_row};
pub use replay::{ReplayOnly, ReplayPoint, ReplayRequest, ReplayState, ReplayStatus};
pub use search::{
    DeliveriesQuery, DeliveryState, EventDeliveries, EventNews, EventNewsPage, EventPage, EventQuery,
    EventRow, EventScope,
};
pub use secrets::{MASK, masked, masked_uri, without_secrets};
pub use time::{Clock, GREGORIAN_OFFSET_S, gregorian_seconds, iso8601, seconds_of};
pub use trace::{AttemptSpan, MAX_TRACE_STATE, Span, TraceContext};
pub use waiting::{WaitingDelivery, WaitingPage, WaitingPart, WaitingQuery, WaitingState};
pub use weight::{fields_weight, json_weight};
