//! The handle that hands records to the writer and learns when they are durable.

use std::ops::Range;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::options::NewRecord;
use super::record::{MAX_PAYLOAD, RECORD_HEADER};
use super::store::Store;

/// Most bytes of one request, so that a segment stays far below 4 GiB.
const MAX_REQUEST: usize = 512 << 20;

/// Why an append was refused. Nothing of a refused batch is ever read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AppendError {
    /// Too little free space; works again once there is more.
    #[error("the disk of the log is full")]
    Full,
    /// A record, or all of them together, is larger than allowed.
    #[error("a record of {bytes} bytes is larger than {max}")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        max: usize,
    },
    /// A write or sync failed; the log must be opened anew. Whether the batch survives is not known.
    #[error("the log refuses appends since a write failed: {0}")]
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

/// Resolves once the batch is durable, to its offsets; to a `RecvError` when the writer ended before it.
pub type Synced = oneshot::Receiver<Result<Range<u64>, AppendError>>;

/// One batch on its way.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) records: Vec<NewRecord>,
    /// As they will lie in the segment.
    pub(super) bytes: usize,
    pub(super) done: oneshot::Sender<Result<Range<u64>, AppendError>>,
}

/// Work that is no append.
#[derive(Debug, Clone, Copy)]
pub(super) enum Control {
    /// Nothing: the answer is the sign of life.
    Ping,
    /// Close the active segment and begin a new one.
    Roll,
    /// Retention goes by this age and size from now on.
    Limit { max_age_us: Option<u64>, max_bytes: Option<u64> },
    /// Apply retention; then drop closed segments wholly below the offset.
    Retain { from: u64 },
}

#[derive(Debug)]
pub(super) enum Request {
    Append(Pending),
    Control(Control, oneshot::Sender<Result<u64, AppendError>>),
}

/// Hands records to the writer; cheap to clone.
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

    /// Appends and waits until the records are durable. All of them are, or none.
    pub async fn append(&self, records: Vec<NewRecord>) -> Result<Range<u64>, AppendError> {
        self.submit(records).await?.await.unwrap_or_else(|_| Err(self.ended()))
    }

    /// Queues the records and returns what tells when they are durable, so that a caller can send the next
    /// batch meanwhile. Batches of one caller keep their order. Waits while the writer's queue is full.
    pub async fn submit(&self, records: Vec<NewRecord>) -> Result<Synced, AppendError> {
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
        self.send(Request::Append(Pending { records, bytes, done })).await?;
        Ok(synced)
    }

    /// Answers when the writer has done all that was asked of it before: a sign of life.
    pub async fn ping(&self) -> Result<(), AppendError> {
        self.control(Control::Ping).await.map(drop)
    }

    /// Closes the active segment, unless it is empty, and returns the first offset of the new one.
    pub async fn roll(&self) -> Result<u64, AppendError> {
        self.control(Control::Roll).await
    }

    /// Applies retention now and returns the oldest kept offset.
    pub async fn retain_now(&self) -> Result<u64, AppendError> {
        self.control(Control::Retain { from: 0 }).await
    }

    /// From now on retention goes by this age and size instead of those of the options; nothing is removed yet.
    pub async fn limit(&self, max_age_us: Option<u64>, max_bytes: Option<u64>) -> Result<(), AppendError> {
        self.control(Control::Limit { max_age_us, max_bytes }).await.map(drop)
    }

    /// Removes closed segments that lie wholly below `offset` and returns the oldest kept offset.
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
        match &self.store.health().poisoned {
            Some(reason) => AppendError::Poisoned(reason.clone()),
            None => AppendError::Closed,
        }
    }
}
