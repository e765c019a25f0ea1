//! Whose turn it is, among the slots of all shards. A shard takes its own slots, and offers free permits to the other shards
//! for theirs.

use super::Permits;
use super::of_shard::Unparked;
use super::{Claim, SlotName};

impl Permits {
    /// The slot of this shard whose turn it is: first a parked slot for which a permit is free now, then a ready slot, last a
    /// slot that holds its share already. Slots of other shards that come first are offered to those shards (`woken`).
    pub(in crate::queues) fn next(&mut self, shard: usize) -> Option<SlotName> {
        if let Some(offered) = self.shards.get_mut(shard)?.offered.pop_front() {
            self.promised = self.promised.saturating_sub(1);
            return Some(offered.slot);
        }
        // A slot that was parked for its host goes before the slot that gave the host's permit back.
        let first = self.first_of(shard, Self::unpark);
        let first = first.or_else(|| self.shards.get_mut(shard)?.ready.pop_front());
        first.or_else(|| self.first_of(shard, Self::unpark_over_share))
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

    fn unpark(&mut self) -> Option<Unparked> {
        let free = self.unpromised();
        let slot = self.tenants.unpark(free).or_else(|| self.accounts.unpark(free));
        let unparked = slot.map(|slot| Unparked { slot, host: None });
        unparked.or_else(|| self.hosts.unpark().map(|(slot, host)| Unparked { slot, host: Some(host) }))
    }

    fn unpark_over_share(&mut self) -> Option<Unparked> {
        let slot = self.over_share.unpark(self.unpromised(), &self.accounts)?;
        Some(Unparked { slot, host: None })
    }

    /// Offers a permit to another shard. Until that shard has taken its turn, the permit is promised, and its host is not
    /// checked again (`pass_on` does so after every turn).
    fn offer(&mut self, unparked: Unparked) {
        if let Some(host) = unparked.host {
            self.hosts.check_later(host);
        }
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
        self.hosts.check(claim.places.on_host.host);
    }

    /// A shard starts nothing for now. The permits that it was offered are free for other shards, and its own parked slots
    /// become ready, so that none of them holds up the parked slots of other shards.
    pub(in crate::queues) fn decline(&mut self, shard: usize) {
        let offered =
            self.shards.get_mut(shard).map(|of| std::mem::take(&mut of.offered)).unwrap_or_default();
        for Unparked { slot, host } in offered {
            self.promised = self.promised.saturating_sub(1);
            self.push_ready(slot);
            if let Some(host) = host {
                self.hosts.check(host);
            }
        }
        for unpark in [Self::unpark, Self::unpark_over_share] {
            while let Some(slot) = self.first_of(shard, unpark) {
                self.push_ready(slot);
            }
        }
    }
}
