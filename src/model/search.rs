//! Searches for events: query and result.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Map, Value};

use super::{AccountId, EventFilter, EventId, EventOffset, HookId};

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
    pub start: Option<EventOffset>,
    /// Rows at most.
    pub limit: usize,
}

/// An event as a row of the API.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRow {
    /// Offset in the log.
    pub offset: EventOffset,
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
    pub next: Option<EventOffset>,
    /// Number of events examined.
    pub looked_at: usize,
}

/// An event that was just logged.
#[derive(Debug, Clone, PartialEq)]
pub struct EventNews {
    /// The account of the event.
    pub account: AccountId,
    /// The event.
    pub event: EventId,
    /// The header, as the API lists it.
    pub document: Map<String, Value>,
}

/// Events in the order of the log.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventNewsPage {
    /// The events.
    pub news: Vec<EventNews>,
    /// The first offset of the log that was not read.
    pub next: EventOffset,
}

/// The state of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DeliveryState {
    /// Not tried yet.
    Waiting,
    /// Tried, and to be tried again.
    Retrying,
    /// The receiver has it.
    Delivered,
    /// Out of tries.
    Dead,
    /// There was nothing to send.
    Skipped,
    /// Retention dropped the event first.
    Expired,
    /// Not sent, because it is another system's to deliver.
    Shadow,
}

impl DeliveryState {
    /// All states.
    pub const ALL: [Self; 7] = [
        Self::Waiting,
        Self::Retrying,
        Self::Delivered,
        Self::Dead,
        Self::Skipped,
        Self::Expired,
        Self::Shadow,
    ];

    /// The name in the API.
    #[must_use]
    pub fn id(self) -> &'static str {
        match self {
            Self::Waiting => "waiting",
            Self::Retrying => "retrying",
            Self::Delivered => "delivered",
            Self::Dead => "dead",
            Self::Skipped => "skipped",
            Self::Expired => "expired",
            Self::Shadow => "shadow",
        }
    }
}

/// A query for the deliveries of one event to the hooks of one account, in pages by the hooks' ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveriesQuery {
    /// The account of the hooks.
    pub account: AccountId,
    /// The offset of the event.
    pub offset: EventOffset,
    /// The hook at which the page begins; `None` for the first page.
    pub start: Option<HookId>,
    /// Only deliveries in these states; empty for all.
    pub states: Vec<DeliveryState>,
    /// Rows at most.
    pub limit: usize,
}

/// The deliveries of one event to the hooks of one account.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct EventDeliveries {
    /// One row for each hook, with its attempts, in the order of the hooks' ids.
    pub rows: Vec<Map<String, Value>>,
    /// The hook at which the next page begins; `None` after the last one.
    pub next: Option<HookId>,
    /// The number of deliveries in each state, on all pages together.
    pub by_state: BTreeMap<DeliveryState, u64>,
    /// Whether the whole ledger was read; otherwise later attempts may be missing.
    pub complete: bool,
}
