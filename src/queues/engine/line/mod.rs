//! A line: one queue together with its counters. A slot has one live line, and one more for each replay.
//!
//! A line is *live* while its queue has looked at every event that the router has routed; then it takes new events straight
//! from the router. Otherwise it is behind, and reads of the log bring its events (`reading`).

pub(super) mod image;
pub(super) mod reading;

use std::sync::Arc;

use super::log_read::STOCK;
use crate::model::{EventOffset, Gap, Moment, Ordering, QueueKey, ReplayState, ReplayStatus, WallTime};
use crate::queues::queue::Queue;
use crate::queues::queue::kept::Budget;
use crate::queues::queue::window::{Start, Taken, Tried};
use crate::queues::rules::fate::{Fate, Totals};
use crate::queues::rules::replay::{ReplayJob, ReplayRun, ReplayTotals};
use crate::queues::rules::verdict::Verdict;

/// Deliveries in memory of a hook that gets none: enough for its probe. The rest is a position in the log.
const CLOSED_WINDOW: usize = 4;
/// Deliveries of a queue whose records are kept when memory is scarce. The deliveries behind them are not needed soon.
const RECORDS_WHEN_SCARCE: usize = 4 * STOCK;

/// An event that has just been routed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Routed<'a> {
    /// Its position in the log.
    pub(super) offset: EventOffset,
    /// The hash of its subject.
    pub(super) subject: u64,
    /// Its record.
    pub(super) record: &'a [u8],
}

/// A read of the log for a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    Idle,
    UnderWay,
    /// It is under way, but what it brings cannot be used: an account has become known since the read began.
    Void,
}

/// A queue with its counters.
#[derive(Debug)]
pub(super) struct Line {
    /// The hook's key, or the replay's.
    key: QueueKey,
    queue: Queue,
    live: bool,
    read: Read,
    /// Wanted and unsettled. Below zero while a settlement is ahead of the count.
    waiting: i64,
    /// The router does not count events below this offset; they are counted when they are read.
    uncounted_until: EventOffset,
    totals: Totals,
    gap: Option<Gap>,
    /// Boxed, because few of many lines are replays.
    replay: Option<Box<ReplayRun>>,
}

impl Line {
    /// An empty live line that is behind.
    pub(super) fn new(key: QueueKey, queue: Queue) -> Self {
        Self {
            key,
            queue,
            live: false,
            read: Read::Idle,
            waiting: 0,
            uncounted_until: EventOffset::FIRST,
            totals: Totals::default(),
            gap: None,
            replay: None,
        }
    }

    /// The key of its queue.
    pub(super) fn key(&self) -> QueueKey {
        self.key
    }

    /// Its queue, to look at.
    pub(super) fn queue(&self) -> &Queue {
        &self.queue
    }

    /// Whether the queue has looked at everything that has been routed. A replay is never live.
    pub(super) fn is_live(&self) -> bool {
        self.live
    }

    /// Whether a read of the log is under way for it.
    pub(super) fn is_reading(&self) -> bool {
        self.read != Read::Idle
    }

    /// Events below this offset are counted when they are read, not when they are routed.
    pub(super) fn uncounted_until(&self) -> EventOffset {
        self.uncounted_until
    }

    /// How many deliveries have been settled, by their fate.
    pub(super) fn totals(&self) -> Totals {
        self.totals
    }

    /// The events that retention dropped last before they were read.
    pub(super) fn gap(&self) -> Option<Gap> {
        self.gap
    }

    /// The replay, if this line is one.
    pub(super) fn replay(&self) -> Option<&ReplayRun> {
        self.replay.as_deref()
    }

    /// How many deliveries are not settled. Exact while the line is live and no lane has a rest in the log; otherwise the
    /// counter, which may be off for events that have not been read.
    pub(super) fn waiting(&self) -> u64 {
        if self.live && self.queue.drained_lane().is_none() && !self.queue.has_spilled() {
            return self.queue.len() as u64;
        }
        u64::try_from(self.waiting).unwrap_or(0).max(self.queue.len() as u64)
    }

    /// How many more deliveries may be in memory; `is_open` is whether the hook gets deliveries.
    pub(super) fn room(&self, is_open: bool) -> usize {
        let of_closed = CLOSED_WINDOW.saturating_sub(self.queue.len());
        if is_open { self.queue.room() } else { self.queue.room().min(of_closed) }
    }

    /// Whether the records of its next deliveries are worth their memory.
    fn keeps_records(&self, is_scarce: bool) -> bool {
        self.replay().is_none_or(ReplayRun::runs) && !(is_scarce && self.queue.len() >= RECORDS_WHEN_SCARCE)
    }

    /// An event has been routed: counts it, and takes it if the line is live and has room. Without room the line is live no
    /// longer, and the event is read from the log later.
    pub(super) fn offer(&mut self, event: &Routed<'_>, is_open: bool, budget: &Budget) {
        if event.offset >= self.uncounted_until {
            self.waiting += 1;
        }
        if !self.live {
            return;
        }
        // A live queue has seen everything before this event, wanted or not, so nothing between is lost by skipping.
        self.queue.skip_to(event.offset);
        if self.room(is_open) == 0 {
            self.live = false;
            return;
        }
        // The records of a closed hook would lie in memory until somebody enables the hook.
        let keeps = is_open && self.keeps_records(budget.is_scarce());
        let record = if keeps { budget.keep(event.record) } else { None };
        self.live = self.queue.take(event.offset, event.subject, record) != Taken::Full;
    }

    /// An event is routed late, because its account has only now become known. The queue may have passed its offset.
    pub(super) fn offer_late(&mut self, offset: EventOffset, subject: u64, is_open: bool) {
        let has_room = self.room(is_open) > 0;
        // The read may have passed over the event while the account was unknown.
        if self.read == Read::UnderWay {
            self.read = Read::Void;
        }
        let is_passed = offset < self.queue.next();
        if is_passed || offset >= self.uncounted_until {
            self.waiting += 1;
        }
        if is_passed {
            self.queue.take_late(offset, subject, has_room);
        } else if self.live {
            self.queue.skip_to(offset);
            self.live = has_room && self.queue.take(offset, subject, None) != Taken::Full;
        }
        // A line that is neither past the event nor live reads it from the log, where its account is known now.
    }

    /// Retention has dropped events before they were routed: from `before`, up to where everything is `routed` now. A line
    /// that was live reads on from `before`, and finds the gap by doing so.
    pub(super) fn fall_behind(&mut self, before: EventOffset, routed: EventOffset) {
        self.queue.skip_to(before);
        self.live = self.queue.next() >= routed;
        self.uncounted_until = self.uncounted_until.max(routed);
    }

    /// Becomes live if its queue has looked at everything that is routed. Replays stay as they are.
    pub(super) fn catch_up(&mut self, routed: EventOffset) {
        self.live = self.replay.is_none() && (self.live || self.queue.next() >= routed);
    }

    /// Drops everything below `start` that is not under way, because a person asked to begin there.
    pub(super) fn restart_at(&mut self, start: EventOffset, routed: EventOffset) {
        self.queue.raise_floor(start);
        self.waiting = i64::try_from(self.queue.len()).unwrap_or(0);
        self.uncounted_until = routed;
        self.live = self.queue.next() >= routed;
    }

    /// Gives up memory because its hook gets no deliveries. A read that is under way counts on the queue's position, so
    /// nothing is given up before it has ended.
    pub(super) fn shrink(&mut self) {
        if !self.is_reading() && self.queue.shrink(CLOSED_WINDOW, self.uncounted_until) {
            self.live = false;
        }
    }

    /// Gives up memory because its hook is disabled: its tries begin again when it is enabled.
    pub(super) fn forget_tries(&mut self) {
        self.queue.forget_tries();
    }

    /// Begins the next attempt, if one is ready. A replay needs a part of its hook's permits that is free (`has_share`), and
    /// follows its own pace.
    pub(super) fn start(&mut self, now: Moment, has_share: bool) -> Option<Start> {
        if let Some(replay) = &mut self.replay {
            // The pace comes last: a start that it refuses is put on the clock, so the start must be possible otherwise.
            let may = replay.runs() && has_share && self.queue.has_ready() && replay.pace.admits(now);
            if !may {
                return None;
            }
        }
        let start = self.queue.start()?;
        if let Some(replay) = &mut self.replay {
            replay.pace.started(now);
        }
        Some(start)
    }

    /// Begins an attempt at the oldest delivery as a recovery probe.
    pub(super) fn start_oldest(&mut self) -> Option<Start> {
        self.queue.start_oldest()
    }

    /// An attempt has ended; see [`Queue::ended`].
    pub(super) fn ended(
        &mut self,
        offset: EventOffset,
        is_try: bool,
        failed: Option<Moment>,
    ) -> Option<Tried> {
        self.queue.ended(offset, is_try, failed)
    }

    /// Does with a delivery what was decided after its attempt. Returns the deliveries that are dead because this one was
    /// delivered, in the order of the log.
    pub(super) fn conclude(&mut self, offset: EventOffset, verdict: Verdict) -> Vec<EventOffset> {
        match verdict {
            Verdict::Settled(fate) => {
                let dead = if fate == Fate::Delivered { self.dead_after(offset) } else { Vec::new() };
                self.settle(offset, fate);
                for offset in &dead {
                    self.settle(*offset, Fate::Dead);
                }
                return dead;
            }
            Verdict::RetryAt(due) => self.queue.retry(offset, due),
            Verdict::SuspectUntil(until) => {
                self.queue.suspect(offset, until);
            }
            // Without a due time: the hook is disabled, and starts nothing until it is enabled or probed.
            Verdict::Held | Verdict::Disable(_) => self.queue.hold(offset),
        }
        Vec::new()
    }

    /// What is dead once `delivered` has arrived. The hook works, so its suspects have used up their tries for good; and the
    /// deliveries before this one in its lane come too late.
    fn dead_after(&self, delivered: EventOffset) -> Vec<EventOffset> {
        let mut dead = self.queue.suspects();
        dead.extend(self.queue.passed_by(delivered));
        // A suspect before it in its lane is in both lists; each is settled and written once, in the order of the log.
        dead.sort_unstable();
        dead.dedup();
        dead
    }

    /// Takes a delivery out of the queue for good, and counts it.
    fn settle(&mut self, offset: EventOffset, fate: Fate) {
        // A delivery that is not in the queue was settled before; counting it again would make the counter drift.
        if self.queue.settle(offset) {
            self.waiting -= 1;
            self.totals.count(fate);
        }
    }

    /// Notes that retention dropped an event before it was delivered; the log now begins at `first`.
    pub(super) fn note_expired(&mut self, offset: EventOffset, first: EventOffset) {
        self.gap = Some(Gap { from: offset, until: first });
    }

    /// Takes note of the time: retries that are due become ready. Suspects whose time is over are dead, and returned.
    pub(super) fn wake(&mut self, now: Moment) -> Vec<EventOffset> {
        self.queue.wake(now);
        if let Some(replay) = &mut self.replay {
            replay.pace.wake(now);
        }
        let dead = self.queue.suspects_until(now);
        for offset in &dead {
            self.settle(*offset, Fate::Dead);
        }
        dead
    }

    /// When its next retry, end of a suspect or start of a paced replay is due.
    pub(super) fn next_due(&self) -> Option<Moment> {
        let paced = self.replay.as_ref().and_then(|replay| replay.pace.due());
        self.queue.next_due().into_iter().chain(paced).min()
    }

    /// The hook works again, or is assumed to: everything that waits has all its tries again and is ready.
    pub(super) fn refresh(&mut self) {
        self.queue.refresh();
    }

    /// The hook is disabled: its suspects wait again.
    pub(super) fn release_suspects(&mut self) {
        self.queue.release_suspects();
    }

    /// Orders the queue as the hook asks for; later, if a lane has a rest in the log.
    pub(super) fn follow_ordering(&mut self, ordering: Ordering) {
        if self.queue.ordering() != ordering {
            self.queue.reorder(ordering);
        }
    }

    /// Takes the place of the line of a deleted hook with the same id. The former line's read may still be under way, and
    /// brings nothing for this one.
    pub(super) fn replace(&mut self, mut new: Self) {
        new.read = self.read;
        *self = new;
    }
}

/// Replays.
impl Line {
    /// Whether every delivery of its range is settled.
    pub(super) fn has_settled_range(&self) -> bool {
        let is_past = |run: &ReplayRun| self.queue.next() >= run.job.until;
        self.replay().is_some_and(is_past)
            && self.queue.is_empty()
            && !self.queue.has_spilled()
            && !self.is_reading()
    }

    /// Whether it is a replay that has ended, with nothing under way any more.
    pub(super) fn is_over(&self) -> bool {
        self.replay.as_ref().is_some_and(|run| run.job.has_ended()) && self.queue.in_flight() == 0
    }

    /// How the replay stands. `None`: this line is not a replay.
    pub(super) fn replay_status(&self) -> Option<ReplayStatus> {
        let job = &self.replay.as_ref()?.job;
        let Totals { delivered, dead, .. } = self.totals;
        let matched = self.totals.sum() + self.queue.len() as u64;
        let totals = ReplayTotals { matched, delivered, dead };
        Some(job.status(self.queue.cursor().min(job.until), totals))
    }

    /// The replay pauses or continues, as its new job says. `None`: it has ended.
    pub(super) fn set_job(&mut self, job: &Arc<ReplayJob>) -> Option<ReplayStatus> {
        let run = self.replay.as_mut().filter(|run| !run.job.has_ended())?;
        run.job = Arc::clone(job);
        self.replay_status()
    }

    /// Ends the replay at this time of day: nothing of it is started any more. `None`: it has ended before.
    pub(super) fn end(&mut self, how: ReplayState, wall: WallTime) -> Option<(ReplayStatus, Arc<ReplayJob>)> {
        let status = self.replay_status()?;
        let run = self.replay.as_mut().filter(|run| !run.job.has_ended())?;
        let ReplayStatus { matched, delivered, dead, .. } = status;
        let totals = ReplayTotals { matched, delivered, dead };
        let job = Arc::new(run.job.ended(how, wall, totals));
        run.job = Arc::clone(&job);
        Some((job.status(status.next_offset, job.totals), job))
    }
}
