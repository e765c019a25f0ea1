//! Dispatch: the slots whose turn it is start what is ready, as far as permits go.

use std::time::Duration;

use super::Engine;
use super::desk::Desk;
use super::slot::Slot;
use super::slots::SlotId;
use crate::model::{Job, Moment};
use crate::queues::ledger::revisions::revision_tag;
use crate::queues::rules::permits::Refusal;

/// Attempts that a hook starts in a row before the next hook has its turn: what they need is in the processor's cache then.
/// Only one when more than half of all permits are taken; otherwise hooks that hang would be the first to take the rest.
const IN_A_ROW: usize = 4;
/// The delay before a probe that could not start is looked at again.
const PROBE_AGAIN: Duration = Duration::from_secs(1);

/// Why a slot starts nothing more.
enum Blocked {
    /// It has nothing to start, or its own limits do not allow it.
    Nothing,
    /// It was refused a permit.
    Refused(Refusal),
}

impl Engine {
    /// Starts attempts as far as permits go, one hook after the other.
    pub(super) fn start_attempts(&mut self) {
        let now = self.desk.time.now();
        // The result of an attempt could not be written, so none is started. Other shards may use the permits.
        if self.desk.ledger.stalled() {
            self.desk.permits.decline(now);
            return;
        }
        while let Some(id) = self.desk.permits.next(now) {
            self.slots.take_turn(&mut self.desk, id, |desk, slot| take_turn(desk, id, slot));
        }
    }
}

/// A slot starts a few attempts; then it waits for its next turn, or for the permit that it lacks.
fn take_turn(desk: &mut Desk, id: SlotId, slot: &mut Slot) {
    desk.permits.stop_waiting(slot.claim_mut());
    match start_in_a_row(desk, id, slot) {
        // It may have more to start, after the others.
        None => desk.permits.wait_for_turn(id, slot.claim_mut()),
        Some(Blocked::Refused(refusal)) => {
            let now = desk.time.now();
            desk.permits.park(id, slot.claim_mut(), refusal, now);
            desk.permits.pass_on(slot.claim());
        }
        Some(Blocked::Nothing) => desk.permits.pass_on(slot.claim()),
    }
}

/// Starts a few attempts of a slot. Returns what kept it from more, if anything did.
fn start_in_a_row(desk: &mut Desk, id: SlotId, slot: &mut Slot) -> Option<Blocked> {
    for _ in 0..IN_A_ROW {
        match start_next(desk, id, slot) {
            Ok(job) => send(desk, slot, job),
            Err(blocked) => return Some(blocked),
        }
        if desk.permits.are_scarce() {
            break;
        }
    }
    None
}

/// Takes a permit and starts the next delivery of a slot.
fn start_next(desk: &Desk, id: SlotId, slot: &mut Slot) -> Result<Job, Blocked> {
    let now = desk.time.now();
    let most = slot.most_attempts(desk.options.per_hook_in_flight);
    if !slot.may_start(most, now) {
        return Err(Blocked::Nothing);
    }
    // Nothing of the queue is touched before the permit is certain: a start cannot be taken back.
    let own_targets = slot.hook().one_shot;
    desk.permits.take(id, slot.claim_mut(), own_targets, now).map_err(Blocked::Refused)?;
    slot.start_next(most, now).ok_or_else(|| {
        desk.permits.put_back(id, slot.claim_mut(), now);
        Blocked::Nothing
    })
}

/// Starts a slot's recovery probe if it is due. Probes wait while nothing may leave this program (`is_quiet`).
pub(super) fn start_probe(desk: &mut Desk, id: SlotId, slot: &mut Slot, now: Moment) {
    if !slot.is_probe_due(now) {
        return;
    }
    // A probe does not wait in line for a permit: hooks that are well go first. It takes one that is free.
    if desk.ledger.stalled() || !desk.permits.take_free(id, slot.claim_mut(), now) {
        return slot.put_off_probe(now + PROBE_AGAIN);
    }
    let Some(job) = slot.start_probe() else {
        desk.permits.put_back(id, slot.claim_mut(), now);
        // Nothing is in memory. A read for the slot follows from this change, so there may be something soon.
        return slot.put_off_probe(now + PROBE_AGAIN);
    };
    tracing::info!(hook_id = %slot.hook().id, offset = job.key.offset.0, "recovery probe");
    send(desk, slot, job);
}

/// Hands an attempt that has its permit to the delivery. The ledger gets the hook's revision first, if it needs it.
fn send(desk: &mut Desk, slot: &mut Slot, job: Job) {
    let wall = desk.time.wall();
    if let Some(revision) = slot.new_revision(wall) {
        desk.ledger.push(revision_tag(slot.hook().id), wall, &revision);
    }
    // The channel has room for every permit, so this fails only when the delivery has ended.
    if desk.jobs.try_send(job).is_err() {
        tracing::debug!("delivery has ended; the attempt will be made after the next start");
    }
}
