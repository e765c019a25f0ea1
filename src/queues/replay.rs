//! A replay: a range of the log delivered again to one hook, as a queue of its own beside the live one.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::model::{
    AccountId, Event, Family, HookId, Id, ReplayOnly, ReplayRequest, ReplayState, ReplayStatus,
};

/// The part of a hook's permits that its replays may hold together: one in this many, at least one.
pub(super) const SHARE: u32 = 4;

/// A replay with its range resolved, as the journal keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayJob {
    /// Its id, and its queue's key.
    pub id: Id,
    /// The hook that gets the events.
    pub hook: HookId,
    /// The hook's owner.
    pub account: AccountId,
    /// First offset.
    pub from: u64,
    /// First offset after the range.
    pub until: u64,
    /// Which of them.
    pub only: ReplayOnly,
    /// Only these families; empty: all.
    pub families: Vec<Family>,
    /// Whether it only counts.
    pub dry_run: bool,
    /// Deliveries per second at most.
    pub rate: Option<u32>,
    /// When it was asked for (µs).
    pub started_us: u64,
    /// When it ended (µs), and how.
    pub ended: Option<(u64, ReplayState)>,
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
            only: request.only,
            families: request.families,
            dry_run: request.dry_run,
            rate: request.rate,
            started_us: now_us,
            ended: None,
            totals: [0; 3],
        }
    }

    /// The document that the journal keeps.
    #[must_use]
    pub fn document(&self) -> Map<String, Value> {
        let mut doc = Map::new();
        let families: Vec<&str> = self.families.iter().map(|f| f.id()).collect();
        let fields = [
            ("hook_id", json!(self.hook)),
            ("pvt_account_id", json!(self.account)),
            ("from", json!(self.from)),
            ("until", json!(self.until)),
            ("only", json!(self.only)),
            ("families", json!(families)),
            ("dry_run", json!(self.dry_run)),
            ("rate", json!(self.rate)),
            ("started_us", json!(self.started_us)),
            ("ended_us", json!(self.ended.map(|e| e.0))),
            ("state", json!(self.ended.map_or(ReplayState::Running, |e| e.1))),
            ("totals", json!(self.totals)),
        ];
        doc.extend(fields.map(|(name, value)| (name.to_owned(), value)));
        doc
    }

    /// Reads a document back; `None` when it is not one.
    #[must_use]
    pub fn from_document(id: Id, doc: &Map<String, Value>) -> Option<Self> {
        let number = |name: &str| doc.get(name).and_then(Value::as_u64);
        let total =
            |at: usize| doc.get("totals").and_then(|t| t.get(at)).and_then(Value::as_u64).unwrap_or(0);
        let text = |name: &str| doc.get(name).and_then(Value::as_str);
        let state = match text("state")? {
            "done" => Some(ReplayState::Done),
            "cancelled" => Some(ReplayState::Cancelled),
            "failed" => Some(ReplayState::Failed),
            _ => None,
        };
        let families = doc.get("families").and_then(Value::as_array).into_iter().flatten();
        Some(Self {
            id,
            hook: text("hook_id")?.parse().ok()?,
            account: text("pvt_account_id")?.parse().ok()?,
            from: number("from")?,
            until: number("until")?,
            only: if text("only") == Some("failed") { ReplayOnly::Failed } else { ReplayOnly::All },
            families: families.filter_map(|f| Family::from_id(f.as_str()?)).collect(),
            dry_run: doc.get("dry_run").and_then(Value::as_bool).unwrap_or(false),
            rate: number("rate").and_then(|r| u32::try_from(r).ok()),
            started_us: number("started_us")?,
            ended: state.map(|s| (number("ended_us").unwrap_or(0), s)),
            totals: [total(0), total(1), total(2)],
        })
    }

    /// Whether an event that the hook wants belongs to this replay.
    #[must_use]
    pub fn covers(&self, event: &Event<'_>) -> bool {
        self.families.is_empty() || event.family.is_some_and(|f| self.families.contains(&f))
    }

    /// The progress to show: `next` is the replay's cursor, `totals` are matched, delivered and dead.
    #[must_use]
    pub fn status(&self, next: u64, totals: [u64; 3]) -> ReplayStatus {
        let [matched, delivered, dead] = if self.ended.is_some() { self.totals } else { totals };
        ReplayStatus {
            id: self.id,
            hook_id: self.hook,
            state: self.ended.map_or(ReplayState::Running, |e| e.1),
            dry_run: self.dry_run,
            only: self.only,
            from_offset: self.from,
            until_offset: self.until,
            next_offset: next,
            matched,
            delivered,
            dead,
            started_us: self.started_us,
            ended_us: self.ended.map(|e| e.0),
        }
    }
}

/// A replay under way.
#[derive(Debug, Clone)]
pub struct ReplayRun {
    /// What was asked for.
    pub job: Arc<ReplayJob>,
    /// For `only: failed`: the offsets to deliver again.
    pub failed: Option<Arc<BTreeSet<u64>>>,
    next_at_us: u64,
}

impl ReplayRun {
    /// A replay about to run.
    #[must_use]
    pub fn new(job: Arc<ReplayJob>, failed: Option<Arc<BTreeSet<u64>>>) -> Self {
        Self { job, failed, next_at_us: 0 }
    }

    /// Until when its pace holds it back.
    #[must_use]
    pub fn paced_until(&self) -> Option<u64> {
        (self.next_at_us > 0).then_some(self.next_at_us)
    }

    /// Whether it may start a delivery now; if so, the next one is due one interval later.
    pub fn admit(&mut self, now_us: u64) -> bool {
        let Some(rate) = self.job.rate else { return true };
        if now_us < self.next_at_us {
            return false;
        }
        self.next_at_us = now_us + 1_000_000 / u64::from(rate.max(1));
        true
    }

    /// Forgets the pace's timer once it has passed.
    pub fn tick(&mut self, now_us: u64) {
        if self.next_at_us <= now_us {
            self.next_at_us = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::ReplayPoint;

    #[test]
    fn a_replay_is_read_back_as_it_was_written() {
        let request = ReplayRequest {
            id: Id(1),
            hook: Id(2),
            account: Id(3),
            from: ReplayPoint::Offset(0),
            until: None,
            only: ReplayOnly::Failed,
            families: vec![Family::Parking],
            dry_run: false,
            rate: Some(5),
            by: None,
        };
        let mut job = ReplayJob::new(request, 10, 20, 77);
        job.ended = Some((99, ReplayState::Done));
        job.totals = [3, 2, 1];
        assert_eq!(ReplayJob::from_document(Id(1), &job.document()), Some(job));
    }
}
