//! Restores every queue from the ledger at a start: from the last complete checkpoint that covers its partition, and all
//! records after that checkpoint.
//!
//! Several shards write checkpoints of their own partitions into the same ledger. A start takes each partition from the
//! checkpoint that covers it, so the number of shards may differ from the time before. Nothing but the ledger is read.

use std::collections::BTreeMap;
use std::ops::Range;

use super::before::{Before, Lately, ON_THE_WAY};
use super::checkpoints::checkpoint_of;
use super::filing::Filing;
use super::record::{HeldEvent, LedgerRecord, QueueImage};
use super::recovered_queue::RecoveredQueue;
use crate::log::{ReadError, ReaderOf};
use crate::model::{AccountId, EventOffset, Hook, HookId, LedgerOffset, QueueId, ReplayId};
use crate::queues::rules::partitions::{COUNT, Partition, Partitions};

/// The records and bytes of one read.
const BATCH_RECORDS: usize = 4096;
const BATCH_BYTES: usize = 1 << 20;

/// All queues, as of the ledger's end.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// By partition, its last checkpoint. `None`: no checkpoint covers it.
    checkpoints: [Option<Covered>; COUNT],
    /// Whether the ledger was read from its very beginning, so that it contains every settlement.
    pub is_whole: bool,
    /// Events below those offsets that waited for their accounts then, in the order of the log.
    pub held: BTreeMap<EventOffset, HeldEvent>,
    /// The queues, in the same order in every start.
    pub queues: BTreeMap<QueueId, RecoveredQueue>,
    /// What was settled shortly before the checkpoints.
    before: Before,
    /// The records that were read.
    pub records: u64,
    /// The records that are damaged or unknown. For each of them, a delivery may be repeated.
    pub unreadable: u64,
}

impl Default for Recovered {
    fn default() -> Self {
        Self {
            checkpoints: [None; COUNT],
            is_whole: false,
            held: BTreeMap::new(),
            queues: BTreeMap::new(),
            before: Before::default(),
            records: 0,
            unreadable: 0,
        }
    }
}

/// Reads the ledger from the last complete checkpoints to its end. `is_replay` recognises replays in checkpoints of earlier
/// versions, which do not store the partition of a queue: the partition of a replay does not follow from its id.
pub fn recover(
    ledger: &ReaderOf<LedgerOffset>,
    is_replay: impl Fn(ReplayId) -> bool,
) -> Result<Recovered, ReadError> {
    recover_some(ledger, Partitions::ALL, is_replay)
}

/// The same for some partitions only.
pub fn recover_some(
    ledger: &ReaderOf<LedgerOffset>,
    partitions: Partitions,
    is_replay: impl Fn(ReplayId) -> bool,
) -> Result<Recovered, ReadError> {
    let end = ledger.end();
    // Without a checkpoint, from what retention has left. A later beginning than 0 means that settlements may be
    // missing.
    let begin = checkpoint_of(ledger, partitions)?.unwrap_or_default().max(ledger.first());
    let mut recovered = Recovered { is_whole: begin == LedgerOffset::FIRST, ..Recovered::default() };
    // The records before the checkpoints change nothing that the checkpoints say (`before`).
    let mut from = (begin - ON_THE_WAY).max(ledger.first());
    let mut reading = Reading { partitions, is_replay, checkpoint: None, lately: Lately::default() };
    while from < end {
        let batch = ledger.read(from, BATCH_RECORDS, BATCH_BYTES)?;
        let lost = |range: &Range<u64>| range.end.saturating_sub(range.start.max(begin.0));
        recovered.unreadable += batch.damaged.iter().map(|damage| lost(&damage.offsets)).sum::<u64>();
        for record in &batch.records {
            let counts = u64::from(record.offset >= begin);
            recovered.records += counts;
            match LedgerRecord::decode(&record.payload) {
                Ok(decoded) => recovered.apply(decoded, Filing::of(record), &mut reading),
                Err(_) => recovered.unreadable += counts,
            }
        }
        if batch.next <= from {
            break;
        }
        from = batch.next;
    }
    recovered.queues.values_mut().for_each(RecoveredQueue::finish);
    Ok(recovered)
}

/// The last checkpoint of a partition.
#[derive(Debug, Clone, Copy)]
struct Covered {
    /// All events below this offset had been routed.
    router: EventOffset,
    /// The ledger offset of the checkpoint's first record.
    at: LedgerOffset,
}

/// The state while the ledger is read.
struct Reading<R> {
    partitions: Partitions,
    is_replay: R,
    /// The checkpoint whose end has not been read yet. Its records are written in one batch, so there is only one at a time.
    checkpoint: Option<Checkpoint>,
    lately: Lately,
}

#[derive(Debug)]
struct Checkpoint {
    at: LedgerOffset,
    router: EventOffset,
    covers: Partitions,
    held: Vec<HeldEvent>,
    images: Vec<QueueImage>,
}

impl Recovered {
    /// At the last checkpoint of a partition, all events below this offset had been routed to its queues. `None`: no
    /// checkpoint covers it.
    #[must_use]
    pub fn routed(&self, partition: Partition) -> Option<EventOffset> {
        self.checkpoint(partition).map(|covered| covered.router)
    }

    /// Whether the last checkpoint of a hook's partition may not know the hook, because the hook was made after the checkpoint or
    /// while it was on its way to the disk. Such a hook is missing in the checkpoint although it may have unsettled events
    /// below the router's position: events that waited for its account. It begins at its own start, and what it has settled
    /// since then is known ([`Self::remember`]).
    #[must_use]
    pub(in crate::queues) fn is_newer(&self, hook: &Hook) -> bool {
        let checkpoint = self.checkpoint(Partition::of(hook.id));
        let margin = if hook.birth.is_late { ON_THE_WAY } else { 0 };
        checkpoint.is_some_and(|covered| hook.birth.ledger + margin > covered.at)
    }

    /// Adds what a hook settled before a checkpoint that may not know the hook.
    pub(in crate::queues) fn remember(&mut self, hook: &Hook) {
        let (id, partition) = (hook.id.into(), Partition::of(hook.id));
        let before = self.before.take(id);
        if before.is_empty()
            || !hook.birth.is_late
            || !self.is_newer(hook)
            || self.queues.get(&id).is_some_and(|queue| queue.placed)
        {
            return;
        }
        let queue = self.queue(id, partition);
        for (offset, fate) in before {
            queue.settle(offset, fate);
        }
        queue.finish();
    }

    fn checkpoint(&self, partition: Partition) -> Option<Covered> {
        self.checkpoints.get(partition.index()).copied().flatten()
    }

    /// Moves the queues of these partitions out. `hook_of` finds the hook of a replay whose partition is not known.
    #[must_use]
    pub fn take_out(&mut self, partitions: Partitions, hook_of: impl Fn(ReplayId) -> Option<HookId>) -> Self {
        let mut own = Self { is_whole: self.is_whole, ..Self::default() };
        for partition in partitions.iter() {
            own.set_checkpoint(partition, self.checkpoint(partition));
        }
        for (id, mut queue) in std::mem::take(&mut self.queues) {
            let of = || Partition::of(hook_of(id.as_replay()).unwrap_or(id.as_hook()));
            let partition = queue.image.partition.unwrap_or_else(of);
            queue.image.partition = Some(partition);
            let of = if partitions.contains(partition) { &mut own } else { &mut *self };
            of.queues.insert(id, queue);
        }
        own.before = self.before.take_out(partitions);
        for (offset, event) in &self.held {
            let awaited_by = event.awaited_by.within(partitions);
            if !awaited_by.is_empty() {
                own.held.insert(*offset, HeldEvent { awaited_by, ..*event });
            }
        }
        own
    }

    fn set_checkpoint(&mut self, partition: Partition, covered: Option<Covered>) {
        if let Some(checkpoint) = self.checkpoints.get_mut(partition.index()) {
            *checkpoint = covered;
        }
    }

    /// The accounts whose callflow webhooks have a queue in a checkpoint.
    pub(in crate::queues) fn one_shots(&self) -> Vec<AccountId> {
        self.queues.values().filter_map(|queue| queue.image.one_shot).collect()
    }

    /// Adds the queues of further partitions.
    pub(in crate::queues) fn extend(&mut self, partitions: Partitions, other: Self) {
        for partition in partitions.iter() {
            self.set_checkpoint(partition, other.checkpoint(partition));
        }
        // One part without its beginning is enough: a settlement may be missing, so no queue may begin at 0.
        self.is_whole &= other.is_whole;
        self.queues.extend(other.queues);
        self.before.extend(other.before);
    }

    /// Removes the queues of some partitions.
    pub(in crate::queues) fn forget(&mut self, partitions: Partitions) {
        self.queues.retain(|_, queue| !queue.image.partition.is_some_and(|of| partitions.contains(of)));
        self.before.forget(partitions);
    }

    /// All events that the ledger mentions are below this offset.
    #[must_use]
    pub fn known_end(&self) -> EventOffset {
        let of_queue = |queue: &RecoveredQueue| {
            let entries = queue.image.entries.iter().map(|(offset, _, _)| *offset);
            let past = queue.image.past.iter().map(|(offset, _)| *offset);
            let known = entries.chain(past).chain(queue.image.settled.iter().copied());
            known.map(|offset| offset + 1).max().unwrap_or_default().max(queue.image.next)
        };
        let routed =
            self.checkpoints.iter().flatten().map(|covered| covered.router).max().unwrap_or_default();
        self.queues.values().map(of_queue).max().unwrap_or_default().max(routed)
    }

    fn apply<R: Fn(ReplayId) -> bool>(
        &mut self,
        record: LedgerRecord,
        filing: Filing,
        reading: &mut Reading<R>,
    ) {
        let Filing { at, partition, written } = filing;
        // Records from before their partition's checkpoint are applied too. That does no harm: the end of that checkpoint is
        // read later, and drops what they have changed.
        let is_asked_for = reading.partitions.contains(partition);
        if is_asked_for {
            reading.lately.note(&record, filing);
        }
        match record {
            LedgerRecord::Attempt(attempt) if is_asked_for => {
                self.queue(attempt.queue, partition).attempted(&attempt, written);
            }
            LedgerRecord::Settled { queue, offset, how } if is_asked_for => {
                self.queue(queue, partition).settle(offset, how.fate());
            }
            LedgerRecord::Gap { queue, to, .. } if is_asked_for => self.queue(queue, partition).gap(to),
            LedgerRecord::Refreshed { queue } if is_asked_for => self.queue(queue, partition).refresh(),
            LedgerRecord::CheckpointBegin { router, covers, held } => {
                reading.checkpoint = Some(Checkpoint { at, router, covers, held, images: Vec::new() });
            }
            LedgerRecord::CheckpointQueue(image) => {
                if let Some(checkpoint) = &mut reading.checkpoint {
                    checkpoint.images.push(*image);
                }
            }
            LedgerRecord::CheckpointEnd { back } => {
                let is_whole = |c: &Checkpoint| c.images.len() as u64 + 1 == back;
                // An incomplete checkpoint changes nothing: everything before it still applies.
                if let Some(done) = reading.checkpoint.take().filter(is_whole) {
                    self.take(done, reading);
                }
            }
            // Records of other partitions, and records that only the API reads.
            LedgerRecord::Attempt(_)
            | LedgerRecord::Settled { .. }
            | LedgerRecord::Gap { .. }
            | LedgerRecord::Refreshed { .. }
            | LedgerRecord::HookRevision { .. } => {}
        }
    }

    /// A complete checkpoint replaces everything that was known about the partitions that it covers.
    fn take<R: Fn(ReplayId) -> bool>(&mut self, done: Checkpoint, reading: &Reading<R>) {
        let covers = done.covers.within(reading.partitions);
        let is_all = done.covers == Partitions::ALL;
        // A queue without a partition is from a checkpoint of an earlier version. It goes if it certainly belongs to a
        // covered partition. A replay may belong to any, so it stays until a checkpoint covers all.
        self.queues.retain(|id, queue| match queue.image.partition {
            Some(of) => !covers.contains(of),
            None => {
                !is_all
                    && ((reading.is_replay)(id.as_replay()) || !covers.contains(Partition::of(id.as_hook())))
            }
        });
        self.before.forget(covers);
        self.before.extend(reading.lately.of(covers));
        for partition in covers.iter() {
            self.set_checkpoint(partition, Some(Covered { router: done.router, at: done.at }));
        }
        // An event is awaited by those partitions whose last checkpoint holds it.
        for event in self.held.values_mut() {
            event.awaited_by = event.awaited_by.without(covers);
        }
        for event in done.held {
            let awaited_by = event.awaited_by.within(covers);
            let known = self.held.entry(event.offset);
            let known = known.or_insert(HeldEvent { awaited_by: Partitions::NONE, ..event });
            known.awaited_by = known.awaited_by.with(awaited_by);
        }
        self.held.retain(|_, event| !event.awaited_by.is_empty());
        let is_of_them = |of: Partition| covers.contains(of);
        let images = done.images.into_iter().filter(|image| image.partition.is_none_or(is_of_them));
        self.queues.extend(images.map(|image| (image.queue, RecoveredQueue::placed(image))));
    }

    fn queue(&mut self, id: QueueId, partition: Partition) -> &mut RecoveredQueue {
        let queue = self.queues.entry(id).or_insert_with(|| RecoveredQueue::unplaced(id));
        queue.image.partition = Some(partition);
        queue
    }
}

#[cfg(test)]
#[path = "recover_tests.rs"]
mod tests;
