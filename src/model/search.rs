//! Looking for events: what is asked for, and what is found.

use serde_json::{Map, Value};

use super::{AccountId, EventFilter};

/// Among which events is looked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventScope {
    /// Those of one account.
    Account(AccountId),
    /// Those that could not be understood, whether they name an account or not.
    Quarantine,
    /// Those that could not be understood and name this account.
    QuarantineOf(AccountId),
}

/// Which events are looked for, in pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventQuery {
    /// Whose.
    pub scope: EventScope,
    /// Logged not before, microseconds since 1970.
    pub from_us: u64,
    /// Logged before, microseconds since 1970.
    pub until_us: u64,
    /// What they must be like.
    pub filter: EventFilter,
    /// Oldest first instead of newest first.
    pub ascending: bool,
    /// The offset to begin with; `None`: the beginning of the order.
    pub start: Option<u64>,
    /// Rows at most.
    pub limit: usize,
}

/// An event, ready to be shown.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Its place in the log.
    pub offset: u64,
    /// Whose it is.
    pub account: Option<AccountId>,
    /// Its header, and its body when that was asked for.
    pub document: Map<String, Value>,
}

/// A page of events.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventPage {
    /// In the order asked for.
    pub rows: Vec<EventRow>,
    /// The offset at which to go on; `None`: there is nothing more.
    pub next: Option<u64>,
    /// How many events were looked at.
    pub looked_at: usize,
}

/// What became of one event at the hooks of one account.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventDeliveries {
    /// One for each hook, with its attempts.
    pub rows: Vec<Map<String, Value>>,
    /// Whether the whole ledger was looked at; if not, later attempts may be missing.
    pub complete: bool,
}
