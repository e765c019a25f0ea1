//! What the queues answer when asked: a queue's state, a replay's progress, the attempts that were made.
//!
//! Plain values that serialise as the API shows them (times as Gregorian seconds are the API's work).

use serde::Serialize;
use serde_json::{Map, Value};

use super::{AccountId, Actor, Family, HookId, Id};

/// What a hook's queue is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum QueueState {
    /// Everything that matched is settled.
    Idle,
    /// Deliveries are being made.
    Active,
    /// Something waits for its next try.
    Retrying,
    /// The program disabled the hook; what it missed is kept.
    AutoDisabled,
    /// A person disabled the hook.
    Disabled,
    /// The hook's account is disabled; what it missed is kept.
    AccountDisabled,
}

/// Events that retention dropped before the hook got them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// First offset that was lost.
    pub from: u64,
    /// First offset after the gap.
    pub until: u64,
}

/// A hook's queue at one moment (`GET …/webhooks/{H}/queue`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueStatus {
    /// What it does.
    pub state: QueueState,
    /// Below this offset everything of the hook is settled.
    pub cursor: u64,
    /// The durable end of the event log at that moment.
    pub log_end: u64,
    /// Deliveries not yet settled, as far as they are known; with `waiting_exact` false there are at least
    /// this many (the rest of the log has not been looked at).
    pub waiting: u64,
    /// Whether `waiting` counts everything up to `log_end`.
    pub waiting_exact: bool,
    /// Attempts under way.
    pub in_flight: u32,
    /// Deliveries that used up their tries, ever.
    pub dead: u64,
    /// Failed attempts in the present window.
    pub recent_failures: u32,
    /// How long the oldest unsettled delivery has waited, in milliseconds.
    pub oldest_waiting_age_ms: Option<u64>,
    /// When the next retry or probe is due, microseconds since 1970.
    pub next_try_at_us: Option<u64>,
    /// Why the hook is disabled.
    pub disable_reason: Option<String>,
    /// What retention took from this hook last.
    pub gap: Option<Gap>,
}

/// One end of a replay's range.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayPoint {
    /// An offset of the event log.
    Offset(u64),
    /// The first event at or after a time, microseconds since 1970.
    TimeUs(u64),
}

/// Which deliveries a replay makes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayOnly {
    /// Every matching event of the range.
    All,
    /// Those that were never delivered: dead, skipped, or failed so far.
    Failed,
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
    /// Only these families; empty: all that the hook asks for.
    pub families: Vec<Family>,
    /// Count, and deliver nothing.
    pub dry_run: bool,
    /// Deliveries per second at most; `None`: as the hook's share allows.
    pub rate: Option<u32>,
    /// Who asked for it.
    pub by: Option<Actor>,
}

/// How far a replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplayState {
    /// Reading and delivering.
    Running,
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

/// Which attempts are asked for: those of an account, or of one of its hooks, in a time range, in pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptQuery {
    /// The hooks' owner.
    pub account: AccountId,
    /// One hook; `None`: all of the account's.
    pub hook: Option<HookId>,
    /// Not before, microseconds since 1970.
    pub from_us: u64,
    /// Before, microseconds since 1970.
    pub until_us: u64,
    /// Oldest first instead of newest first.
    pub ascending: bool,
    /// Where this page starts, from `AttemptPage::next`; `None`: at the beginning of the order.
    pub start: Option<u64>,
    /// Rows at most.
    pub limit: usize,
}

/// One attempt, ready to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRow {
    /// Its place in the ledger.
    pub position: u64,
    /// KAZOO's attempt document without private fields, with `timestamp` (`webhooks.md` 4.4, 5.9).
    pub document: Map<String, Value>,
}

/// A page of attempts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AttemptPage {
    /// In the order asked for.
    pub rows: Vec<AttemptRow>,
    /// The position at which the next page starts; `None`: this was the last.
    pub next: Option<u64>,
}
