//! Hooks come, change and go: their slots follow.

use std::sync::Arc;

use super::Engine;
use super::slot::{Line, Probe, Slot};
use super::slots::SlotId;
use crate::model::{AccountId, Birth, Family, Hook, HookId, Ordering, QueueKey, Trigger};
use crate::queues::ledger::recover::RecoveredQueue;
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
            Change::HookPut(hook) => match self.slots.owner(QueueKey::Hook(hook.id)) {
                Some(id) => {
                    self.touch(id, |engine, slot| {
                        if slot.gone {
                            engine.make_again(id, slot, &hook);
                        } else {
                            engine.change_hook(id, slot, &hook);
                        }
                    });
                }
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
    pub(super) fn add_hook(&mut self, hook: &Arc<Hook>) -> SlotId {
        let line = self.live_line(hook);
        let mut health = Health::default();
        if self.recovered_of(hook).is_some()
            && let Some(recovered) = self.recovered.queues.remove(&hook.id)
        {
            recovered.image.failures.iter().for_each(|at| health.restore(*at));
        }
        let has_failed = hook.disable_reason.as_deref() == Some(TOO_MANY_FAILURES);
        let due_us = self.first_probe_us().filter(|_| has_failed);
        let (standing, places) = (self.standing(hook.account), self.places_of(hook));
        let mut slot = Slot::new(Arc::clone(hook), Claim::new(places), line, standing);
        (slot.health, slot.probe.due_us) = (health, due_us);
        slot.leaving = self.is_leaving(Partition::of(hook.id));
        let id = self.slots.insert(slot);
        if !hook.one_shot {
            self.router.insert(hook, id);
        }
        self.touch(id, |engine, slot| slot.catch_up(engine.routed_to(slot.hook.id)));
        id
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

    fn change_hook(&mut self, id: SlotId, slot: &mut Slot, hook: &Arc<Hook>) {
        let places = self.places_of(hook);
        let routed = self.routed_to(hook.id);
        let first_probe = self.first_probe_us();
        let old = std::mem::replace(&mut slot.hook, hook.clone());
        self.router.remove(&old, id);
        self.router.insert(hook, id);
        if hook.rate_limit_per_s != old.rate_limit_per_s {
            slot.pace = Pace::new(hook.rate_limit_per_s);
        }
        if hook.uri != old.uri {
            slot.asked_until_us = None;
        }
        if hook.start_offset > old.start_offset {
            let line = &mut slot.live_line;
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
        self.permits.move_to(id.number(), &mut slot.claim, places);
        if becomes_enabled {
            self.resume(slot);
        } else if !hook.enabled {
            slot.probe.due_us = match hook.disable_reason.as_deref() {
                Some(TOO_MANY_FAILURES) => slot.probe.due_us.or(first_probe),
                Some(_) => slot.probe.due_us,
                None => None,
            };
            for line in slot.lines_mut() {
                line.queue.release_suspects();
            }
        }
        slot.catch_up(routed);
    }

    fn remove_hook(&mut self, queue: QueueKey) {
        let Some(id) = self.slots.owner(queue) else { return };
        self.touch(id, |engine, slot| {
            engine.end_replays(slot);
            engine.router.remove(&slot.hook, id);
            let mut hook = (*slot.hook).clone();
            hook.enabled = false;
            slot.hook = Arc::new(hook);
            slot.probe = Probe::default();
            slot.gone = true;
        });
    }

    /// Where the permits of a hook's slot are counted.
    fn places_of(&mut self, hook: &Hook) -> Places {
        let tenant = self.state.tenant_of(hook.account);
        self.permits.places_of(hook, tenant)
    }

    /// A hook was deleted and is made again under its id, while something of the deleted one is under way: the slot is the
    /// new hook's from now on. What is under way keeps its permits, and nothing else comes of it (`is_of_former`).
    fn make_again(&mut self, id: SlotId, slot: &mut Slot, hook: &Arc<Hook>) {
        let mut line = self.live_line(hook);
        let standing = self.standing(hook.account);
        let places = self.places_of(hook);
        let former = &mut slot.live_line;
        line.reading = former.reading;
        *former = line;
        self.permits.hand_over(id.number(), &mut slot.claim, places);
        slot.hook = Arc::clone(hook);
        (slot.account_enabled, slot.policy) = (standing.enabled, standing.policy);
        (slot.health, slot.probe) = (Health::default(), Probe::default());
        slot.pace = Pace::new(hook.rate_limit_per_s);
        slot.gone = false;
        if !hook.one_shot {
            self.router.insert(hook, id);
        }
        slot.catch_up(self.routed_to(hook.id));
    }

    /// The slot of an account's one-shot hooks, made when the first such event is routed.
    pub(super) fn one_shot_slot(&mut self, account: AccountId, offset: u64) -> SlotId {
        let made = || Arc::new(one_shot_hook(account, offset));
        let Some(id) = self.slots.owner(QueueKey::OneShot(account)) else { return self.add_hook(&made()) };
        if self.slots.get(id).is_some_and(|slot| slot.gone) {
            self.touch(id, |engine, slot| engine.make_again(id, slot, &made()));
        }
        id
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
    pub(super) fn add_replay(&mut self, id: SlotId, slot: &mut Slot, run: ReplayRun) {
        let limits = self.limits();
        let key = QueueKey::Replay(run.job.id);
        let recovered = self.recovered.queues.remove(&run.job.id);
        let mut line = restored(limits, &slot.hook, key, recovered.as_ref(), run.job.from);
        line.queue.skip_to(run.job.from);
        line.uncounted_until = run.job.until;
        line.replay = Some(run);
        slot.replays.push(line);
        self.slots.own(key, id);
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
