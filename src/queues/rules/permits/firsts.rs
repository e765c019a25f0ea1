//! The first permits of hooks on one host. Pure: time is an argument.
//!
//! A first permit counts for its host only while it is young. So of a crowd of hooks on one host, a limited number make attempts
//! at a time while their receiver is quick; and while it hangs, a hook waits at most [`YOUNG`] for the hooks that took their first
//! permits before it, because these no longer count then.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use super::SlotName;
use super::tier::Parked;
use crate::model::Moment;

/// How long a first permit counts. Most receivers answer within this time; a person does not notice it.
pub(super) const YOUNG: Duration = Duration::from_millis(50);

/// The millisecond in which a first permit was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct TakenAt(u64);

impl TakenAt {
    pub(super) fn now(now: Moment) -> Self {
        Self(now.micros() / 1000)
    }

    /// When a permit of this millisecond stops counting.
    fn old_at(self) -> Moment {
        // From the end of the millisecond, so that no permit stops counting early.
        Moment::from_micros((self.0 + 1) * 1000) + YOUNG
    }

    pub(super) fn is_old(self, now: Moment) -> bool {
        self.old_at() <= now
    }
}

/// The first permits on one host.
#[derive(Debug, Default)]
pub(super) struct Firsts {
    /// How many are held, by the millisecond in which they were taken. The list is short, because old entries are dropped.
    taken: VecDeque<(TakenAt, u32)>,
    /// Offered to slots of other shards, which have not had their turn yet.
    offered: u32,
    /// Slots that wait for their first permit.
    parked: BTreeSet<Parked>,
}

impl Firsts {
    /// Whether a hook may take its first permit, of `limit` young ones.
    pub(super) fn admits(&self, limit: u32, now: Moment) -> bool {
        // From the newest back, and only to the first old one: what is behind that is older still.
        let young = self.taken.iter().rev().take_while(|(at, _)| !at.is_old(now));
        young.map(|(_, count)| count).sum::<u32>() + self.offered < limit
    }

    /// A hook takes its first permit.
    pub(super) fn take(&mut self, now: Moment) -> TakenAt {
        self.taken.retain(|(at, count)| *count > 0 && !at.is_old(now));
        let at = TakenAt::now(now);
        match self.taken.back_mut().filter(|(last, _)| *last == at) {
            Some((_, count)) => *count += 1,
            None => self.taken.push_back((at, 1)),
        }
        at
    }

    /// A hook gives its first permit back.
    pub(super) fn give_back(&mut self, at: TakenAt) {
        // A permit that has become old may have no entry any more.
        if let Some((_, count)) = self.taken.iter_mut().rev().find(|(taken, _)| *taken == at) {
            *count = count.saturating_sub(1);
        }
    }

    /// Parks a slot until it may take its first permit.
    pub(super) fn park(&mut self, parked: Parked) {
        self.parked.insert(parked);
    }

    /// Removes a parked slot.
    pub(super) fn leave(&mut self, parked: Parked) {
        self.parked.remove(&parked);
    }

    pub(super) fn has_parked(&self) -> bool {
        !self.parked.is_empty()
    }

    /// Removes and returns the parked slot that may take its first permit now.
    pub(super) fn unpark(&mut self, limit: u32, now: Moment) -> Option<SlotName> {
        if self.parked.is_empty() || !self.admits(limit, now) {
            return None;
        }
        self.parked.pop_first().map(|parked| parked.slot)
    }

    /// A first permit is offered to a slot of another shard.
    pub(super) fn offer(&mut self) {
        self.offered += 1;
    }

    /// The slot that was offered a first permit has its turn, or its shard takes none.
    pub(super) fn end_offer(&mut self) {
        self.offered = self.offered.saturating_sub(1);
    }

    /// When a parked slot may take its first permit at the latest. `None`: no slot waits.
    pub(super) fn due(&self, now: Moment) -> Option<Moment> {
        let oldest = self.taken.iter().find(|(at, count)| *count > 0 && !at.is_old(now));
        self.has_parked().then(|| oldest.map_or(now, |(at, _)| at.old_at()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::rules::permits::occupancy::Occupancy;

    fn slot(number: usize) -> Parked {
        Parked { leaves: 0, rank: Occupancy::default().rank(), slot: SlotName { number, shard: 0 } }
    }

    fn ms(ms: u64) -> Moment {
        Moment::from_micros(1_760_000_000_000_000) + Duration::from_millis(ms)
    }

    #[test]
    fn permits_that_come_back_soon_are_limited_and_permits_that_do_not_stop_counting() {
        let mut firsts = Firsts::default();
        let first = firsts.take(ms(0));
        firsts.take(ms(3));
        assert!(!firsts.admits(2, ms(10)));
        firsts.park(slot(7));
        assert_eq!((firsts.unpark(2, ms(10)), firsts.due(ms(10))), (None, Some(ms(51))));
        firsts.give_back(first);
        assert_eq!(firsts.unpark(2, ms(10)), Some(SlotName { number: 7, shard: 0 }));
        firsts.take(ms(10));
        assert!(!firsts.admits(2, ms(53)) && firsts.admits(2, ms(54)), "the permit of 3 ms is old");
        assert!(firsts.admits(1, ms(61)), "both are old");
    }

    #[test]
    fn a_permit_that_comes_back_when_it_is_old_frees_nothing_twice() {
        let mut firsts = Firsts::default();
        let old = firsts.take(ms(0));
        firsts.take(ms(80));
        firsts.give_back(old);
        assert!(!firsts.admits(1, ms(90)));
    }

    #[test]
    fn an_offer_counts_until_its_slot_has_had_its_turn() {
        let mut firsts = Firsts::default();
        firsts.park(slot(1));
        firsts.park(slot(2));
        assert!(firsts.unpark(1, ms(0)).is_some());
        firsts.offer();
        assert_eq!(firsts.unpark(1, ms(0)), None);
        firsts.end_offer();
        assert!(firsts.unpark(1, ms(0)).is_some());
        assert_eq!(firsts.due(ms(0)), None);
    }
}
