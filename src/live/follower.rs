//! Brings one session its events: from the shared ring while the session keeps up, otherwise from the log.
//!
//! The follower is in one of three states. *Reading*: the session's position is behind the ring, so events come from
//! the log (`caught_up` is false). *Live*: the session has seen everything up to the ring's end (`caught_up`).
//! *Idle*: nothing to do until the bell rings or the bindings change (`is_idle`).

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::Semaphore;
use tokio_tungstenite::tungstenite::Utf8Bytes;

use super::event::LiveEvent;
use super::feed::Shared;
use super::interest::Bell;
use super::subscriptions::{Behind, Reach, Subscriptions};
use crate::log::{ReadError, ReaderOf};
use crate::model::{AccountId, EventOffset, LogIds};
use crate::tasks::Tasks;

const READ_RECORDS: usize = 256;

/// What all sessions need to read events.
#[derive(Debug, Clone)]
pub(super) struct Source {
    pub(super) shared: Arc<Shared>,
    pub(super) log: ReaderOf<EventOffset>,
    pub(super) log_ids: Arc<LogIds>,
    pub(super) tasks: Tasks,
    /// Permits for concurrent reads of the log by all sessions together.
    pub(super) reads: Arc<Semaphore>,
    /// Bytes of events taken at a time.
    pub(super) window_bytes: usize,
}

/// The receiving end of the feed for one session.
#[derive(Debug)]
pub(super) struct Follower {
    source: Source,
    bell: Arc<Bell>,
    reaches: BTreeSet<Reach>,
    /// `Subscriptions::changes` at the last call of `follow`.
    changes: u64,
    /// The ring has all events of `reaches` from this offset on.
    covered_from: EventOffset,
    /// The session has seen everything up to the ring's end. Newer events ring the bell.
    caught_up: bool,
    /// There is nothing to do until the bell rings.
    is_idle: bool,
}

/// Why a session must end.
#[derive(Debug, thiserror::Error)]
pub(super) enum FollowError {
    /// Retention has removed events that the client has not received.
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
        let bell = Arc::new(Bell::new());
        Self {
            source,
            bell,
            reaches: BTreeSet::new(),
            changes: 0,
            covered_from: EventOffset::FIRST,
            caught_up: false,
            is_idle: true,
        }
    }

    /// Moves the session's position to the point up to which nothing is left for it. Without this the position of a
    /// quiet session would stay where its last event was, and retention would overtake it. Must be called before the
    /// bindings change.
    pub(super) fn note_position(&mut self, wanted: &mut Subscriptions) {
        if self.caught_up {
            // If the bell has rung, nothing before the rung offset is for this session; otherwise nothing before the
            // ring's end is.
            let (rung, end) = self.source.shared.take_bell(&self.bell);
            wanted.advance(rung.unwrap_or(end));
            self.caught_up = rung.is_none();
        }
    }

    /// Follows the session's present bindings.
    pub(super) fn follow(&mut self, wanted: &Subscriptions) {
        // Called after every frame; most frames change nothing.
        if wanted.changes() == self.changes {
            return;
        }
        let reaches = wanted.reaches();
        if reaches != self.reaches {
            self.covered_from = self.source.shared.change(&self.bell, &self.reaches, &reaches);
            self.reaches = reaches;
        }
        // A new binding may start before the position that the session has reached.
        (self.changes, self.caught_up, self.is_idle) = (wanted.changes(), false, false);
    }

    /// The next frames in order, about one window of them. Dropping the future before it resolves loses nothing:
    /// positions move only together with the frames.
    pub(super) async fn next(&mut self, wanted: &mut Subscriptions) -> Result<Vec<Utf8Bytes>, FollowError> {
        loop {
            if self.is_idle {
                self.bell.rung().await;
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

    /// Frames from the ring, and whether the ring has no more; `None` when the position is before the ring's start,
    /// so that the log must be read.
    fn take_recent(&mut self, wanted: &mut Subscriptions) -> Option<(Vec<Utf8Bytes>, bool)> {
        let ring = self.source.shared.recent();
        let Some(mut position) = wanted.position() else { return Some((Vec::new(), true)) };
        let start = self.covered_from.max(ring.start());
        if position < start && self.caught_up {
            // Older events have left the ring while this session was quiet. None of them was for it: the bell holds
            // the first offset that may be. Skip to there instead of reading the log.
            let Some(rung) = self.bell.take() else { return Some((Vec::new(), true)) };
            wanted.advance(rung);
            position = wanted.position()?;
        }
        // The session was too slow, or a binding starts in the past: the log has what the ring has dropped.
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
            // The ring is still locked, so every ring of the bell until now was for events just taken.
            let _heard = self.bell.take();
        }
        drop(ring);
        let frames = self.frames(&events, wanted);
        wanted.advance(next);
        Some((frames, self.caught_up))
    }

    /// Frames from the log for the bindings that are furthest behind, up to the position of the next binding.
    async fn read_log(&self, wanted: &mut Subscriptions) -> Result<Vec<Utf8Bytes>, FollowError> {
        let Some(behind) = wanted.behind() else { return Ok(Vec::new()) };
        let (from, log, bytes) = (behind.from, self.source.log.clone(), self.source.window_bytes);
        let permit = Arc::clone(&self.source.reads).acquire_owned().await.map_err(|_| FollowError::Ending)?;
        let reading = self.source.tasks.spawn_blocking(move || {
            // Moved into the task: when this future is dropped, the read continues and must keep its permit.
            let _permit = permit;
            read(&log, &behind, bytes)
        });
        let (events, next) = reading.await.map_err(|_| FollowError::Ending)??;
        // Retention may have removed a segment during the read, so events may be missing from the result.
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
        self.source.shared.change(&self.bell, &self.reaches, &BTreeSet::new());
    }
}

/// Reads the log for bindings that are behind: only the records of their accounts, through the tag index.
fn read(
    log: &ReaderOf<EventOffset>,
    behind: &Behind,
    bytes: usize,
) -> Result<(Vec<Arc<LiveEvent>>, EventOffset), ReadError> {
    let until = behind.until.unwrap_or_else(|| log.end());
    let batch = if behind.reaches.contains(&Reach::All) {
        log.read(behind.from, READ_RECORDS, bytes)?
    } else {
        let accounts = behind.reaches.iter().filter_map(|reach| reach.account());
        let tags: Vec<u64> = accounts.map(AccountId::tag).collect();
        log.read_tags(&tags, behind.from, until, READ_RECORDS, bytes)?
    };
    // Tags are hashes of accounts, and two accounts may share one. So each event's account is compared whole.
    let wanted = |account| behind.reaches.iter().any(|reach| reach.covers(account));
    // `read` has no upper bound, unlike `read_tags`. Beyond `until`, the accounts of further bindings must be read
    // too.
    let records = batch.records.iter().filter(|record| record.offset < until);
    let events = records.filter_map(|record| LiveEvent::of(record, wanted)).map(Arc::new).collect();
    Ok((events, batch.next.min(until)))
}
