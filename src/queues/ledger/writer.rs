//! The writing side of the ledger: records are gathered over one turn of the engine and handed to the log as
//! one batch; several batches may wait for their sync. What the log refuses because the disk is full is kept
//! and offered again, and until it is taken no attempt is started.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::oneshot;

use super::record::{CHECKPOINT_END_TAG, CHECKPOINT_TAG, HeldEvent, LedgerRecord, QueueImage};
use super::tally::Tally;
use crate::log::{AppendError, Appender, NewRecord};
use crate::queues::rules::partitions::Partitions;

const MAX_WAITING: usize = 64;
/// Few records wait this long before they are handed to the log together: soon enough for a person who looks at a list, and
/// at a steady pace several deliveries share a sync.
const GATHER_FEW: Duration = Duration::from_millis(8);
/// Many wait this long, or until they are `GATHER_RECORDS`. With a millisecond, syncs were a tenth of a delivery's CPU. A crash
/// repeats what waited.
const GATHER: Duration = Duration::from_millis(5);
const FEW_RECORDS: usize = 16;
const GATHER_RECORDS: usize = 1024;
/// After a refusal for want of room, the time until records are offered again.
const AGAIN_US: u64 = 200_000;
/// Bytes of memory taken at a time for encoded records.
const MEMORY: usize = 16 << 10;

/// Why the ledger can take no more records.
#[derive(Debug, thiserror::Error)]
#[error("records cannot be written: {0}")]
pub struct LedgerError(AppendError);

type Answer = oneshot::Receiver<Result<std::ops::Range<u64>, AppendError>>;

/// Batches on their way to disk.
#[derive(Debug)]
pub(in crate::queues) struct Ledger {
    appender: Appender,
    batch: Vec<NewRecord>,
    /// Records share its memory, so that keeping a batch until it is synced costs no copy and no allocation each.
    memory: BytesMut,
    waiting: VecDeque<(Vec<NewRecord>, Answer)>,
    /// Batches that the log had no room for, in order. While there are any, no attempt may be started.
    refused: VecDeque<Vec<NewRecord>>,
    /// When they are offered again.
    again_us: u64,
    /// Records that all shards have pushed, and how many these were at the last checkpoint: what a start reads of the
    /// ledger begins with the oldest checkpoint that a partition needs.
    pushed: Pushed,
    checkpoint_at: u64,
    every: u64,
    /// Records that were pushed here, those of checkpoints included.
    taken: u64,
    stalled: bool,
    /// When the batch was first looked at with a record in it. `None`: it is empty.
    since_us: Option<u64>,
    tally: Arc<Tally>,
}

/// A checkpoint of some partitions.
#[derive(Debug)]
pub(in crate::queues) struct Checkpoint {
    /// The partitions.
    pub(in crate::queues) covers: Partitions,
    /// Everything below has been offered to their queues …
    pub(in crate::queues) router: u64,
    /// … but for these events, which wait for their accounts.
    pub(in crate::queues) held: Vec<HeldEvent>,
    /// Where their queues stand.
    pub(in crate::queues) images: Vec<QueueImage>,
}

/// How much has been pushed into the ledger, by all shards together. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Pushed(Arc<AtomicU64>);

impl Ledger {
    pub(in crate::queues) fn new(appender: Appender, tally: Arc<Tally>, pushed: Pushed) -> Self {
        let checkpoint_at = pushed.0.load(Ordering::Relaxed);
        Self {
            appender,
            batch: Vec::new(),
            memory: BytesMut::with_capacity(MEMORY),
            waiting: VecDeque::new(),
            refused: VecDeque::new(),
            again_us: 0,
            pushed,
            checkpoint_at,
            taken: 0,
            every: u64::MAX,
            stalled: false,
            since_us: None,
            tally,
        }
    }

    pub(in crate::queues) fn checkpoint_every(&mut self, records: u64) {
        self.every = records.max(1);
    }

    /// Whether the disk is too full for the ledger: no attempt may be started.
    pub(in crate::queues) fn stalled(&self) -> bool {
        self.stalled
    }

    pub(in crate::queues) fn push(&mut self, tag: u64, time_us: u64, record: &LedgerRecord) {
        self.pushed.0.fetch_add(1, Ordering::Relaxed);
        self.tally.note(time_us, record);
        self.put(tag, time_us, record);
    }

    fn put(&mut self, tag: u64, time_us: u64, record: &LedgerRecord) {
        let encoded = record.encode();
        if self.memory.capacity() < encoded.len() {
            self.memory = BytesMut::with_capacity(MEMORY.max(encoded.len()));
        }
        self.memory.extend_from_slice(&encoded);
        let payload = self.memory.split().freeze();
        self.batch.push(NewRecord { tag, flags: 0, time_us, payload });
        self.taken += 1;
    }

    /// When records are handed to the log next, if nothing else happens before: what is gathered, or what was refused.
    pub(in crate::queues) fn due(&self, now_us: u64) -> Option<Duration> {
        match (self.stalled, self.batch.is_empty()) {
            // What was offered again is answered soon.
            (true, _) if !self.waiting.is_empty() => Some(GATHER),
            (true, _) => Some(Duration::from_micros(self.again_us.saturating_sub(now_us))),
            (false, true) => None,
            (false, false) => Some(self.gathers()),
        }
    }

    /// How long what is gathered may wait.
    fn gathers(&self) -> Duration {
        if self.batch.len() < FEW_RECORDS { GATHER_FEW } else { GATHER }
    }

    /// A mark behind all records that have been pushed so far.
    pub(in crate::queues) fn mark(&self) -> u64 {
        self.taken
    }

    /// Whether all records before a mark are on disk.
    pub(in crate::queues) fn has_synced(&self, mark: u64) -> bool {
        let waiting: usize = self.waiting.iter().map(|(batch, _)| batch.len()).sum();
        self.refused.is_empty() && mark + (self.batch.len() + waiting) as u64 <= self.taken
    }

    pub(in crate::queues) fn checkpoint_due(&self) -> bool {
        let since = self.pushed.0.load(Ordering::Relaxed).saturating_sub(self.checkpoint_at);
        since >= self.every && !self.stalled
    }

    /// Writes where the queues of some partitions stand. Its records follow each other in the log, whatever other shards
    /// write: a batch is written as a whole.
    pub(in crate::queues) fn checkpoint(&mut self, checkpoint: Checkpoint, time_us: u64) {
        let Checkpoint { covers, router, held, images } = checkpoint;
        let count = images.len() as u64;
        // Longer after a large one, so that checkpoints stay a small part of what is written.
        self.every = self.every.max(count * 4);
        self.checkpoint_at = self.pushed.0.load(Ordering::Relaxed);
        self.put(CHECKPOINT_TAG, time_us, &LedgerRecord::CheckpointBegin { router, covers, held });
        for image in images {
            self.put(CHECKPOINT_TAG, time_us, &LedgerRecord::CheckpointQueue(Box::new(image)));
        }
        self.put(CHECKPOINT_END_TAG, time_us, &LedgerRecord::CheckpointEnd { back: count + 1 });
    }

    /// Hands the batch to the log; with `wait` all of it is on disk when this returns.
    pub(in crate::queues) async fn flush(&mut self, now_us: u64, wait: bool) -> Result<(), LedgerError> {
        if self.stalled && (wait || (self.waiting.is_empty() && now_us >= self.again_us)) {
            self.again_us = now_us + AGAIN_US;
            while let Some(batch) = self.refused.pop_front() {
                self.submit(batch).await?;
            }
        }
        self.since_us = self.since_us.or(Some(now_us)).filter(|_| !self.batch.is_empty());
        let since_us = self.since_us.unwrap_or(now_us);
        let gathered = u128::from(now_us.saturating_sub(since_us)) >= self.gathers().as_micros();
        let due = wait || (!self.stalled && (gathered || self.batch.len() >= GATHER_RECORDS));
        if !self.batch.is_empty() && due {
            self.since_us = None;
            let batch = std::mem::take(&mut self.batch);
            self.submit(batch).await?;
        }
        loop {
            let must_wait = (wait || self.waiting.len() > MAX_WAITING) && !self.waiting.is_empty();
            let Some((batch, mut answer)) = self.waiting.pop_front() else { return Ok(()) };
            let result = if must_wait {
                answer.await.unwrap_or(Err(AppendError::Closed))
            } else {
                match answer.try_recv() {
                    Ok(result) => result,
                    Err(oneshot::error::TryRecvError::Empty) => {
                        self.waiting.push_front((batch, answer));
                        return Ok(());
                    }
                    Err(oneshot::error::TryRecvError::Closed) => Err(AppendError::Closed),
                }
            };
            match result {
                Ok(_) => self.stalled = !self.refused.is_empty(),
                Err(AppendError::Full) if !wait => self.refuse(batch, now_us),
                Err(error) => return Err(LedgerError(error)),
            }
        }
    }

    async fn submit(&mut self, batch: Vec<NewRecord>) -> Result<(), LedgerError> {
        let answer = self.appender.submit(batch.clone()).await.map_err(LedgerError)?;
        self.waiting.push_back((batch, answer));
        Ok(())
    }

    /// The log has no room for a batch: it is kept and offered again.
    fn refuse(&mut self, batch: Vec<NewRecord>, now_us: u64) {
        if !self.stalled {
            tracing::error!("disk is too full for the ledger; deliveries pause until there is room");
            self.stalled = true;
            self.again_us = now_us + AGAIN_US;
        }
        self.refused.push_back(batch);
    }

    /// Records that nobody knows to be on disk yet, in order.
    #[cfg(test)]
    pub(in crate::queues) fn unsynced(&self) -> impl Iterator<Item = &NewRecord> {
        let waiting = self.waiting.iter().map(|(batch, _)| batch);
        waiting.chain(&self.refused).flatten().chain(&self.batch)
    }
}
