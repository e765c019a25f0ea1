//! A read of the log beside the engine: it looks for the next events that one queue wants. Blocks on the disk.
//!
//! A hook reads only its own account's records, through the log's tag index, unless it includes descendants.

use std::sync::Arc;

use bytes::Bytes;

use super::directory::Directory;
use crate::kazoo;
use crate::log::{Batch, ReadError, Reader, Record};
use crate::model::{Event, Family, Hook, Ordering, QueueKey};
use crate::queues::queue::kept::{Budget, Kept};
use crate::queues::queue::lane::LaneKey;
use crate::queues::rules::replay::ReplayRun;
use crate::queues::rules::router::{in_reach, subject_hash};

const READ_BYTES: usize = 1 << 20;
/// Deliveries that a queue has at hand when memory for records is scarce. With many hooks behind, every one of them
/// has these in memory; if the first ones filled it, all others would read each record twice.
pub(super) const STOCK: usize = 16;
/// Records that are looked at before it is asked again whether memory is scarce.
const STEP: usize = 64;

/// A read to make.
#[derive(Debug, Clone)]
pub(super) struct ReadRequest {
    /// The queue that it is for.
    pub(super) queue: QueueKey,
    /// For the rest of this lane alone; `None`: for all that the queue wants.
    pub(super) lane: Option<LaneKey>,
    /// First offset to look at.
    pub(super) from: u64,
    /// First offset not to look at.
    pub(super) until: u64,
    /// Events after which there are enough.
    pub(super) max: usize,
    /// The hook as it is now.
    pub(super) hook: Arc<Hook>,
    /// The replay that the queue is, if it is one.
    pub(super) replay: Option<ReplayRun>,
    /// How the queue orders its deliveries.
    pub(super) ordering: Ordering,
    /// Whether deliveries are made now, and soon those that are read, so that records are worth their memory.
    pub(super) keep: bool,
}

/// An event that the queue wants.
#[derive(Debug)]
pub(super) struct Found {
    /// Its place in the log.
    pub(super) offset: u64,
    /// The hash of its subject.
    pub(super) subject: u64,
    /// Its record, if memory allowed to keep it.
    pub(super) record: Option<Kept>,
}

/// What a read brought.
#[derive(Debug)]
pub(super) struct ReadDone {
    /// The queue that it was for.
    pub(super) queue: QueueKey,
    /// The lane, if it was for the rest of one.
    pub(super) lane: Option<LaneKey>,
    /// Where it began.
    pub(super) from: u64,
    /// Everything below has been looked at.
    pub(super) next: u64,
    /// The events, in the order of the log.
    pub(super) found: Result<Vec<Found>, ReadError>,
    /// Whether the thread that made it has ended.
    pub(super) last: bool,
}

/// Reads to make one after the other, in one thread.
#[derive(Debug)]
pub(super) struct ReadRun {
    /// At least one.
    pub(super) requests: Vec<ReadRequest>,
    /// The log.
    pub(super) events: Reader,
    /// The accounts, as far as their events have been routed.
    pub(super) accounts: Arc<dyn Directory>,
    /// Memory for records.
    pub(super) budget: Budget,
}

impl ReadRun {
    /// Makes them and hands over what each brought, until nobody takes it any more. Blocks on the disk.
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

/// Reads until enough is found, the range is done, a good deal of the log has been looked at, or there is no room
/// for more.
fn read(request: &ReadRequest, events: &Reader, state: &dyn Directory, budget: &Budget) -> ReadDone {
    let mut next = request.from;
    let mut found = Vec::new();
    let mut looked_at = 0;
    let result = loop {
        if next >= request.until || found.len() >= request.max || looked_at > 16 * READ_BYTES {
            break Ok(());
        }
        let scarce = budget.is_scarce();
        if found.len() >= STOCK && scarce {
            break Ok(());
        }
        let room = (request.max - found.len()).min(if scarce { STOCK } else { STEP });
        match read_batch(request, events, next, room) {
            Err(error) => break Err(error),
            Ok(batch) => {
                looked_at += batch.records.iter().map(|r| r.payload.len()).sum::<usize>();
                found.extend(batch.records.into_iter().filter_map(|r| wanted(request, r, state, budget)));
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

fn read_batch(request: &ReadRequest, events: &Reader, from: u64, max: usize) -> Result<Batch, ReadError> {
    if request.hook.include_subaccounts {
        events.read(from, max, READ_BYTES)
    } else {
        events.read_tags(&[request.hook.account.tag()], from, request.until, max, READ_BYTES)
    }
}

fn wanted(request: &ReadRequest, record: Record, state: &dyn Directory, budget: &Budget) -> Option<Found> {
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
    let in_lane = request.lane.is_none_or(|lane| match request.ordering {
        Ordering::Subject => lane == subject,
        Ordering::Hook => true,
        Ordering::None => lane == record.offset,
    });
    let wants = fits && replayed && in_lane;
    wants.then(|| Found { offset: record.offset, subject, record: kept(request, record.payload, budget) })
}

fn kept(request: &ReadRequest, record: Bytes, budget: &Budget) -> Option<Kept> {
    // What is read by tags is a copy already.
    let is_whole = !request.hook.include_subaccounts;
    if !request.keep {
        None
    } else if is_whole {
        budget.keep_whole(record)
    } else {
        budget.keep(&record)
    }
}

/// A replay may reach back before the hook was made; the live queue may not.
fn floor(request: &ReadRequest) -> u64 {
    if request.replay.is_some() { 0 } else { request.hook.start_offset }
}
