//! A replay: a range of the log delivered again to one hook, as a queue of its own beside the live one.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::pace::Pace;
use crate::kazoo;
use crate::model::{
    AccountId, Event, EventFilter, HookId, Id, ReplayOnly, ReplayPoint, ReplayRequest, ReplayState,
    ReplayStatus,
};

/// The part of a hook's permits that its replays may hold together: one in this many, at least one.
pub(in crate::queues) const SHARE: u32 = 4;

/// A replay with its range resolved, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplayJob {
    /// Its id, and its queue's key.
    #[serde(rename = "_id")]
    pub id: Id,
    /// The hook that gets the events.
    #[serde(rename = "hook_id")]
    pub hook: HookId,
    /// The hook's owner.
    #[serde(rename = "pvt_account_id")]
    pub account: AccountId,
    /// First offset.
    pub from: u64,
    /// First offset after the range.
    pub until: u64,
    /// Only events of this time and later (µs); they need not lie together in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_us: Option<u64>,
    /// Only events of before this time (µs).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_us: Option<u64>,
    /// Which of them.
    pub only: ReplayOnly,
    /// For `ReplayOnly::Chosen`: these offsets.
    #[serde(default)]
    pub offsets: Vec<u64>,
    /// Of those, only events that fit this.
    #[serde(flatten)]
    pub filter: EventFilter,
    /// Whether it only counts.
    pub dry_run: bool,
    /// Deliveries per second at most.
    pub rate: Option<u32>,
    /// When it was asked for (µs).
    pub started_us: u64,
    /// Whether it runs, rests or has ended, and how.
    pub state: ReplayState,
    /// When it ended (µs).
    pub ended_us: Option<u64>,
    /// Matched, delivered and dead when it ended.
    pub totals: [u64; 3],
}

impl ReplayJob {
    /// A request whose range has been resolved to offsets.
    #[must_use]
    pub fn new(request: ReplayRequest, from: u64, until: u64, now_us: u64) -> Self {
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
            started_us: now_us,
            state: ReplayState::Running,
            ended_us: None,
            totals: [0; 3],
        }
    }

    /// The document that the journal keeps.
    #[must_use]
    pub fn document(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(doc)) => doc,
            // Plain fields always serialise to an object.
            _ => Map::new(),
        }
    }

    /// Reads a document back; `None` when it is not one.
    #[must_use]
    pub fn from_document(doc: Map<String, Value>) -> Option<Self> {
        serde_json::from_value(Value::Object(doc)).ok()
    }

    /// Whether it is over.
    #[must_use]
    pub fn has_ended(&self) -> bool {
        match self.state {
            ReplayState::Running | ReplayState::Paused => false,
            ReplayState::Done | ReplayState::Cancelled | ReplayState::Failed => true,
        }
    }

    /// The same, ended now.
    #[must_use]
    pub fn ended(&self, how: ReplayState, now_us: u64, totals: [u64; 3]) -> Self {
        Self { state: how, ended_us: Some(now_us), totals, ..self.clone() }
    }

    /// Whether an event that the hook wants, and that was logged at this time, belongs to this replay.
    #[must_use]
    pub fn covers(&self, event: &Event<'_>, time_us: u64) -> bool {
        let times = self.from_us.unwrap_or(0)..self.until_us.unwrap_or(u64::MAX);
        if !times.contains(&time_us) {
            return false;
        }
        self.filter.chooses(event, kazoo::families_of(event))
    }

    /// The progress to show: `next` is the replay's cursor, `totals` are matched, delivered and dead.
    #[must_use]
    pub fn status(&self, next: u64, totals: [u64; 3]) -> ReplayStatus {
        let [matched, delivered, dead] = if self.has_ended() { self.totals } else { totals };
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

/// A replay under way.
#[derive(Debug, Clone)]
pub struct ReplayRun {
    /// What was asked for.
    pub job: Arc<ReplayJob>,
    /// The offsets to deliver again; `None`: the whole range.
    pub chosen: Option<Arc<BTreeSet<u64>>>,
    /// Its own pace.
    pub(in crate::queues) pace: Pace,
}

impl ReplayRun {
    /// A replay about to run.
    #[must_use]
    pub fn new(job: Arc<ReplayJob>, chosen: Option<Arc<BTreeSet<u64>>>) -> Self {
        Self { pace: Pace::new(job.rate), job, chosen }
    }

    /// Whether a delivery of it may be started at all.
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
            id: Id(1),
            hook: Id(2),
            account: Id(3),
            from: ReplayPoint::Offset(0),
            until: None,
            only: ReplayOnly::Chosen,
            offsets: vec![11, 15],
            filter: EventFilter { families: vec![Family::Parking], ..EventFilter::default() },
            dry_run: false,
            rate: Some(5),
            by: None,
        };
        let running = ReplayJob::new(request, 10, 20, 77);
        assert_eq!(ReplayJob::from_document(running.document()), Some(running.clone()));
        let done = running.ended(ReplayState::Done, 99, [3, 2, 1]);
        assert_eq!(ReplayJob::from_document(done.document()), Some(done));
    }
}
