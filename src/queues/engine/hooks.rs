//! Hooks come, change and go: their slots follow.

use std::sync::Arc;

use super::Engine;
use super::slot::{Line, Probe, Slot};
use crate::model::{AccountId, Birth, Family, Hook, HookId, Ordering, QueueKey, Trigger};
use crate::queues::ledger::recover::RecoveredQueue;
use crate::queues::ledger::revisions::Written;
use crate::queues::queue::Queue;
use crate::queues::rules::pace::Pace;
use crate::queues::rules::partitions::Partition;
use crate::queues::rules::permits::{Claim, Places};
use crate::queues::rules::policy::{Health, TOO_MANY_FAILURES};
use crate::queues::rules::replay::ReplayRun;
use crate::queues::rules::trial::{After, Trial};
use crate::state::Change;

impl Engine {
    /// Takes one change of the state.
    pub(super) fn change(&mut self, change: Change) {
        match change {
            Change::HookPut(hook) if !self.owned.contains(Partition::of(hook.id)) => {}
            Change::HookPut(hook) => match self.owner.get(&QueueKey::Hook(hook.id)).copied() {
                Some(at) if self.is_gone(at) => self.make_again(at, &hook),
                Some(at) => self.change_hook(at, &hook),
                None => {
                    self.add_hook(&hook);
                }
            },
            Change::HookGone(id, _) => self.remove_hook(QueueKey::Hook(id)),
            Change::AccountPut { now, before } => {
                self.adopt_due |= self.unknown.holds(now.id);
                self.change_account(&now, before.as_deref());
            }
            // Its hooks are told of one by one; its callflows' webhooks go with it.
            Change::AccountGone(account) => self.remove_hook(QueueKey::OneShot(account)),
        }
    }

    /// A hook's slot, with its queue where the ledger left it, else at the hook's own start.
    pub(super) fn add_hook(&mut self, hook: &Arc<Hook>) -> usize {
        let line = self.live_line(hook);
        let mut health = Health::default();
        if self.recovered_of(hook).is_some()
            && let Some(recovered) = self.recovered.queues.remove(&hook.id)
        {
            recovered.image.failures.iter().for_each(|at| health.restore(*at));
        }
        let has_failed = hook.disable_reason.as_deref() == Some(TOO_MANY_FAILURES);
        let due_us = self.first_probe_us().filter(|_| has_failed);
        let (account_enabled, policy) = self.standing(hook.account);
        let places = self.places_of(hook);
        let slot = Slot {
            account_enabled,
            policy,
            claim: Claim::new(places),
            lines: vec![line],
            health,
            probe: Probe { due_us, ..Probe::default() },
            pace: Pace::new(hook.rate_limit_per_s),
            trial: Trial::default(),
            asked_until_us: None,
            revision: Written::default(),
            timer: None,
            turn: 0,
            gone: false,
            leaving: self.is_leaving(Partition::of(hook.id)),
            hook: hook.clone(),
        };
        let at = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        if let Some(place) = self.slots.get_mut(at) {
            *place = Some(slot);
        }
        self.owner.insert(QueueKey::of(hook), at);
        if !hook.one_shot {
            self.router.insert(hook, at);
        }
        self.catch_up(at);
        at
    }

    /// What the ledger says of a hook's queue. A queue of callflow webhooks is no hook's, whatever the ids are.
    fn recovered_of(&self, hook: &Hook) -> Option<&RecoveredQueue> {
        let owner = hook.one_shot.then_some(hook.account);
        self.recovered.queues.get(&hook.id).filter(|r| r.image.one_shot.is_none_or(|of| Some(of) == owner))
    }

    fn live_line(&mut self, hook: &Hook) -> Line {
        let recovered = self.recovered_of(hook);
        let start = match self.recovered.routed(Partition::of(hook.id)) {
            Some(routed) => routed,
            // What retention has dropped since then is reported as a gap when the queue is read on.
            None if self.recovered.is_whole && !hook.one_shot => 0,
            None => self.events.first(),
        };
        let mut line = restored(self.limits(), hook, QueueKey::of(hook), recovered, start);
        line.queue.raise_floor(hook.start_offset);
        line.uncounted_until = line.uncounted_until.max(hook.start_offset);
        if !recovered.is_some_and(|r| r.placed) {
            // Routed already, or about to be: count when read what the router does not count any more.
            line.uncounted_until = self.routed_to(hook.id).max(line.queue.next());
        }
        line
    }

    /// A queue that has looked at all that was routed is live; any other reads on from the log.
    pub(super) fn catch_up(&mut self, at: usize) {
        if let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) {
            let routed = self.owned.routed(Partition::of(slot.hook.id), self.routed);
            let ordering = slot.hook.ordering;
            slot.shrink();
            for line in &mut slot.lines {
                if line.queue.ordering() != ordering {
                    // When a lane has spilled this waits until it has drained.
                    line.queue.reorder(ordering);
                }
                line.live = line.replay.is_none() && (line.live || line.queue.next() >= routed);
            }
        }
        self.list(at);
        self.want_read(at);
        self.schedule(at);
    }

    fn change_hook(&mut self, at: usize, hook: &Arc<Hook>) {
        let places = self.places_of(hook);
        let routed = self.routed_to(hook.id);
        let first_probe = self.first_probe_us();
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        let old = std::mem::replace(&mut slot.hook, hook.clone());
        self.router.remove(&old, at);
        self.router.insert(hook, at);
        if hook.rate_limit_per_s != old.rate_limit_per_s {
            slot.pace = Pace::new(hook.rate_limit_per_s);
        }
        if hook.uri != old.uri {
            slot.asked_until_us = None;
        }
        let floor_raised = hook.start_offset > old.start_offset;
        let Some(line) = slot.lines.first_mut() else { return };
        if floor_raised {
            // A person enabled the hook and asked to start from now.
            line.queue.raise_floor(hook.start_offset);
            line.waiting = i64::try_from(line.queue.len()).unwrap_or(0);
            line.uncounted_until = routed;
            line.live = line.queue.next() >= routed;
        }
        let becomes_enabled = hook.enabled && !old.enabled;
        if becomes_enabled && slot.waiting() > 0 {
            slot.trial = Trial::Due(After::Disabled);
        }
        self.permits.move_to(at, &mut slot.claim, places);
        if becomes_enabled {
            self.resume(at);
        } else if !hook.enabled {
            slot.probe.due_us = match hook.disable_reason.as_deref() {
                Some(TOO_MANY_FAILURES) => slot.probe.due_us.or(first_probe),
                Some(_) => slot.probe.due_us,
                None => None,
            };
            for line in &mut slot.lines {
                line.queue.release_suspects();
            }
        }
        self.catch_up(at);
    }

    fn remove_hook(&mut self, queue: QueueKey) {
        let Some(at) = self.owner.get(&queue).copied() else { return };
        self.end_replays(at);
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        self.router.remove(&slot.hook, at);
        let mut hook = (*slot.hook).clone();
        hook.enabled = false;
        slot.hook = Arc::new(hook);
        slot.probe = Probe::default();
        slot.gone = true;
        self.schedule(at);
        self.drop_if_gone(at);
    }

    /// Where the permits of a hook's slot are counted.
    fn places_of(&mut self, hook: &Hook) -> Places {
        let tenant = self.state.tenant_of(hook.account);
        self.permits.places_of(hook, tenant)
    }

    fn is_gone(&self, at: usize) -> bool {
        self.slots.get(at).and_then(Option::as_ref).is_some_and(|slot| slot.gone)
    }

    /// A hook was deleted and is made again under its id, while something of the deleted one is under way: the slot is the
    /// new hook's from now on. What is under way keeps its permits, and nothing else comes of it (`is_of_former`).
    fn make_again(&mut self, at: usize, hook: &Arc<Hook>) {
        let mut line = self.live_line(hook);
        let (account_enabled, policy) = self.standing(hook.account);
        let places = self.places_of(hook);
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        if let Some(former) = slot.lines.first_mut() {
            line.reading = former.reading;
            *former = line;
        }
        self.permits.hand_over(at, &mut slot.claim, places);
        slot.hook = Arc::clone(hook);
        (slot.account_enabled, slot.policy) = (account_enabled, policy);
        (slot.health, slot.probe) = (Health::default(), Probe::default());
        slot.pace = Pace::new(hook.rate_limit_per_s);
        slot.gone = false;
        if !hook.one_shot {
            self.router.insert(hook, at);
        }
        self.catch_up(at);
    }

    /// Forgets a deleted hook's slot once nothing of it is under way.
    pub(super) fn drop_if_gone(&mut self, at: usize) {
        let Some(slot) = self.slots.get_mut(at) else { return };
        if slot.as_ref().is_some_and(|s| s.gone && s.claim.held() == 0 && !s.lines.iter().any(|l| l.reading))
            && let Some(mut slot) = slot.take()
        {
            self.permits.forget(&mut slot.claim);
            for line in &slot.lines {
                self.owner.remove(&line.key);
            }
            if let Some(due) = slot.timer {
                self.timers.remove(&(due, at));
            }
            self.free.push(at);
        }
    }

    /// The slot of an account's one-shot hooks, made when the first such event is routed.
    pub(super) fn one_shot_slot(&mut self, account: AccountId, offset: u64) -> usize {
        match self.owner.get(&QueueKey::OneShot(account)).copied() {
            Some(at) if self.is_gone(at) => {
                self.make_again(at, &Arc::new(one_shot_hook(account, offset)));
                at
            }
            Some(at) => at,
            None => self.add_hook(&Arc::new(one_shot_hook(account, offset))),
        }
    }

    /// How far events have been routed to a hook's queue.
    pub(super) fn routed_to(&self, hook: HookId) -> u64 {
        self.owned.routed(Partition::of(hook), self.routed)
    }

    /// One-shot queues that checkpoints name.
    pub(super) fn restore_one_shots(&mut self, accounts: Vec<AccountId>) {
        // One whose account is gone meanwhile would stand there for ever.
        for account in accounts.into_iter().filter(|id| self.state.account(*id).is_some()).collect::<Vec<_>>()
        {
            self.one_shot_slot(account, 0);
        }
    }

    /// A replay's line, beside the hook's live one.
    pub(super) fn add_replay(&mut self, at: usize, run: ReplayRun) {
        let limits = self.limits();
        let (id, key) = (run.job.id, QueueKey::Replay(run.job.id));
        let recovered = self.recovered.queues.remove(&id);
        let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) else { return };
        let mut line = restored(limits, &slot.hook, key, recovered.as_ref(), run.job.from);
        line.queue.skip_to(run.job.from);
        line.uncounted_until = run.job.until;
        line.replay = Some(run);
        slot.lines.push(line);
        self.owner.insert(key, at);
        self.want_read(at);
        // After a restart all of it may be in the window already: no read brings it to the dispatcher.
        self.list(at);
        self.schedule(at);
    }
}

/// A line as the ledger left it; without a checkpoint of its own it starts at `start`.
fn restored(
    limits: crate::queues::queue::entry::Limits,
    hook: &Hook,
    key: QueueKey,
    recovered: Option<&RecoveredQueue>,
    start: u64,
) -> Line {
    let next = recovered.filter(|r| r.placed).map_or(start, |r| r.image.next);
    // The hook's ordering may have changed after the checkpoint. Only lanes of a subject spill, and a rest can be found
    // only under the key of its lane: the change waits for it, as it does without a restart.
    let is_spilled = recovered.is_some_and(|recovered| !recovered.image.spilled.is_empty());
    let ordering = if is_spilled { Ordering::Subject } else { hook.ordering };
    let mut line = Line::new(key, Queue::new(limits, ordering, next), None);
    let Some(recovered) = recovered else { return line };
    let image = &recovered.image;
    let mut entries = image.entries.clone();
    entries.sort_unstable_by_key(|(offset, _, _)| *offset);
    for (offset, lane, past) in entries {
        let lane = if ordering == Ordering::Subject { lane } else { line.queue.lane_of(offset, lane) };
        line.queue.restore(offset, lane, past);
    }
    for (lane, from) in &image.spilled {
        line.queue.restore_spilled(*lane, *from);
    }
    line.queue.restore_settled(image.settled.iter().copied());
    line.queue.restore_past(image.past.iter().copied());
    line.waiting = image.waiting;
    line.uncounted_until = image.uncounted_until;
    line.totals = image.totals;
    line
}

/// The hook that stands for the one-shot webhooks of an account's callflows; each event brings its own target.
fn one_shot_hook(account: AccountId, offset: u64) -> Hook {
    Hook {
        name: "callflow".to_owned(),
        start_offset: offset,
        birth: Birth { events: offset, ..Birth::default() },
        one_shot: true,
        ..Hook::new(account.one_shot(), account, Trigger::Family(Family::Callflow), String::new())
    }
}
