//! What the API asks of the rest of the program, as small traits: the API can be tested without it.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::commands::CommandError;
use crate::kazoo::Command;
use crate::model::{
    AccountId, Actor, AttemptPage, AttemptQuery, AttemptRow, Dead, DeadList, DeadQuery, DeliveryId,
    EventDeliveries, EventId, EventPage, EventQuery, EventRow, Hook, HookId, Id, Minute, Pulse, QueueStatus,
    ReplayRequest, ReplayState, ReplayStatus, SentRequest, Tested, TraceContext,
};
use crate::state::LimitError;

/// An answer that may take its time.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Why a replay was not started.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// No queue for that hook.
    #[error("hook has no queue")]
    NoHook,
    /// Too many replays of this hook, or in total.
    #[error("{0} replays are running, the most allowed")]
    TooMany(usize),
    /// The replay's document would break a limit of the account.
    #[error(transparent)]
    Limit(#[from] LimitError),
    /// Too many readings of the account wait already.
    #[error("too many readings of the account wait already")]
    Busy,
    /// The range ends before it starts.
    #[error("range is empty: it ends at offset {until} and starts at {from}")]
    EmptyRange {
        /// First offset.
        from: u64,
        /// End of the range.
        until: u64,
    },
    /// The engine is ending or its storage fails.
    #[error("queues are not available: {0}")]
    Unavailable(String),
}

/// Why what the logs hold could not be told.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttemptsError {
    /// Too many readings of the account wait already.
    #[error("too many readings of the account wait already")]
    Busy,
    /// The ledger or the log cannot be read.
    #[error("logs cannot be read: {0}")]
    Unavailable(String),
    /// What was asked for is damaged; everything else can be read.
    #[error("{0}")]
    Damaged(String),
}

/// The queues of all hooks.
pub trait Queues: Send + Sync {
    /// The ledger's end: what a hook created now is sent is recorded behind it.
    fn ledger_end(&self) -> u64;
    /// The first event of an account that came before the account was known, if that was a short while ago: a hook made
    /// now begins there.
    fn first_waiting(&self, _account: AccountId) -> Option<u64> {
        None
    }
    /// A hook's queue now; `None` when it has none.
    fn status(&self, hook: HookId) -> Answer<'_, Option<QueueStatus>>;
    /// The queues of these hooks, in their order; `None`: the hook has none yet.
    fn statuses<'a>(
        &'a self,
        hooks: &'a [Arc<Hook>],
    ) -> Answer<'a, Result<Vec<Option<QueueStatus>>, AttemptsError>>;
    /// What a hook's queue did last; `None`: nothing since the program started.
    fn pulse(&self, hook: HookId) -> Option<Pulse>;
    /// The minutes of the last hour in which a hook's queue made attempts.
    fn hour(&self, hook: HookId) -> Vec<Minute>;
    /// Starts a replay (or counts, for a dry run) and answers its first status.
    fn replay(&self, request: ReplayRequest) -> Answer<'_, Result<ReplayStatus, ReplayError>>;
    /// The replays of a hook, running and recently ended, newest first.
    fn replays(&self, hook: HookId) -> Answer<'_, Vec<ReplayStatus>>;
    /// Ends a replay of that hook, durably; `None` when none of that id is under way.
    fn cancel(
        &self,
        hook: HookId,
        replay: Id,
        by: Option<Actor>,
    ) -> Answer<'_, Result<Option<ReplayStatus>, ReplayError>>;
    /// Holds a replay back (`Paused`) or lets it go on (`Running`), durably; `None` when there is none of that id.
    fn hold(
        &self,
        hook: HookId,
        replay: Id,
        state: ReplayState,
        by: Option<Actor>,
    ) -> Answer<'_, Result<Option<ReplayStatus>, ReplayError>>;
    /// An event's record as the log has it; `None`: it is not in the log.
    fn record(&self, offset: u64) -> Answer<'_, Result<Option<Bytes>, AttemptsError>>;
    /// Makes the probe of a hook that failures disabled now instead of when it is due; false: it has none.
    fn probe(&self, hook: HookId) -> Answer<'_, bool>;
    /// A page of events: as many as are found among a bounded number that is looked at.
    fn search(&self, query: EventQuery) -> Answer<'_, Result<EventPage, AttemptsError>>;
    /// One event with its body; `None` when it is not in the log.
    fn event(&self, offset: u64) -> Answer<'_, Result<Option<EventRow>, AttemptsError>>;
    /// What became of an event at the account's own hooks.
    fn deliveries(
        &self,
        account: AccountId,
        offset: u64,
    ) -> Answer<'_, Result<EventDeliveries, AttemptsError>>;
    /// What became of an event at one hook of the account.
    fn delivery(
        &self,
        account: AccountId,
        hook: HookId,
        offset: u64,
    ) -> Answer<'_, Result<EventDeliveries, AttemptsError>>;
    /// A hook's dead deliveries, as many as are held at a time.
    fn dead(&self, query: DeadQuery) -> Answer<'_, Result<DeadList, AttemptsError>>;
    /// Dead deliveries of a hook, ready to be shown.
    fn dead_rows(&self, hook: HookId, dead: Vec<Dead>) -> Answer<'_, Result<Vec<AttemptRow>, AttemptsError>>;
    /// A page of attempts.
    fn attempts(&self, query: AttemptQuery) -> Answer<'_, Result<AttemptPage, AttemptsError>>;
}

/// An event handed in by a client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// Whose it is when it names no account itself. It names none outside this account's tree: never take
    /// its account from anywhere else, such as earlier events of the same call.
    pub account: AccountId,
    /// The event as KAZOO would publish it: JSON text.
    pub body: Bytes,
    /// The span that the client handed it in.
    pub trace: Option<TraceContext>,
}

/// Why events were not taken; none of them was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SubmitError {
    /// The disk is below its reserve.
    #[error("no room on disk")]
    Full,
    /// The log is nearly full, and the account holds more of it than its part.
    #[error("account holds more than its part of the events log (retention.max_account_percent)")]
    OverShare,
    /// More is waiting than the configuration allows.
    #[error("too many events are waiting to be stored")]
    Busy,
    /// One event is larger than a record may be.
    #[error("event {index} has {bytes} bytes, at most {max} are allowed")]
    TooLarge {
        /// Its place in the request.
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
    /// The log refuses: it is poisoned or closed.
    #[error("events cannot be stored: {0}")]
    Unavailable(String),
}

/// The request of a client that names a key: a second one with the same key gets the first one's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// The account whose key it is.
    pub account: AccountId,
    /// As the client chose it.
    pub key: String,
}

/// The way in for events.
pub trait Events: Send + Sync {
    /// Stores events in order; answers their ids once they are on disk. With a key that was used before nothing is
    /// stored, and the ids are those of then.
    fn submit(
        &self,
        events: Vec<NewEvent>,
        key: Option<RequestKey>,
    ) -> Answer<'_, Result<Vec<EventId>, SubmitError>>;
    /// The durable end of the event log: the first offset that a new hook may get.
    fn end(&self) -> u64;
}

/// The channels that are up now, and commands for them. Whatever is asked, an account gets at channels of its own
/// tree only.
pub trait Channels: Send + Sync {
    /// The channels of one account.
    fn list(&self, account: AccountId) -> Answer<'_, Result<Vec<Map<String, Value>>, CommandError>>;
    /// One channel.
    fn read<'a>(
        &'a self,
        account: AccountId,
        call_id: &'a str,
    ) -> Answer<'a, Result<Map<String, Value>, CommandError>>;
    /// Commands one channel; answers when the broker has the command for somebody.
    fn command<'a>(
        &'a self,
        account: AccountId,
        call_id: &'a str,
        command: &'a Command,
    ) -> Answer<'a, Result<(), CommandError>>;
}

/// Sends samples to hooks' receivers, beside the queues.
pub trait Tester: Send + Sync {
    /// Sends an event (its log record) to the hook's receiver now; `None` when as many tests as may be are
    /// under way.
    fn test(&self, hook: Arc<Hook>, record: Bytes) -> Answer<'_, Option<Tested>>;
    /// The request that a delivery would have now, its signature included; or why there is none.
    fn compose(&self, hook: Arc<Hook>, delivery: DeliveryId, record: &[u8]) -> Result<SentRequest, String>;
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// A stable word: `broker`, `events_log`, `ledger`, `journal`, `index`, `disk_full`, `damage`, ….
    pub what: String,
    /// Why, for a person.
    pub reason: String,
}

/// Whether the program does all of its work.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Readiness {
    /// What keeps it from its work; empty: ready.
    pub faults: Vec<Fault>,
    /// What a person should look at, though work goes on (damage found and skipped).
    pub notices: Vec<Fault>,
}

/// The program's health.
pub trait Health: Send + Sync {
    /// What is wrong now, but for the state (the API adds that); quick, asked by load balancers.
    fn readiness(&self) -> Answer<'_, Readiness>;
}
