//! What the ledger says of every queue at start: for each partition the last complete checkpoint that covers it, and what
//! was written after that one.
//!
//! Several shards write checkpoints of their own partitions into one ledger. Whatever their number was then, each
//! partition is put together from what covers it. Only the ledger is read.

use std::collections::{BTreeMap, HashSet};

use super::checkpoints::checkpoint_of;
use super::record::{AttemptRecord, Ending, HeldEvent, LedgerRecord, Outcome, QueueImage};
use crate::log::{ReadError, Reader};
use crate::model::{AccountId, Id};
use crate::queues::queue::entry::Past;
use crate::queues::rules::fate::Fate;
use crate::queues::rules::partitions::{COUNT, Partition, Partitions};
use crate::queues::rules::policy::time_asked_for;

const BATCH_RECORDS: usize = 4096;
const BATCH_BYTES: usize = 1 << 20;

/// One queue, as of the ledger's end.
#[derive(Debug, Clone, Default)]
pub struct RecoveredQueue {
    /// The checkpoint's image, brought up to date.
    pub image: QueueImage,
    /// Whether a checkpoint named this queue; otherwise `image.next` means nothing. `image.partition` is `None` only when
    /// nothing but a checkpoint of an earlier version names it.
    pub placed: bool,
    past: BTreeMap<u64, Past>,
    settled: HashSet<u64>,
}

/// Every queue, as of the ledger's end.
#[derive(Debug, Clone)]
pub struct Recovered {
    /// By partition: everything below this offset had been routed at its last checkpoint. `None`: there is none.
    routed: [Option<u64>; COUNT],
    /// Whether the ledger was read from its very beginning, so that nothing was settled that it does not name.
    pub is_whole: bool,
    /// Events below those offsets that waited for their account then, in the order of the log.
    pub held: BTreeMap<u64, HeldEvent>,
    /// By queue, in an order that is the same in every start.
    pub queues: BTreeMap<Id, RecoveredQueue>,
    /// Records read.
    pub records: u64,
    /// Records that were damaged or did not decode; each is a delivery that may be repeated.
    pub unreadable: u64,
}

impl Default for Recovered {
    fn default() -> Self {
        Self {
            routed: [None; COUNT],
            is_whole: false,
            held: BTreeMap::new(),
            queues: BTreeMap::new(),
            records: 0,
            unreadable: 0,
        }
    }
}

/// Reads the ledger from the last complete checkpoints to its end. `is_replay` tells the replays of checkpoints of
/// earlier versions, which do not say to which partition they belong.
pub fn recover(ledger: &Reader, is_replay: impl Fn(Id) -> bool) -> Result<Recovered, ReadError> {
    recover_some(ledger, Partitions::ALL, is_replay)
}

/// The same for some partitions only.
pub fn recover_some(
    ledger: &Reader,
    partitions: Partitions,
    is_replay: impl Fn(Id) -> bool,
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
                Ok(decoded) => recovered.apply(decoded, (record.tag, record.time_us), &mut reading),
                Err(_) => recovered.unreadable += 1,
            }
        }
        if batch.next <= from {
            break;
        }
        from = batch.next;
    }
    for queue in recovered.queues.values_mut() {
        queue.image.settled.extend(queue.settled.drain());
        queue.image.settled.sort_unstable();
        queue.image.past.extend(std::mem::take(&mut queue.past));
    }
    Ok(recovered)
}

/// What is known while the ledger is read.
struct Reading<R> {
    partitions: Partitions,
    is_replay: R,
    /// The checkpoint that has begun. Its records follow each other, so there is one at a time.
    checkpoint: Option<Checkpoint>,
}

#[derive(Debug)]
struct Checkpoint {
    router: u64,
    covers: Partitions,
    held: Vec<HeldEvent>,
    images: Vec<QueueImage>,
}

impl Recovered {
    /// Below this offset everything had been routed to the queues of a partition at its last checkpoint; `None`: it has
    /// none.
    #[must_use]
    pub fn routed(&self, partition: Partition) -> Option<u64> {
        self.routed.get(partition.index()).copied().flatten()
    }

    /// Takes out what is of these partitions. `hook_of` tells the hooks of replays of which nothing else is known.
    #[must_use]
    pub fn take_out(&mut self, partitions: Partitions, hook_of: impl Fn(Id) -> Option<Id>) -> Self {
        let mut own = Self { is_whole: self.is_whole, ..Self::default() };
        for partition in partitions.iter() {
            own.set_routed(partition, self.routed(partition));
        }
        for (id, mut queue) in std::mem::take(&mut self.queues) {
            let of = || Partition::of(hook_of(id).unwrap_or(id));
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

    fn set_routed(&mut self, partition: Partition, routed: Option<u64>) {
        if let Some(place) = self.routed.get_mut(partition.index()) {
            *place = routed;
        }
    }

    /// The accounts whose callflow webhooks have a queue, as far as checkpoints name them.
    pub(in crate::queues) fn one_shots(&self) -> Vec<AccountId> {
        self.queues.values().filter_map(|queue| queue.image.one_shot).collect()
    }

    /// Takes what is known of further partitions.
    pub(in crate::queues) fn extend(&mut self, partitions: Partitions, other: Self) {
        for partition in partitions.iter() {
            self.set_routed(partition, other.routed(partition));
        }
        self.is_whole &= other.is_whole;
        self.queues.extend(other.queues);
    }

    /// Forgets what is known of some partitions.
    pub(in crate::queues) fn forget(&mut self, partitions: Partitions) {
        self.queues.retain(|_, queue| !queue.image.partition.is_some_and(|of| partitions.contains(of)));
    }

    /// Every event that the ledger knows of has an offset below this.
    #[must_use]
    pub fn known_end(&self) -> u64 {
        let of_queue = |queue: &RecoveredQueue| {
            let entries = queue.image.entries.iter().map(|(offset, _, _)| *offset);
            let past = queue.image.past.iter().map(|(offset, _)| *offset);
            let known = entries.chain(past).chain(queue.image.settled.iter().copied());
            known.map(|offset| offset.saturating_add(1)).max().unwrap_or(0).max(queue.image.next)
        };
        let routed = self.routed.iter().flatten().copied().max().unwrap_or(0);
        self.queues.values().map(of_queue).max().unwrap_or(0).max(routed)
    }

    fn apply<R: Fn(Id) -> bool>(
        &mut self,
        record: LedgerRecord,
        (tag, time_us): (u64, u64),
        reading: &mut Reading<R>,
    ) {
        let partition = Partition::of_tag(tag);
        let is_asked_for = reading.partitions.contains(partition);
        match record {
            LedgerRecord::Attempt(attempt) if is_asked_for => {
                self.queue(attempt.queue, partition).attempted(&attempt, time_us);
            }
            LedgerRecord::Settled { queue, offset, how } if is_asked_for => {
                self.queue(queue, partition).settle(offset, how.fate());
            }
            LedgerRecord::Gap { queue, to, .. } if is_asked_for => self.queue(queue, partition).gap(to),
            LedgerRecord::Refreshed { queue } if is_asked_for => self.queue(queue, partition).refresh(),
            LedgerRecord::CheckpointBegin { router, covers, held } => {
                reading.checkpoint = Some(Checkpoint { router, covers, held, images: Vec::new() });
            }
            LedgerRecord::CheckpointQueue(image) => {
                if let Some(checkpoint) = &mut reading.checkpoint {
                    checkpoint.images.push(*image);
                }
            }
            LedgerRecord::CheckpointEnd { back } => {
                let is_whole = |c: &Checkpoint| c.images.len() as u64 + 1 == back;
                if let Some(done) = reading.checkpoint.take().filter(is_whole) {
                    self.take(done, reading);
                }
            }
            // Other partitions' records, and what is only read for rows of attempts.
            LedgerRecord::Attempt(_)
            | LedgerRecord::Settled { .. }
            | LedgerRecord::Gap { .. }
            | LedgerRecord::Refreshed { .. }
            | LedgerRecord::HookRevision { .. } => {}
        }
    }

    /// What a checkpoint says of its partitions takes the place of all that was known of them.
    fn take<R: Fn(Id) -> bool>(&mut self, done: Checkpoint, reading: &Reading<R>) {
        let covers = done.covers.within(reading.partitions);
        let is_all = done.covers == Partitions::ALL;
        self.queues.retain(|id, queue| match queue.image.partition {
            Some(of) => !covers.contains(of),
            None => !is_all && ((reading.is_replay)(*id) || !covers.contains(Partition::of(*id))),
        });
        for partition in covers.iter() {
            self.set_routed(partition, Some(done.router));
        }
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

    fn queue(&mut self, id: Id, partition: Partition) -> &mut RecoveredQueue {
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

    fn attempted(&mut self, attempt: &AttemptRecord, time_us: u64) {
        if !matches!(attempt.outcome, Outcome::Delivered | Outcome::Shadow) && counts(&attempt.ending) {
            self.image.failures.push(time_us);
            let counted = self.image.failures.len().saturating_sub(64);
            self.image.failures.drain(..counted);
        }
        match attempt.outcome.fate() {
            Some(fate) => self.settle(attempt.offset, fate),
            None => self.failed(attempt, time_us),
        }
        let is_gone = matches!(attempt.ending, Ending::Answered(ref r) if r.status == 410);
        if is_gone && attempt.outcome != Outcome::Shadow {
            self.image.failures.clear();
        }
    }

    fn failed(&mut self, attempt: &AttemptRecord, time_us: u64) {
        let entry = self.image.entries.iter_mut().find(|(offset, _, _)| *offset == attempt.offset);
        let past = match entry {
            Some((_, _, past)) => past,
            None => self.past.entry(attempt.offset).or_default(),
        };
        past.attempts = attempt.attempt;
        past.due_us = attempt.due_us;
        past.tries = match attempt.outcome {
            Outcome::Held => 0,
            // Whether the hook works is not known after a restart: a suspect gets one more try.
            Outcome::Suspect => attempt.tries.saturating_sub(1),
            _ => attempt.tries,
        };
        past.first_failed_us = past.first_failed_us.or(Some(time_us));
    }

    fn settle(&mut self, offset: u64, fate: Fate) {
        self.image.waiting = self.image.waiting.saturating_sub(1);
        self.image.totals.count(fate);
        self.past.remove(&offset);
        let before = self.image.entries.len();
        self.image.entries.retain(|(o, _, _)| *o != offset);
        if self.image.entries.len() == before {
            self.settled.insert(offset);
        }
    }

    fn refresh(&mut self) {
        self.image.failures.clear();
        let entries = self.image.entries.iter_mut().map(|(_, _, past)| past);
        for past in entries.chain(self.past.values_mut()) {
            *past = Past { attempts: past.attempts, ..Past::default() };
        }
    }

    fn gap(&mut self, to: u64) {
        // What was in memory then is tried and found to be gone, one by one: that is how it is settled and counted.
        self.image.next = self.image.next.max(to);
        self.past = self.past.split_off(&to);
        self.image.spilled.iter_mut().for_each(|(_, from)| *from = (*from).max(to));
    }
}

#[cfg(test)]
#[path = "recover_tests.rs"]
mod tests;
