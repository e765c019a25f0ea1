//! A read of the log beside the engine: it finds the next events for one queue. It blocks on the disk, so it has a thread.
//!
//! A read finds only the records of the hook's own account, through the log's tag index, unless the hook includes descendants.

use std::sync::Arc;

use bytes::Bytes;

use super::directory::Directory;
use crate::kazoo;
use crate::log::{Batch, ReadError, ReaderOf, Record};
use crate::model::{Event, EventOffset, Family, Hook, Ordering, QueueKey};
use crate::queues::queue::kept::{Budget, Kept};
use crate::queues::queue::lane::LaneKey;
use crate::queues::rules::replay::ReplayRun;
use crate::queues::rules::router::{in_reach, subject_hash};

const READ_BYTES: usize = 1 << 20;
/// Deliveries of a queue that are ready when memory for records is scarce. With many hooks behind, each of them has this
/// many records in memory; if the first hooks filled the memory, all others would read each record twice.
pub(super) const STOCK: usize = 16;
/// Most bytes of the log that one read looks at, so that others have their turn.
const MOST_BYTES: usize = 16 * READ_BYTES;
/// Records that a read looks at before it checks again whether memory is scarce.
const STEP: usize = 64;

/// A read to make.
#[derive(Debug, Clone)]
pub(super) struct ReadRequest {
    /// The queue to read for.
    pub(super) queue: QueueKey,
    /// Only the rest of this lane. `None`: everything that the queue wants.
    pub(super) lane: Option<LaneKey>,
    /// The first offset to look at.
    pub(super) from: EventOffset,
    /// The first offset after the range.
    pub(super) until: EventOffset,
    /// The most events to find.
    pub(super) max: usize,
    /// The hook as it is now.
    pub(super) hook: Arc<Hook>,
    /// The replay, if the queue is one.
    pub(super) replay: Option<ReplayRun>,
    /// How the queue orders its deliveries.
    pub(super) ordering: Ordering,
    /// Whether to keep records in memory: the hook gets deliveries, and these are near.
    pub(super) keep: bool,
}

/// An event that the queue wants.
#[derive(Debug)]
pub(super) struct Found {
    /// Its position in the log.
    pub(super) offset: EventOffset,
    /// The hash of its subject.
    pub(super) subject: u64,
    /// Its record, if it was kept in memory.
    pub(super) record: Option<Kept>,
}

/// What a read found.
#[derive(Debug)]
pub(super) struct ReadDone {
    /// The queue that it was for.
    pub(super) queue: QueueKey,
    /// The lane, if the read was for the rest of one.
    pub(super) lane: Option<LaneKey>,
    /// Where it began.
    pub(super) from: EventOffset,
    /// Everything below this offset has been looked at.
    pub(super) next: EventOffset,
    /// The events, in the order of the log.
    pub(super) found: Result<Vec<Found>, ReadError>,
    /// Whether this was the thread's last read.
    pub(super) last: bool,
}

/// Reads that one thread makes one after the other.
#[derive(Debug)]
pub(super) struct ReadRun {
    /// At least one.
    pub(super) requests: Vec<ReadRequest>,
    /// The log.
    pub(super) events: ReaderOf<EventOffset>,
    /// The accounts whose events have all been routed.
    pub(super) accounts: Arc<dyn Directory>,
    /// Memory for records.
    pub(super) budget: Budget,
}

impl ReadRun {
    /// Makes the reads and answers each; stops when an answer is not accepted. Blocks on the disk.
    pub(super) fn make(self, mut answer: impl FnMut(ReadDone) -> bool) {
        let Self { requests, events, accounts, budget } = self;
        for (left, request) in (0..requests.len()).rev().zip(&requests) {
            let mut done = read(request, &events, &*accounts, &budget);
            done.last = left == 0;
            if !answer(done) {
                return;
            }
        }
    }
}

/// Reads until enough is found, the range ends, much of the log has been looked at, or memory is scarce.
fn read(
    request: &ReadRequest,
    events: &ReaderOf<EventOffset>,
    state: &dyn Directory,
    budget: &Budget,
) -> ReadDone {
    let mut next = request.from;
    let mut found = Vec::new();
    let mut looked_at = 0;
    let result = loop {
        if next >= request.until || found.len() >= request.max || looked_at > MOST_BYTES {
            break Ok(());
        }
        let scarce = budget.is_scarce();
        // Checked again for each batch: other reads fill the memory at the same time.
        if found.len() >= STOCK && scarce {
            break Ok(());
        }
        let room = (request.max - found.len()).min(if scarce { STOCK } else { STEP });
        match read_batch(request, events, next, room) {
            Err(error) => break Err(error),
            Ok(batch) => {
                looked_at += batch.records.iter().map(|r| r.payload.len()).sum::<usize>();
                found.extend(batch.records.into_iter().filter_map(|r| wanted(request, r, state, budget)));
                // No progress: the log ends here.
                if batch.next <= next {
                    break Ok(());
                }
                next = batch.next;
            }
        }
    };
    let found = result.map(|()| found);
    ReadDone {
        queue: request.queue,
        lane: request.lane,
        from: request.from,
        next: next.min(request.until),
        found,
        last: false,
    }
}

fn read_batch(
    request: &ReadRequest,
    events: &ReaderOf<EventOffset>,
    from: EventOffset,
    max: usize,
) -> Result<Batch<EventOffset>, ReadError> {
    if request.hook.include_subaccounts {
        events.read(from, max, READ_BYTES)
    } else {
        events.read_tags(&[request.hook.account.tag()], from, request.until, max, READ_BYTES)
    }
}

fn wanted(
    request: &ReadRequest,
    record: Record<EventOffset>,
    state: &dyn Directory,
    budget: &Budget,
) -> Option<Found> {
    let hook = &request.hook;
    if record.offset >= request.until || record.offset < request.from {
        return None;
    }
    let event = Event::decode(&record.payload).ok()?;
    let account = state.account(event.account?)?;
    if event.quarantine.is_some() || !in_reach(hook, &account) || record.offset < floor(request) {
        return None;
    }
    let fits =
        if hook.one_shot { event.family == Some(Family::Callflow) } else { kazoo::wanted(hook, &event) };
    let replayed = request.replay.as_ref().is_none_or(|r| {
        r.job.covers(&event, record.time_us) && r.chosen.as_ref().is_none_or(|c| c.contains(&record.offset))
    });
    let subject = subject_hash(&event);
    // Two subjects with the same hash share a lane, so comparing hashes finds exactly the lane.
    let in_lane = request.lane.is_none_or(|lane| match request.ordering {
        Ordering::Subject => lane.0 == subject,
        Ordering::Hook => true,
        Ordering::None => lane.0 == record.offset.0,
    });
    let wants = fits && replayed && in_lane;
    wants.then(|| Found { offset: record.offset, subject, record: keep(request, record.payload, budget) })
}

fn keep(request: &ReadRequest, record: Bytes, budget: &Budget) -> Option<Kept> {
    // A record that was read by its tag is a copy already; other records are slices of the chunk that was read.
    let is_whole = !request.hook.include_subaccounts;
    if !request.keep {
        None
    } else if is_whole {
        budget.keep_whole(record)
    } else {
        budget.keep(&record)
    }
}

/// The first offset that may be delivered. A replay may reach back before the hook was made; the live queue may not.
fn floor(request: &ReadRequest) -> EventOffset {
    if request.replay.is_some() { EventOffset::FIRST } else { request.hook.start_offset }
}
