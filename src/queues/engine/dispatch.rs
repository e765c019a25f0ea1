//! Handing out attempts: the slots whose turn it is start what is ready, as far as permits go (`permits`).

use super::Engine;
use super::slot::Slot;
use crate::model::{Job, JobKey, QueueKey};
use crate::queues::ledger::revisions::revision_tag;
use crate::queues::queue::entry::Start;
use crate::queues::rules::permits::Refusal;
use crate::queues::rules::replay::SHARE;

/// Attempts that a hook starts in a row if it can, before it is the next one's turn: what they touch in memory is at
/// hand then. One, when more than half of all permits are taken: hooks that hang would be the first to have the rest.
const IN_A_ROW: usize = 4;

/// Why a slot starts nothing.
enum Blocked {
    /// It has nothing (more) to start, or stands at its own limit.
    Nothing,
    /// It is refused a permit.
    Refused(Refusal),
}

impl Engine {
    /// Puts a slot on the ready list.
    pub(super) fn list(&mut self, at: usize) {
        if let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut)
            && slot.open()
        {
            self.permits.list(at, &mut slot.claim);
        }
    }

    /// Starts attempts as far as permits go, one hook after the other.
    pub(super) fn pump(&mut self) {
        if self.ledger.stalled() {
            self.permits.decline();
            return;
        }
        while let Some(at) = self.permits.next() {
            // A slot that is gone leaves its place on the ready list.
            let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { continue };
            self.permits.turn_of(&mut slot.claim);
            let blocked = self.take_turn(at);
            let now = self.now_us();
            let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { continue };
            match blocked {
                None => self.permits.list(at, &mut slot.claim),
                Some(Blocked::Refused(refusal)) => {
                    self.permits.set_aside(at, &mut slot.claim, refusal, now);
                    self.permits.pass_on(&slot.claim);
                }
                Some(Blocked::Nothing) => {
                    self.permits.pass_on(&slot.claim);
                    self.rest(at);
                }
            }
        }
    }

    /// A slot has nothing to start: more of the log is read for it, and its next due time is on the clock.
    fn rest(&mut self, at: usize) {
        if let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut)
            && slot.queue_waits_for_order()
        {
            self.catch_up(at);
        }
        self.want_read(at);
        self.schedule(at);
    }

    /// Starts a few attempts of a slot; what kept it from more, if anything did.
    fn take_turn(&mut self, at: usize) -> Option<Blocked> {
        for _ in 0..IN_A_ROW {
            match self.next_job(at) {
                Ok(job) => self.send(at, job),
                Err(blocked) => return Some(blocked),
            }
            if self.permits.are_scarce() {
                break;
            }
        }
        None
    }

    fn next_job(&mut self, at: usize) -> Result<Job, Blocked> {
        let now = self.now_us();
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else {
            return Err(Blocked::Nothing);
        };
        let own = slot.hook.max_in_flight.unwrap_or(self.options.per_hook_in_flight).max(1);
        let ready = slot.open() && slot.lines.iter().any(|l| l.queue.has_ready());
        let held_back = !slot.trial.admits() || slot.asked_until_us.is_some_and(|until| now < until);
        if !ready || slot.claim.held() >= own || held_back || !slot.pace.admits(now) {
            return Err(Blocked::Nothing);
        }
        self.permits.admit(&slot.claim, slot.hook.one_shot).map_err(Blocked::Refused)?;
        let (queue, start, replay) = start_in_turn(slot, own, now).ok_or(Blocked::Nothing)?;
        Ok(job(slot, queue, start, replay))
    }

    /// Hands an attempt to the delivery and counts it.
    pub(super) fn send(&mut self, at: usize, job: Job) {
        let now = self.now_us();
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        if let Some(revision) = slot.revision.renewed(&slot.hook, self.clock.now_us()) {
            self.ledger.push(revision_tag(slot.hook.id), self.clock.now_us(), &revision);
        }
        slot.trial.started(job.key);
        self.permits.take(at, &mut slot.claim, now);
        // The channel has a place for every permit, so this fails only when the delivery has ended.
        if self.jobs.try_send(job).is_err() {
            tracing::debug!("delivery has ended; the attempt will be made after the next start");
        }
    }

    /// Gives the permit of an attempt back that took `took_us`, and lists its slot: what it waited for may be free.
    pub(super) fn release(&mut self, at: usize, now_us: u64, took_us: u64) {
        if let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) {
            self.permits.give_back(at, &mut slot.claim, now_us, took_us);
        }
        self.list(at);
    }
}

/// The next delivery of a slot: its live queue and its replays in turn, replays within their share.
fn start_in_turn(slot: &mut Slot, own: u32, now_us: u64) -> Option<(QueueKey, Start, bool)> {
    let replaying: u32 = slot.lines.iter().skip(1).map(|l| l.queue.in_flight()).sum();
    let count = slot.lines.len();
    for step in 0..count {
        let at = (slot.turn + step) % count;
        let Some(line) = slot.lines.get_mut(at) else { continue };
        if let Some(replay) = &mut line.replay
            && (!replay.runs()
                || replaying >= (own / SHARE).max(1)
                || !line.queue.has_ready()
                || !replay.pace.admits(now_us))
        {
            continue;
        }
        if let Some(start) = line.queue.start() {
            slot.pace.started(now_us);
            if let Some(replay) = &mut line.replay {
                replay.pace.started(now_us);
            }
            let found = (line.key, start, line.replay.is_some());
            slot.turn = (at + 1) % count;
            return Some(found);
        }
    }
    None
}

/// The attempt that a start asks for.
pub(super) fn job(slot: &Slot, queue: QueueKey, start: Start, replay: bool) -> Job {
    Job {
        key: JobKey { queue, offset: start.offset },
        hook: slot.hook.clone(),
        record: start.record.map(crate::queues::queue::kept::Kept::into_bytes),
        attempt: start.attempt,
        replay,
    }
}
