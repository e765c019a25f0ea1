//! Searches for events: query and result.

use serde_json::{Map, Value};

use super::{AccountId, EventFilter};

/// The set of events to search.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EventScope {
    /// Events of one account.
    Account(AccountId),
    /// Events in quarantine, with or without an account.
    Quarantine,
    /// Events in quarantine that name this account.
    QuarantineOf(AccountId),
}

/// A query for events, in pages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventQuery {
    /// The set of events to search.
    pub scope: EventScope,
    /// Start of the range of time, inclusive, microseconds since 1970.
    pub from_us: u64,
    /// End of the range of time, exclusive, microseconds since 1970.
    pub until_us: u64,
    /// Filter.
    pub filter: EventFilter,
    /// Oldest first instead of newest first.
    pub ascending: bool,
    /// Start of the page; `None` for the first page.
    pub start: Option<u64>,
    /// Rows at most.
    pub limit: usize,
}

/// An event as a row of the API.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Offset in the log.
    pub offset: u64,
    /// Account of the event.
    pub account: Option<AccountId>,
    /// The header, and the body if requested.
    pub document: Map<String, Value>,
}

/// A page of events.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventPage {
    /// In the order asked for.
    pub rows: Vec<EventRow>,
    /// Start of the next page; `None` after the last one.
    pub next: Option<u64>,
    /// Number of events examined.
    pub looked_at: usize,
}

/// The deliveries of one event to the hooks of one account.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventDeliveries {
    /// One row for each hook, with its attempts.
    pub rows: Vec<Map<String, Value>>,
    /// Whether the whole ledger was read; otherwise later attempts may be missing.
    pub complete: bool,
}
