//! What follows from an attempt's result: settle, try again, set aside, disable, enable.

use rand::Rng;

use super::attempt_record::attempt_record;
use super::engine::Engine;
use super::keeper::Action;
use super::policy::{Class, classify, probe_delay_ms, retry_delay_ms};
use super::record::{LedgerRecord, Outcome, Settlement};
use super::shadow::QUIET_PROBE_US;
use super::slot::{Line, Slot};
use super::trial::{After, Trial, Verdict};
use crate::model::{Attempt, AttemptResult, QueueKey};

/// The reason that KAZOO gives (`docs/kazoo/webhooks.md#disabling`).
pub const TOO_MANY_FAILURES: &str = "too many failed attempts";
/// The reason after a 410.
pub const RECEIVER_GONE: &str = "receiver answered 410 gone";

/// Time until a probe is made again that this machine could not make, ms.
const OWN_FAULT_PROBE_MS: u64 = 5_000;

/// What a failure means for whether the hook stays enabled.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weight {
    /// It counts.
    One,
    /// It does not count.
    Nothing,
    /// The hook was just enabled again, and its receiver is still down: it is disabled again.
    StillDown,
    /// 410: the hook is disabled.
    Gone,
}

/// How an attempt failed.
#[derive(Clone, Copy)]
struct Failure {
    /// The receiver asked for time.
    retry_after_ms: Option<u64>,
    /// It was a recovery probe.
    probe: bool,
    /// What it means for whether the hook stays enabled.
    weight: Weight,
}

impl Engine {
    /// Takes one result.
    pub(super) fn finish(&mut self, attempt: Attempt, now: u64) {
        let key = attempt.key;
        let Some(at) = self.owner.get(&key.queue).copied() else {
            self.permits.give_back_lost();
            return;
        };
        self.release(at, now, attempt.duration_us);
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        if slot.is_of_former(key.queue, key.offset) {
            self.list(at);
            self.schedule(at);
            self.drop_if_gone(at);
            return;
        }
        let probe = slot.probe.under_way == Some(key.offset) && !slot.hook.enabled;
        if probe {
            slot.probe.under_way = None;
        }
        let class = classify(&slot.hook, &attempt.result);
        // The delivery of this attempt is counted until its result is taken.
        let is_done = matches!(class, Class::Skipped | Class::Unsendable | Class::Shadow);
        let waiting = slot.waiting() > u64::from(is_done);
        let weight = match slot.trial.ended(key, class, &attempt.result, waiting) {
            Verdict::StillDown => Weight::StillDown,
            Verdict::Usual => Weight::One,
        };
        let failure = Failure { retry_after_ms: None, probe, weight };
        match class {
            Class::Skipped => self.skipped(at, &attempt),
            Class::Delivered => self.delivered(at, attempt, now, probe),
            Class::Ours => self.not_made(at, attempt, now, probe),
            Class::Unsendable => self.unsendable(at, attempt),
            Class::Shadow => self.shadowed(at, attempt, now, probe),
            Class::Gone => self.failed(at, attempt, now, Failure { weight: Weight::Gone, ..failure }),
            Class::Busy { retry_after_ms } => {
                let retry_after_ms = Some(retry_after_ms);
                self.failed(at, attempt, now, Failure { retry_after_ms, weight: Weight::Nothing, ..failure });
                self.wait_as_asked(at, now, retry_after_ms);
            }
            Class::Failed { retry_after_ms } => {
                self.failed(at, attempt, now, Failure { retry_after_ms, ..failure });
            }
        }
        self.shrink_if_idle(at);
        self.end_replay_if_done(at, key.queue);
        self.want_read(at);
        self.list(at);
        self.schedule(at);
        self.drop_if_gone(at);
    }

    /// What was under way when a hook was disabled has ended: only now its memory can be given up.
    fn shrink_if_idle(&mut self, at: usize) {
        if let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut)
            && slot.claim.held() == 0
        {
            slot.shrink();
        }
    }

    fn skipped(&mut self, at: usize, attempt: &Attempt) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        let tag = slot.hook.id.tag();
        let expired = attempt.result == AttemptResult::Expired;
        let (queue, offset) = (attempt.key.queue, attempt.key.offset);
        if let Some(line) = slot.line(queue) {
            line.settled(offset, 2);
            if expired {
                line.gap = Some((offset, self.events.first()));
            }
        }
        let how = if expired { Settlement::Expired } else { Settlement::Skipped };
        self.ledger.push(tag, attempt.ended_us, &LedgerRecord::Settled { queue: queue.id(), offset, how });
    }

    fn delivered(&mut self, at: usize, attempt: Attempt, now: u64, probe: bool) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        let tag = slot.hook.id.tag();
        slot.health.last_success_us = now;
        let hook_id = slot.hook.id;
        let Some(line) = slot.line(attempt.key.queue) else { return };
        let tries = line.queue.entries.get(&attempt.key.offset).map_or((0, 0), |e| (e.attempts, e.tries + 1));
        // The hook works: what had used up its tries before is dead now, and comes too late in this lane.
        let mut dead = line.queue.suspects_until(u64::MAX);
        dead.extend(line.queue.passed_by(attempt.key.offset));
        dead.sort_unstable();
        dead.dedup();
        line.settled(attempt.key.offset, 0);
        for offset in &dead {
            line.settled(*offset, 1);
        }
        let ended_us = attempt.ended_us;
        for offset in dead {
            let record =
                LedgerRecord::Settled { queue: attempt.key.queue.id(), offset, how: Settlement::Dead };
            self.ledger.push(tag, ended_us, &record);
        }
        let record = attempt_record(attempt, tries, Outcome::Delivered, 0, 0);
        self.ledger.push(tag, ended_us, &record);
        if probe {
            tracing::info!(hook_id = %hook_id, "recovery probe delivered; the hook is enabled again");
            self.enable(at);
        }
    }

    fn failed(&mut self, at: usize, attempt: Attempt, now: u64, failure: Failure) {
        let random = self.random.random();
        let Failure { retry_after_ms, probe, weight } = failure;
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        let policy = slot.policy;
        // A paused hook's last attempts count as ever: it is only that no new ones are started.
        let (tag, serves, one_shot) = (slot.hook.id.tag(), slot.serves(), slot.hook.one_shot);
        let max_tries = attempt.max_tries.unwrap_or_else(|| slot.hook.max_tries());
        let (last_success, key) = (slot.health.last_success_us, attempt.key);
        let disables = match weight {
            Weight::Nothing => false,
            Weight::Gone => true,
            Weight::StillDown => policy.failure_count > 0,
            Weight::One => serves && !one_shot && slot.health.failed(&policy, now),
        };
        let disable = serves && !one_shot && disables;
        let hook = slot.hook.clone();
        let Some(line) = slot.line(key.queue) else { return };
        let Some(entry) = line.queue.entries.get_mut(&key.offset) else { return };
        entry.tries += 1;
        if entry.first_failed_us == 0 {
            entry.first_failed_us = now;
        }
        let (attempts, tries, first) = (entry.attempts, entry.tries, entry.first_failed_us);
        let left = max_tries.saturating_sub(tries);
        let works = one_shot || last_success >= first || policy.failure_count == 0;
        let mut due = 0;
        let outcome = if disable || !serves {
            line.queue.retry(key.offset, now);
            Outcome::Held
        } else if left > 0 {
            due = now + 1000 * retry_delay_ms(&policy, &hook, tries, retry_after_ms, random);
            line.queue.retry(key.offset, due);
            Outcome::Retry
        } else if works {
            line.settled(key.offset, 1);
            Outcome::Dead
        } else if line.queue.suspect(key.offset, now + policy.failure_window_ms * 1000) {
            Outcome::Suspect
        } else {
            Outcome::Held
        };
        let ended_us = attempt.ended_us;
        let record = attempt_record(attempt, (attempts, tries), outcome, left, due);
        self.ledger.push(tag, ended_us, &record);
        if disable {
            self.disable(at, if weight == Weight::Gone { RECEIVER_GONE } else { TOO_MANY_FAILURES });
        } else if probe {
            self.probe_failed(at, now, retry_after_ms);
        }
    }

    /// The receiver asked for time: nothing is sent to it until then, and one delivery goes first after that.
    fn wait_as_asked(&mut self, at: usize, now: u64, retry_after_ms: Option<u64>) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        if slot.hook.one_shot || !slot.serves() {
            return;
        }
        let until = retry_after_ms.map(|ms| now + 1000 * ms);
        slot.asked_until_us = slot.asked_until_us.max(until);
        if slot.trial == Trial::Off {
            slot.trial = Trial::Due(After::AskedForTime);
        }
    }

    /// This machine could not make the attempt: it is made again later, and nothing counts against the hook.
    fn not_made(&mut self, at: usize, attempt: Attempt, now: u64, probe: bool) {
        let random = self.random.random();
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        let (tag, serves, hook, policy) = (slot.hook.id.tag(), slot.serves(), slot.hook.clone(), slot.policy);
        if probe {
            slot.probe.due_us = now + 1000 * OWN_FAULT_PROBE_MS;
        }
        let Some(line) = slot.line(attempt.key.queue) else { return };
        let Some(entry) = line.queue.entries.get(&attempt.key.offset) else { return };
        let (attempts, tries) = (entry.attempts, entry.tries);
        let faults = attempts.saturating_sub(tries).max(1);
        let due = now + 1000 * retry_delay_ms(&policy, &hook, faults, None, random);
        let (outcome, due) = if serves { (Outcome::Retry, due) } else { (Outcome::Held, now) };
        line.queue.retry(attempt.key.offset, due);
        let left = attempt.max_tries.unwrap_or_else(|| hook.max_tries()).saturating_sub(tries);
        let (ended_us, due) = (attempt.ended_us, if serves { due } else { 0 });
        let record = attempt_record(attempt, (attempts, tries), outcome, left, due);
        self.ledger.push(tag, ended_us, &record);
    }

    /// The event can never be sent to this hook: it is dead at once, and nothing counts against the hook.
    fn unsendable(&mut self, at: usize, attempt: Attempt) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        let tag = slot.hook.id.tag();
        let Some(line) = slot.line(attempt.key.queue) else { return };
        let tries = line.queue.entries.get(&attempt.key.offset).map_or((0, 0), |e| (e.attempts, e.tries));
        line.settled(attempt.key.offset, 1);
        let ended_us = attempt.ended_us;
        let record = attempt_record(attempt, tries, Outcome::Dead, 0, 0);
        self.ledger.push(tag, ended_us, &record);
    }

    /// Stops deliveries to a hook and keeps its place: in memory now, in the journal through the keeper.
    fn disable(&mut self, at: usize, reason: &'static str) {
        let first_probe = self.first_probe_us();
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        let mut hook = (*slot.hook).clone();
        hook.enabled = false;
        hook.disable_reason = Some(reason.to_owned());
        slot.hook = std::sync::Arc::new(hook);
        slot.health.reset();
        for line in &mut slot.lines {
            line.queue.release_suspects();
        }
        slot.trial = Trial::Off;
        slot.probe.made = 0;
        slot.probe.under_way = None;
        slot.probe.due_us = if slot.has_failed() { first_probe } else { 0 };
        let (hook_id, account) = (slot.hook.id, slot.hook.account);
        tracing::warn!(%hook_id, %account, reason, "hook disabled; its place in the log is kept");
        self.pending_actions.push_back(Action::Disable { hook: slot.hook.clone(), reason });
    }

    /// Deliveries of a hook go on where they stopped, with fresh tries.
    pub(super) fn enable(&mut self, at: usize) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        let mut hook = (*slot.hook).clone();
        hook.enabled = true;
        hook.disable_reason = None;
        slot.hook = std::sync::Arc::new(hook);
        let hook = slot.hook.clone();
        self.resume(at);
        self.pending_actions.push_back(Action::Enable { hook });
    }

    /// The slot's hook is enabled: everything that waited is ready.
    pub(super) fn resume(&mut self, at: usize) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        slot.health.reset();
        slot.asked_until_us = None;
        slot.probe = super::slot::Probe::default();
        let (tag, time) = (slot.hook.id.tag(), self.clock.now_us());
        for line in &mut slot.lines {
            line.queue.refresh();
            self.ledger.push(tag, time, &LedgerRecord::Refreshed { queue: line.key.id() });
        }
        self.list(at);
        self.want_read(at);
        self.schedule(at);
    }

    /// When a hook that is disabled now for its failures is probed; 0: never.
    pub(super) fn first_probe_us(&self) -> u64 {
        let policy = &self.options.policy;
        if policy.probe_initial_ms > 0 { self.now_us() + 1000 * probe_delay_ms(policy, 0, None) } else { 0 }
    }

    fn probe_failed(&mut self, at: usize, now: u64, retry_after_ms: Option<u64>) {
        let policy = &self.options.policy;
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        if slot.probe.due_us == 0 {
            return;
        }
        slot.probe.made = slot.probe.made.saturating_add(1);
        slot.probe.due_us = now + 1000 * probe_delay_ms(policy, slot.probe.made, retry_after_ms);
    }

    /// Something of a slot is due: retries, suspects' ends, its probe.
    pub(super) fn slot_due(&mut self, at: usize, now: u64) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        let mut dead = Vec::new();
        let open = slot.open();
        slot.asked_until_us = slot.asked_until_us.filter(|until| *until > now);
        slot.pace.wake(now);
        for line in slot.lines.iter_mut().filter(|_| open) {
            line.queue.wake(now);
            if let Some(replay) = &mut line.replay {
                replay.pace.wake(now);
            }
            let late = line.queue.suspects_until(now);
            for offset in &late {
                line.settled(*offset, 1);
            }
            dead.extend(late.into_iter().map(|offset| (line.key, offset)));
        }
        let tag = slot.hook.id.tag();
        let time = self.clock.now_us();
        for (queue, offset) in dead {
            self.ledger.push(
                tag,
                time,
                &LedgerRecord::Settled { queue: queue.id(), offset, how: Settlement::Dead },
            );
            self.end_replay_if_done(at, queue);
            // Its place in the window is free.
            self.want_read(at);
        }
        self.start_probe(at, now);
        self.list(at);
        self.schedule(at);
    }

    fn start_probe(&mut self, at: usize, now: u64) {
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        let probe = slot.probe;
        if !slot.probes() || probe.due_us > now || probe.under_way.is_some() {
            return;
        }
        if self.stance.is_quiet {
            slot.probe.due_us = now + QUIET_PROBE_US;
            return;
        }
        if self.permits.free() == 0 || self.ledger.stalled() {
            slot.probe.due_us = now + 1_000_000;
            return;
        }
        let Some(start) = slot.lines.first_mut().and_then(|l| l.queue.start_oldest()) else {
            // Nothing waits in memory: look again when something has been read, a little later at the latest.
            slot.probe.due_us = now + 1_000_000;
            self.want_read(at);
            return;
        };
        slot.probe.under_way = Some(start.offset);
        let hook_id = slot.hook.id;
        tracing::info!(%hook_id, offset = start.offset, "recovery probe");
        let job = super::dispatch::job(slot, QueueKey::of(&slot.hook), start, false);
        self.send(at, job);
    }
}

impl Engine {
    /// The line of a queue, wherever it is.
    pub(super) fn line_of(&mut self, queue: QueueKey) -> Option<(&mut Slot, usize)> {
        let at = self.owner.get(&queue).copied()?;
        let slot = self.slots.get_mut(at).and_then(Option::as_mut)?;
        let line = slot.lines.iter().position(|l: &Line| l.key == queue)?;
        Some((slot, line))
    }
}
