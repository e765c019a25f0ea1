//! Permits that are shared by holders which must not starve each other: accounts, tenants, tenants on one host. Pure.
//!
//! A holder may hold at most a multiple of what is free, and always one permit while any is free. So however many permits
//! one holder has, some stay free for the others, and a holder without a permit never waits until another holder gives one
//! back. The only holder may hold all permits. Among the hooks of a holder, slow ones leave some permits to quick ones.

use std::collections::{BTreeSet, HashMap};

use super::SlotName;
use super::occupancy::Rank;
use crate::model::AccountId;

/// The holders of one kind.
#[derive(Debug)]
pub(super) struct Tier {
    /// A holder may hold this many times what is free.
    multiple: u32,
    ids: HashMap<AccountId, HolderId>,
    holders: Vec<Holder>,
    /// The holders with parked slots, sorted by need. A slot gets a permit when more permits are free than its holder needs.
    waiting: BTreeSet<(u32, HolderId)>,
}

/// Names a holder within its tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub(in crate::queues) struct HolderId(usize);

/// A slot that waits for a permit. The order is the one in which a holder's slots get permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Parked {
    /// The permits that the slot leaves to others.
    pub(super) leaves: u32,
    /// A slot that has held less goes first.
    pub(super) rank: Rank,
    pub(super) slot: SlotName,
}

#[derive(Debug, Default)]
struct Holder {
    held: u32,
    /// Slots that were refused a permit because of this holder's limit.
    parked: BTreeSet<Parked>,
}

impl Holder {
    /// The need of the first parked slot.
    fn need(&self, multiple: u32) -> Option<u32> {
        let first = self.parked.first()?;
        Some((self.held / multiple).saturating_add(first.leaves))
    }
}

impl Tier {
    pub(super) fn new(multiple: u32) -> Self {
        Self { multiple: multiple.max(1), ids: HashMap::new(), holders: Vec::new(), waiting: BTreeSet::new() }
    }

    /// The holder with this id; added if it is new.
    pub(super) fn of(&mut self, id: AccountId) -> HolderId {
        let next = HolderId(self.holders.len());
        let holder = *self.ids.entry(id).or_insert(next);
        if holder == next {
            self.holders.push(Holder::default());
        }
        holder
    }

    /// Whether a slot of this holder may take one of `free` permits, if the slot leaves `leaves` permits to others.
    pub(super) fn admits(&self, holder: HolderId, leaves: u32, free: u32) -> bool {
        let need = if self.is_alone() { 0 } else { self.held(holder) / self.multiple };
        free > need.saturating_add(leaves)
    }

    /// Whether there is only one holder, so that nothing has to stay free for others.
    pub(super) fn is_alone(&self) -> bool {
        self.holders.len() < 2
    }

    /// The permits that a holder has.
    pub(super) fn held(&self, holder: HolderId) -> u32 {
        self.holders.get(holder.0).map_or(0, |holder| holder.held)
    }

    /// A holder takes `count` permits.
    pub(super) fn take(&mut self, holder: HolderId, count: u32) {
        self.change(holder, |holder| holder.held = holder.held.saturating_add(count));
    }

    /// A holder gives back `count` permits.
    pub(super) fn give_back(&mut self, holder: HolderId, count: u32) {
        self.change(holder, |holder| holder.held = holder.held.saturating_sub(count));
    }

    /// Parks a slot until its holder may take a permit.
    pub(super) fn park(&mut self, holder: HolderId, parked: Parked) {
        self.change(holder, |holder| {
            holder.parked.insert(parked);
        });
    }

    /// Removes a parked slot.
    pub(super) fn leave(&mut self, holder: HolderId, parked: Parked) {
        self.change(holder, |holder| {
            holder.parked.remove(&parked);
        });
    }

    /// Removes and returns a parked slot that may take one of `free` permits. The holder with the least permits goes first.
    pub(super) fn unpark(&mut self, free: u32) -> Option<SlotName> {
        let (need, holder) = self.waiting.first().copied()?;
        let first = self.holders.get(holder.0)?.parked.first().copied()?;
        let need = if self.is_alone() { first.leaves } else { need };
        // If the holder with the least need cannot have a permit, no other holder can.
        if free <= need {
            return None;
        }
        self.leave(holder, first);
        Some(first.slot)
    }

    /// Whether any slot is parked.
    pub(super) fn has_parked(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Changes a holder and updates `waiting`, which has each holder with parked slots exactly once, with its present need.
    fn change(&mut self, id: HolderId, edit: impl FnOnce(&mut Holder)) {
        let Some(holder) = self.holders.get_mut(id.0) else { return };
        let before = holder.need(self.multiple);
        edit(holder);
        let after = holder.need(self.multiple);
        // A holder without parked slots has no need, and most holders have none parked.
        if before == after {
            return;
        }
        if let Some(need) = before {
            self.waiting.remove(&(need, id));
        }
        if let Some(need) = after {
            self.waiting.insert((need, id));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Moment;
    use crate::queues::rules::permits::occupancy::Occupancy;

    fn name(number: usize) -> SlotName {
        SlotName { number, shard: 0 }
    }

    /// A slot that has held nothing yet.
    fn parked(number: usize, leaves: u32) -> Parked {
        Parked { leaves, rank: Occupancy::default().rank(), slot: name(number) }
    }

    /// Lets a holder take all permits that it may take. Returns how many it holds then.
    fn fill(tier: &mut Tier, holder: HolderId, free: &mut u32) -> u32 {
        while tier.admits(holder, 0, *free) {
            tier.take(holder, 1);
            *free -= 1;
        }
        tier.held(holder)
    }

    #[test]
    fn a_holder_leaves_half_of_the_permits_and_each_next_one_half_of_the_rest() {
        let (mut tier, mut free) = (Tier::new(1), 2048);
        tier.of(AccountId(9));
        let held: Vec<u32> = (1..=4)
            .map(|id| {
                let holder = tier.of(AccountId(id));
                fill(&mut tier, holder, &mut free)
            })
            .collect();
        assert_eq!(held, [1024, 512, 256, 128]);
    }

    #[test]
    fn a_holder_without_permits_gets_the_last_one() {
        let (mut tier, mut free) = (Tier::new(1), 1);
        let (first, second) = (tier.of(AccountId(1)), tier.of(AccountId(2)));
        assert!(tier.admits(second, 0, free));
        assert_eq!(fill(&mut tier, first, &mut free), 1);
        assert!(!tier.admits(second, 0, free));
    }

    #[test]
    fn with_a_multiple_of_three_a_holder_may_have_three_quarters() {
        let (mut tier, mut free) = (Tier::new(3), 400);
        let (holder, _other) = (tier.of(AccountId(1)), tier.of(AccountId(2)));
        assert_eq!(fill(&mut tier, holder, &mut free), 300);
    }

    #[test]
    fn the_only_holder_may_have_all_permits_until_there_is_another_one() {
        let (mut tier, mut free) = (Tier::new(1), 400);
        let holder = tier.of(AccountId(1));
        assert_eq!(fill(&mut tier, holder, &mut free), 400);
        let other = tier.of(AccountId(2));
        tier.give_back(holder, 1);
        assert!(!tier.admits(holder, 0, 1));
        assert!(tier.admits(other, 0, 1));
    }

    #[test]
    fn parked_slots_come_back_in_order_and_first_those_of_the_holder_with_the_least_permits() {
        let mut tier = Tier::new(1);
        let (busy, idle) = (tier.of(AccountId(1)), tier.of(AccountId(2)));
        tier.take(busy, 4);
        tier.park(busy, parked(10, 0));
        tier.park(busy, parked(11, 0));
        tier.park(idle, parked(20, 0));
        assert_eq!(tier.unpark(0), None, "no permit is free");
        assert_eq!(tier.unpark(1), Some(name(20)));
        assert_eq!(tier.unpark(4), None, "the busy one holds as many as are free");
        tier.give_back(busy, 1);
        assert_eq!([0; 3].map(|_| tier.unpark(4)), [Some(name(10)), Some(name(11)), None]);
        assert!(!tier.has_parked());
    }

    #[test]
    fn a_slow_slot_leaves_permits_and_the_quick_one_behind_it_goes_first() {
        for others in [0, 1] {
            let mut tier = Tier::new(1);
            let holder = tier.of(AccountId(1));
            for other in 0..others {
                tier.of(AccountId(2 + other));
            }
            assert!(!tier.admits(holder, 4, 4) && tier.admits(holder, 4, 5) && tier.admits(holder, 0, 1));
            tier.park(holder, parked(10, 4));
            tier.park(holder, parked(11, 0));
            assert_eq!([4, 4, 5].map(|free| tier.unpark(free)), [Some(name(11)), None, Some(name(10))]);
        }
    }

    #[test]
    fn of_two_slots_the_one_that_has_held_less_goes_first() {
        let (mut tier, mut busy) = (Tier::new(1), Occupancy::default());
        let holder = tier.of(AccountId(1));
        busy.note(3, Moment::from_micros(1_760_000_000_000_000));
        tier.park(holder, Parked { rank: busy.rank(), ..parked(1, 0) });
        tier.park(holder, parked(2, 0));
        assert_eq!([9, 9].map(|free| tier.unpark(free)), [Some(name(2)), Some(name(1))]);
    }
}
