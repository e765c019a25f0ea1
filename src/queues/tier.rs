//! Permits shared among holders that must not starve each other: accounts, tenants, tenants on one host. Pure.
//!
//! A holder may hold at most a multiple of what is free, and always one while any permit is free. So whatever one
//! holder keeps under way, a part of the permits stays free for the others, and a holder without a permit never
//! waits for another holder to give one back. A holder that is the only one may hold all permits.

use std::collections::{BTreeSet, HashMap, VecDeque};

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

#[derive(Debug, Default)]
struct Holder {
    in_flight: u32,
    /// Slots that stopped at this holder's limit, in the order in which they stopped.
    parked: VecDeque<usize>,
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

    /// Whether a holder may take one of `free` permits.
    pub(super) fn admits(&self, at: usize, free: u32) -> bool {
        free > 0 && (self.is_alone() || self.need(at) < free)
    }

    /// Whether there is one holder only, so that nothing has to stay free for another.
    pub(super) fn is_alone(&self) -> bool {
        self.holders.len() < 2
    }

    /// Permits that a holder holds.
    pub(super) fn held(&self, at: usize) -> u32 {
        self.holders.get(at).map_or(0, |holder| holder.in_flight)
    }

    /// A holder takes a permit.
    pub(super) fn take(&mut self, at: usize) {
        self.change(at, |holder| holder.in_flight = holder.in_flight.saturating_add(1));
    }

    /// A holder gives a permit back.
    pub(super) fn give_back(&mut self, at: usize) {
        self.change(at, |holder| holder.in_flight = holder.in_flight.saturating_sub(1));
    }

    /// Keeps a slot until its holder may take a permit.
    pub(super) fn park(&mut self, at: usize, slot: usize) {
        self.change(at, |holder| holder.parked.push_back(slot));
    }

    /// A parked slot whose holder may take one of `free` permits: first of the holder that holds least.
    pub(super) fn unpark(&mut self, free: u32) -> Option<usize> {
        let (need, at) = self.waiting.first().copied()?;
        if free == 0 || (need >= free && !self.is_alone()) {
            return None;
        }
        let mut slot = None;
        self.change(at, |holder| slot = holder.parked.pop_front());
        slot
    }

    /// Whether any slot is parked.
    pub(super) fn has_parked(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// The number of free permits that a holder needs more than.
    fn need(&self, at: usize) -> u32 {
        self.held(at) / self.multiple
    }

    /// Changes a holder and keeps its place among those that wait. Each holder with parked slots stands in `waiting`
    /// exactly once, under its present need.
    fn change(&mut self, at: usize, edit: impl FnOnce(&mut Holder)) {
        let before = self.need(at);
        let Some(holder) = self.holders.get_mut(at) else { return };
        let waited = !holder.parked.is_empty();
        edit(holder);
        let waits = !holder.parked.is_empty();
        let after = holder.in_flight / self.multiple;
        if (waited, before) == (waits, after) {
            return;
        }
        if waited {
            self.waiting.remove(&(before, at));
        }
        if waits {
            self.waiting.insert((after, at));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets a holder take what it may; says how much it holds then.
    fn fill(tier: &mut Tier, at: usize, free: &mut u32) -> u32 {
        while tier.admits(at, *free) {
            tier.take(at);
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
        assert!(tier.admits(second, free));
        assert_eq!(fill(&mut tier, first, &mut free), 1);
        assert!(!tier.admits(second, free));
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
        tier.give_back(at);
        assert!(!tier.admits(at, 1));
        assert!(tier.admits(other, 1));
    }

    #[test]
    fn parked_slots_come_back_in_order_and_first_of_the_holder_that_holds_least() {
        let mut tier = Tier::new(1);
        let (busy, idle) = (tier.of(Id(1)), tier.of(Id(2)));
        (0..4).for_each(|_| tier.take(busy));
        tier.park(busy, 10);
        tier.park(busy, 11);
        tier.park(idle, 20);
        assert_eq!(tier.unpark(0), None, "no permit is free");
        assert_eq!(tier.unpark(1), Some(20));
        assert_eq!(tier.unpark(4), None, "the busy one holds as many as are free");
        tier.give_back(busy);
        assert_eq!((tier.unpark(4), tier.unpark(4), tier.unpark(4)), (Some(10), Some(11), None));
        assert!(!tier.has_parked());
    }
}
