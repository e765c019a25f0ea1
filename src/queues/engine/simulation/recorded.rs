//! What records of the ledger say about deliveries, and which of these records are not on disk yet.

use std::collections::{BTreeMap, BTreeSet};

use crate::log::NewRecord;
use crate::model::{EventOffset, Moment, QueueId};
use crate::queues::{LedgerRecord, Outcome, Settlement};

/// How a delivery ended, according to the ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    Delivered,
    Dead,
    Skipped,
}

/// What a ledger record says about a delivery: queue, offset, what followed from the attempt, and how the delivery ended.
pub(super) fn outcome_of(
    record: &LedgerRecord,
) -> Option<(QueueId, EventOffset, Option<Outcome>, Option<Ended>)> {
    match record {
        LedgerRecord::Attempt(attempt) => {
            let ended = match attempt.outcome {
                Outcome::Delivered => Some(Ended::Delivered),
                Outcome::Dead => Some(Ended::Dead),
                // Nothing is beside the queues here.
                Outcome::Shadow | Outcome::Retry | Outcome::Suspect | Outcome::Held => None,
            };
            Some((attempt.queue, attempt.offset, Some(attempt.outcome), ended))
        }
        LedgerRecord::Settled { queue, offset, how } => {
            let ended = if *how == Settlement::Dead { Ended::Dead } else { Ended::Skipped };
            Some((*queue, *offset, None, Some(ended)))
        }
        _ => None,
    }
}

/// When the next attempt of a delivery is due.
#[derive(Debug, Clone, Copy)]
pub(super) struct Due {
    pub(super) at: Moment,
    /// The number of the attempt that failed.
    pub(super) after: u16,
}

/// When the next attempt is due, according to an attempt's record.
pub(super) fn due_of(record: &LedgerRecord) -> Option<Due> {
    match record {
        LedgerRecord::Attempt(attempt) if attempt.outcome == Outcome::Retry => {
            attempt.due.map(|at| Due { at, after: attempt.attempt })
        }
        _ => None,
    }
}

/// What the engine has recorded and is not on disk yet, by queue and offset.
#[derive(Debug, Default)]
pub(super) struct Unsynced {
    pub(super) last: BTreeMap<(QueueId, EventOffset), Outcome>,
    pub(super) ended: BTreeMap<(QueueId, EventOffset), Ended>,
    pub(super) gaps: Vec<(QueueId, EventOffset, EventOffset)>,
    /// When the next attempt is due; `None`: at once.
    pub(super) due: BTreeMap<(QueueId, EventOffset), Option<Due>>,
    /// Queues whose hooks were enabled again.
    pub(super) refreshed: BTreeSet<QueueId>,
}

impl Unsynced {
    pub(super) fn of<'a>(records: impl Iterator<Item = &'a NewRecord>) -> Self {
        let mut unsynced = Self::default();
        for record in records {
            let Ok(record) = LedgerRecord::decode(&record.payload) else { continue };
            if let LedgerRecord::Gap { queue, from, to } = record {
                unsynced.gaps.push((queue, from, to));
            }
            if let LedgerRecord::Refreshed { queue } = record {
                unsynced.due.retain(|(of, _), _| *of != queue);
                unsynced.refreshed.insert(queue);
            }
            let Some((queue, offset, outcome, ended)) = outcome_of(&record) else { continue };
            unsynced.due.insert((queue, offset), due_of(&record));
            if let Some(outcome) = outcome {
                unsynced.last.insert((queue, offset), outcome);
            }
            if let Some(ended) = ended {
                unsynced.ended.insert((queue, offset), ended);
            }
        }
        unsynced
    }
}
