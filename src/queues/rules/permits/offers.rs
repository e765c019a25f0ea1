//! Whose turn it is, among the slots of all shards. A shard takes its own slots, and offers free permits to the other shards
//! for theirs.

use super::Permits;
use super::of_shard::{ParkedFor, Unparked};
use super::{Claim, SlotName};
use crate::model::Moment;

impl Permits {
    /// The slot of this shard whose turn it is: first a parked slot for which a permit is free now, then a ready slot, last a
    /// slot that holds its share already. Slots of other shards that come first are offered to those shards (`woken`).
    pub(in crate::queues) fn next(&mut self, shard: usize, now: Moment) -> Option<SlotName> {
        if let Some(offered) = self.shards.get_mut(shard)?.offered.pop_front() {
            self.end_promise(offered);
            return Some(offered.slot);
        }
        // A slot that was parked for its host goes before the slot that gave the host's permit back.
        let first = self.first_of(shard, |permits| permits.unpark(now));
        let first = first.or_else(|| self.shards.get_mut(shard)?.ready.pop_front());
        first.or_else(|| self.first_of(shard, Self::unpark_over_share))
    }

    fn end_promise(&mut self, offered: Unparked) {
        self.promised = self.promised.saturating_sub(1);
        if let ParkedFor::First(host) = offered.parked_for
            && let Some(firsts) = self.hosts.firsts(host)
        {
            firsts.end_offer();
        }
    }

    /// Unparks slots until one belongs to this shard.
    fn first_of(&mut self, shard: usize, unpark: impl Fn(&mut Self) -> Option<Unparked>) -> Option<SlotName> {
        // An offer is promised at once, so each round has less to give and the loop ends.
        while let Some(unparked) = unpark(self) {
            if unparked.slot.shard == shard {
                return Some(unparked.slot);
            }
            self.offer(unparked);
        }
        None
    }

    fn unpark(&mut self, now: Moment) -> Option<Unparked> {
        let free = self.unpromised();
        if let Some(slot) = self.tenants.unpark(free).or_else(|| self.accounts.unpark(free)) {
            return Some(Unparked { slot, parked_for: ParkedFor::Total });
        }
        let first = self
            .hosts
            .unpark_first(now)
            .map(|(slot, host)| Unparked { slot, parked_for: ParkedFor::First(host) });
        first.or_else(|| {
            self.hosts.unpark().map(|(slot, host)| Unparked { slot, parked_for: ParkedFor::Host(host) })
        })
    }

    fn unpark_over_share(&mut self) -> Option<Unparked> {
        let slot = self.over_share.unpark(self.unpromised(), &self.accounts)?;
        Some(Unparked { slot, parked_for: ParkedFor::Total })
    }

    /// Offers a permit to another shard. Until that shard has taken its turn, the permit is promised, and its host is not
    /// checked again (`pass_on` does so after every turn).
    fn offer(&mut self, unparked: Unparked) {
        match unparked.parked_for {
            ParkedFor::Total => {}
            ParkedFor::Host(host) => self.hosts.check_later(host),
            ParkedFor::First(host) => {
                if let Some(firsts) = self.hosts.firsts(host) {
                    firsts.offer();
                }
            }
        }
        // Without the promise, another shard could take the permit before the woken shard has its turn, again and
        // again.
        self.promised += 1;
        let shard = unparked.slot.shard;
        if let Some(of) = self.shards.get_mut(shard) {
            of.offered.push_back(unparked);
        }
        if !self.woken.contains(&shard) {
            self.woken.push(shard);
        }
    }

    /// The shards that have been offered a permit since the last call. The caller wakes them.
    pub(in crate::queues) fn woken(&mut self) -> Vec<usize> {
        std::mem::take(&mut self.woken)
    }

    /// Whether a shard has offers that it has not taken yet.
    #[cfg(test)]
    pub(in crate::queues) fn has_offers(&self, shard: usize) -> bool {
        self.shards.get(shard).is_some_and(|of| !of.offered.is_empty())
    }

    /// A slot takes no permit in its turn: its host may have one for the next parked slot.
    pub(in crate::queues) fn pass_on(&mut self, claim: &Claim) {
        self.hosts.check(claim.holders.on_host.host);
    }

    /// A shard starts nothing for now. The permits that it was offered are free for other shards, and its own parked slots
    /// become ready, so that none of them holds up the parked slots of other shards.
    pub(in crate::queues) fn decline(&mut self, shard: usize, now: Moment) {
        let offered =
            self.shards.get_mut(shard).map(|of| std::mem::take(&mut of.offered)).unwrap_or_default();
        for unparked in offered {
            self.end_promise(unparked);
            self.push_ready(unparked.slot);
            if let ParkedFor::Host(host) = unparked.parked_for {
                self.hosts.check(host);
            }
        }
        while let Some(slot) = self.first_of(shard, |permits| permits.unpark(now)) {
            self.push_ready(slot);
        }
        while let Some(slot) = self.first_of(shard, Self::unpark_over_share) {
            self.push_ready(slot);
        }
    }
}
