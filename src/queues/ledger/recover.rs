//! What the ledger says of every queue at start: the last complete checkpoint, and what was written after it.
//!
//! Only the ledger is read: nothing here rests on the index of the state.

use std::collections::{BTreeMap, HashSet};

use super::record::{
    AttemptRecord, CHECKPOINT_END_TAG, Ending, HeldEvent, LedgerRecord, Outcome, QueueImage,
};
use crate::log::{ReadError, Reader};
use crate::model::Id;
use crate::queues::queue::entry::Past;
use crate::queues::rules::fate::Fate;
use crate::queues::rules::policy::time_asked_for;

const BATCH_RECORDS: usize = 4096;
const BATCH_BYTES: usize = 1 << 20;

/// One queue, as of the ledger's end.
#[derive(Debug, Clone, Default)]
pub struct RecoveredQueue {
    /// The checkpoint's image, brought up to date.
    pub image: QueueImage,
    /// Whether a checkpoint named this queue; otherwise `image.next` means nothing.
    pub placed: bool,
    past: BTreeMap<u64, Past>,
    settled: HashSet<u64>,
}

/// Every queue, as of the ledger's end.
#[derive(Debug, Clone, Default)]
pub struct Recovered {
    /// The router had routed everything below this offset at the last checkpoint.
    pub router: u64,
    /// Whether there was a checkpoint at all.
    pub has_checkpoint: bool,
    /// Whether the ledger was read from its very beginning, so that nothing was settled that it does not name.
    pub is_whole: bool,
    /// Events below `router` that waited for their account then.
    pub held: Vec<HeldEvent>,
    /// By queue, in an order that is the same in every start.
    pub queues: BTreeMap<Id, RecoveredQueue>,
    /// Records read.
    pub records: u64,
    /// Records that were damaged or did not decode; each is a delivery that may be repeated.
    pub unreadable: u64,
}

/// The ledger offset at which the last complete checkpoint begins. One with a damaged record is passed by: a queue
/// that it does not name would count as one that has nothing left to do.
pub fn last_checkpoint(ledger: &Reader) -> Result<Option<u64>, ReadError> {
    let mut before = ledger.end();
    loop {
        let last = ledger.read_tags_back(&[CHECKPOINT_END_TAG], before, 1)?;
        before = last.next;
        let Some(last) = last.records.first() else {
            if last.damaged.is_empty() {
                return Ok(None);
            }
            // One that is damaged is passed by, too.
            continue;
        };
        let Ok(LedgerRecord::CheckpointEnd { back }) = LedgerRecord::decode(&last.payload) else { continue };
        let begin = last.offset.saturating_sub(back);
        if is_whole(ledger, begin, last.offset)? {
            return Ok(Some(begin));
        }
        tracing::error!(
            begin,
            end = last.offset,
            "a checkpoint of the ledger is damaged; an earlier one is used"
        );
    }
}

/// Whether every record of a checkpoint before its last one is there and is what it should be.
fn is_whole(ledger: &Reader, begin: u64, end: u64) -> Result<bool, ReadError> {
    let mut at = begin;
    while at < end {
        let batch = ledger.read(at, BATCH_RECORDS, BATCH_BYTES)?;
        for record in batch.records.iter().take_while(|record| record.offset < end) {
            let is_part = match LedgerRecord::decode(&record.payload) {
                Ok(LedgerRecord::CheckpointBegin { .. }) => record.offset == begin,
                Ok(LedgerRecord::CheckpointQueue(_)) => record.offset > begin,
                _ => false,
            };
            if !is_part || record.offset != at {
                return Ok(false);
            }
            at += 1;
        }
        if at < end && (batch.next != at || batch.records.is_empty()) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Reads the ledger from its last complete checkpoint to its end.
pub fn recover(ledger: &Reader) -> Result<Recovered, ReadError> {
    let end = ledger.end();
    let mut from = last_checkpoint(ledger)?.unwrap_or(0).max(ledger.first());
    let mut recovered = Recovered { is_whole: from == 0, ..Recovered::default() };
    let mut checkpoint: Option<Checkpoint> = None;
    while from < end {
        let batch = ledger.read(from, BATCH_RECORDS, BATCH_BYTES)?;
        recovered.unreadable += batch.damaged.iter().map(|d| d.offsets.end - d.offsets.start).sum::<u64>();
        for record in &batch.records {
            recovered.records += 1;
            match LedgerRecord::decode(&record.payload) {
                Ok(decoded) => recovered.apply(decoded, record.time_us, &mut checkpoint),
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

#[derive(Debug)]
struct Checkpoint {
    router: u64,
    held: Vec<HeldEvent>,
    images: Vec<QueueImage>,
}

impl Recovered {
    /// Every event that the ledger knows of has an offset below this.
    #[must_use]
    pub fn known_end(&self) -> u64 {
        let of_queue = |queue: &RecoveredQueue| {
            let entries = queue.image.entries.iter().map(|(offset, _, _)| *offset);
            let past = queue.image.past.iter().map(|(offset, _)| *offset);
            let known = entries.chain(past).chain(queue.image.settled.iter().copied());
            known.map(|offset| offset.saturating_add(1)).max().unwrap_or(0).max(queue.image.next)
        };
        self.queues.values().map(of_queue).max().unwrap_or(0).max(self.router)
    }

    fn apply(&mut self, record: LedgerRecord, time_us: u64, checkpoint: &mut Option<Checkpoint>) {
        match record {
            LedgerRecord::Attempt(attempt) => self.queue(attempt.queue).attempted(&attempt, time_us),
            LedgerRecord::Settled { queue, offset, how } => {
                self.queue(queue).settle(offset, how.fate());
            }
            LedgerRecord::Gap { queue, to, .. } => self.queue(queue).gap(to),
            LedgerRecord::Refreshed { queue } => self.queue(queue).refresh(),
            // Only read for rows of attempts.
            LedgerRecord::HookRevision { .. } => {}
            LedgerRecord::CheckpointBegin { router, held } => {
                *checkpoint = Some(Checkpoint { router, held, images: Vec::new() });
            }
            LedgerRecord::CheckpointQueue(image) => {
                if let Some(checkpoint) = checkpoint {
                    checkpoint.images.push(*image);
                }
            }
            LedgerRecord::CheckpointEnd { back } => {
                let is_whole = |c: &Checkpoint| c.images.len() as u64 + 1 == back;
                if let Some(done) = checkpoint.take().filter(is_whole) {
                    self.router = done.router;
                    self.held = done.held;
                    self.has_checkpoint = true;
                    self.queues =
                        done.images.into_iter().map(|i| (i.queue, RecoveredQueue::placed(i))).collect();
                }
            }
        }
    }

    fn queue(&mut self, id: Id) -> &mut RecoveredQueue {
        self.queues.entry(id).or_insert_with(|| RecoveredQueue {
            image: QueueImage { queue: id, ..QueueImage::default() },
            ..RecoveredQueue::default()
        })
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
        if past.first_failed_us == 0 {
            past.first_failed_us = time_us;
        }
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
mod tests {
    use super::*;
    use crate::model::{OwnFault, Response, TransportError};

    fn failed(offset: u64, tries: u16) -> LedgerRecord {
        LedgerRecord::Attempt(AttemptRecord {
            queue: Id(1),
            offset,
            attempt: tries,
            tries,
            tries_left: 1,
            outcome: Outcome::Retry,
            ending: Ending::Failed(TransportError::Refused.into()),
            duration_us: 1,
            due_us: 99,
            generation: Some(1),
            sent: None,
            phases: crate::model::Phases::default(),
        })
    }

    fn recovered(records: impl IntoIterator<Item = LedgerRecord>) -> RecoveredQueue {
        let mut recovered = Recovered::default();
        for (time_us, record) in (1..).zip(records) {
            let written = LedgerRecord::decode(&record.encode()).unwrap();
            recovered.apply(written, time_us, &mut None);
        }
        recovered.queues.remove(&Id(1)).unwrap()
    }

    #[test]
    fn neither_our_own_faults_nor_a_receiver_that_asks_for_time_count_after_a_restart() {
        let busy = Response { status: 429, retry_after_ms: Some(1_000), ..Response::default() };
        let with = |ending| match failed(5, 1) {
            LedgerRecord::Attempt(attempt) => LedgerRecord::Attempt(AttemptRecord { ending, ..attempt }),
            other => other,
        };
        let queue =
            recovered([with(Ending::Ours(OwnFault::NoFile)), with(Ending::Answered(busy)), failed(6, 1)]);
        assert_eq!(queue.image.failures, [3]);
    }

    #[test]
    fn failures_from_before_a_hook_was_enabled_again_do_not_count_after_a_restart() {
        let queue =
            recovered([failed(5, 1), failed(6, 1), LedgerRecord::Refreshed { queue: Id(1) }, failed(6, 1)]);
        assert_eq!(queue.image.failures, [4]);
        assert_eq!(queue.past[&5], Past { attempts: 1, ..Past::default() });
        assert_eq!((queue.past[&6].tries, queue.past[&6].due_us), (1, 99));
    }
}
