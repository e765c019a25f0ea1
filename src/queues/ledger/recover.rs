//! Restores every queue from the ledger at a start: from the last complete checkpoint that covers its partition, and all
//! records after that checkpoint.
//!
//! Several shards write checkpoints of their own partitions into the same ledger. A start takes each partition from the
//! checkpoint that covers it, so the number of shards may differ from the time before. Nothing but the ledger is read.

use std::collections::{BTreeMap, HashSet};

use super::checkpoints::checkpoint_of;
use super::record::{AttemptRecord, Ending, HeldEvent, LedgerRecord, Outcome, QueueImage};
use crate::log::{ReadError, Reader, Record};
use crate::model::{AccountId, Hook, HookId, Moment, QueueId, ReplayId, WallTime};
use crate::queues::queue::window::Past;
use crate::queues::rules::fate::Fate;
use crate::queues::rules::partitions::{COUNT, Partition, Partitions};
use crate::queues::rules::policy::time_asked_for;

/// The records and bytes of one read.
const BATCH_RECORDS: usize = 4096;
const BATCH_BYTES: usize = 1 << 20;

/// A queue, as of the ledger's end.
#[derive(Debug, Clone, Default)]
pub struct RecoveredQueue {
    /// The image from the checkpoint, with all later records applied.
    pub image: QueueImage,
    /// Whether a checkpoint contains this queue. Otherwise `image.next` has no meaning. `image.partition` is `None` only if
    /// the queue is known from a checkpoint of an earlier version alone.
    pub placed: bool,
    past: BTreeMap<u64, Past>,
    settled: HashSet<u64>,
}

/// All queues, as of the ledger's end.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// By partition, its last checkpoint. `None`: no checkpoint covers it.
    checkpoints: [Option<Covered>; COUNT],
    /// Whether the ledger was read from its very beginning, so that it contains every settlement.
    pub is_whole: bool,
    /// Events below those offsets that waited for their accounts then, in the order of the log.
    pub held: BTreeMap<u64, HeldEvent>,
    /// The queues, in the same order in every start.
    pub queues: BTreeMap<QueueId, RecoveredQueue>,
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
            records: 0,
            unreadable: 0,
        }
    }
}

/// Reads the ledger from the last complete checkpoints to its end. `is_replay` recognises replays in checkpoints of earlier
/// versions, which do not store the partition of a queue: the partition of a replay does not follow from its id.
pub fn recover(ledger: &Reader, is_replay: impl Fn(ReplayId) -> bool) -> Result<Recovered, ReadError> {
    recover_some(ledger, Partitions::ALL, is_replay)
}

/// The same for some partitions only.
pub fn recover_some(
    ledger: &Reader,
    partitions: Partitions,
    is_replay: impl Fn(ReplayId) -> bool,
) -> Result<Recovered, ReadError> {
    let end = ledger.end();
    let mut from = checkpoint_of(ledger, partitions)?.unwrap_or(0).max(ledger.first());
    let mut recovered = Recovered { is_whole: from == 0, ..Recovered::default() };
    let mut reading = Reading { partitions, is_replay, checkpoint: None };
    while from < end {
        let batch = ledger.read(from, BATCH_RECORDS, BATCH_BYTES)?;
        recovered.unreadable += batch.damaged.iter().map(|d| d.offsets.end - d.offsets.start).sum::<u64>();
        for record in &batch.records {
            recovered.records += 1;
            match LedgerRecord::decode(&record.payload) {
                Ok(decoded) => recovered.apply(decoded, Filing::of(record), &mut reading),
                Err(_) => recovered.unreadable += 1,
            }
        }
        if batch.next <= from {
            break;
        }
        from = batch.next;
    }
    // While records are applied, settlements and pasts are looked up by offset. An image has them as lists.
    for queue in recovered.queues.values_mut() {
        queue.image.settled.extend(queue.settled.drain());
        queue.image.settled.sort_unstable();
        queue.image.past.extend(std::mem::take(&mut queue.past));
    }
    Ok(recovered)
}

/// The last checkpoint of a partition.
#[derive(Debug, Clone, Copy)]
struct Covered {
    /// All events below this offset had been routed.
    router: u64,
    /// The ledger offset of the checkpoint's first record.
    at: u64,
}

/// Where in the ledger a record is, and when it was written.
#[derive(Debug, Clone, Copy)]
struct Filing {
    at: u64,
    partition: Partition,
    written: Moment,
}

impl Filing {
    fn of(record: &Record) -> Self {
        let written = Moment::recorded_at(WallTime::from_micros(record.time_us));
        Self { at: record.offset, partition: Partition::of_tag(record.tag), written }
    }
}

/// The state while the ledger is read.
struct Reading<R> {
    partitions: Partitions,
    is_replay: R,
    /// The checkpoint whose end has not been read yet. Its records are written in one batch, so there is only one at a time.
    checkpoint: Option<Checkpoint>,
}

#[derive(Debug)]
struct Checkpoint {
    at: u64,
    router: u64,
    covers: Partitions,
    held: Vec<HeldEvent>,
    images: Vec<QueueImage>,
}

impl Recovered {
    /// At the last checkpoint of a partition, all events below this offset had been routed to its queues. `None`: no
    /// checkpoint covers it.
    #[must_use]
    pub fn routed(&self, partition: Partition) -> Option<u64> {
        self.checkpoint(partition).map(|covered| covered.router)
    }

    /// Whether a hook was made after the last checkpoint of its partition. Such a hook is missing in the checkpoint although it
    /// may have unsettled events below the router's position: events that waited for its account.
    #[must_use]
    pub(in crate::queues) fn is_newer(&self, hook: &Hook) -> bool {
        let checkpoint = self.checkpoint(Partition::of(hook.id));
        checkpoint.is_some_and(|covered| hook.birth.ledger > covered.at)
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
    }

    /// Removes the queues of some partitions.
    pub(in crate::queues) fn forget(&mut self, partitions: Partitions) {
        self.queues.retain(|_, queue| !queue.image.partition.is_some_and(|of| partitions.contains(of)));
    }

    /// All events that the ledger mentions are below this offset.
    #[must_use]
    pub fn known_end(&self) -> u64 {
        let of_queue = |queue: &RecoveredQueue| {
            let entries = queue.image.entries.iter().map(|(offset, _, _)| *offset);
            let past = queue.image.past.iter().map(|(offset, _)| *offset);
            let known = entries.chain(past).chain(queue.image.settled.iter().copied());
            known.map(|offset| offset.saturating_add(1)).max().unwrap_or(0).max(queue.image.next)
        };
        let routed = self.checkpoints.iter().flatten().map(|covered| covered.router).max().unwrap_or(0);
        self.queues.values().map(of_queue).max().unwrap_or(0).max(routed)
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
        let queue = self.queues.entry(id).or_insert_with(|| RecoveredQueue {
            image: QueueImage { queue: id, ..QueueImage::default() },
            ..RecoveredQueue::default()
        });
        queue.image.partition = Some(partition);
        queue
    }
}

/// Whether a failure counts towards disabling the hook.
fn counts(ending: &Ending) -> bool {
    match ending {
        Ending::Answered(response) => time_asked_for(response).is_none(),
        Ending::Failed(_) => true,
        Ending::Ours(_) | Ending::Unsendable(_) | Ending::NotSent => false,
    }
}

impl RecoveredQueue {
    fn placed(mut image: QueueImage) -> Self {
        let (settled, past) = (image.settled.drain(..).collect(), image.past.drain(..).collect());
        Self { image, placed: true, past, settled }
    }

    fn attempted(&mut self, attempt: &AttemptRecord, written: Moment) {
        if !matches!(attempt.outcome, Outcome::Delivered | Outcome::Shadow) && counts(&attempt.ending) {
            self.image.failures.push(written);
            // No limit of failures is larger.
            let counted = self.image.failures.len().saturating_sub(64);
            self.image.failures.drain(..counted);
        }
        match attempt.outcome.fate() {
            Some(fate) => self.settle(attempt.offset, fate),
            None => self.failed(attempt, written),
        }
        // A 410 disables the hook, which forgets its failures.
        let is_gone = matches!(attempt.ending, Ending::Answered(ref r) if r.status == 410);
        if is_gone && attempt.outcome != Outcome::Shadow {
            self.image.failures.clear();
        }
    }

    fn failed(&mut self, attempt: &AttemptRecord, written: Moment) {
        let entry = self.image.entries.iter_mut().find(|(offset, _, _)| *offset == attempt.offset);
        let past = match entry {
            Some((_, _, past)) => past,
            None => self.past.entry(attempt.offset).or_default(),
        };
        past.attempts = attempt.attempt;
        past.due = attempt.due;
        past.tries = match attempt.outcome {
            // The hook was disabled, so the delivery will have new tries.
            Outcome::Held => 0,
            // Nobody knows after a restart whether the hook works, so a suspect gets one more try.
            Outcome::Suspect => attempt.tries.saturating_sub(1),
            _ => attempt.tries,
        };
        past.first_failed = past.first_failed.or(Some(written));
    }

    fn settle(&mut self, offset: u64, fate: Fate) {
        // The count may become negative: the delivery may be one that has not been counted yet.
        self.image.waiting = self.image.waiting.saturating_sub(1);
        self.image.totals.count(fate);
        self.past.remove(&offset);
        let before = self.image.entries.len();
        self.image.entries.retain(|(o, _, _)| *o != offset);
        // An entry is simply gone. Any other delivery will be met again in the log, and must then be known as settled.
        if self.image.entries.len() == before {
            self.settled.insert(offset);
        }
    }

    fn refresh(&mut self) {
        self.image.failures.clear();
        let entries = self.image.entries.iter_mut().map(|(_, _, past)| past);
        for past in entries.chain(self.past.values_mut()) {
            // The number of an attempt counts on across new tries, because receivers see it (`X-Attempt`).
            *past = Past { attempts: past.attempts, ..Past::default() };
        }
    }

    fn gap(&mut self, to: u64) {
        // Entries before the gap stay. Each of them is attempted, its event is found missing, and so it is settled and
        // counted as expired.
        self.image.next = self.image.next.max(to);
        self.past = self.past.split_off(&to);
        self.image.spilled.iter_mut().for_each(|(_, from)| *from = (*from).max(to));
    }
}

#[cfg(test)]
#[path = "recover_tests.rs"]
mod tests;
