//! Hooks that hold their share of their account's permits, and when each of them may have more. Pure.
//!
//! A hook may hold an eighth of what its account may still take, and always one permit. An account that holds `x` permits
//! while `free` are free may take `(free - x) / 2` more. So a hook that holds `h` may take another one while
//! `16 h + x < free`. The left side, the hook's *need*, does not depend on what is free, so one sorted set is enough to find
//! the next hook. The hooks of the only account share all permits: `8 h < free`, which is `16 h + x < 2 free + x`.

use std::collections::{BTreeSet, HashMap};

use super::SlotName;
use super::tier::{HolderId, Tier};

/// An eighth of half.
const PART: u32 = 16;

/// Slots with ready deliveries that hold their share.
#[derive(Debug, Default)]
pub(super) struct OverShare {
    by_account: HashMap<HolderId, BTreeSet<Holding>>,
    /// The accounts with such slots, sorted by the need of the first slot.
    waiting: BTreeSet<(u32, HolderId)>,
}

/// A slot with the number of permits that it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Holding {
    pub(super) held: u32,
    pub(super) slot: SlotName,
}

impl OverShare {
    /// Whether a hook of this account that holds `held` permits may take one of `free`.
    pub(super) fn admits(held: u32, account: HolderId, free: u32, accounts: &Tier) -> bool {
        held == 0 || need(held, accounts.held(account)) < bound(account, free, accounts)
    }

    /// Parks a slot. Its account holds `of_account` permits.
    pub(super) fn park(&mut self, account: HolderId, of_account: u32, slot: Holding) {
        self.change(account, of_account, |slots| {
            slots.insert(slot);
        });
    }

    /// Removes a parked slot. Its account holds `of_account` permits.
    pub(super) fn leave(&mut self, account: HolderId, of_account: u32, slot: Holding) {
        if !self.by_account.is_empty() {
            self.change(account, of_account, |slots| {
                slots.remove(&slot);
            });
        }
    }

    /// An account holds `now` permits instead of `before`.
    pub(super) fn follow(&mut self, account: HolderId, before: u32, now: u32) {
        if let Some(first) = self.by_account.get(&account).and_then(BTreeSet::first) {
            self.waiting.remove(&(need(first.held, before), account));
            self.waiting.insert((need(first.held, now), account));
        }
    }

    /// Removes and returns the first parked slot that may take one of `free` permits.
    pub(super) fn unpark(&mut self, free: u32, accounts: &Tier) -> Option<SlotName> {
        // Only the account with the least need is considered. The bound is the same for all accounts: if there is only one,
        // there is nothing to compare.
        let (need, account) = self.waiting.first().copied()?;
        if free == 0 || need >= bound(account, free, accounts) {
            return None;
        }
        let first = self.by_account.get(&account)?.first().copied()?;
        self.leave(account, accounts.held(account), first);
        Some(first.slot)
    }

    /// Changes the slots of an account and updates `waiting`.
    fn change(&mut self, account: HolderId, of_account: u32, edit: impl FnOnce(&mut BTreeSet<Holding>)) {
        let slots = self.by_account.entry(account).or_default();
        let before = slots.first().copied();
        edit(slots);
        let after = slots.first().copied();
        if slots.is_empty() {
            self.by_account.remove(&account);
        }
        if before != after {
            if let Some(first) = before {
                self.waiting.remove(&(need(first.held, of_account), account));
            }
            if let Some(first) = after {
                self.waiting.insert((need(first.held, of_account), account));
            }
        }
    }
}

/// The need of a hook must be below this.
fn bound(account: HolderId, free: u32, accounts: &Tier) -> u32 {
    if accounts.is_alone() { free.saturating_mul(2).saturating_add(accounts.held(account)) } else { free }
}

fn need(held: u32, of_account: u32) -> u32 {
    held.saturating_mul(PART).saturating_add(of_account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AccountId;

    fn name(number: usize) -> SlotName {
        SlotName { number, shard: 0 }
    }

    fn holding(held: u32, number: usize) -> Holding {
        Holding { held, slot: name(number) }
    }

    #[test]
    fn a_hook_takes_an_eighth_of_what_its_account_may_still_take() {
        let mut accounts = Tier::new(1);
        let (one, _other) = (accounts.of(AccountId(1)), accounts.of(AccountId(2)));
        let mut held = 0;
        while OverShare::admits(held, one, 2048 - held, &accounts) {
            accounts.take(one, 1);
            held += 1;
        }
        assert_eq!(held, 114);
        accounts.take(one, 386);
        assert!(OverShare::admits(0, one, 1, &accounts), "and always one");
    }

    #[test]
    fn the_hooks_of_the_only_account_share_all_permits() {
        let mut alone = Tier::new(1);
        let only = alone.of(AccountId(1));
        alone.take(only, 1790);
        assert!(OverShare::admits(31, only, 258, &alone));
        alone.take(only, 10);
        assert!(!OverShare::admits(31, only, 248, &alone));
    }

    #[test]
    fn a_slot_comes_back_when_enough_is_free_for_it_and_its_account() {
        let (mut over, mut accounts) = (OverShare::default(), Tier::new(1));
        let (busy, idle) = (accounts.of(AccountId(1)), accounts.of(AccountId(2)));
        accounts.take(busy, 10);
        over.park(busy, 10, holding(2, 70));
        over.park(busy, 10, holding(1, 71));
        over.park(idle, 0, holding(1, 80));
        assert_eq!(over.unpark(16, &accounts), None);
        assert_eq!(over.unpark(17, &accounts), Some(name(80)));
        assert_eq!(over.unpark(26, &accounts), None);
        assert_eq!(over.unpark(27, &accounts), Some(name(71)));
        accounts.give_back(busy, 10);
        over.follow(busy, 10, 0);
        assert_eq!(over.unpark(32, &accounts), None);
        assert_eq!(over.unpark(33, &accounts), Some(name(70)));
        assert_eq!(over.unpark(1000, &accounts), None);
    }
}
