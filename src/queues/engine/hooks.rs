//! Hooks are made, changed and deleted: their slots follow.

use std::sync::Arc;

use super::Engine;
use super::desk::Desk;
use super::line::Line;
use super::slot::Slot;
use super::slots::SlotId;
use crate::model::{Account, AccountId, Birth, EventOffset, Family, Hook, QueueKey, Trigger};
use crate::queues::ledger::recovered_queue::RecoveredQueue;
use crate::queues::rules::partitions::Partition;
use crate::queues::rules::permits::Claim;
use crate::state::Change;

impl Engine {
    /// Takes all changes of the state that wait.
    pub(super) fn take_changes(&mut self) {
        while let Ok(change) = self.changes.try_recv() {
            self.change(change);
        }
    }

    /// Takes one change of the state. Hooks of other engines' partitions are passed over.
    pub(super) fn change(&mut self, change: Change) {
        match change {
            Change::HookPut(hook) if !self.desk.owned.contains(Partition::of(hook.id)) => {}
            Change::HookPut(hook) => match self.slots.owner(QueueKey::Hook(hook.id)) {
                Some(id) => self.put_hook(id, &hook),
                None => {
                    self.add_hook(&hook);
                }
            },
            Change::HookGone(id, _) => self.remove_hook(QueueKey::Hook(id)),
            Change::AccountPut { now, before } => {
                self.adopt_due |= self.unknown.holds(now.id);
                self.change_account(&now, before.as_deref());
            }
            // The account's hooks come with separate changes; its callflow webhooks have no document, and end with it.
            Change::AccountGone(account) => self.remove_hook(QueueKey::OneShot(account)),
        }
    }

    /// Adds a hook's slot. The queue continues where the ledger left it, or else begins at the hook's own start.
    pub(super) fn add_hook(&mut self, hook: &Arc<Hook>) -> SlotId {
        let recovered = self.desk.unclaimed.claim(hook);
        let line = live_line(&self.desk, hook, recovered.as_ref());
        let claim = Claim::new(self.desk.holders_of(hook));
        let mut slot = Slot::new(Arc::clone(hook), claim, line, self.desk.standing(hook.account));
        let failures = recovered.map(|recovered| recovered.image.failures).unwrap_or_default();
        slot.restore(&failures, self.desk.time.now(), self.desk.first_probe());
        if self.leaving.contains(slot.partition()) {
            slot.leave();
        }
        let id = self.slots.insert(slot);
        if !hook.one_shot {
            self.router.insert(hook, id);
        }
        self.slots.touch(&mut self.desk, id, |desk, slot| {
            slot.catch_up(desk.owned.routed_to(slot.partition()));
        });
        id
    }

    /// The document of a hook that has a slot has changed, or a hook that was deleted is made again under its id.
    fn put_hook(&mut self, id: SlotId, hook: &Arc<Hook>) {
        let former = self.slots.touch(&mut self.desk, id, |desk, slot| {
            let former = (!slot.is_gone()).then(|| Arc::clone(slot.hook()));
            if former.is_some() {
                change_hook(desk, id, slot, hook);
            } else {
                make_again(desk, id, slot, hook);
            }
            former
        });
        // The router finds a hook by its account and trigger, which may have changed. A deleted hook is not in the router.
        if let Some(former) = former.flatten() {
            self.router.remove(&former, id);
        }
        self.router.insert(hook, id);
    }

    fn remove_hook(&mut self, queue: QueueKey) {
        let Some(id) = self.slots.owner(queue) else { return };
        let hook = self.slots.touch(&mut self.desk, id, |desk, slot| {
            desk.end_replays(slot, true);
            slot.delete();
            Arc::clone(slot.hook())
        });
        if let Some(hook) = hook {
            self.router.remove(&hook, id);
        }
    }

    /// The slot of an account's callflow webhooks, which is made when the first such event is routed.
    pub(super) fn one_shot_slot(&mut self, account: AccountId, offset: EventOffset) -> SlotId {
        let made = || Arc::new(one_shot_hook(account, offset));
        let Some(id) = self.slots.owner(QueueKey::OneShot(account)) else { return self.add_hook(&made()) };
        if self.slots.get(id).is_some_and(Slot::is_gone) {
            self.slots.touch(&mut self.desk, id, |desk, slot| make_again(desk, id, slot, &made()));
        }
        id
    }

    /// Adds the queues of callflow webhooks that checkpoints name. A queue whose account was deleted meanwhile is left out: it
    /// would stay for ever.
    pub(super) fn restore_one_shots(&mut self, accounts: Vec<AccountId>) {
        for account in accounts {
            if self.desk.directory.account(account).is_some() {
                self.one_shot_slot(account, EventOffset::FIRST);
            }
        }
    }

    /// An account has changed: the slots of its hooks follow. While it is disabled no attempt is started for them, and their
    /// positions in the log are kept. A new account has no hooks yet.
    fn change_account(&mut self, now: &Account, before: Option<&Account>) {
        let Some(before) = before.filter(|before| *before != now) else { return };
        // Accounts below a reseller have the reseller's limits, so a change of these may concern all of them.
        let below = now.failure_limits != before.failure_limits || now.is_reseller != before.is_reseller;
        let directory = &self.desk.directory;
        let concerns =
            |account| account == now.id || (below && directory.is_ancestor_or_self(now.id, account));
        for id in self.slots.which(|slot| concerns(slot.hook().account)) {
            self.slots.touch(&mut self.desk, id, Desk::follow_account);
        }
    }
}

fn change_hook(desk: &mut Desk, id: SlotId, slot: &mut Slot, hook: &Arc<Hook>) {
    let routed = desk.owned.routed_to(slot.partition());
    let is_resumed = slot.change_hook(hook, routed, desk.first_probe());
    desk.permits.move_to(id, slot.claim_mut(), desk.holders_of(hook));
    if is_resumed {
        desk.note_refreshed(slot);
    }
}

/// Permits of the deleted hook stay counted where they are until its attempts have ended.
fn make_again(desk: &mut Desk, id: SlotId, slot: &mut Slot, hook: &Arc<Hook>) {
    let recovered = desk.unclaimed.claim(hook);
    let line = live_line(desk, hook, recovered.as_ref());
    slot.make_again(hook, line, desk.standing(hook.account));
    desk.permits.hand_over(id, slot.claim_mut(), desk.holders_of(hook));
    slot.catch_up(desk.owned.routed_to(slot.partition()));
}

/// A hook's live line, as the ledger left it.
fn live_line(desk: &Desk, hook: &Hook, recovered: Option<&RecoveredQueue>) -> Line {
    let start = desk.unclaimed.start_of(hook, desk.events.first());
    let origin = desk.origin(hook, recovered, start);
    Line::live(origin, desk.owned.routed_to(Partition::of(hook.id)))
}

/// The hook that stands for the webhooks of an account's callflows. Each event has its own target.
fn one_shot_hook(account: AccountId, offset: EventOffset) -> Hook {
    Hook {
        name: "callflow".to_owned(),
        start_offset: offset,
        birth: Birth { events: offset, ..Birth::default() },
        one_shot: true,
        ..Hook::new(account.one_shot(), account, Trigger::Family(Family::Callflow), String::new())
    }
}
