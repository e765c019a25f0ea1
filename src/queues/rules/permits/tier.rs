//! Permits shared among holders that must not starve each other: accounts, tenants, tenants on one host. Pure.
//!
//! A holder may hold at most a multiple of what is free, and always one while any permit is free. So whatever one
//! holder keeps under way, a part of the permits stays free for the others, and a holder without a permit never
//! waits for another holder to give one back. A holder that is the only one may hold all permits. Within a holder,
//! hooks that are slow leave some permits to those that are not.

use std::collections::{BTreeSet, HashMap};

use super::occupancy::Rank;
use crate::model::Id;

/// The holders of one kind.
#[derive(Debug)]
pub(super) struct Tier {
    /// A holder may hold this many times what is free.
    multiple: u32,
    index: HashMap<Id, usize>,
    holders: Vec<Holder>,
    /// The holders with parked slots, by the free permits that they need more than.
    waiting: BTreeSet<(u32, usize)>,
}

/// A slot that waits for a permit, in the order in which a holder's slots get theirs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Parked {
    /// Permits that it leaves to others.
    pub(super) leaves: u32,
    /// How much it has had.
    pub(super) rank: Rank,
    /// The slot.
    pub(super) slot: usize,
}

#[derive(Debug, Default)]
struct Holder {
    in_flight: u32,
    /// Slots that stopped at this holder's limit.
    parked: BTreeSet<Parked>,
}

impl Holder {
    /// The free permits that its first parked slot needs more than.
    fn waits_for(&self, multiple: u32) -> Option<u32> {
        let first = self.parked.first()?;
        Some((self.in_flight / multiple).saturating_add(first.leaves))
    }
}

impl Tier {
    pub(super) fn new(multiple: u32) -> Self {
        Self {
            multiple: multiple.max(1),
            index: HashMap::new(),
            holders: Vec::new(),
            waiting: BTreeSet::new(),
        }
    }

    /// The place of a holder.
    pub(super) fn of(&mut self, id: Id) -> usize {
        let next = self.holders.len();
        let at = *self.index.entry(id).or_insert(next);
        if at == next {
            self.holders.push(Holder::default());
        }
        at
    }

    /// Whether a slot of a holder that leaves `leaves` permits to others may take one of `free`.
    pub(super) fn admits(&self, at: usize, leaves: u32, free: u32) -> bool {
        let need = if self.is_alone() { 0 } else { self.held(at) / self.multiple };
        free > need.saturating_add(leaves)
    }

    /// Whether there is one holder only, so that nothing has to stay free for another.
    pub(super) fn is_alone(&self) -> bool {
        self.holders.len() < 2
    }

    /// Permits that a holder holds.
    pub(super) fn held(&self, at: usize) -> u32 {
        self.holders.get(at).map_or(0, |holder| holder.in_flight)
    }

    /// A holder takes `count` permits.
    pub(super) fn take(&mut self, at: usize, count: u32) {
        self.change(at, |holder| holder.in_flight = holder.in_flight.saturating_add(count));
    }

    /// A holder gives `count` permits back.
    pub(super) fn give_back(&mut self, at: usize, count: u32) {
        self.change(at, |holder| holder.in_flight = holder.in_flight.saturating_sub(count));
    }

    /// Keeps a slot until its holder may take a permit.
    pub(super) fn park(&mut self, at: usize, parked: Parked) {
        self.change(at, |holder| {
            holder.parked.insert(parked);
        });
    }

    /// Takes a slot out that was parked.
    pub(super) fn leave(&mut self, at: usize, parked: Parked) {
        self.change(at, |holder| {
            holder.parked.remove(&parked);
        });
    }

    /// A parked slot that may take one of `free` permits: first of the holder that holds least.
    pub(super) fn unpark(&mut self, free: u32) -> Option<usize> {
        let (need, at) = self.waiting.first().copied()?;
        let first = self.holders.get(at)?.parked.first().copied()?;
        let need = if self.is_alone() { first.leaves } else { need };
        if free <= need {
            return None;
        }
        self.leave(at, first);
        Some(first.slot)
    }

    /// Whether any slot is parked.
    pub(super) fn has_parked(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Changes a holder and keeps its place among those that wait. Each holder with parked slots stands in `waiting`
    /// exactly once, under its present need.
    fn change(&mut self, at: usize, edit: impl FnOnce(&mut Holder)) {
        let Some(holder) = self.holders.get_mut(at) else { return };
        let before = holder.waits_for(self.multiple);
        edit(holder);
        let after = holder.waits_for(self.multiple);
        if before == after {
            return;
        }
        if let Some(need) = before {
            self.waiting.remove(&(need, at));
        }
        if let Some(need) = after {
            self.waiting.insert((need, at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::rules::permits::occupancy::Occupancy;

    /// A slot that has had nothing yet.
    fn slot(slot: usize, leaves: u32) -> Parked {
        Parked { leaves, rank: Occupancy::default().rank(), slot }
    }

    /// Lets a holder take what it may; says how much it holds then.
    fn fill(tier: &mut Tier, at: usize, free: &mut u32) -> u32 {
        while tier.admits(at, 0, *free) {
            tier.take(at, 1);
            *free -= 1;
        }
        tier.held(at)
    }

    #[test]
    fn one_holder_leaves_half_of_the_permits_to_the_others_and_each_next_half_of_the_rest() {
        let (mut tier, mut free) = (Tier::new(1), 2048);
        tier.of(Id(9));
        let held: Vec<u32> = (1..=4)
            .map(|id| {
                let at = tier.of(Id(id));
                fill(&mut tier, at, &mut free)
            })
            .collect();
        assert_eq!(held, [1024, 512, 256, 128]);
    }

    #[test]
    fn a_holder_of_none_gets_the_last_permit() {
        let (mut tier, mut free) = (Tier::new(1), 1);
        let (first, second) = (tier.of(Id(1)), tier.of(Id(2)));
        assert!(tier.admits(second, 0, free));
        assert_eq!(fill(&mut tier, first, &mut free), 1);
        assert!(!tier.admits(second, 0, free));
    }

    #[test]
    fn a_multiple_of_three_lets_one_holder_have_three_quarters() {
        let (mut tier, mut free) = (Tier::new(3), 400);
        let (at, _other) = (tier.of(Id(1)), tier.of(Id(2)));
        assert_eq!(fill(&mut tier, at, &mut free), 300);
    }

    #[test]
    fn the_only_holder_may_have_all_permits_and_is_bounded_once_there_is_another() {
        let (mut tier, mut free) = (Tier::new(1), 400);
        let at = tier.of(Id(1));
        assert_eq!(fill(&mut tier, at, &mut free), 400);
        let other = tier.of(Id(2));
        tier.give_back(at, 1);
        assert!(!tier.admits(at, 0, 1));
        assert!(tier.admits(other, 0, 1));
    }

    #[test]
    fn parked_slots_come_back_in_order_and_first_of_the_holder_that_holds_least() {
        let mut tier = Tier::new(1);
        let (busy, idle) = (tier.of(Id(1)), tier.of(Id(2)));
        tier.take(busy, 4);
        tier.park(busy, slot(10, 0));
        tier.park(busy, slot(11, 0));
        tier.park(idle, slot(20, 0));
        assert_eq!(tier.unpark(0), None, "no permit is free");
        assert_eq!(tier.unpark(1), Some(20));
        assert_eq!(tier.unpark(4), None, "the busy one holds as many as are free");
        tier.give_back(busy, 1);
        assert_eq!((tier.unpark(4), tier.unpark(4), tier.unpark(4)), (Some(10), Some(11), None));
        assert!(!tier.has_parked());
    }

    #[test]
    fn a_slow_slot_leaves_permits_and_the_quick_one_behind_it_goes_first() {
        for others in [0, 1] {
            let mut tier = Tier::new(1);
            let at = tier.of(Id(1));
            for other in 0..others {
                tier.of(Id(2 + other));
            }
            assert!(!tier.admits(at, 4, 4) && tier.admits(at, 4, 5) && tier.admits(at, 0, 1));
            tier.park(at, slot(10, 4));
            tier.park(at, slot(11, 0));
            assert_eq!((tier.unpark(4), tier.unpark(4), tier.unpark(5)), (Some(11), None, Some(10)));
        }
    }

    #[test]
    fn of_two_slots_the_one_that_has_had_less_goes_first() {
        let (mut tier, mut busy) = (Tier::new(1), Occupancy::default());
        let at = tier.of(Id(1));
        busy.note(3, 1_760_000_000_000_000);
        tier.park(at, Parked { leaves: 0, rank: busy.rank(), slot: 1 });
        tier.park(at, slot(2, 0));
        assert_eq!((tier.unpark(9), tier.unpark(9)), (Some(2), Some(1)));
    }
}
