//! Ports: the traits through which the API reaches the rest of the program. So the API can be tested alone.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::commands::CommandError;
use crate::kazoo::Command;
use crate::model::{
    AccountId, Actor, AttemptPage, AttemptQuery, Dead, DeadLeft, DeadList, DeadQuery, DeadRow,
    DeliveriesQuery, EventDeliveries, EventId, EventOffset, EventPage, EventQuery, EventRow, Hook, HookId,
    LedgerOffset, Minute, NumberedAttempt, Pulse, QueueStatus, Received, ReplayId, ReplayRequest,
    ReplayState, ReplayStatus, SentRequest, Tested, TraceContext, WaitingPage, WaitingQuery,
};
use crate::state::LimitError;

/// A boxed future.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a replay was not started or changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// The hook has no queue.
    #[error("hook has no queue")]
    NoHook,
    /// There are too many replays of this hook or in total.
    #[error("{0} replays are running, the most allowed")]
    TooMany(usize),
    /// The replay's document would exceed a limit of the account.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// Too many reads of the account are waiting.
    #[error("too many reads of the account are waiting")]
    Busy,
    /// The range ends before it starts.
    #[error("range is empty: it ends at offset {until} and starts at {from}")]
    EmptyRange {
        /// The first offset.
        from: EventOffset,
        /// The end of the range.
        until: EventOffset,
    },
    /// The engine is ending, or its storage fails.
    #[error("queues are not available: {0}")]
    Unavailable(String),
}

/// Why the logs could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttemptsError {
    /// Too many reads of the account are waiting.
    #[error("too many reads of the account are waiting")]
    Busy,
    /// The ledger or the log cannot be read.
    #[error("logs cannot be read: {0}")]
    Unavailable(String),
    /// The requested record is damaged. Everything else can be read.
    #[error("{0}")]
    Damaged(String),
}

/// The queues of all hooks.
pub trait Queues: Send + Sync {
    /// The end of the ledger. Everything sent to a hook created now is recorded after it.
    fn ledger_end(&self) -> LedgerOffset;
    /// The first event of an account that waits for the account to become known, if it arrived recently. A hook
    /// created now begins there.
    fn first_waiting(&self, _account: AccountId) -> Option<EventOffset> {
        None
    }
    /// The state of a hook's queue; `None` if it has none.
    fn status(&self, hook: HookId) -> Answer<'_, Option<QueueStatus>>;
    /// The states of these hooks' queues, in order; `None` for a hook without a queue.
    fn statuses<'a>(
        &'a self,
        hooks: &'a [Arc<Hook>],
    ) -> Answer<'a, Result<Vec<Option<QueueStatus>>, AttemptsError>>;
    /// The recent activity of a hook's queue; `None` if there was none since the start.
    fn pulse(&self, hook: HookId) -> Option<Pulse>;
    /// The minutes of the last hour in which the queue made attempts.
    fn hour(&self, hook: HookId) -> Vec<Minute>;
    /// Starts a replay (a dry run only counts) and returns its first status.
    fn replay(&self, request: ReplayRequest) -> Answer<'_, Result<ReplayStatus, ReplayError>>;
    /// The running and recently ended replays of a hook, newest first.
    fn replays(&self, hook: HookId) -> Answer<'_, Vec<ReplayStatus>>;
    /// Ends a replay of the hook, durably; `None` if no such replay runs.
    fn cancel(
        &self,
        hook: HookId,
        replay: ReplayId,
        by: Option<Actor>,
    ) -> Answer<'_, Result<Option<ReplayStatus>, ReplayError>>;
    /// Pauses (`Paused`) or continues (`Running`) a replay, durably; `None` if there is no such replay.
    fn hold(
        &self,
        hook: HookId,
        replay: ReplayId,
        state: ReplayState,
        by: Option<Actor>,
    ) -> Answer<'_, Result<Option<ReplayStatus>, ReplayError>>;
    /// The record of an event; `None` if it is not in the log.
    fn record(&self, offset: EventOffset) -> Answer<'_, Result<Option<Bytes>, AttemptsError>>;
    /// Probes now a hook that was disabled because of failures; false if it has no probe.
    fn probe(&self, hook: HookId) -> Answer<'_, bool>;
    /// Forgets the recent failures of these hooks, which count towards disabling them; how many had some.
    fn reset_failures(&self, hooks: Vec<HookId>) -> Answer<'_, usize>;
    /// A page of events that were found among a bounded number of examined ones.
    fn search(&self, query: EventQuery) -> Answer<'_, Result<EventPage, AttemptsError>>;
    /// One event with its body; `None` when it is not in the log.
    fn event(&self, offset: EventOffset) -> Answer<'_, Result<Option<EventRow>, AttemptsError>>;
    /// A page of an event's deliveries to the account's own hooks.
    fn deliveries(&self, query: DeliveriesQuery) -> Answer<'_, Result<EventDeliveries, AttemptsError>>;
    /// The delivery of an event to one hook of the account.
    fn delivery(
        &self,
        account: AccountId,
        hook: HookId,
        offset: EventOffset,
    ) -> Answer<'_, Result<EventDeliveries, AttemptsError>>;
    /// The hook as it was at an attempt of a delivery (the last one without a number), without secrets; `None`: that is not
    /// known any more.
    fn hook_at(
        &self,
        hook: HookId,
        offset: EventOffset,
        attempt: Option<u16>,
    ) -> Answer<'_, Result<Option<Hook>, AttemptsError>>;
    /// A page of a hook's deliveries that have not ended.
    fn waiting(
        &self,
        account: AccountId,
        query: WaitingQuery,
    ) -> Answer<'_, Result<WaitingPage, AttemptsError>>;
    /// How many dead deliveries of each hook are left: a bounded step towards the answer. `None`: not counted yet.
    fn dead_left(&self, hooks: Vec<HookId>) -> Answer<'_, Result<Vec<Option<DeadLeft>>, AttemptsError>>;
    /// A part of a hook's dead deliveries.
    fn dead(&self, query: DeadQuery) -> Answer<'_, Result<DeadList, AttemptsError>>;
    /// Rows for dead deliveries of a hook.
    fn dead_rows(&self, hook: HookId, dead: Vec<Dead>) -> Answer<'_, Result<Vec<DeadRow>, AttemptsError>>;
    /// A page of attempts.
    fn attempts(&self, query: AttemptQuery) -> Answer<'_, Result<AttemptPage, AttemptsError>>;
}

/// An event that a client hands in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The account of an event that names none. The event names no account outside the tree of this one. The account
    /// must not come from anywhere else, such as earlier events of the same call.
    pub account: AccountId,
    /// The event as KAZOO would publish it: JSON text.
    pub body: Bytes,
    /// The span of the client's request.
    pub trace: Option<TraceContext>,
}

/// Why events were refused. None of them was stored.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The disk has less free space than its reserve.
    #[error("no room on disk")]
    Full,
    /// The log is nearly full, and the account uses more than its share.
    #[error("account uses more than its share of the events log (retention.max_account_percent)")]
    OverShare,
    /// More events wait than the configuration allows.
    #[error("too many events are waiting to be stored")]
    Busy,
    /// An event is larger than a record may be.
    #[error("event {index} has {bytes} bytes, at most {max} are allowed")]
    TooLarge {
        /// Its index in the request.
        index: usize,
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A request with this key is under way.
    #[error("a request with this Idempotency-Key is being stored; ask again for its answer")]
    KeyUnderWay,
    /// The key was used for other events.
    #[error("this Idempotency-Key was used for other events")]
    KeyOfOthers,
    /// The log refuses records after a failure, or is closed.
    #[error("events cannot be stored: {0}")]
    Unavailable(String),
}

/// The key of a client's request. A repeated request with the same key gets the first one's response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// The account of the key.
    pub account: AccountId,
    /// The key as the client sent it.
    pub key: String,
}

/// Accepting events.
pub trait Events: Send + Sync {
    /// Stores events in order and returns their ids once they are on disk. If the key was used before, nothing is
    /// stored, and the ids of the first request are returned.
    fn submit(
        &self,
        events: Vec<NewEvent>,
        key: Option<RequestKey>,
    ) -> Answer<'_, Result<Vec<EventId>, SubmitError>>;
    /// The end of the events log on disk: the first offset that a new hook may receive.
    fn end(&self) -> EventOffset;
}

/// The present channels, and commands for them. An account reaches only channels in its own tree.
pub trait Channels: Send + Sync {
    /// The channels of one account.
    fn list(&self, account: AccountId) -> Answer<'_, Result<Vec<Map<String, Value>>, CommandError>>;
    /// One channel.
    fn read<'a>(
        &'a self,
        account: AccountId,
        call_id: &'a str,
    ) -> Answer<'a, Result<Map<String, Value>, CommandError>>;
    /// Sends a command to one channel. Returns when the broker has the command in a queue.
    fn command<'a>(
        &'a self,
        account: AccountId,
        call_id: &'a str,
        command: &'a Command,
    ) -> Answer<'a, Result<(), CommandError>>;
}

/// Sends tests to hooks' receivers, beside the queues.
pub trait Tester: Send + Sync {
    /// Sends an event (its log record) to the hook's receiver now; `None` when the most tests are under way.
    fn test(&self, hook: Arc<Hook>, record: Bytes) -> Answer<'_, Option<Tested>>;
    /// What a hook of an account sent to the built-in receiver, newest first.
    fn received(&self, account: AccountId, hook: HookId) -> Vec<Received>;
    /// The request that a delivery's attempt would have now, with its signature; or the reason why there is none.
    fn compose(
        &self,
        hook: Arc<Hook>,
        numbered: NumberedAttempt,
        record: &[u8],
    ) -> Result<SentRequest, String>;
    /// The signature of a request with the hook's present secrets, as far as they were valid then; `None`: it has none.
    fn signature(&self, hook: &Hook, request: &Signed<'_>) -> Option<String>;
}

/// What the signature of a request covers.
#[derive(Debug, Clone, Copy)]
pub struct Signed<'a> {
    /// `webhook-id`.
    pub id: &'a str,
    /// `webhook-timestamp`, seconds since 1970.
    pub timestamp_s: u64,
    /// The body.
    pub body: &'a [u8],
}

/// One fault or notice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// A stable word: `broker`, `events_log`, `ledger`, `journal`, `index`, `disk_full`, `damage`, ….
    pub what: String,
    /// The reason, as text.
    pub reason: String,
}

/// The health of the program.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Readiness {
    /// What keeps the program from its work. Empty when it is ready.
    pub faults: Vec<Fault>,
    /// What needs attention although work continues, for example damage that was found and skipped.
    pub notices: Vec<Fault>,
}

/// The program's health.
pub trait Health: Send + Sync {
    /// The present health without that of the state, which the API adds. Fast, because load balancers ask often.
    fn readiness(&self) -> Answer<'_, Readiness>;
}
