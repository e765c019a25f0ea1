//! Hooks that hold their share of their account's permits, and when each may have more. Pure.
//!
//! A hook may hold an eighth of what its account may still take, and always one. An account that holds `x` permits
//! while `free` are free may take `(free - x) / 2` more; so a hook that holds `h` may take another one while
//! `16 h + x < free`. The left side does not depend on what is free, which makes one ordered set enough. The hooks of
//! an account that is the only one share all permits: `8 h < free`, which is `16 h + x < 2 free + x`.

use std::collections::{BTreeSet, HashMap};

use super::tier::Tier;

/// An eighth of half.
const PART: u32 = 16;

/// Slots with ready deliveries that hold their share.
#[derive(Debug, Default)]
pub(super) struct OverShare {
    /// By account: how many permits a slot holds, and which slot.
    slots: HashMap<usize, BTreeSet<(u32, usize)>>,
    /// By account: the free permits that its first slot needs more than.
    waiting: BTreeSet<(u32, usize)>,
}

impl OverShare {
    /// Whether a hook of this account that holds `held` permits may take one of `free`.
    pub(super) fn admits(held: u32, account: usize, free: u32, accounts: &Tier) -> bool {
        held == 0 || need(held, accounts.held(account)) < bound(account, free, accounts)
    }

    /// Keeps a slot.
    pub(super) fn insert(&mut self, account: usize, of_account: u32, slot: (u32, usize)) {
        self.change(account, of_account, |slots| slots.insert(slot));
    }

    /// Takes a slot out; whether it was kept.
    pub(super) fn remove(&mut self, account: usize, of_account: u32, slot: (u32, usize)) -> bool {
        !self.slots.is_empty() && self.change(account, of_account, |slots| slots.remove(&slot))
    }

    /// An account holds another number of permits now.
    pub(super) fn follow(&mut self, account: usize, before: u32, now: u32) {
        let first = self.slots.get(&account).and_then(|slots| slots.first());
        if let Some((held, _)) = first.copied() {
            self.waiting.remove(&(need(held, before), account));
            self.waiting.insert((need(held, now), account));
        }
    }

    /// The slot that may take one of `free` permits first, if any may.
    pub(super) fn pop(&mut self, free: u32, accounts: &Tier) -> Option<usize> {
        let (need, account) = self.waiting.first().copied()?;
        if free == 0 || need >= bound(account, free, accounts) {
            return None;
        }
        let first = self.slots.get(&account)?.first().copied()?;
        self.remove(account, accounts.held(account), first);
        Some(first.1)
    }

    fn change(
        &mut self,
        account: usize,
        of_account: u32,
        edit: impl FnOnce(&mut BTreeSet<(u32, usize)>) -> bool,
    ) -> bool {
        let slots = self.slots.entry(account).or_default();
        let before = slots.first().copied();
        let changed = edit(slots);
        let after = slots.first().copied();
        if slots.is_empty() {
            self.slots.remove(&account);
        }
        if before != after {
            if let Some((held, _)) = before {
                self.waiting.remove(&(need(held, of_account), account));
            }
            if let Some((held, _)) = after {
                self.waiting.insert((need(held, of_account), account));
            }
        }
        changed
    }
}

/// What the need of a hook has to stay below.
fn bound(account: usize, free: u32, accounts: &Tier) -> u32 {
    if accounts.is_alone() { free.saturating_mul(2).saturating_add(accounts.held(account)) } else { free }
}

/// The free permits that a hook needs more than.
fn need(held: u32, of_account: u32) -> u32 {
    held.saturating_mul(PART).saturating_add(of_account)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Id;

    #[test]
    fn a_hook_takes_an_eighth_of_what_its_account_may_still_take() {
        let mut accounts = Tier::new(1);
        let (one, _other) = (accounts.of(Id(1)), accounts.of(Id(2)));
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
    fn the_hooks_of_an_account_without_others_share_all_permits() {
        let mut alone = Tier::new(1);
        let only = alone.of(Id(1));
        alone.take(only, 1790);
        assert!(OverShare::admits(31, only, 258, &alone));
        alone.take(only, 10);
        assert!(!OverShare::admits(31, only, 248, &alone));
    }

    #[test]
    fn a_slot_comes_back_when_enough_is_free_for_it_and_its_account() {
        let mut over = OverShare::default();
        let mut accounts = Tier::new(1);
        let (busy, idle) = (accounts.of(Id(1)), accounts.of(Id(2)));
        accounts.take(busy, 10);
        over.insert(busy, 10, (2, 70));
        over.insert(busy, 10, (1, 71));
        over.insert(idle, 0, (1, 80));
        assert_eq!(over.pop(16, &accounts), None);
        assert_eq!(over.pop(17, &accounts), Some(80));
        assert_eq!(over.pop(26, &accounts), None);
        assert_eq!(over.pop(27, &accounts), Some(71));
        accounts.give_back(busy, 10);
        over.follow(busy, 10, 0);
        assert_eq!(over.pop(32, &accounts), None);
        assert_eq!(over.pop(33, &accounts), Some(70));
        assert_eq!(over.pop(1000, &accounts), None);
    }
}
