//! Accounts are disabled and enabled, and change their failure limits: the slots of their hooks follow.
//!
//! While an account is disabled no attempt is started for its hooks. Their places in the log are kept, so that
//! they go on where they stopped.

use super::Engine;
use super::slot::{Slot, Standing};
use crate::model::{Account, AccountId};
use crate::queues::rules::trial::{After, Trial};

impl Engine {
    /// Takes the change of an account; a new one has no hooks yet.
    pub(super) fn change_account(&mut self, now: &Account, before: Option<&Account>) {
        let Some(before) = before.filter(|before| *before != now) else { return };
        // Whoever stands below a reseller has its limits, and a place elsewhere in the tree may mean another.
        let below = now.failure_limits != before.failure_limits || now.is_reseller != before.is_reseller;
        let state = &self.state;
        let concerns = |account| account == now.id || (below && state.is_ancestor_or_self(now.id, account));
        for id in self.slots.which(|slot| concerns(slot.hook.account)) {
            self.touch(id, Self::follow_account);
        }
    }

    /// Whether an account's hooks get anything now, and what follows from their failures.
    pub(super) fn standing(&self, account: AccountId) -> Standing {
        let (enabled, limits) = self.state.standing(account);
        Standing { enabled, policy: self.options.policy.with(limits) }
    }

    /// What follows from failures of a slot's hook, and whether it gets anything, as the account has it now.
    pub(super) fn follow_account(&mut self, slot: &mut Slot) {
        let Standing { enabled, policy } = self.standing(slot.hook.account);
        slot.policy = policy;
        if slot.account_enabled == enabled {
            return;
        }
        slot.account_enabled = enabled;
        if slot.open() {
            if slot.waiting() > 0 {
                slot.trial = Trial::Due(After::Disabled);
            }
            self.resume(slot);
        } else {
            for line in slot.lines_mut() {
                line.queue.release_suspects();
            }
            slot.catch_up(self.routed_to(slot.hook.id));
        }
    }
}
