//! The handle that sends records to the writer and learns when they are durable.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::{mpsc, oneshot};

use super::options::NewRecord;
use super::record::{MAX_PAYLOAD, RECORD_HEADER};
use super::store::Store;

/// Largest request in bytes, so that a segment stays far below 4 GiB.
const MAX_REQUEST: usize = 512 << 20;

/// Why an append was refused. Readers never see any record of a refused batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Too little free space. Appends work again once there is more.
    #[error("the disk of the log is full")]
    Full,
    /// One record, or the whole request, is larger than allowed.
    #[error("a record of {bytes} bytes is larger than {max}")]
    TooLarge {
        /// Actual size.
        bytes: usize,
        /// Largest size allowed.
        max: usize,
    },
    /// A write or sync failed; the log must be reopened. Only then is it known whether the batch survived.
    #[error("the log refuses appends because a write failed: {0}")]
    Poisoned(String),
    /// The writer has ended.
    #[error("the log is closed")]
    Closed,
}

impl AppendError {
    /// Whether the same append may work later.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Full => true,
            Self::TooLarge { .. } | Self::Poisoned(_) | Self::Closed => false,
        }
    }
}

/// Resolves to the offsets of the batch once it is durable, or to a `RecvError` when the writer ended first.
pub type Synced = oneshot::Receiver<Result<Range<u64>, AppendError>>;

/// Appends whose order is kept when some of them are refused: once the disk had no room for one, the writer refuses those behind
/// it too, even if there is room again, until the caller begins again. Clones are the same sequence.
#[derive(Debug, Clone, Default)]
pub struct Sequence(Arc<AtomicBool>);

impl Sequence {
    /// What follows may be appended again. All appends of the sequence must have been answered.
    pub fn begin_again(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// A batch that waits for the writer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) records: Vec<NewRecord>,
    /// Encoded size, headers included.
    pub(super) bytes: usize,
    sequence: Sequence,
    done: oneshot::Sender<Result<Range<u64>, AppendError>>,
}

impl Pending {
    /// Whether a batch before this one in its sequence was refused.
    pub(super) fn is_behind_refused(&self) -> bool {
        self.sequence.0.load(Ordering::Relaxed)
    }

    pub(super) fn answer(self, answer: Result<Range<u64>, AppendError>) {
        if answer == Err(AppendError::Full) {
            self.sequence.0.store(true, Ordering::Relaxed);
        }
        // The caller may have gone away; its records are durable all the same.
        drop(self.done.send(answer));
    }
}

/// A request other than an append.
#[derive(Debug, Clone, Copy)]
pub(super) enum Control {
    /// Does nothing; the answer shows that the writer is alive.
    Ping,
    /// Closes the active segment and starts a new one.
    Roll,
    /// Replaces the age and size limits of retention.
    Limit { max_age_us: Option<u64>, max_bytes: Option<u64> },
    /// Applies retention, then removes closed segments that lie completely below the offset.
    Retain { from: u64 },
}

#[derive(Debug)]
pub(super) enum Request {
    Append(Pending),
    Control(Control, oneshot::Sender<Result<u64, AppendError>>),
}

/// Sends records to the writer; cheap to clone.
#[derive(Debug, Clone)]
pub struct Appender {
    requests: mpsc::Sender<Request>,
    store: Arc<Store>,
    max_record: usize,
}

impl Appender {
    pub(super) fn new(requests: mpsc::Sender<Request>, store: Arc<Store>, max_record: u32) -> Self {
        Self { requests, store, max_record: max_record.min(MAX_PAYLOAD) as usize }
    }

    /// Appends the records, all or none, and waits until they are durable.
    pub async fn append(&self, records: Vec<NewRecord>) -> Result<Range<u64>, AppendError> {
        self.submit(records).await?.await.unwrap_or_else(|_| Err(self.ended()))
    }

    /// Queues the records and returns a receiver that resolves when they are durable, so that the caller can send the
    /// next batch meanwhile. Batches of one caller keep their order, except that one behind a refused batch may be appended. Waits
    /// while the writer's queue is full.
    pub async fn submit(&self, records: Vec<NewRecord>) -> Result<Synced, AppendError> {
        self.submit_in(&Sequence::default(), records).await
    }

    /// Like `submit`, but a batch behind a refused one of its sequence is refused too.
    pub async fn submit_in(
        &self,
        sequence: &Sequence,
        records: Vec<NewRecord>,
    ) -> Result<Synced, AppendError> {
        // Checked here rather than by the writer, so that a request that is too large does not fail the batch that it
        // would share with others.
        let mut bytes = 0;
        for record in &records {
            let len = record.payload.len();
            if len > self.max_record {
                return Err(AppendError::TooLarge { bytes: len, max: self.max_record });
            }
            bytes += RECORD_HEADER + len;
        }
        if bytes > MAX_REQUEST {
            return Err(AppendError::TooLarge { bytes, max: MAX_REQUEST });
        }
        let (done, synced) = oneshot::channel();
        self.send(Request::Append(Pending { records, bytes, sequence: sequence.clone(), done })).await?;
        Ok(synced)
    }

    /// Requests that the writer has not taken yet.
    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.requests.max_capacity() - self.requests.capacity()
    }

    /// Returns once the writer has served all earlier requests; shows that the writer is alive.
    pub async fn ping(&self) -> Result<(), AppendError> {
        self.control(Control::Ping).await.map(drop)
    }

    /// Closes the active segment, unless it is empty, and returns the first offset of the new one.
    pub async fn roll(&self) -> Result<u64, AppendError> {
        self.control(Control::Roll).await
    }

    /// Applies retention now and returns the oldest retained offset.
    pub async fn retain_now(&self) -> Result<u64, AppendError> {
        self.control(Control::Retain { from: 0 }).await
    }

    /// Replaces the age and size limits of the options. Removes nothing yet.
    pub async fn limit(&self, max_age_us: Option<u64>, max_bytes: Option<u64>) -> Result<(), AppendError> {
        self.control(Control::Limit { max_age_us, max_bytes }).await.map(drop)
    }

    /// Removes closed segments that lie completely below `offset` and returns the oldest retained offset.
    pub async fn retain_from(&self, offset: u64) -> Result<u64, AppendError> {
        self.control(Control::Retain { from: offset }).await
    }

    async fn control(&self, control: Control) -> Result<u64, AppendError> {
        let (done, answer) = oneshot::channel();
        self.send(Request::Control(control, done)).await?;
        answer.await.unwrap_or_else(|_| Err(self.ended()))
    }

    async fn send(&self, request: Request) -> Result<(), AppendError> {
        self.requests.send(request).await.map_err(|_| self.ended())
    }

    fn ended(&self) -> AppendError {
        // The writer sets the reason before it ends, so callers learn it instead of a mere `Closed`.
        match &self.store.health().poisoned {
            Some(reason) => AppendError::Poisoned(reason.clone()),
            None => AppendError::Closed,
        }
    }
}
