//! What was settled shortly before a checkpoint.
//!
//! An engine decides what a checkpoint says before the checkpoint is in the ledger. A hook that is made in between begins in
//! the ledger before the checkpoint, and yet the checkpoint does not know the hook. Then the hook's events may not count as
//! settled; only those count of which the ledger says so. For such hooks, recovery also reads what stands before the checkpoint.

use std::collections::{BTreeMap, VecDeque};

use super::filing::Filing;
use super::record::LedgerRecord;
use crate::model::{EventOffset, LedgerOffset, QueueId};
use crate::queues::rules::fate::Fate;
use crate::queues::rules::partitions::{Partition, Partitions};

/// The records that may get into the ledger while a checkpoint is on its way there: other shards' checkpoints, and what was
/// gathered before it.
pub(super) const ON_THE_WAY: u64 = 16_384;

/// The settlements among the last [`ON_THE_WAY`] records that were read.
#[derive(Debug, Default)]
pub(super) struct Lately(VecDeque<Settled>);

#[derive(Debug, Clone, Copy)]
struct Settled {
    at: LedgerOffset,
    partition: Partition,
    queue: QueueId,
    offset: EventOffset,
    fate: Fate,
}

impl Lately {
    /// Notes a record if it settles a delivery.
    pub(super) fn note(&mut self, record: &LedgerRecord, filing: Filing) {
        let Filing { at, partition, .. } = filing;
        let (queue, offset, fate) = match record {
            LedgerRecord::Attempt(attempt) => (attempt.queue, attempt.offset, attempt.outcome.fate()),
            LedgerRecord::Settled { queue, offset, how } => (*queue, *offset, Some(how.fate())),
            _ => return,
        };
        while self.0.front().is_some_and(|first| first.at + ON_THE_WAY < at) {
            self.0.pop_front();
        }
        self.0.extend(fate.map(|fate| Settled { at, partition, queue, offset, fate }));
    }

    /// What was settled in the queues of these partitions.
    pub(super) fn of(&self, partitions: Partitions) -> Before {
        let mut before = Before::default();
        for settled in self.0.iter().filter(|settled| partitions.contains(settled.partition)) {
            let new = || (settled.partition, Vec::new());
            before.0.entry(settled.queue).or_insert_with(new).1.push((settled.offset, settled.fate));
        }
        before
    }
}

/// By queue, its partition, and what was settled shortly before the last checkpoint of that partition.
#[derive(Debug, Clone, Default)]
pub(super) struct Before(BTreeMap<QueueId, (Partition, Vec<(EventOffset, Fate)>)>);

impl Before {
    /// Removes and returns what was settled in a queue.
    pub(super) fn take(&mut self, queue: QueueId) -> Vec<(EventOffset, Fate)> {
        self.0.remove(&queue).map(|(_, settled)| settled).unwrap_or_default()
    }

    /// Removes and returns the queues of some partitions.
    pub(super) fn take_out(&mut self, partitions: Partitions) -> Self {
        let all = std::mem::take(&mut self.0).into_iter();
        let (taken, left) = all.partition(|(_, (partition, _))| partitions.contains(*partition));
        self.0 = left;
        Self(taken)
    }

    /// Adds the queues of further partitions.
    pub(super) fn extend(&mut self, other: Self) {
        self.0.extend(other.0);
    }

    /// Forgets the queues of some partitions.
    pub(super) fn forget(&mut self, partitions: Partitions) {
        self.take_out(partitions);
    }
}
