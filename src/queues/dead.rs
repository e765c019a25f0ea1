//! Dead deliveries, read back from the ledger: given up, and not delivered since.
//!
//! One pass over the hook's records finds them. Its memory is bounded: of more than `KEPT` failing deliveries
//! only those at the front of the order asked for are held, and the list says where to go on.

use std::collections::{BTreeMap, BTreeSet};

use super::attempts::AttemptReader;
use super::damaged::{LEDGER_DAMAGED, error_of_event, unreadable};
use super::ledger::record::{LedgerRecord, Outcome, Settlement};
use super::revisions::Revisions;
use crate::log::{ReadError, Record};
use crate::model::{AttemptRow, Dead, DeadList, DeadQuery, Event, HookId, gregorian_seconds};

const READ: usize = 4096;
const READ_BYTES: usize = 1 << 20;
/// Failing deliveries held at a time.
const KEPT: usize = 1 << 16;

/// What one ledger record says of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// An attempt failed; it goes on.
    Failed,
    /// An attempt failed and was the last.
    LastFailed,
    /// Given up some time after its last attempt.
    GivenUp,
    /// Delivered, or there was nothing to send.
    Fine,
    /// Its event is gone.
    Expired,
}

/// A failing delivery.
#[derive(Debug, Clone, Copy, Default)]
struct Failing {
    /// Where the ledger has its last attempt.
    attempt: Option<u64>,
    /// When it was given up, if it was.
    died_us: Option<u64>,
}

impl AttemptReader {
    /// A hook's dead deliveries in one order, as many as are held at a time.
    pub fn dead(&self, query: &DeadQuery) -> Result<DeadList, ReadError> {
        let mut held = Held { failing: BTreeMap::new(), ascending: query.ascending, left_out: None };
        let first = self.events.first();
        let on_list = |offset: u64| {
            let started = query.start.is_none_or(|s| if query.ascending { offset >= s } else { offset <= s });
            started && offset >= first
        };
        self.verdicts(query.hook, |record, offset, verdict| {
            if on_list(offset) {
                held.note(record, offset, verdict);
            }
        })?;
        let dead = held.failing.into_iter().filter_map(|(offset, failing)| {
            Some(Dead { offset, attempt: failing.attempt?, died_us: failing.died_us? })
        });
        let dead: Vec<Dead> = if query.ascending { dead.collect() } else { dead.rev().collect() };
        Ok(DeadList { dead, next: held.left_out })
    }

    /// Dead deliveries of a hook as the API shows them: the last attempt, and what the event was. One of which
    /// retention has taken something meanwhile is left out; one of which something cannot be read says so.
    pub fn dead_rows(&self, hook: HookId, dead: &[Dead]) -> Result<Vec<AttemptRow>, ReadError> {
        let Some(hook) = self.state.hook(hook) else { return Ok(Vec::new()) };
        let (mut filed, mut revisions) = (self.filed([hook]), Revisions::default());
        let mut rows = Vec::with_capacity(dead.len());
        for Dead { offset, attempt, died_us } in dead {
            let mut document = match self.ledger.get(*attempt) {
                Ok(None) => continue,
                Ok(Some(record)) => {
                    let Ok(decoded) = LedgerRecord::decode(&record.payload) else { continue };
                    let hook = filed.hook_of(&record, &decoded, |replay| self.replay_of(replay));
                    match (hook, &decoded) {
                        (Some(hook), LedgerRecord::Attempt(attempt)) => {
                            self.row(&mut revisions, hook, attempt, &record)
                        }
                        _ => continue,
                    }
                }
                Err(_) => unreadable(LEDGER_DAMAGED),
            };
            match self.events.get(*offset) {
                Ok(None) => continue,
                Ok(Some(kept)) => {
                    let Ok(event) = Event::decode(&kept.payload) else { continue };
                    document.insert("event_name".into(), event.name.into());
                    document.insert("subject".into(), event.subject.into());
                    document.insert("received".into(), gregorian_seconds(kept.time_us).into());
                }
                Err(error) => document.extend(unreadable(error_of_event(&error))),
            }
            document.insert("died".into(), gregorian_seconds(*died_us).into());
            rows.push(AttemptRow { position: *offset, document });
        }
        Ok(rows)
    }

    /// The offsets in a range that are dead, or (with `failing`) whose last known outcome is any failure.
    pub(super) fn failed(
        &self,
        hook: HookId,
        (from, until): (u64, u64),
        failing: bool,
    ) -> Result<BTreeSet<u64>, ReadError> {
        let mut found = BTreeSet::new();
        self.verdicts(hook, |_, offset, verdict| match verdict {
            Verdict::Fine | Verdict::Expired => drop(found.remove(&offset)),
            Verdict::Failed if !failing => {}
            Verdict::Failed | Verdict::LastFailed | Verdict::GivenUp => {
                if (from..until).contains(&offset) {
                    found.insert(offset);
                }
            }
        })?;
        Ok(found)
    }

    /// Everything that the ledger says of a hook's deliveries, oldest first.
    fn verdicts(&self, hook: HookId, mut each: impl FnMut(&Record, u64, Verdict)) -> Result<(), ReadError> {
        let Some(hook) = self.hook(hook) else { return Ok(()) };
        let (mut at, end) = (self.ledger.first().max(hook.birth.ledger), self.ledger.end());
        let (own, tag) = (hook.id, hook.id.tag());
        let mut filed = self.filed([hook]);
        while at < end {
            let batch = self.ledger.read_tags(&[tag], at, end, READ, READ_BYTES)?;
            for record in &batch.records {
                let Ok(decoded) = LedgerRecord::decode(&record.payload) else { continue };
                let is_its_own = filed.hook_of(record, &decoded, |replay| self.replay_of(replay)).is_some();
                if let Some((offset, verdict)) = verdict(&decoded, own).filter(|_| is_its_own) {
                    each(record, offset, verdict);
                }
            }
            if batch.next <= at {
                break;
            }
            at = batch.next;
        }
        Ok(())
    }
}

fn verdict(record: &LedgerRecord, hook: HookId) -> Option<(u64, Verdict)> {
    match record {
        LedgerRecord::Attempt(attempt) => {
            let verdict = match attempt.outcome {
                Outcome::Delivered => Verdict::Fine,
                Outcome::Dead => Verdict::LastFailed,
                Outcome::Shadow if attempt.queue == hook => Verdict::Fine,
                // A replay that was not sent: what was dead before still is.
                Outcome::Shadow => return None,
                Outcome::Retry | Outcome::Suspect | Outcome::Held => Verdict::Failed,
            };
            Some((attempt.offset, verdict))
        }
        LedgerRecord::Settled { offset, how, .. } => {
            let verdict = match how {
                Settlement::Skipped => Verdict::Fine,
                Settlement::Dead => Verdict::GivenUp,
                Settlement::Expired => Verdict::Expired,
            };
            Some((*offset, verdict))
        }
        _ => None,
    }
}

/// The failing deliveries at the front of an order.
struct Held {
    failing: BTreeMap<u64, Failing>,
    ascending: bool,
    /// The first offset in the order of which nothing more is known here.
    left_out: Option<u64>,
}

impl Held {
    fn note(&mut self, record: &Record, offset: u64, verdict: Verdict) {
        if self.left_out.is_some_and(|out| if self.ascending { offset >= out } else { offset <= out }) {
            return;
        }
        if matches!(verdict, Verdict::Fine | Verdict::Expired) {
            self.failing.remove(&offset);
            return;
        }
        let failing = self.failing.entry(offset).or_default();
        if verdict != Verdict::GivenUp {
            failing.attempt = Some(record.offset);
        }
        if verdict != Verdict::Failed {
            failing.died_us = Some(record.time_us);
        }
        if self.failing.len() > KEPT {
            let last = if self.ascending { self.failing.pop_last() } else { self.failing.pop_first() };
            self.left_out = last.map(|(offset, _)| offset);
        }
    }
}
