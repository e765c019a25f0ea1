//! What follows from an attempt's result is done: the rules say what (`verdict`), this carries it out.

use rand::Rng;

use super::Engine;
use super::keeper::Action;
use super::shadow::QUIET_PROBE_US;
use super::slot::Slot;
use super::slots::SlotId;
use crate::model::{Attempt, QueueKey};
use crate::queues::ledger::record::{LedgerRecord, Outcome, Settlement};
use crate::queues::ledger::recorded::{Course, attempt_record};
use crate::queues::queue::entry::Tried;
use crate::queues::rules::fate::Fate;
use crate::queues::rules::policy::{Class, DisableReason, classify, probe_delay_ms};
use crate::queues::rules::trial::{After, Trial};
use crate::queues::rules::verdict::{Facts, Verdict, Weight};

/// Time until a probe is made again that this machine could not make, ms.
const OWN_FAULT_PROBE_MS: u64 = 5_000;

/// A result as it was judged.
#[derive(Debug, Clone, Copy)]
struct Judged {
    class: Class,
    verdict: Verdict,
    /// Whether the attempt was its hook's recovery probe.
    is_probe: bool,
    attempts: u16,
    tries: u16,
    tries_left: u16,
}

impl Judged {
    /// What the ledger keeps of it.
    fn course(&self) -> Course {
        let (outcome, due_us) = match self.verdict {
            Verdict::Settled(Fate::Delivered) => (Outcome::Delivered, None),
            Verdict::Settled(Fate::Shadow) => (Outcome::Shadow, None),
            Verdict::Settled(Fate::Dead | Fate::Skipped | Fate::Expired) => (Outcome::Dead, None),
            Verdict::RetryAt(due_us) => (Outcome::Retry, Some(due_us)),
            Verdict::SuspectUntil(_) => (Outcome::Suspect, None),
            Verdict::Held | Verdict::Disable(_) => (Outcome::Held, None),
        };
        let Self { attempts, tries, tries_left, .. } = *self;
        let tries_left = if matches!(self.verdict, Verdict::Settled(_)) { 0 } else { tries_left };
        Course { attempts, tries, tries_left, outcome, due_us }
    }
}

/// Judges a result by what its slot knows, and takes note of it there. `None`: its delivery is not the slot's any more.
fn judge(slot: &mut Slot, attempt: &Attempt, now_us: u64, random: f64) -> Option<Judged> {
    let key = attempt.key;
    let is_probe = slot.probe.under_way == Some(key.offset) && !slot.hook.enabled;
    if is_probe {
        slot.probe.under_way = None;
    }
    let class = classify(&slot.hook, &attempt.result);
    // The delivery of this attempt is counted until its result is taken.
    let is_done = matches!(class, Class::Skipped | Class::Expired | Class::Unsendable | Class::Shadow);
    let waiting = slot.waiting() > u64::from(is_done);
    let is_still_down = slot.trial.ended(key, class, &attempt.result, waiting);
    // A paused hook's last attempts count as ever: it is only that no new ones are started.
    let (serves, policy, hook) = (slot.serves(), slot.policy, slot.hook.clone());
    let counts = serves && !hook.one_shot && !is_still_down && matches!(class, Class::Failed { .. });
    let weight = if is_still_down {
        Weight::StillDown
    } else if counts && slot.health.failed(&policy, now_us) {
        Weight::TooMany
    } else {
        Weight::Bearable
    };
    if class == Class::Delivered {
        slot.health.last_success_us = Some(now_us);
    }
    let last_success_us = slot.health.last_success_us;
    let max_tries = attempt.max_tries.unwrap_or_else(|| hook.max_tries());
    let queue = &mut slot.line(key.queue)?.queue;
    let is_head = queue.is_head(key.offset);
    let has_failed = matches!(class, Class::Failed { .. } | Class::Busy { .. } | Class::Gone);
    let tried = queue.ended(key.offset, class != Class::Ours, has_failed.then_some(now_us))?;
    let Tried { attempts, tries, first_failed_us } = tried;
    let facts = Facts {
        policy: &policy,
        hook: &hook,
        now_us,
        class,
        serves,
        weight,
        attempts,
        tries,
        max_tries,
        first_failed_us,
        last_success_us,
        is_head,
    };
    let verdict = facts.verdict(random);
    Some(Judged { class, verdict, is_probe, attempts, tries, tries_left: max_tries.saturating_sub(tries) })
}

impl Engine {
    /// Takes one result.
    pub(super) fn finish(&mut self, attempt: Attempt, now: u64) {
        let key = attempt.key;
        let Some(id) = self.slots.owner(key.queue) else {
            // A slot stays until all that it has under way has ended.
            self.defect("an attempt has ended whose queue is gone", key);
            return self.permits.give_back_lost();
        };
        self.touch(id, |engine, slot| {
            engine.permits.give_back(id.number(), &mut slot.claim, now, attempt.duration_us);
            let random = engine.random.random();
            // An attempt of a hook that was deleted says nothing of the hook that has its id now.
            if slot.is_of_former(key.queue, key.offset) {
                return;
            }
            match judge(slot, &attempt, now, random) {
                Some(judged) => engine.carry_out(slot, attempt, now, judged),
                None => engine.defect("an attempt has ended whose delivery is gone", key),
            }
        });
    }

    /// Does with the delivery what was judged, and tells the ledger; then what follows for its hook.
    fn carry_out(&mut self, slot: &mut Slot, attempt: Attempt, now: u64, judged: Judged) {
        let (tag, ended_us, key) = (slot.hook.id.tag(), attempt.ended_us, attempt.key);
        let Some(line) = slot.line(key.queue) else {
            return self.defect("an attempt was judged whose queue its slot does not have", key);
        };
        let settled = |offset, how| LedgerRecord::Settled { queue: key.queue.id(), offset, how };
        let record = |attempt| LedgerRecord::Attempt(attempt_record(attempt, judged.course()));
        match judged.verdict {
            Verdict::Settled(fate) => {
                let dead = if fate == Fate::Delivered { line.too_late(key.offset) } else { Vec::new() };
                line.settled(key.offset, fate);
                for offset in dead {
                    line.settled(offset, Fate::Dead);
                    self.ledger.push(tag, ended_us, &settled(offset, Settlement::Dead));
                }
                if fate == Fate::Expired {
                    line.gap = Some((key.offset, self.events.first()));
                }
            }
            Verdict::RetryAt(due_us) => line.queue.retry(key.offset, due_us),
            Verdict::SuspectUntil(until_us) => {
                line.queue.suspect(key.offset, until_us);
            }
            Verdict::Held | Verdict::Disable(_) => line.queue.retry(key.offset, now),
        }
        let told = match judged.verdict {
            Verdict::Settled(Fate::Skipped) => settled(key.offset, Settlement::Skipped),
            Verdict::Settled(Fate::Expired) => settled(key.offset, Settlement::Expired),
            _ => record(attempt),
        };
        self.ledger.push(tag, ended_us, &told);
        match judged.verdict {
            Verdict::Disable(reason) => self.disable(slot, reason),
            _ if judged.is_probe => self.probe_ended(slot, now, judged.class),
            _ => {}
        }
        if let Class::Busy { retry_after_ms } = judged.class {
            wait_as_asked(slot, now, retry_after_ms);
        }
    }

    /// A recovery probe has ended: the hook works, or the next probe has its time.
    fn probe_ended(&mut self, slot: &mut Slot, now: u64, class: Class) {
        let policy = self.options.policy;
        let retry_after_ms = match class {
            Class::Delivered => {
                tracing::info!(hook_id = %slot.hook.id, "recovery probe delivered; the hook is enabled again");
                return self.enable(slot);
            }
            Class::Ours => {
                slot.probe.due_us = Some(now + 1000 * OWN_FAULT_PROBE_MS);
                return;
            }
            // They say nothing of the receiver: the next delivery is the probe.
            Class::Skipped | Class::Expired | Class::Unsendable => return,
            Class::Shadow => {
                slot.probe.due_us = Some(now);
                return;
            }
            Class::Gone => None,
            Class::Busy { retry_after_ms } => Some(retry_after_ms),
            Class::Failed { retry_after_ms } => retry_after_ms,
        };
        if slot.probe.due_us.is_some() {
            slot.probe.made = slot.probe.made.saturating_add(1);
            slot.probe.due_us = Some(now + 1000 * probe_delay_ms(&policy, slot.probe.made, retry_after_ms));
        }
    }

    /// Stops deliveries to a hook and keeps its place: in memory now, in the journal through the keeper.
    fn disable(&mut self, slot: &mut Slot, reason: DisableReason) {
        let reason = reason.text();
        let first_probe = self.first_probe_us();
        let mut hook = (*slot.hook).clone();
        hook.enabled = false;
        hook.disable_reason = Some(reason.to_owned());
        slot.hook = std::sync::Arc::new(hook);
        slot.health.reset();
        for line in slot.lines_mut() {
            line.queue.release_suspects();
        }
        slot.trial = Trial::Off;
        slot.probe.made = 0;
        slot.probe.under_way = None;
        slot.probe.due_us = first_probe.filter(|_| slot.has_failed());
        let (hook_id, account) = (slot.hook.id, slot.hook.account);
        tracing::warn!(%hook_id, %account, reason, "hook disabled; its place in the log is kept");
        self.pending_actions.push_back(Action::Disable { hook: slot.hook.clone(), reason });
    }

    /// Deliveries of a hook go on where they stopped, with fresh tries.
    fn enable(&mut self, slot: &mut Slot) {
        let mut hook = (*slot.hook).clone();
        hook.enabled = true;
        hook.disable_reason = None;
        slot.hook = std::sync::Arc::new(hook);
        let hook = slot.hook.clone();
        self.resume(slot);
        self.pending_actions.push_back(Action::Enable { hook });
    }

    /// The slot's hook is enabled: everything that waited is ready.
    pub(super) fn resume(&mut self, slot: &mut Slot) {
        slot.health.reset();
        slot.asked_until_us = None;
        slot.probe = super::slot::Probe::default();
        let (tag, time) = (slot.hook.id.tag(), self.clock.now_us());
        for line in slot.lines_mut() {
            line.queue.refresh();
            self.ledger.push(tag, time, &LedgerRecord::Refreshed { queue: line.key.id() });
        }
    }

    /// When a hook that is disabled now for its failures is probed first. `None`: it is not.
    pub(super) fn first_probe_us(&self) -> Option<u64> {
        let policy = &self.options.policy;
        (policy.probe_initial_ms > 0).then(|| self.now_us() + 1000 * probe_delay_ms(policy, 0, None))
    }

    /// Something of a slot is due: retries, suspects' ends, its probe.
    pub(super) fn slot_due(&mut self, id: SlotId, slot: &mut Slot, now: u64) {
        let (open, tag, time) = (slot.open(), slot.hook.id.tag(), self.clock.now_us());
        slot.asked_until_us = slot.asked_until_us.filter(|until| *until > now);
        slot.pace.wake(now);
        for line in slot.lines_mut().filter(|_| open) {
            line.queue.wake(now);
            if let Some(replay) = &mut line.replay {
                replay.pace.wake(now);
            }
            for offset in line.queue.suspects_until(now) {
                line.settled(offset, Fate::Dead);
                let how = Settlement::Dead;
                self.ledger.push(tag, time, &LedgerRecord::Settled { queue: line.key.id(), offset, how });
            }
        }
        self.start_probe(id, slot, now);
    }

    fn start_probe(&mut self, id: SlotId, slot: &mut Slot, now: u64) {
        let probe = slot.probe;
        if !slot.probes() || probe.due_us.is_none_or(|due| due > now) || probe.under_way.is_some() {
            return;
        }
        if self.stance.is_quiet {
            slot.probe.due_us = Some(now + QUIET_PROBE_US);
            return;
        }
        if self.permits.free() == 0 || self.ledger.stalled() {
            slot.probe.due_us = Some(now + 1_000_000);
            return;
        }
        let Some(start) = slot.live_line.queue.start_oldest() else {
            // Nothing waits in memory: look again when something has been read, a little later at the latest.
            slot.probe.due_us = Some(now + 1_000_000);
            return;
        };
        slot.probe.under_way = Some(start.offset);
        let hook_id = slot.hook.id;
        tracing::info!(%hook_id, offset = start.offset, "recovery probe");
        let job = super::dispatch::job(slot, QueueKey::of(&slot.hook), start, false);
        self.send(id, slot, job);
    }
}

/// The receiver asked for time: nothing is sent to it until then, and one delivery goes first after that.
fn wait_as_asked(slot: &mut Slot, now: u64, retry_after_ms: u64) {
    if slot.hook.one_shot || !slot.serves() {
        return;
    }
    slot.asked_until_us = slot.asked_until_us.max(Some(now + 1000 * retry_after_ms));
    if slot.trial == Trial::Off {
        slot.trial = Trial::Due(After::AskedForTime);
    }
}
