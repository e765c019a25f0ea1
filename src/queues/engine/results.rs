//! Results of attempts: the rules say what follows from each (`rules/verdict.rs`), and this file does it.

use rand::Rng;

use super::Engine;
use super::decisions::Decisions;
use super::desk::Desk;
use super::keeper::Action;
use super::slot::Slot;
use super::slot::attempts::Judged;
use super::slots::SlotId;
use std::time::Duration;

use crate::model::{Attempt, Moment, WallTime};
use crate::queues::ledger::record::{LedgerRecord, Settlement};
use crate::queues::ledger::recorded::attempt_record;
use crate::queues::rules::fate::Fate;
use crate::queues::rules::policy::{Class, DisableReason};
use crate::queues::rules::verdict::Verdict;

impl Engine {
    /// Takes the result of an attempt.
    pub(super) fn finish(&mut self, attempt: Attempt, now: Moment) {
        let key = attempt.key;
        let Some(id) = self.slots.owner(key.queue) else {
            // A slot stays until all of its attempts have ended.
            self.desk.defect("an attempt has ended whose queue does not exist", key);
            return self.desk.permits.give_back_lost();
        };
        self.slots.touch(&mut self.desk, id, |desk, slot| take_result(desk, id, slot, attempt, now));
    }
}

fn take_result(desk: &mut Desk, id: SlotId, slot: &mut Slot, attempt: Attempt, now: Moment) {
    desk.permits.give_back(id, slot.claim_mut(), now, Duration::from_micros(attempt.duration_us));
    let (key, random) = (attempt.key, desk.random.random());
    // An attempt of a deleted hook says nothing about the hook that has its id now.
    if slot.is_of_former(key.queue, key.offset) {
        return;
    }
    match slot.judge(&attempt, now, random) {
        Some(judged) => carry_out(desk, slot, attempt, judged, now),
        None => desk.defect("an attempt has ended whose delivery does not exist", key),
    }
}

/// Does with the delivery what was decided, writes it to the ledger, and does what follows for the hook.
fn carry_out(desk: &mut Desk, slot: &mut Slot, attempt: Attempt, judged: Judged, now: Moment) {
    let (tag, ended, key) = (slot.hook().id.tag(), WallTime::from_micros(attempt.ended_us), attempt.key);
    let Some(dead) = slot.conclude(key, judged.verdict) else {
        return desk.defect("an attempt was judged whose queue its slot does not have", key);
    };
    let settled = |offset, how| LedgerRecord::Settled { queue: key.queue.id(), offset, how };
    for offset in dead {
        desk.ledger.push(tag, ended, &settled(offset, Settlement::Dead));
    }
    let record = match judged.verdict {
        Verdict::Settled(Fate::Skipped) => settled(key.offset, Settlement::Skipped),
        Verdict::Settled(Fate::Expired) => {
            slot.note_expired(key, desk.events.first());
            settled(key.offset, Settlement::Expired)
        }
        _ => LedgerRecord::Attempt(attempt_record(attempt, judged.course())),
    };
    desk.ledger.push(tag, ended, &record);
    match judged.verdict {
        Verdict::Disable(reason) => disable(slot, reason, desk.first_probe(), &mut desk.decisions),
        _ if judged.is_probe => probe_ended(desk, slot, judged.class, now),
        _ => {}
    }
    if let Class::Busy { retry_after } = judged.class {
        slot.wait_as_asked(now, retry_after);
    }
}

/// A recovery probe has ended: the hook works, or the time of the next probe is set.
fn probe_ended(desk: &mut Desk, slot: &mut Slot, class: Class, now: Moment) {
    if class != Class::Delivered {
        return slot.probe_failed(class, &desk.options.policy, now);
    }
    tracing::info!(hook_id = %slot.hook().id, "recovery probe delivered; the hook is enabled again");
    slot.enable();
    desk.note_refreshed(slot);
    desk.decisions.add(Action::Enable { hook: slot.hook().clone() });
}

/// Stops deliveries to a hook, and keeps its position: in memory now, in the journal through the keeper.
fn disable(slot: &mut Slot, reason: DisableReason, first_probe: Option<Moment>, decisions: &mut Decisions) {
    slot.disable(reason, first_probe);
    let (hook, reason) = (slot.hook().clone(), reason.text());
    tracing::warn!(hook_id = %hook.id, account_id = %hook.account, reason, "hook disabled; its position in the log is kept");
    decisions.add(Action::Disable { hook, reason });
}
