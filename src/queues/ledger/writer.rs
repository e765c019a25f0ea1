//! The writing side of the ledger. Records are gathered for a short time and handed to the log as one batch. Several batches
//! may wait for their sync. A few records are handed over at once: the log gathers what all shards hand over, so the records
//! of several shards share a sync, and no shard wakes for a timer.
//!
//! If the log refuses a batch because the disk is full, the batch is offered again later. Until the log takes it, no attempt
//! is started, because its result could not be recorded.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::BytesMut;
use tokio::sync::oneshot;

use super::record::{CHECKPOINT_END_TAG, CHECKPOINT_TAG, HeldEvent, LedgerRecord, QueueImage};
use super::tally::Tally;
use crate::log::{AppendError, Appender, NewRecord, Sequence};
use crate::model::{EventOffset, Moment, WallTime};
use crate::queues::rules::partitions::Partitions;

/// The most batches that wait for their sync.
const MAX_WAITING: usize = 64;
/// How long the ledger's log gathers batches that find it idle. Lists of attempts read the log, so they show attempts this much
/// later.
pub const LOG_GATHERS: Duration = Duration::from_millis(1);
/// The most batches of few records that wait for their sync. With more, the disk is slow, and few records are gathered too.
const MOST_AT_ONCE: usize = 16;
/// How long a few records are gathered when they are not handed over at once.
const GATHER_FEW: Duration = Duration::from_millis(1);
/// How long many records are gathered, unless there are `GATHER_RECORDS` before. With a millisecond, syncs took a tenth of
/// the CPU of a delivery. A crash repeats the deliveries whose records waited.
const GATHER: Duration = Duration::from_millis(5);
/// Fewer records than this are few.
const FEW_RECORDS: usize = 16;
const GATHER_RECORDS: usize = 1024;
/// The delay before refused records are offered again.
const AGAIN: Duration = Duration::from_millis(200);
/// The memory for encoded records is allocated in pieces of this size.
const MEMORY: usize = 16 << 10;

/// The ledger can take no more records.
#[derive(Debug, thiserror::Error)]
#[error("records cannot be written: {0}")]
pub struct LedgerError(AppendError);

type Answer = oneshot::Receiver<Result<std::ops::Range<u64>, AppendError>>;

/// The records on their way to the disk.
#[derive(Debug)]
pub(in crate::queues) struct Ledger {
    appender: Appender,
    batch: Vec<NewRecord>,
    /// Encoded records share this memory, so a batch can be kept until it is synced without a copy or allocation per record.
    memory: BytesMut,
    waiting: VecDeque<(Vec<NewRecord>, Answer)>,
    /// Batches that the log refused for lack of room, in order.
    refused: VecDeque<Vec<NewRecord>>,
    /// Keeps them in order: a checkpoint must not follow what happened after it.
    sequence: Sequence,
    /// When they are offered again.
    again: Moment,
    /// The records that all shards have pushed. They decide when a checkpoint is due, because a start reads the records of
    /// all shards from the oldest checkpoint on that some partition needs.
    pushed: Pushed,
    /// `pushed` at the last checkpoint.
    checkpoint_at: u64,
    /// A checkpoint is due after this many records.
    every: u64,
    /// The records that were pushed here, including those of checkpoints.
    taken: u64,
    /// Whether the disk is full, so that no attempt may be started.
    stalled: bool,
    /// When `flush` first saw the present batch. `None`: the batch is empty.
    since: Option<Moment>,
    /// Whether the batch before had many records.
    busy: bool,
    tally: Arc<Tally>,
}

/// A checkpoint of some partitions.
#[derive(Debug)]
pub(in crate::queues) struct Checkpoint {
    /// The partitions.
    pub(in crate::queues) covers: Partitions,
    /// All events below this offset have been offered to their queues, except the held ones.
    pub(in crate::queues) router: EventOffset,
    /// Events that wait until their accounts become known.
    pub(in crate::queues) held: Vec<HeldEvent>,
    /// The queues.
    pub(in crate::queues) images: Vec<QueueImage>,
}

/// The number of records that all shards have pushed into the ledger. Clones share it.
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
            sequence: Sequence::default(),
            again: Moment::default(),
            pushed,
            checkpoint_at,
            taken: 0,
            every: u64::MAX,
            stalled: false,
            since: None,
            busy: false,
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

    pub(in crate::queues) fn push(&mut self, tag: u64, time: WallTime, record: &LedgerRecord) {
        self.pushed.0.fetch_add(1, Ordering::Relaxed);
        // Counted where it is written, so that metrics and ledger cannot differ.
        self.tally.note(time, record);
        self.put(tag, time, record);
    }

    fn put(&mut self, tag: u64, time: WallTime, record: &LedgerRecord) {
        let encoded = record.encode();
        if self.memory.capacity() < encoded.len() {
            self.memory = BytesMut::with_capacity(MEMORY.max(encoded.len()));
        }
        self.memory.extend_from_slice(&encoded);
        let payload = self.memory.split().freeze();
        self.batch.push(NewRecord { tag, flags: 0, time_us: time.micros(), payload });
        self.taken += 1;
    }

    /// When `flush` has something to do next: for the gathered records, or for the refused ones.
    pub(in crate::queues) fn due(&self, now: Moment) -> Option<Duration> {
        match (self.stalled, self.batch.is_empty()) {
            // The log will answer soon to what was offered again.
            (true, _) if !self.waiting.is_empty() => Some(GATHER),
            (true, _) => Some(self.again.since(now)),
            (false, true) => None,
            (false, false) => Some(self.gathers()),
        }
    }

    /// How long the records of the batch are gathered.
    fn gathers(&self) -> Duration {
        if self.batch.len() >= FEW_RECORDS {
            GATHER
        } else if self.busy || self.waiting.len() >= MOST_AT_ONCE {
            GATHER_FEW
        } else {
            Duration::ZERO
        }
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

    /// Writes a checkpoint. Its records follow each other in the log even if other shards write at the same time, because
    /// the log writes a batch as a whole.
    pub(in crate::queues) fn checkpoint(&mut self, checkpoint: Checkpoint, time: WallTime) {
        let Checkpoint { covers, router, held, images } = checkpoint;
        let count = images.len() as u64;
        // The more queues, the rarer checkpoints are, so that they remain a small part of the ledger.
        self.every = self.every.max(count * 4);
        self.checkpoint_at = self.pushed.0.load(Ordering::Relaxed);
        // `put` and not `push`: the records of a checkpoint must not bring the next checkpoint nearer.
        self.put(CHECKPOINT_TAG, time, &LedgerRecord::CheckpointBegin { router, covers, held });
        for image in images {
            self.put(CHECKPOINT_TAG, time, &LedgerRecord::CheckpointQueue(Box::new(image)));
        }
        self.put(CHECKPOINT_END_TAG, time, &LedgerRecord::CheckpointEnd { back: count + 1 });
    }

    /// Hands the batch to the log when it is time. With `wait`, everything is on disk when this returns.
    pub(in crate::queues) async fn flush(&mut self, now: Moment, wait: bool) -> Result<(), LedgerError> {
        if self.stalled && (wait || (self.waiting.is_empty() && now >= self.again)) {
            self.offer_again(now).await?;
        }
        self.since = self.since.or(Some(now)).filter(|_| !self.batch.is_empty());
        let gathered = now.since(self.since.unwrap_or(now)) >= self.gathers();
        let due = wait || (!self.stalled && (gathered || self.batch.len() >= GATHER_RECORDS));
        if !self.batch.is_empty() && due {
            self.since = None;
            let batch = std::mem::take(&mut self.batch);
            self.submit(batch).await?;
        }
        // Batches are answered in order, so the first one without an answer ends the search.
        loop {
            let must_wait = wait || self.waiting.len() > MAX_WAITING;
            let Some((_, answer)) = self.waiting.front_mut() else { return Ok(()) };
            let answered = if must_wait {
                answer.await
            } else {
                match answer.try_recv() {
                    Err(oneshot::error::TryRecvError::Empty) => return Ok(()),
                    Err(oneshot::error::TryRecvError::Closed) => Ok(Err(AppendError::Closed)),
                    Ok(result) => Ok(result),
                }
            };
            match answered.unwrap_or(Err(AppendError::Closed)) {
                Ok(_) => {
                    self.waiting.pop_front();
                    self.stalled = !self.refused.is_empty();
                }
                // With `wait`, nobody offers the batch again later.
                Err(AppendError::Full) if !wait => self.refuse(now),
                Err(error) => return Err(LedgerError(error)),
            }
        }
    }

    /// Offers refused batches again. Those that were handed over behind them are refused too, and follow them.
    async fn offer_again(&mut self, now: Moment) -> Result<(), LedgerError> {
        while let Some((_, answer)) = self.waiting.front_mut() {
            match answer.await.unwrap_or(Err(AppendError::Closed)) {
                Ok(_) => drop(self.waiting.pop_front()),
                Err(AppendError::Full) => self.refuse(now),
                Err(error) => return Err(LedgerError(error)),
            }
        }
        self.again = now + AGAIN;
        self.sequence.begin_again();
        while let Some(batch) = self.refused.pop_front() {
            self.submit(batch).await?;
        }
        Ok(())
    }

    async fn submit(&mut self, batch: Vec<NewRecord>) -> Result<(), LedgerError> {
        self.busy = batch.len() >= FEW_RECORDS;
        // The batch is kept in case the log refuses it. The copy shares its payloads.
        let answer = self.appender.submit_in(&self.sequence, batch.clone()).await.map_err(LedgerError)?;
        self.waiting.push_back((batch, answer));
        Ok(())
    }

    /// The log has no room for the first batch that waits. It will be offered again.
    fn refuse(&mut self, now: Moment) {
        if !self.stalled {
            tracing::error!("disk is too full for the ledger; deliveries pause until there is room");
            self.stalled = true;
            self.again = now + AGAIN;
        }
        self.refused.extend(self.waiting.pop_front().map(|(batch, _)| batch));
    }

    /// The records that were pushed after a mark and are not known to be on disk yet.
    #[cfg(test)]
    pub(in crate::queues) fn unsynced_since(&self, mark: u64) -> impl Iterator<Item = &NewRecord> {
        let since = usize::try_from(self.taken - mark).unwrap_or(usize::MAX);
        self.unsynced().skip(self.unsynced().count().saturating_sub(since))
    }

    /// The records that are not known to be on disk yet, in order.
    #[cfg(test)]
    pub(in crate::queues) fn unsynced(&self) -> impl Iterator<Item = &NewRecord> {
        let waiting = self.waiting.iter().map(|(batch, _)| batch);
        waiting.chain(&self.refused).flatten().chain(&self.batch)
    }
}
