//! What a hook still has to get, delivery by delivery.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value};

use super::{EventOffset, HookId};

/// Why a delivery has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitingState {
    /// It waits for its turn.
    Waiting,
    /// An attempt is under way.
    UnderWay,
    /// It waits for its next try after a failed one.
    Retrying,
    /// Out of tries, but the hook has had no success since. Dead at the next success, or when the time for disabling ends.
    SetAside,
}

/// A delivery that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingDelivery {
    /// The offset of its event.
    pub offset: EventOffset,
    /// Why it has not ended.
    pub state: WaitingState,
    /// The attempts so far.
    pub attempts: u16,
    /// Time of the next try, microseconds since 1970; `None`: not known, or as soon as it is its turn.
    pub next_try_us: Option<u64>,
}

/// What a queue says about its unsettled deliveries: some of those in memory, and how to find the others in the log.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WaitingPart {
    /// In the order of the log, from the offset that was asked for.
    pub deliveries: Vec<WaitingDelivery>,
    /// Whether there are no more in memory.
    pub is_last: bool,
    /// Every event from here on that the hook wants waits too, except the settled ones.
    pub rest: EventOffset,
    /// By the hash of a subject: the offset from which its events wait too, except the settled ones.
    pub rest_of: BTreeMap<u64, EventOffset>,
    /// Settled offsets beyond those in memory.
    pub settled: BTreeSet<EventOffset>,
}

/// A query for the deliveries of a hook that have not ended, oldest event first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingQuery {
    /// The hook.
    pub hook: HookId,
    /// The offset to begin with.
    pub start: EventOffset,
    /// Rows at most.
    pub limit: usize,
}

/// A page of such deliveries.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct WaitingPage {
    /// The offsets of the events, with rows of the API.
    pub rows: Vec<(EventOffset, Map<String, Value>)>,
    /// The offset at which the next page begins; `None` after the last page.
    pub next: Option<EventOffset>,
    /// The number of events that were examined.
    pub looked_at: usize,
}
