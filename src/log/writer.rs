//! The only writer: collects the waiting requests, writes them, syncs once, and only then answers.
//!
//! A record becomes readable, and its append is answered, only after the sync that covers it. After a failed write or
//! sync the writer ends and the log refuses every append. A full disk is answered with `Full`; the next append tries
//! again.

use std::io;
use std::ops::ControlFlow;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::appender::{AppendError, Control, Pending, Request};
use super::bytes::small;
use super::index::Index;
use super::names;
use super::options::LogOptions;
use super::postings::RecordPlace;
use super::record::{self, Header, SEGMENT_HEADER, SegmentHeader};
use super::shares;
use super::store::{Active, Segment, Store};
use crate::disk::File;
use crate::model::Clock;

/// Positions in a segment are 32-bit numbers. One request may exceed this limit by its own size, which is bounded
/// too.
const MAX_SEGMENT: u64 = 1 << 30;
/// Clock corrections up to this size are normal and do not close a segment.
const CLOCK_AHEAD_US: u64 = 60_000_000;

/// Why the writer ended without being stopped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A write or sync failed; the log accepts nothing until it is reopened.
    #[error("the log refuses appends because a write failed: {0}")]
    Poisoned(String),
    /// The writer's runtime could not be built.
    #[error("the log's writer cannot run: {0}")]
    Runtime(String),
}

/// Owns the log's files. Run it on a separate thread.
#[derive(Debug)]
pub struct Writer {
    store: Arc<Store>,
    requests: mpsc::Receiver<Request>,
    options: LogOptions,
    clock: Clock,
    file: Arc<dyn File>,
    segment: Arc<Segment>,
    /// The offset of the next record.
    next: u64,
    /// The bytes of the last append if there was no room for it: the log is full as long as these do not fit.
    refused: u64,
    /// The encoded batch, and for each record its place, time and tag.
    buf: Vec<u8>,
    places: Vec<(RecordPlace, u64, u64)>,
}

impl Writer {
    pub(super) fn new(
        store: Arc<Store>,
        requests: mpsc::Receiver<Request>,
        mut options: LogOptions,
        clock: Clock,
    ) -> Self {
        options.segment_bytes = options.segment_bytes.min(MAX_SEGMENT);
        let file = Arc::clone(&store.active.read().unwrap_or_else(PoisonError::into_inner).file);
        let segment =
            store.with_segments(|all| all.last().map(Arc::clone)).unwrap_or_else(|| Segment::new(0, 0, 0));
        let next = store.end();
        let (buf, places) = (Vec::new(), Vec::new());
        Self { store, requests, options, clock, file, segment, next, refused: 0, buf, places }
    }

    /// Runs until every appender is dropped, or until `stop`; then finishes the queued requests. Blocks the thread.
    #[expect(clippy::needless_pass_by_value, reason = "moves to the writer's thread with it")]
    pub fn run(mut self, stop: CancellationToken) -> Result<(), RunError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|e| RunError::Runtime(e.to_string()))?;
        let mut stopping = false;
        loop {
            let mut request = self.requests.try_recv().ok();
            if request.is_none() {
                // Nothing waits: sleep until a request or `stop` arrives. A busy writer never enters the runtime.
                request = runtime.block_on(async {
                    tokio::select! {
                        biased;
                        () = stop.cancelled(), if !stopping => {
                            // No new requests from now on; those in the queue are still served.
                            stopping = true;
                            self.requests.close();
                            self.requests.recv().await
                        }
                        request = self.requests.recv() => request,
                    }
                });
                self.gather(request.as_ref(), stopping);
            }
            let Some(request) = request else { return Ok(()) };
            if self.serve(request).is_break() {
                return Err(self.poisoned());
            }
            // A busy writer does not get to the `select!` above, so look at `stop` here too.
            if stop.is_cancelled() {
                self.requests.close();
                stopping = true;
            }
        }
    }

    /// Waits for requests that follow closely. At a steady pace most requests find the writer idle, and each would have a
    /// sync of its own: at 500 events a second that is most of what the program costs.
    fn gather(&self, request: Option<&Request>, stopping: bool) {
        let is_append = matches!(request, Some(Request::Append(_)));
        if is_append && !stopping && !self.options.gather.is_zero() {
            // The thread is the writer's own, and its queue takes requests meanwhile.
            std::thread::sleep(self.options.gather);
        }
    }

    /// Serves the requests that wait now, as one batch, without waiting for more; false when there were none. For a
    /// caller that has no thread for the writer.
    pub fn serve_waiting(&mut self) -> Result<bool, RunError> {
        let Ok(request) = self.requests.try_recv() else { return Ok(false) };
        if self.serve(request).is_break() { Err(self.poisoned()) } else { Ok(true) }
    }

    fn poisoned(&self) -> RunError {
        RunError::Poisoned(self.store.health().poisoned.clone().unwrap_or_default())
    }

    /// Serves a request together with the requests that wait behind it. Breaks once the log is poisoned.
    fn serve(&mut self, request: Request) -> ControlFlow<()> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut request = Some(request);
        let mut control = None;
        while let Some(next) = request.take() {
            match next {
                Request::Append(late) if late.is_behind_refused() => late.answer(Err(AppendError::Full)),
                Request::Append(pending) => {
                    bytes += pending.bytes;
                    batch.push(pending);
                }
                // Ends the batch, so that it is served after all appends that were queued before it.
                Request::Control(what, done) => {
                    control = Some((what, done));
                    break;
                }
            }
            // A request is never split between batches, because its records are durable or refused together. So
            // the last request may exceed the limit.
            if bytes < self.options.batch_bytes {
                request = self.requests.try_recv().ok();
            }
        }
        if !batch.is_empty() {
            self.commit(batch, bytes as u64);
        }
        if let Some((what, done)) = control {
            self.control(what, done);
        }
        if let Some((first, index)) = self.store.take_mended() {
            self.write_index(first, &index.0);
        }
        if self.store.health().poisoned.is_some() {
            ControlFlow::Break(())
        } else {
            ControlFlow::Continue(())
        }
    }

    fn commit(&mut self, batch: Vec<Pending>, bytes: u64) {
        let written = self.write(&batch, bytes);
        self.refused = if written == Err(AppendError::Full) { bytes } else { 0 };
        self.store.health().full = self.refused > 0;
        let mut start = written;
        for pending in batch {
            let answer = start.clone().map(|first| first..first + pending.records.len() as u64);
            start = start.map(|first| first + pending.records.len() as u64);
            pending.answer(answer);
        }
    }

    /// Writes and syncs a batch; returns its first offset.
    fn write(&mut self, batch: &[Pending], bytes: u64) -> Result<u64, AppendError> {
        self.refuse_if_poisoned()?;
        if bytes == 0 {
            return Ok(self.next);
        }
        self.refuse_if_full(bytes)?;
        self.roll_if_due(bytes)?;
        self.encode(batch);
        let len = self.segment.len();
        // After a partial write the tail is cut, so the next batch begins where the index expects it.
        if let Err(e) = self.file.write_at(&self.buf, len) {
            return Err(match self.file.truncate(len) {
                Ok(()) if is_full(&e) => AppendError::Full,
                _ => self.poison("write", &e),
            });
        }
        let began = Instant::now();
        let synced = self.file.sync_data();
        self.store.syncs.observe_us(u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX));
        if let Err(e) = synced {
            // The page cache may still hold the bytes. Cut them, or the next start would take them for durable.
            if let Err(e) = self.file.truncate(len) {
                tracing::warn!(error = %e, "cannot cut records that were not synced from a log");
            }
            return Err(self.poison("sync", &e));
        }
        Ok(self.publish(len))
    }

    fn encode(&mut self, batch: &[Pending]) {
        self.buf.clear();
        // One large request must not occupy its memory for ever.
        self.buf.shrink_to(2 * self.options.batch_bytes);
        self.places.clear();
        let (first, len) = (self.segment.first, self.segment.len());
        let seed = self.store.seed(first);
        let records = batch.iter().flat_map(|pending| &pending.records);
        for (record, offset) in records.zip(self.next..) {
            let place = RecordPlace { seq: small(offset - first), pos: small(len + self.buf.len() as u64) };
            let header = Header {
                len: small(record.payload.len() as u64),
                crc: 0,
                seq: place.seq,
                time_us: record.time_us,
                tag: record.tag,
                flags: record.flags,
            };
            record::encode(&mut self.buf, seed, &header, &record.payload);
            self.places.push((place, record.time_us, record.tag));
        }
    }

    /// Makes the synced batch visible to readers; returns its first offset.
    fn publish(&mut self, len: u64) -> u64 {
        {
            let mut active = self.store.active.write().unwrap_or_else(PoisonError::into_inner);
            for (place, time_us, tag) in &self.places {
                active.index.add(*place, *time_us, *tag);
            }
        }
        // Index first, then the length, then the end: a reader that sees the end finds everything below it.
        self.segment.len.store(len + self.buf.len() as u64, Ordering::Release);
        let first = self.next;
        self.next += self.places.len() as u64;
        // Not `send`, which stores nothing while nobody is subscribed.
        self.store.end.send_replace(self.next);
        first
    }

    fn refuse_if_poisoned(&self) -> Result<(), AppendError> {
        match &self.store.health().poisoned {
            Some(reason) => Err(AppendError::Poisoned(reason.clone())),
            None => Ok(()),
        }
    }

    fn refuse_if_full(&self, bytes: u64) -> Result<(), AppendError> {
        let needed = self.options.reserve_bytes.saturating_add(bytes);
        // When the file system cannot report its free space, a full disk still shows as a failed write.
        let is_short = || self.store.disk.free_bytes(&self.store.dir).is_ok_and(|free| free < needed);
        if self.options.reserve_bytes == 0 || !is_short() {
            return Ok(());
        }
        self.retain(0);
        // Retention may have freed enough. Without this second look, a log that is only waiting for its turn of
        // retention would refuse events.
        if is_short() { Err(AppendError::Full) } else { Ok(()) }
    }

    /// Updates `LogHealth::full` without an append; otherwise a full disk would go unnoticed while no events arrive.
    fn look_for_room(&self) {
        let reserve = self.options.reserve_bytes;
        if reserve > 0
            && let Ok(free) = self.store.disk.free_bytes(&self.store.dir)
        {
            self.store.health().full = free < reserve.saturating_add(self.refused);
        }
    }

    fn roll_if_due(&mut self, bytes: u64) -> Result<(), AppendError> {
        let large = self.segment.len() + bytes > self.options.segment_bytes;
        let now_us = self.clock.now_us();
        let age_us = now_us.saturating_sub(self.segment.created_us);
        // A segment created while the clock was ahead would not reach its age for as long as the clock was wrong.
        let ahead = self.segment.created_us.saturating_sub(now_us) > CLOCK_AHEAD_US;
        if large || ahead || age_us > self.options.segment_age_us { self.roll() } else { Ok(()) }
    }

    /// Closes the active segment and starts a new one, unless the active one is empty.
    fn roll(&mut self) -> Result<(), AppendError> {
        // A segment is named after its first offset, so an empty one cannot have a successor.
        if self.next == self.segment.first {
            return Ok(());
        }
        let first = self.next;
        let created_us = self.clock.now_us();
        let file = match self.create_segment(SegmentHeader { first, created_us, salt: self.store.salt }) {
            Ok(file) => file,
            Err(e) if is_full(&e) => {
                // If removing fails too, the next attempt overwrites the file, or recovery finds it without records.
                drop(self.store.disk.remove(&names::segment(&self.store.dir, first)));
                return Err(AppendError::Full);
            }
            Err(e) => return Err(self.poison("new segment", &e)),
        };
        // From here on nothing is appended to the old segment, so its index is complete. The index is written before
        // readers see the segment as closed; otherwise they would find no index and rebuild it.
        let closed = Arc::clone(&self.segment);
        let index = self
            .store
            .with_active(closed.first, |active| active.index.encode(closed.first, closed.len()))
            .unwrap_or_default();
        // A failure here is only logged: the segment is complete, and a reader rebuilds its index.
        self.write_index(closed.first, &index);
        let weighed = self.store.with_active(closed.first, |active| {
            let bytes = |tag: &u64| (*tag, active.index.bytes_of(*tag, closed.len()));
            shares::large(active.index.tags.keys().map(bytes), closed.len())
        });
        if let Some(weighed) = weighed {
            closed.shares.get_or_init(|| weighed);
        }
        self.segment = Segment::new(first, created_us, SEGMENT_HEADER as u64);
        self.file = Arc::clone(&file);
        {
            // Replaced under both locks, so that no reader sees the new segment in only one of the two.
            let mut active = self.store.active.write().unwrap_or_else(PoisonError::into_inner);
            let mut segments = self.store.segments.write().unwrap_or_else(PoisonError::into_inner);
            segments.push(Arc::clone(&self.segment));
            *active = Active { first, file, index: Index::default() };
        }
        self.retain(0);
        Ok(())
    }

    /// Creates a segment file. Header and name are durable before any record in the segment is acknowledged.
    fn create_segment(&self, header: SegmentHeader) -> io::Result<Arc<dyn File>> {
        let file = self.store.disk.create(&names::segment(&self.store.dir, header.first))?;
        file.write_at(&header.encode(), 0)?;
        file.sync_data()?;
        self.store.disk.sync_dir(&self.store.dir)?;
        Ok(file)
    }

    /// Writes an index file without a sync. A failure does no harm: readers check the index and rebuild it.
    fn write_index(&self, first: u64, bytes: &[u8]) {
        let path = names::index(&self.store.dir, first);
        if let Err(e) = self.store.disk.create(&path).and_then(|file| file.write_at(bytes, 0)) {
            tracing::warn!(file = %path.display(), error = %e, "cannot write a log index");
        }
    }

    fn control(&mut self, what: Control, done: oneshot::Sender<Result<u64, AppendError>>) {
        let answer = self.refuse_if_poisoned().and_then(|()| match what {
            Control::Ping => {
                self.look_for_room();
                Ok(self.next)
            }
            Control::Roll => self.roll().map(|()| self.next),
            Control::Limit { max_age_us, max_bytes } => {
                (self.options.max_age_us, self.options.max_bytes) = (max_age_us, max_bytes);
                Ok(self.store.first())
            }
            Control::Retain { from } => {
                self.retain(from);
                Ok(self.store.first())
            }
        });
        drop(done.send(answer));
    }

    fn retain(&self, from: u64) {
        if let Err(e) = self.store.retain(self.clock.now_us(), &self.options, from) {
            tracing::warn!(error = %e, "cannot remove an old log segment");
        }
    }

    /// Refuses all further appends. After a failed sync the kernel may report the next one as successful although the
    /// data never reached the disk, so only reopening tells what is durable.
    fn poison(&self, what: &str, error: &io::Error) -> AppendError {
        let reason =
            format!("{what} of {}: {error}", names::segment(&self.store.dir, self.segment.first).display());
        tracing::error!(reason, "a log refuses appends until the program is started again");
        self.store.health().poisoned = Some(reason.clone());
        AppendError::Poisoned(reason)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
