//! The one writer: gathers what waits, writes it, syncs once, and only then tells anybody.
//!
//! A record is readable, and its append answered, only after the sync that covers it. After a failed write or
//! sync the writer ends and the log stays refused; a full disk is answered with `Full` and is tried again with
//! the next append.

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
use super::options::Options;
use super::postings::Place;
use super::record::{self, Header, SEGMENT_HEADER, SegmentHeader};
use super::shares;
use super::store::{Active, Segment, Store};
use crate::disk::File;
use crate::model::Clock;

const MAX_SEGMENT: u64 = 1 << 30;
/// Clocks are set by less than this all the time.
const CLOCK_AHEAD_US: u64 = 60_000_000;

/// Why the writer ended by itself.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A write or sync failed; nothing is accepted until the log is opened anew.
    #[error("the log refuses appends since a write failed: {0}")]
    Poisoned(String),
    /// The writer's thread could not be set up.
    #[error("the log's writer cannot run: {0}")]
    Runtime(String),
}

/// Owns the log's files. Run it on a thread of its own.
#[derive(Debug)]
pub struct Writer {
    store: Arc<Store>,
    requests: mpsc::Receiver<Request>,
    options: Options,
    clock: Clock,
    file: Arc<dyn File>,
    segment: Arc<Segment>,
    /// The next offset.
    next: u64,
    /// The batch as bytes, and where its records begin.
    buf: Vec<u8>,
    places: Vec<(Place, u64, u64)>,
}

impl Writer {
    pub(super) fn new(
        store: Arc<Store>,
        requests: mpsc::Receiver<Request>,
        mut options: Options,
        clock: Clock,
    ) -> Self {
        options.segment_bytes = options.segment_bytes.min(MAX_SEGMENT);
        let file = Arc::clone(&store.active.read().unwrap_or_else(PoisonError::into_inner).file);
        let segment = store.list(|all| all.last().map(Arc::clone)).unwrap_or_else(|| Segment::new(0, 0, 0));
        let next = store.end();
        Self { store, requests, options, clock, file, segment, next, buf: Vec::new(), places: Vec::new() }
    }

    /// Works until every appender is gone, or until `stop`, then after what is queued; blocks the thread.
    #[expect(clippy::needless_pass_by_value, reason = "moves to the writer's thread with it")]
    pub fn run(mut self, stop: CancellationToken) -> Result<(), RunError> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .map_err(|e| RunError::Runtime(e.to_string()))?;
        let mut stopping = false;
        loop {
            let request = match self.requests.try_recv() {
                Ok(request) => Some(request),
                Err(_) => runtime.block_on(async {
                    tokio::select! {
                        biased;
                        () = stop.cancelled(), if !stopping => {
                            stopping = true;
                            self.requests.close();
                            self.requests.recv().await
                        }
                        request = self.requests.recv() => request,
                    }
                }),
            };
            let Some(request) = request else { return Ok(()) };
            if self.serve(request).is_break() {
                return Err(self.poisoned());
            }
            if stop.is_cancelled() {
                self.requests.close();
                stopping = true;
            }
        }
    }

    /// Serves what waits now, as one batch, and waits for nothing more; false when nothing waited. For a caller that has
    /// no thread for the writer.
    pub fn serve_waiting(&mut self) -> Result<bool, RunError> {
        let Ok(request) = self.requests.try_recv() else { return Ok(false) };
        if self.serve(request).is_break() { Err(self.poisoned()) } else { Ok(true) }
    }

    fn poisoned(&self) -> RunError {
        RunError::Poisoned(self.store.health().poisoned.clone().unwrap_or_default())
    }

    /// Breaks once the log is poisoned.
    fn serve(&mut self, request: Request) -> ControlFlow<()> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        let mut request = Some(request);
        let mut control = None;
        while let Some(next) = request.take() {
            match next {
                Request::Append(pending) => {
                    bytes += pending.bytes;
                    batch.push(pending);
                }
                Request::Control(what, done) => {
                    control = Some((what, done));
                    break;
                }
            }
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
        self.store.health().full = written == Err(AppendError::Full);
        let mut start = written;
        for pending in batch {
            let answer = start.clone().map(|first| first..first + pending.records.len() as u64);
            start = start.map(|first| first + pending.records.len() as u64);
            // Whoever asked may have gone; the records stay all the same.
            drop(pending.done.send(answer));
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
            // What the page cache may still show must not be taken for durable at the next start.
            if let Err(e) = self.file.truncate(len) {
                tracing::warn!(error = %e, "cannot cut what was not synced");
            }
            return Err(self.poison("sync", &e));
        }
        Ok(self.publish(len))
    }

    fn encode(&mut self, batch: &[Pending]) {
        self.buf.clear();
        self.buf.shrink_to(2 * self.options.batch_bytes);
        self.places.clear();
        let (first, len) = (self.segment.first, self.segment.len());
        let seed = self.store.seed(first);
        let records = batch.iter().flat_map(|pending| &pending.records);
        for (record, offset) in records.zip(self.next..) {
            let place = Place { seq: small(offset - first), pos: small(len + self.buf.len() as u64) };
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

    /// Makes the synced batch visible; returns its first offset.
    fn publish(&mut self, len: u64) -> u64 {
        {
            let mut active = self.store.active.write().unwrap_or_else(PoisonError::into_inner);
            for (place, time_us, tag) in &self.places {
                active.index.add(*place, *time_us, *tag);
            }
        }
        self.segment.len.store(len + self.buf.len() as u64, Ordering::Release);
        let first = self.next;
        self.next += self.places.len() as u64;
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
        // A file system that cannot say how full it is will say so when it is.
        let is_short = || self.store.disk.free_bytes(&self.store.dir).is_ok_and(|free| free < needed);
        if self.options.reserve_bytes == 0 || !is_short() {
            return Ok(());
        }
        self.retain(0);
        if is_short() { Err(AppendError::Full) } else { Ok(()) }
    }

    /// Whether there is room is known without an append, too: while nobody hands anything in, nobody would hear of it.
    fn look_for_room(&self) {
        let reserve = self.options.reserve_bytes;
        if reserve > 0
            && let Ok(free) = self.store.disk.free_bytes(&self.store.dir)
        {
            self.store.health().full = free < reserve;
        }
    }

    fn roll_if_due(&mut self, bytes: u64) -> Result<(), AppendError> {
        let large = self.segment.len() + bytes > self.options.segment_bytes;
        let now_us = self.clock.now_us();
        let age_us = now_us.saturating_sub(self.segment.created_us);
        // Begun while the clock was ahead, it would not grow old before that time comes.
        let ahead = self.segment.created_us.saturating_sub(now_us) > CLOCK_AHEAD_US;
        if large || ahead || age_us > self.options.segment_age_us { self.roll() } else { Ok(()) }
    }

    /// Begins a new segment, unless the active one is empty.
    fn roll(&mut self) -> Result<(), AppendError> {
        if self.next == self.segment.first {
            return Ok(());
        }
        let first = self.next;
        let created_us = self.clock.now_us();
        let file = match self.create_segment(SegmentHeader { first, created_us, salt: self.store.salt }) {
            Ok(file) => file,
            Err(e) if is_full(&e) => {
                // Left behind, it is made anew by the next try, or found empty by recovery.
                drop(self.store.disk.remove(&names::segment(&self.store.dir, first)));
                return Err(AppendError::Full);
            }
            Err(e) => return Err(self.poison("new segment", &e)),
        };
        let closed = Arc::clone(&self.segment);
        let index = self
            .store
            .with_active(closed.first, |active| active.index.encode(closed.first, closed.len()))
            .unwrap_or_default();
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
            let mut active = self.store.active.write().unwrap_or_else(PoisonError::into_inner);
            let mut segments = self.store.segments.write().unwrap_or_else(PoisonError::into_inner);
            segments.push(Arc::clone(&self.segment));
            *active = Active { first, file, index: Index::default() };
        }
        self.retain(0);
        Ok(())
    }

    /// The segment is there, header and name, before any record in it can be acknowledged.
    fn create_segment(&self, header: SegmentHeader) -> io::Result<Arc<dyn File>> {
        let file = self.store.disk.create(&names::segment(&self.store.dir, header.first))?;
        file.write_at(&header.encode(), 0)?;
        file.sync_data()?;
        self.store.disk.sync_dir(&self.store.dir)?;
        Ok(file)
    }

    /// Not synced, and a failure is no trouble: readers check it and make it anew.
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

    fn poison(&self, what: &str, error: &io::Error) -> AppendError {
        let reason =
            format!("{what} of {}: {error}", names::segment(&self.store.dir, self.segment.first).display());
        tracing::error!(reason, "the log refuses appends from now on");
        self.store.health().poisoned = Some(reason.clone());
        AppendError::Poisoned(reason)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}
