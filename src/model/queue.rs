//! Answers of the queues: the state of a queue, attempts, dead deliveries.
//!
//! Plain values that serialise as in the API, except that the API converts times to Gregorian seconds.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{AccountId, EventOffset, HookId, LedgerOffset};

/// The state of a hook's queue.
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
    /// A person paused the hook; everything is kept.
    Paused,
}

impl QueueState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Idle,
        Self::Active,
        Self::Retrying,
        Self::AutoDisabled,
        Self::Disabled,
        Self::AccountDisabled,
        Self::Paused,
    ];

    /// As answers and metrics name it.
    #[must_use]
    pub fn id(self) -> &'static str {
        // A new one belongs into `ALL` too.
        match self {
            Self::Idle => "idle",
            Self::Active => "active",
            Self::Retrying => "retrying",
            Self::AutoDisabled => "auto_disabled",
            Self::Disabled => "disabled",
            Self::AccountDisabled => "account_disabled",
            Self::Paused => "paused",
        }
    }
}

/// The condition of a hook for the person in charge of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// The program disabled the hook; what it missed is kept.
    AutoDisabled,
    /// Something waits, and the last attempts failed.
    Failing,
    /// Something waits for its next try or its turn.
    Waiting,
    /// Deliveries are being made.
    Delivering,
    /// Nothing waits.
    Idle,
    /// A person paused the hook; everything is kept.
    Paused,
    /// A person disabled the hook.
    Disabled,
    /// The hook's account is disabled; what it missed is kept.
    AccountDisabled,
}

impl Standing {
    /// All states; the ones that need a person first.
    pub const ALL: [Self; 8] = [
        Self::AutoDisabled,
        Self::Failing,
        Self::Waiting,
        Self::Delivering,
        Self::Paused,
        Self::AccountDisabled,
        Self::Disabled,
        Self::Idle,
    ];

    /// As answers name it.
    #[must_use]
    pub fn id(self) -> &'static str {
        // A new one belongs into `ALL` too.
        match self {
            Self::AutoDisabled => "auto_disabled",
            Self::Failing => "failing",
            Self::Waiting => "waiting",
            Self::Delivering => "delivering",
            Self::Idle => "idle",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
            Self::AccountDisabled => "account_disabled",
        }
    }

    /// Sort key; hooks that need attention come first.
    #[must_use]
    pub fn rank(self) -> usize {
        Self::ALL.iter().position(|other| *other == self).unwrap_or(Self::ALL.len())
    }
}

/// The last attempt of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LastAttempt {
    /// When it ended, microseconds since 1970.
    pub ended_us: u64,
    /// Whether the event was delivered.
    pub delivered: bool,
    /// HTTP status, if there was an answer.
    pub status: Option<u16>,
    /// Why there was no answer.
    pub client_error: Option<&'static str>,
    /// How long it took.
    pub duration_us: u64,
}

/// Recent activity of a queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// The last attempt.
    pub last: LastAttempt,
    /// Attempts within the last 60 seconds.
    pub per_minute: u32,
    /// Of these, the failed ones.
    pub failed_per_minute: u32,
}

/// Activity of a queue in one minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Minute {
    /// Minutes since 1970.
    pub minute: u64,
    /// Attempts that ended in this minute.
    pub attempts: u32,
    /// Of these, the failed ones.
    pub failed: u32,
}

/// Events that retention removed before the hook got them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Gap {
    /// First lost offset.
    pub from: EventOffset,
    /// First offset after the gap.
    pub until: EventOffset,
}

/// A hook's queue at one moment (`GET …/webhooks/{H}/queue`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct QueueStatus {
    /// State.
    pub state: QueueState,
    /// Whether a person paused the hook; it may be disabled as well.
    pub paused: bool,
    /// All deliveries of the hook below this offset are settled.
    pub cursor: EventOffset,
    /// The durable end of the event log at that moment.
    pub log_end: EventOffset,
    /// Known unsettled deliveries. When `waiting_exact` is false there may be more, because part of the log has not
    /// been read.
    pub waiting: u64,
    /// Whether `waiting` counts everything up to `log_end`.
    pub waiting_exact: bool,
    /// Attempts under way.
    pub in_flight: u32,
    /// Deliveries that have ever used up their tries, without replays.
    pub dead: u64,
    /// Whether a delivery has ever used up its tries, also in a replay. May be true although none has.
    #[serde(skip)]
    pub had_dead: bool,
    /// Failed attempts in the present window.
    pub recent_failures: u32,
    /// How long the oldest unsettled delivery has waited, in milliseconds.
    pub oldest_waiting_age_ms: Option<u64>,
    /// Time of the next retry or probe, microseconds since 1970.
    pub next_try_at_us: Option<u64>,
    /// Why the hook is disabled.
    pub disable_reason: Option<String>,
    /// The last events that retention removed before this hook got them.
    pub gap: Option<Gap>,
}

impl QueueStatus {
    /// The condition of the hook, from its state and recent activity. A success after failures ends `Failing`.
    #[must_use]
    pub fn standing(&self, pulse: Option<&Pulse>) -> Standing {
        let fails = self.recent_failures > 0 && pulse.is_none_or(|pulse| !pulse.last.delivered);
        match self.state {
            QueueState::AutoDisabled => Standing::AutoDisabled,
            QueueState::Disabled => Standing::Disabled,
            QueueState::AccountDisabled => Standing::AccountDisabled,
            QueueState::Paused => Standing::Paused,
            QueueState::Idle => Standing::Idle,
            QueueState::Active | QueueState::Retrying if fails => Standing::Failing,
            QueueState::Active => Standing::Delivering,
            QueueState::Retrying => Standing::Waiting,
        }
    }
}

/// A query for attempts of an account, or of one of its hooks, in a range of time; in pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttemptQuery {
    /// The hooks' owner.
    pub account: AccountId,
    /// The hook; `None` for all hooks of the account.
    pub hook: Option<HookId>,
    /// Start of the range, inclusive, microseconds since 1970.
    pub from_us: u64,
    /// End of the range, exclusive, microseconds since 1970.
    pub until_us: u64,
    /// Oldest first instead of newest first.
    pub ascending: bool,
    /// Start of the page, from `AttemptPage::next`; `None` for the first page.
    pub start: Option<LedgerOffset>,
    /// Rows at most.
    pub limit: usize,
}

/// An attempt as a row of the API.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptRow {
    /// Its position in the list: its offset in the ledger.
    pub position: LedgerOffset,
    /// KAZOO's attempt document without private fields, with `timestamp` (`docs/kazoo/webhooks.md#attempts`).
    pub document: Map<String, Value>,
}

/// The last attempt of a dead delivery as a row of the API.
#[derive(Debug, Clone, PartialEq)]
pub struct DeadRow {
    /// Its position in the list: the offset of its event.
    pub offset: EventOffset,
    /// The row of the attempt, with what the list says of the event.
    pub document: Map<String, Value>,
}

/// A page of attempts.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AttemptPage {
    /// In the order asked for.
    pub rows: Vec<AttemptRow>,
    /// Start of the next page; `None` after the last page.
    pub next: Option<LedgerOffset>,
    /// The number of records that were examined.
    pub looked_at: usize,
}

/// An attempt that was just recorded.
#[derive(Debug, Clone, PartialEq)]
pub struct AttemptNews {
    /// The hook's owner.
    pub account: AccountId,
    /// The hook.
    pub hook: HookId,
    /// The attempt as the API lists it, without headers and bodies.
    pub document: Map<String, Value>,
}

/// Attempts in the order of the ledger.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AttemptNewsPage {
    /// The attempts.
    pub news: Vec<AttemptNews>,
    /// The first offset of the ledger that was not read.
    pub next: LedgerOffset,
}

/// A query for the dead deliveries of one hook, in the order of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadQuery {
    /// The hook.
    pub hook: HookId,
    /// Oldest event first instead of newest first.
    pub ascending: bool,
    /// The offset to begin with; `None`: the beginning of the order.
    pub start: Option<EventOffset>,
}

/// A dead delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Dead {
    /// Offset of the event.
    pub offset: EventOffset,
    /// Offset of the last attempt in the ledger.
    pub attempt: LedgerOffset,
    /// Time of death, microseconds since 1970.
    pub died_us: u64,
}

/// How many deliveries of a hook are dead and have not been delivered since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeadLeft {
    /// Their number.
    pub count: u64,
    /// Whether that is all. Otherwise it `is_behind`, or there are more than are counted.
    pub is_exact: bool,
    /// Whether some records are not read yet: the number is one of some time ago.
    pub is_behind: bool,
    /// When the last of them died, microseconds since 1970.
    pub last_us: Option<u64>,
}

/// Dead deliveries of a hook.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DeadList {
    /// In the order asked for.
    pub dead: Vec<Dead>,
    /// Start of the next page; `None` after the last one.
    pub next: Option<EventOffset>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_has_one_name() {
        for state in QueueState::ALL {
            assert_eq!(serde_json::to_value(state).unwrap(), state.id());
        }
        for standing in Standing::ALL {
            assert_eq!(serde_json::to_value(standing).unwrap(), standing.id());
        }
    }
}
