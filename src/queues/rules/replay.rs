//! A replay: events of a range of the log are delivered again to one hook, by a queue beside the hook's live one.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::pace::Pace;
use crate::kazoo;
use crate::model::{
    AccountId, Event, EventFilter, EventOffset, HookId, ReplayId, ReplayOnly, ReplayPoint, ReplayRequest,
    ReplayState, ReplayStatus, WallTime,
};

/// All replays of a hook together may hold one in `SHARE` of the hook's permits, rounded down, but at least one.
pub(in crate::queues) const SHARE: u32 = 4;

/// A replay as the journal stores it. Its range has been resolved to offsets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayJob {
    /// Its id, which is also that of its queue.
    #[serde(rename = "_id")]
    pub id: ReplayId,
    /// The hook that gets the events.
    #[serde(rename = "hook_id")]
    pub hook: HookId,
    /// The hook's owner.
    #[serde(rename = "pvt_account_id")]
    pub account: AccountId,
    /// The first offset of the range.
    pub from: EventOffset,
    /// The first offset after the range.
    pub until: EventOffset,
    /// Only events from this time on (µs since 1970). The clock may have been set, so within the range there can be others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_us: Option<u64>,
    /// Only events before this time (µs since 1970).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_us: Option<u64>,
    /// Which deliveries of the range.
    pub only: ReplayOnly,
    /// The offsets, for `ReplayOnly::Chosen`.
    #[serde(default)]
    pub offsets: Vec<EventOffset>,
    /// Only events that match this filter.
    #[serde(flatten)]
    pub filter: EventFilter,
    /// Whether it only counts the events.
    pub dry_run: bool,
    /// The most deliveries per second.
    pub rate: Option<u32>,
    /// When it was requested (µs since 1970).
    pub started_us: u64,
    /// Its state.
    pub state: ReplayState,
    /// When it ended (µs since 1970).
    pub ended_us: Option<u64>,
    /// Its counts when it ended.
    pub totals: ReplayTotals,
}

/// The counts of a replay. Its document stores them as an array, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "[u64; 3]", into = "[u64; 3]")]
pub struct ReplayTotals {
    /// Events that matched.
    pub matched: u64,
    /// Deliveries that the receiver accepted.
    pub delivered: u64,
    /// Deliveries that are dead.
    pub dead: u64,
}

impl From<ReplayTotals> for [u64; 3] {
    fn from(totals: ReplayTotals) -> Self {
        [totals.matched, totals.delivered, totals.dead]
    }
}

impl From<[u64; 3]> for ReplayTotals {
    fn from([matched, delivered, dead]: [u64; 3]) -> Self {
        Self { matched, delivered, dead }
    }
}

impl ReplayJob {
    /// A request whose range has been resolved to offsets.
    #[must_use]
    pub fn new(request: ReplayRequest, from: EventOffset, until: EventOffset, now: WallTime) -> Self {
        Self {
            id: request.id,
            hook: request.hook,
            account: request.account,
            from,
            until,
            from_us: request.from.time_us(),
            until_us: request.until.and_then(ReplayPoint::time_us),
            only: request.only,
            offsets: request.offsets,
            filter: request.filter,
            dry_run: request.dry_run,
            rate: request.rate,
            started_us: now.micros(),
            state: ReplayState::Running,
            ended_us: None,
            totals: ReplayTotals::default(),
        }
    }

    /// The document for the journal.
    #[must_use]
    pub fn document(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(doc)) => doc,
            // A struct always serialises to an object.
            _ => Map::new(),
        }
    }

    /// Reads a document of the journal. `None`: it is not the document of a replay.
    #[must_use]
    pub fn from_document(doc: Map<String, Value>) -> Option<Self> {
        serde_json::from_value(Value::Object(doc)).ok()
    }

    /// Whether the replay has ended.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        match self.state {
            ReplayState::Running | ReplayState::Paused => false,
            ReplayState::Done | ReplayState::Cancelled | ReplayState::Failed => true,
        }
    }

    /// This replay with its end.
    #[must_use]
    pub fn ended(&self, how: ReplayState, now: WallTime, totals: ReplayTotals) -> Self {
        Self { state: how, ended_us: Some(now.micros()), totals, ..self.clone() }
    }

    /// Whether an event that the hook wants belongs to this replay. `time_us` is when it was logged.
    #[must_use]
    pub fn covers(&self, event: &Event<'_>, time_us: u64) -> bool {
        let times = self.from_us.unwrap_or(0)..self.until_us.unwrap_or(u64::MAX);
        if !times.contains(&time_us) {
            return false;
        }
        self.filter.chooses(event, kazoo::families_of(event))
    }

    /// The replay's progress: `next` is the cursor of its queue. A replay that has ended keeps its counts.
    #[must_use]
    pub fn status(&self, next: EventOffset, totals: ReplayTotals) -> ReplayStatus {
        let ReplayTotals { matched, delivered, dead } = if self.has_ended() { self.totals } else { totals };
        ReplayStatus {
            id: self.id,
            hook_id: self.hook,
            state: self.state,
            dry_run: self.dry_run,
            only: self.only,
            filter: self.filter.clone(),
            from_offset: self.from,
            until_offset: self.until,
            next_offset: next,
            matched,
            delivered,
            dead,
            started_us: self.started_us,
            ended_us: self.ended_us,
        }
    }
}

/// A replay that runs.
#[derive(Debug, Clone)]
pub struct ReplayRun {
    /// The replay.
    pub job: Arc<ReplayJob>,
    /// The offsets to deliver; `None` for the whole range.
    pub chosen: Option<Arc<BTreeSet<EventOffset>>>,
    /// Its pace.
    pub(in crate::queues) pace: Pace,
}

impl ReplayRun {
    /// A replay about to run.
    #[must_use]
    pub fn new(job: Arc<ReplayJob>, chosen: Option<Arc<BTreeSet<EventOffset>>>) -> Self {
        Self { pace: Pace::new(job.rate), job, chosen }
    }

    /// Whether its deliveries may be started: it is not paused and has not ended.
    #[must_use]
    pub fn runs(&self) -> bool {
        self.job.state == ReplayState::Running
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, ReplayPoint};

    #[test]
    fn a_replay_is_read_back_as_it_was_written() {
        let request = ReplayRequest {
            id: ReplayId(1),
            hook: HookId(2),
            account: AccountId(3),
            from: ReplayPoint::Offset(EventOffset(0)),
            until: None,
            only: ReplayOnly::Chosen,
            offsets: vec![EventOffset(11), EventOffset(15)],
            filter: EventFilter { families: vec![Family::Parking], ..EventFilter::default() },
            dry_run: false,
            rate: Some(5),
            by: None,
        };
        let running = ReplayJob::new(request, EventOffset(10), EventOffset(20), WallTime::from_micros(77));
        assert_eq!(ReplayJob::from_document(running.document()), Some(running.clone()));
        let done = running.ended(ReplayState::Done, WallTime::from_micros(99), [3, 2, 1].into());
        assert_eq!(done.document()["totals"], serde_json::json!([3, 2, 1]));
        assert_eq!(ReplayJob::from_document(done.document()), Some(done));
    }
}
