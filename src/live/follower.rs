//! One session's way to its events: from the shared ring while it keeps up, from the log by itself when not.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::event::LiveEvent;
use super::feed::Shared;
use super::interest::Waker;
use super::subscriptions::{Behind, Reach, Subscriptions};
use crate::log::{ReadError, Reader};
use crate::model::{Id, LogIds};
use crate::tasks::Tasks;

const READ_RECORDS: usize = 256;

/// What every session needs of the log.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) shared: Arc<Shared>,
    pub(super) log: Reader,
    pub(super) log_ids: Arc<LogIds>,
    pub(super) tasks: Tasks,
    /// Reads at once, of all sessions together.
    pub(super) reads: Arc<Semaphore>,
    /// Bytes of frames taken at a time.
    pub(super) window_bytes: usize,
}

/// A session's end of the feed.
#[derive(Debug)]
pub(super) struct Follower {
    source: Source,
    waker: Arc<Waker>,
    reaches: BTreeSet<Reach>,
    /// The bindings as they were when this took note of them.
    changes: u64,
    /// The ring has everything of `reaches` from here on.
    covered_from: u64,
    /// It has had everything up to the ring's end, and listens for the bell since.
    caught_up: bool,
    /// There is nothing more until the bell is rung.
    is_idle: bool,
}

/// Why a session cannot go on.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    /// Retention has dropped events that the client had not got.
    #[error("behind retention")]
    BehindRetention,
    /// The log cannot be read.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The program is ending.
    #[error("the program is ending")]
    Ending,
}

impl Follower {
    pub(super) fn new(source: Source) -> Self {
        let waker = Arc::new(Waker::new());
        Self {
            source,
            waker,
            reaches: BTreeSet::new(),
            changes: 0,
            covered_from: 0,
            caught_up: false,
            is_idle: true,
        }
    }

    /// Moves the session's place to where it knows that nothing was missed, so that it does not grow old while
    /// nothing happens. To be called before its bindings change.
    pub(super) fn settle(&mut self, wanted: &mut Subscriptions) {
        if self.caught_up {
            let (rung, end) = self.source.shared.bell(&self.waker);
            wanted.advance(rung.unwrap_or(end));
            self.caught_up = rung.is_none();
        }
    }

    /// Takes note of what the session wants now.
    pub(super) fn follow(&mut self, wanted: &Subscriptions) {
        if wanted.changes() == self.changes {
            return;
        }
        let reaches = wanted.reaches();
        if reaches != self.reaches {
            self.covered_from = self.source.shared.change(&self.waker, &self.reaches, &reaches);
            self.reaches = reaches;
        }
        // Some binding may begin before the place that the session had reached.
        (self.changes, self.caught_up, self.is_idle) = (wanted.changes(), false, false);
    }

    /// The next frames in order, about one window of them. Nothing is lost when this is dropped before it
    /// resolves.
    pub(super) async fn next(&mut self, wanted: &mut Subscriptions) -> Result<Vec<Utf8Bytes>, FollowError> {
        loop {
            if self.is_idle {
                self.waker.rung().await;
                self.is_idle = false;
            }
            let frames = match self.take_recent(wanted) {
                Some((frames, is_all)) => {
                    self.is_idle = is_all;
                    frames
                }
                None => self.read_log(wanted).await?,
            };
            if !frames.is_empty() {
                return Ok(frames);
            }
        }
    }

    /// Frames from the ring, and whether that is all; none when the ring begins too late.
    fn take_recent(&mut self, wanted: &mut Subscriptions) -> Option<(Vec<Utf8Bytes>, bool)> {
        let ring = self.source.shared.ring();
        let Some(mut position) = wanted.position() else { return Some((Vec::new(), true)) };
        let start = self.covered_from.max(ring.start());
        if position < start && self.caught_up {
            // Before the place that the bell was rung for, there is nothing for this session.
            let Some(rung) = self.waker.take() else { return Some((Vec::new(), true)) };
            wanted.advance(rung);
            position = wanted.position()?;
        }
        if position < start {
            self.caught_up = false;
            return None;
        }
        let mut bytes = 0;
        let reaches = &self.reaches;
        let of_session = |event: &LiveEvent| reaches.iter().any(|reach| reach.covers(event.account));
        let (events, next) = ring.take(position, of_session, |event| {
            bytes += event.size();
            bytes >= self.source.window_bytes
        });
        self.caught_up = next >= ring.end();
        if self.caught_up {
            // Bells rung until now were for what has just been taken.
            let _heard = self.waker.take();
        }
        drop(ring);
        let frames = self.frames(&events, wanted);
        wanted.advance(next);
        Some((frames, self.caught_up))
    }

    /// Frames from the log: of the bindings that are furthest back, until another begins.
    async fn read_log(&self, wanted: &mut Subscriptions) -> Result<Vec<Utf8Bytes>, FollowError> {
        let Some(behind) = wanted.behind() else { return Ok(Vec::new()) };
        let (from, log, bytes) = (behind.from, self.source.log.clone(), self.source.window_bytes);
        let permit = Arc::clone(&self.source.reads).acquire_owned().await.map_err(|_| FollowError::Ending)?;
        let reading = self.source.tasks.spawn_blocking(move || {
            let _permit = permit;
            read(&log, &behind, bytes)
        });
        let (events, next) = reading.await.map_err(|_| FollowError::Ending)??;
        // What was dropped while it was being read may be missing in it.
        if from < self.source.log.first() {
            return Err(FollowError::BehindRetention);
        }
        let frames = self.frames(&events, wanted);
        wanted.advance(next);
        Ok(frames)
    }

    fn frames(&self, events: &[Arc<LiveEvent>], wanted: &mut Subscriptions) -> Vec<Utf8Bytes> {
        let mut frames = Vec::new();
        for event in events {
            wanted.frames(event, &self.source.log_ids, |frame| frames.push(frame));
        }
        frames
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        self.source.shared.change(&self.waker, &self.reaches, &BTreeSet::new());
    }
}

/// Reads on for bindings in the past: only their accounts' records, through the log's tag index.
fn read(log: &Reader, behind: &Behind, bytes: usize) -> Result<(Vec<Arc<LiveEvent>>, u64), ReadError> {
    let until = behind.until.unwrap_or_else(|| log.end());
    let batch = if behind.reaches.contains(&Reach::All) {
        log.read(behind.from, READ_RECORDS, bytes)?
    } else {
        let accounts = behind.reaches.iter().filter_map(|reach| reach.account());
        let tags: Vec<u64> = accounts.map(Id::tag).collect();
        log.read_tags(&tags, behind.from, until, READ_RECORDS, bytes)?
    };
    let wanted = |account| behind.reaches.iter().any(|reach| reach.covers(account));
    let records = batch.records.iter().filter(|record| record.offset < until);
    let events = records.filter_map(|record| LiveEvent::of(record, wanted)).map(Arc::new).collect();
    Ok((events, batch.next.min(until)))
}
