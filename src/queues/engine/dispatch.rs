//! Handing out attempts: the slots whose turn it is start what is ready, as far as permits go (`permits`).

use super::Engine;
use super::slot::Slot;
use super::slots::SlotId;
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
    /// Starts attempts as far as permits go, one hook after the other.
    pub(super) fn pump(&mut self) {
        if self.ledger.stalled() {
            self.permits.decline();
            return;
        }
        while let Some(number) = self.permits.next() {
            let id = SlotId::numbered(number);
            self.take_turn(id, |engine, slot| engine.start_some(id, slot));
        }
    }

    /// It is a slot's turn: it starts a few attempts, and waits for its next turn or for the permit that it lacks.
    fn start_some(&mut self, id: SlotId, slot: &mut Slot) {
        self.permits.turn_of(&mut slot.claim);
        match self.start_in_a_row(id, slot) {
            None => self.permits.list(id.number(), &mut slot.claim),
            Some(Blocked::Refused(refusal)) => {
                let now = self.now_us();
                self.permits.set_aside(id.number(), &mut slot.claim, refusal, now);
                self.permits.pass_on(&slot.claim);
            }
            Some(Blocked::Nothing) => self.permits.pass_on(&slot.claim),
        }
    }

    /// Starts a few attempts of a slot; what kept it from more, if anything did.
    fn start_in_a_row(&mut self, id: SlotId, slot: &mut Slot) -> Option<Blocked> {
        for _ in 0..IN_A_ROW {
            match self.next_job(slot) {
                Ok(job) => self.send(id, slot, job),
                Err(blocked) => return Some(blocked),
            }
            if self.permits.are_scarce() {
                break;
            }
        }
        None
    }

    fn next_job(&mut self, slot: &mut Slot) -> Result<Job, Blocked> {
        let now = self.now_us();
        let own = slot.hook.max_in_flight.unwrap_or(self.options.per_hook_in_flight).max(1);
        let held_back = !slot.trial.admits() || slot.asked_until_us.is_some_and(|until| now < until);
        if !slot.has_ready() || slot.claim.held() >= own || held_back || !slot.pace.admits(now) {
            return Err(Blocked::Nothing);
        }
        self.permits.admit(&slot.claim, slot.hook.one_shot).map_err(Blocked::Refused)?;
        let (queue, start, replay) = start_in_turn(slot, own, now).ok_or(Blocked::Nothing)?;
        Ok(job(slot, queue, start, replay))
    }

    /// Hands an attempt to the delivery and counts it.
    pub(super) fn send(&mut self, id: SlotId, slot: &mut Slot, job: Job) {
        let (now, wall) = self.times();
        if let Some(revision) = slot.revision.renewed(&slot.hook, wall) {
            self.ledger.push(revision_tag(slot.hook.id), wall, &revision);
        }
        slot.trial.started(job.key);
        self.permits.take(id.number(), &mut slot.claim, now);
        // The channel has a place for every permit, so this fails only when the delivery has ended.
        if self.jobs.try_send(job).is_err() {
            tracing::debug!("delivery has ended; the attempt will be made after the next start");
        }
    }
}

/// The next delivery of a slot: its live queue and its replays in turn, replays within their share.
fn start_in_turn(slot: &mut Slot, own: u32, now_us: u64) -> Option<(QueueKey, Start, bool)> {
    let replaying: u32 = slot.replays.iter().map(|line| line.queue.in_flight()).sum();
    let count = 1 + slot.replays.len();
    for step in 0..count {
        let at = (slot.turn + step) % count;
        let Some(line) = slot.line_at(at) else { continue };
        if let Some(replay) = &mut line.replay
            && (!replay.runs()
                || replaying >= (own / SHARE).max(1)
                || !line.queue.has_ready()
                || !replay.pace.admits(now_us))
        {
            continue;
        }
        if let Some(start) = line.queue.start() {
            if let Some(replay) = &mut line.replay {
                replay.pace.started(now_us);
            }
            let found = (line.key, start, line.replay.is_some());
            slot.pace.started(now_us);
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
