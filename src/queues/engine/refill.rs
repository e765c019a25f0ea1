//! Reading on from the log: a queue that is behind, or a lane that had spilled, gets its next events from a
//! blocking read beside the engine. A hook reads only its own account's records, through the log's tag index,
//! unless it includes descendants.

use std::sync::Arc;

use bytes::Bytes;

use super::Engine;
use super::directory::Directory;
use crate::kazoo;
use crate::log::{Batch, ReadError, Reader};
use crate::model::{Event, Hook, QueueKey};
use crate::queues::ledger::record::LedgerRecord;
use crate::queues::queue::Queue;
use crate::queues::queue::entry::Taken;
use crate::queues::queue::kept::{Budget, Kept};
use crate::queues::queue::lane::LaneKey;
use crate::queues::rules::partitions::Partition;
use crate::queues::rules::replay::ReplayRun;
use crate::queues::rules::router::{in_reach, subject_hash};

const READ_BYTES: usize = 1 << 20;
/// Deliveries that a queue has at hand when memory for records is scarce. With many hooks behind, every one of them
/// has these in memory; if the first ones filled it, all others would read each record twice.
const STOCK: usize = 16;
/// Deliveries of a queue whose records are kept when memory is scarce; what waits behind them is not soon needed.
const KEPT: usize = 4 * STOCK;
/// Records that are looked at before it is asked again whether memory is scarce.
const STEP: usize = 64;
/// Reads that one thread makes in a row when many wait: to wake one costs as much as to read some records.
const IN_A_ROW: usize = 8;

/// A read to make.
#[derive(Debug, Clone)]
pub(super) struct ReadRequest {
    queue: QueueKey,
    lane: Option<LaneKey>,
    from: u64,
    until: u64,
    max: usize,
    hook: Arc<Hook>,
    replay: Option<ReplayRun>,
    strict: crate::model::Ordering,
    /// Whether deliveries are made now, and soon those that are read, so that records are worth their memory.
    keep: bool,
}

/// An event that the queue wants.
#[derive(Debug)]
pub(super) struct Found {
    offset: u64,
    subject: u64,
    record: Option<Kept>,
}

/// What a read brought.
#[derive(Debug)]
pub(super) struct ReadDone {
    queue: QueueKey,
    lane: Option<LaneKey>,
    from: u64,
    /// Everything below has been looked at.
    next: u64,
    found: Result<Vec<Found>, ReadError>,
    /// Whether the thread that made it has ended.
    last: bool,
}

/// Reads to make one after the other, beside the engine.
#[derive(Debug)]
pub(super) struct Reads {
    requests: Vec<ReadRequest>,
    events: Reader,
    state: Arc<dyn Directory>,
    budget: Budget,
}

impl Reads {
    /// Makes them and hands over what each brought, until nobody takes it any more. Blocks on the disk.
    pub(super) fn make(self, mut answer: impl FnMut(ReadDone) -> bool) {
        let Self { requests, events, state, budget } = self;
        for (left, request) in (0..requests.len()).rev().zip(&requests) {
            let mut done = read(request, &events, &*state, &budget);
            done.last = left == 0;
            if !answer(done) {
                return;
            }
        }
    }
}

impl Engine {
    /// Asks for a read if a queue of the slot has room and is behind.
    pub(super) fn want_read(&mut self, at: usize) {
        let scarce = self.budget.is_scarce();
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        let routed = self.owned.routed(Partition::of(slot.hook.id), self.routed);
        if slot.gone || !(slot.open() || slot.probes()) {
            return;
        }
        let (hook, open) = (slot.hook.clone(), slot.open());
        let rooms: Vec<usize> = slot.lines.iter().map(|line| slot.room(&line.queue)).collect();
        for (line, room) in slot.lines.iter_mut().zip(rooms) {
            if room > 0
                && !(scarce && line.queue.is_stocked(STOCK))
                && let Some(request) = request(line, &hook, routed, (room, open && keeps(line, scarce)))
            {
                line.reading = true;
                self.wants_read.push_back(request);
            }
        }
    }

    /// Starts the reads that may be made now, each share in a thread.
    pub(super) fn start_reads(&mut self) {
        while let Some(reads) = self.next_reads() {
            let answer = self.reads_tx.clone();
            // Dropped when the engine has ended: nobody waits for it then.
            drop(self.tasks.spawn_blocking(move || reads.make(|done| answer.blocking_send(done).is_ok())));
        }
    }

    /// The reads that one more thread is to make; none when there are as many threads as there may be.
    pub(super) fn next_reads(&mut self) -> Option<Reads> {
        if self.reading >= self.options.max_reads || self.wants_read.is_empty() {
            return None;
        }
        let share = self.wants_read.len().div_ceil(self.options.max_reads).min(IN_A_ROW);
        self.reading += 1;
        Some(Reads {
            requests: self.wants_read.drain(..share).collect(),
            events: self.events.clone(),
            state: self.accounts_for_reads(),
            budget: self.budget.clone(),
        })
    }

    /// Puts what was read into its queue.
    pub(super) fn read_done(&mut self, done: ReadDone) {
        self.reading = self.reading.saturating_sub(usize::from(done.last));
        let (first, time) = (self.events.first(), self.clock.now_us());
        let Some(at) = self.owner.get(&done.queue).copied() else { return };
        let slot = self.slots.get(at).and_then(Option::as_ref);
        let routed = slot.map_or(self.routed, |slot| self.routed_to(slot.hook.id));
        let Some((slot, index)) = self.line_of(done.queue) else { return };
        let tag = slot.hook.id.tag();
        let is_of_former = slot.is_of_former(done.queue, done.from);
        let Some(line) = slot.lines.get_mut(index) else { return };
        line.reading = false;
        if std::mem::take(&mut line.void_read) || is_of_former {
            self.want_read(at);
            self.schedule(at);
            self.drop_if_gone(at);
            return;
        }
        let mut gap = None;
        match done.found {
            Err(error) => {
                tracing::error!(queue = %done.queue.id(), from = done.from, %error, "events log cannot be read");
                slot.shrink();
                self.read_again.push(at);
                self.drop_if_gone(at);
                return;
            }
            Ok(found) if done.lane.is_some() => {
                if done.from < first {
                    gap = Some((done.from, first));
                    line.gap = gap;
                }
                take_lane(&mut line.queue, done.lane, found, done.next);
            }
            Ok(found) => {
                if done.from < first && line.queue.next() < first {
                    gap = Some((line.queue.next(), first));
                    line.gap = gap;
                }
                let full = take_all(line, found);
                if !full {
                    line.queue.skip_to(done.next);
                }
                line.live = line.replay.is_none() && line.queue.next() >= routed;
            }
        }
        slot.shrink();
        if let Some((from, to)) = gap {
            tracing::warn!(queue = %done.queue.id(), from, to, "retention dropped events before this hook had read them");
            self.ledger.push(tag, time, &LedgerRecord::Gap { queue: done.queue.id(), from, to });
        }
        self.end_replay_if_done(at, done.queue);
        self.list(at);
        self.want_read(at);
        self.schedule(at);
        self.drop_if_gone(at);
    }
}

/// Whether a line's next records are kept in memory: when it is scarce, only those that are soon delivered.
pub(super) fn keeps(line: &super::slot::Line, scarce: bool) -> bool {
    line.replay.as_ref().is_none_or(ReplayRun::runs) && !(scarce && line.queue.len() >= KEPT)
}

fn request(
    line: &super::slot::Line,
    hook: &Arc<Hook>,
    routed: u64,
    (room, keep): (usize, bool),
) -> Option<ReadRequest> {
    if line.reading {
        return None;
    }
    let request = |lane, from, until, max| ReadRequest {
        queue: line.key,
        lane,
        from,
        until,
        max,
        hook: hook.clone(),
        replay: line.replay.clone(),
        strict: line.queue.ordering(),
        keep,
    };
    let queue = &line.queue;
    if let Some((lane, from, until)) = queue.drained_lane() {
        return Some(request(Some(lane), from, until, room.min(256)));
    }
    let until = line.replay.as_ref().map_or(routed, |r| r.job.until);
    let behind = !line.live && queue.next() < until;
    (behind && queue.wants_more()).then(|| request(None, queue.next(), until, room.min(1024)))
}

fn take_all(line: &mut super::slot::Line, found: Vec<Found>) -> bool {
    for event in found {
        let uncounted = event.offset < line.uncounted_until && event.offset >= line.queue.next();
        match line.queue.take(event.offset, event.subject, event.record) {
            Taken::Full => return true,
            Taken::Waiting | Taken::Spilled | Taken::Settled if uncounted => line.waiting += 1,
            Taken::Waiting | Taken::Spilled | Taken::Settled => {}
        }
    }
    false
}

fn take_lane(queue: &mut Queue, lane: Option<LaneKey>, found: Vec<Found>, next: u64) {
    if let Some(lane) = lane {
        queue.take_spilled(lane, found.into_iter().map(|f| (f.offset, f.record)).collect(), next);
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

fn wanted(
    request: &ReadRequest,
    record: crate::log::Record,
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
    let fits = if hook.one_shot {
        event.family == Some(crate::model::Family::Callflow)
    } else {
        kazoo::wanted(hook, &event)
    };
    let replayed = request.replay.as_ref().is_none_or(|r| {
        r.job.covers(&event, record.time_us) && r.chosen.as_ref().is_none_or(|c| c.contains(&record.offset))
    });
    let subject = subject_hash(&event);
    let in_lane = request.lane.is_none_or(|lane| match request.strict {
        crate::model::Ordering::Subject => lane == subject,
        crate::model::Ordering::Hook => true,
        crate::model::Ordering::None => lane == record.offset,
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
