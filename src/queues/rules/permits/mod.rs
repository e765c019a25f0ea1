//! Permits for attempts: which slot may have one, and whose turn it is. Pure: time is an argument.
//!
//! | Who | May hold at most |
//! | --- | --- |
//! | an account | as many permits as it leaves free, so half of them |
//! | a tenant with all its accounts | three times as many as it leaves free, so three quarters |
//! | a tenant on one host | as many of the host's permits as it leaves free |
//! | a hook | an eighth of what its account may still take |
//!
//! Each of them may hold one permit while any is free. The hooks of the only account share all permits. Slow hooks leave an
//! eighth of all permits, and of their host's, to quick ones (`occupancy`), and of the slots that wait, the one that has held
//! less goes first. So however many receivers hang, some permits stay free for other hooks, and no hook waits long for its
//! first permit on a host (`firsts`). In a crowd on one host, a quick hook takes up to four permits in its turn (`goes_on`).
//!
//! A free permit is offered to one slot after another until a slot takes it.
//!
//! All shards take their permits from here, so these limits hold for all shards together. When a permit becomes free for a
//! slot of another shard, that shard is offered the permit and woken. Until that slot has had its turn, nobody else gets the
//! permit.

mod claim;
mod firsts;
mod hosts;
mod occupancy;
mod of_shard;
mod offers;
mod on_host;
mod over_share;
mod slot_name;
#[cfg(test)]
mod tests;
mod tier;

use std::time::Duration;

use crate::model::{AccountId, Hook, Moment};
use claim::Wait;
use hosts::Hosts;
use of_shard::OfShard;
use over_share::{Holding, OverShare};
use tier::{Parked, Tier};

pub(in crate::queues) use claim::{Claim, Holders, Refusal};
#[cfg(test)]
pub(in crate::queues) use on_host::HostId;
pub(in crate::queues) use slot_name::SlotName;
#[cfg(test)]
pub(in crate::queues) use tier::HolderId;

/// A tenant may hold this many times what is free.
const TENANT_MULTIPLE: u32 = 3;
/// An account may hold this many times what is free.
const ACCOUNT_MULTIPLE: u32 = 1;

/// All permits.
#[derive(Debug)]
pub(in crate::queues) struct Permits {
    total: u32,
    in_flight: u32,
    shards: Vec<OfShard>,
    /// Free permits that are offered to slots of other shards, which have not had their turn yet.
    promised: u32,
    /// Shards that have been offered something since `woken` was called.
    woken: Vec<usize>,
    over_share: OverShare,
    tenants: Tier,
    accounts: Tier,
    hosts: Hosts,
}

impl Permits {
    /// `total` permits for this number of shards; one hook alone may hold `per_host` of them on its host.
    pub(in crate::queues) fn new(total: usize, per_host: u32, shards: usize) -> Self {
        Self {
            total: u32::try_from(total).unwrap_or(u32::MAX),
            in_flight: 0,
            shards: (0..shards.max(1)).map(|_| OfShard::default()).collect(),
            promised: 0,
            woken: Vec::new(),
            over_share: OverShare::default(),
            tenants: Tier::new(TENANT_MULTIPLE),
            accounts: Tier::new(ACCOUNT_MULTIPLE),
            hosts: Hosts::new(per_host),
        }
    }

    /// Changes the limits. The caller lets every slot ask again (`ask_again`).
    pub(in crate::queues) fn limit_to(&mut self, total: usize, per_host: u32) {
        self.total = u32::try_from(total).unwrap_or(u32::MAX);
        self.hosts.limit_to(per_host);
    }

    /// Attempts under way.
    #[cfg(test)]
    pub(in crate::queues) fn in_flight(&self) -> usize {
        self.in_flight as usize
    }

    /// Attempts of one shard under way.
    pub(in crate::queues) fn in_flight_of(&self, shard: usize) -> usize {
        self.shards.get(shard).map_or(0, |of| of.in_flight as usize)
    }

    /// Permits that nobody holds.
    pub(in crate::queues) fn free(&self) -> u32 {
        self.total.saturating_sub(self.in_flight)
    }

    /// Permits that nobody holds and that are not promised to a slot.
    fn unpromised(&self) -> u32 {
        self.free().saturating_sub(self.promised)
    }

    /// Whether more than half of all permits are held.
    pub(in crate::queues) fn are_scarce(&self) -> bool {
        self.in_flight > self.total / 2
    }

    /// The holders for which the permits of a hook count.
    pub(in crate::queues) fn holders_of(&mut self, hook: &Hook, tenant: AccountId) -> Holders {
        Holders {
            tenant: self.tenants.of(tenant),
            account: self.accounts.of(hook.account),
            on_host: self.hosts.of(hook, tenant),
        }
    }

    /// Makes a slot ready, unless it waits already: its turn will come.
    pub(in crate::queues) fn make_ready(&mut self, slot: SlotName, claim: &mut Claim) {
        if claim.wait.is_none() {
            claim.wait = Some(Wait::Ready);
            self.push_ready(slot);
        }
    }

    fn push_ready(&mut self, slot: SlotName) {
        if let Some(of) = self.shards.get_mut(slot.shard) {
            of.ready.push_back(slot);
        }
    }

    /// The slot waits for nothing any more, because its turn has come or its hook is gone. It may remain among the ready
    /// slots, where its turn then finds nothing to do: a search for it would cost more.
    pub(in crate::queues) fn stop_waiting(&mut self, claim: &mut Claim) {
        let Some(Wait::Refused(refusal, parked)) = claim.wait.take() else { return };
        let Holders { tenant, account, on_host } = claim.holders;
        match refusal {
            Refusal::Tenant => self.tenants.leave(tenant, parked),
            Refusal::Account => self.accounts.leave(account, parked),
            Refusal::First => self.hosts.leave_first(on_host.host, parked),
            Refusal::Host => {
                self.hosts.leave(on_host, parked);
                // The slot may have been the one that was offered the host's permit.
                self.hosts.check(on_host.host);
            }
            Refusal::OverShare => {
                let holding = Holding { held: claim.held, slot: parked.slot };
                self.over_share.leave(account, self.accounts.held(account), holding);
            }
        }
    }

    /// Lets a slot ask again for the permit that it was refused, because the answer may be different now.
    pub(in crate::queues) fn ask_again(&mut self, slot: SlotName, claim: &mut Claim) {
        self.change(slot, claim, |_, _| ());
    }

    /// Changes a claim. Where a refused slot is parked depends on the claim, so the slot asks again afterwards.
    fn change(&mut self, slot: SlotName, claim: &mut Claim, change: impl FnOnce(&mut Self, &mut Claim)) {
        let was_refused = claim.was_refused();
        if was_refused {
            self.stop_waiting(claim);
        }
        change(self, claim);
        if was_refused {
            self.make_ready(slot, claim);
        }
    }

    /// Parks a slot where the permit that it was refused will find it.
    pub(in crate::queues) fn park(
        &mut self,
        slot: SlotName,
        claim: &mut Claim,
        refusal: Refusal,
        now: Moment,
    ) {
        claim.occupancy.note(claim.held, now);
        // Both are fixed while the slot is parked: when one of its attempts ends, it asks again.
        let all = if refusal == Refusal::Host { self.hosts.shared() } else { self.total };
        let parked = Parked { leaves: claim.occupancy.leaves(all), rank: claim.occupancy.rank(), slot };
        claim.wait = Some(Wait::Refused(refusal, parked));
        let Holders { tenant, account, on_host } = claim.holders;
        match refusal {
            Refusal::Tenant => self.tenants.park(tenant, parked),
            Refusal::Account => self.accounts.park(account, parked),
            Refusal::Host => self.hosts.park(on_host, parked),
            Refusal::First => self.hosts.park_first(on_host.host, parked),
            Refusal::OverShare => {
                let holding = Holding { held: claim.held, slot };
                self.over_share.park(account, self.accounts.held(account), holding);
            }
        }
    }

    /// Whether a slot may take a permit. `own_targets`: each of its deliveries has its own host, so its host has no limit.
    pub(in crate::queues) fn admit(
        &self,
        claim: &Claim,
        own_targets: bool,
        now: Moment,
    ) -> Result<(), Refusal> {
        // The first limit that refuses is the one at which the slot will be parked.
        let (free, Holders { tenant, account, .. }) = (self.unpromised(), claim.holders);
        let leaves = claim.occupancy.leaves(self.total);
        let leaves_on_host = claim.occupancy.leaves(self.hosts.shared());
        if !self.tenants.admits(tenant, leaves, free) {
            Err(Refusal::Tenant)
        } else if !self.accounts.admits(account, leaves, free) {
            Err(Refusal::Account)
        } else if !OverShare::admits(claim.held, account, free, &self.accounts) {
            Err(Refusal::OverShare)
        } else if own_targets {
            Ok(())
        } else {
            self.hosts.admits(claim, leaves_on_host, now)
        }
    }

    /// A slot takes a permit in its turn, if it may.
    pub(in crate::queues) fn take_in_turn(
        &mut self,
        slot: SlotName,
        claim: &mut Claim,
        own_targets: bool,
        now: Moment,
    ) -> Result<(), Refusal> {
        match self.admit(claim, own_targets, now) {
            Ok(()) => {}
            // Only here and not in `admit`: a slot whose turn is over is not woken for such a permit.
            Err(Refusal::Host) if self.hosts.goes_on(claim, now) => {
                self.hosts.take_first(claim.holders.on_host.host, now);
                claim.beside_first += 1;
            }
            Err(refusal) => return Err(refusal),
        }
        self.take(slot, claim, now);
        Ok(())
    }

    /// A slot takes a permit: an attempt begins.
    pub(in crate::queues) fn take(&mut self, slot: SlotName, claim: &mut Claim, now: Moment) {
        claim.occupancy.note(claim.held, now);
        self.in_flight = self.in_flight.saturating_add(1);
        if let Some(of) = self.shards.get_mut(slot.shard) {
            of.in_flight = of.in_flight.saturating_add(1);
        }
        if claim.held == 0 {
            claim.first = self.hosts.take_first(claim.holders.on_host.host, now);
        }
        let held = claim.held.saturating_add(1);
        self.change(slot, claim, |permits, claim| permits.hold(claim, held));
    }

    /// A slot gives a permit back: an attempt has ended that took this long.
    pub(in crate::queues) fn give_back(
        &mut self,
        slot: SlotName,
        claim: &mut Claim,
        now: Moment,
        took: Duration,
    ) {
        claim.occupancy.ended(took);
        self.put_back(slot, claim, now);
    }

    /// A slot gives a permit back of which nothing can be learned.
    pub(in crate::queues) fn put_back(&mut self, slot: SlotName, claim: &mut Claim, now: Moment) {
        claim.occupancy.note(claim.held, now);
        self.give_back_lost(slot.shard);
        let held = claim.held.saturating_sub(1);
        self.change(slot, claim, |permits, claim| {
            permits.hold(claim, held);
            if claim.beside_first > 0 {
                permits.give_one_beside_first_back(claim);
            }
            if held == 0 {
                permits.give_first_back(claim);
                claim.holders = claim.next_holders.take().map_or(claim.holders, |next| *next);
            }
        });
    }

    /// Gives back one of the permits that the slot took in the turn of its first.
    fn give_one_beside_first_back(&mut self, claim: &mut Claim) {
        claim.beside_first = claim.beside_first.saturating_sub(1);
        if let Some(first) = claim.first {
            self.hosts.give_first_back(claim.holders.on_host.host, first);
        }
    }

    /// Gives back the first permit of a slot, and those that it took in the same turn.
    fn give_first_back(&mut self, claim: &mut Claim) {
        while claim.beside_first > 0 {
            self.give_one_beside_first_back(claim);
        }
        if let Some(first) = claim.first.take() {
            self.hosts.give_first_back(claim.holders.on_host.host, first);
        }
    }

    /// When the next slot may take its first permit on its host, if any slot waits for one.
    pub(in crate::queues) fn first_due(&self, now: Moment) -> Option<Moment> {
        self.hosts.first_due(now)
    }

    /// A permit comes back whose slot is gone.
    pub(in crate::queues) fn give_back_lost(&mut self, shard: usize) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(of) = self.shards.get_mut(shard) {
            of.in_flight = of.in_flight.saturating_sub(1);
        }
    }

    /// Counts what a slot holds for its tenant, account and host.
    fn hold(&mut self, claim: &mut Claim, now: u32) {
        let (before, holders) = (claim.held, claim.holders);
        let of_account = self.accounts.held(holders.account);
        if now > before {
            self.tenants.take(holders.tenant, now - before);
            self.accounts.take(holders.account, now - before);
        } else {
            self.tenants.give_back(holders.tenant, before - now);
            self.accounts.give_back(holders.account, before - now);
        }
        // What the other hooks of the account need has changed with the account's permits.
        self.over_share.follow(holders.account, of_account, self.accounts.held(holders.account));
        self.hosts.change(holders.on_host, before, now);
        claim.held = now;
    }

    /// A slot's hook has another tenant, account or host now. Attempts under way count there at once, except for another account: what one
    /// account was given must not count for another, so its holders change when all those attempts have ended.
    pub(in crate::queues) fn move_to(&mut self, slot: SlotName, claim: &mut Claim, holders: Holders) {
        let before = claim.holders;
        if before == holders && claim.next_holders.is_none() {
            return;
        }
        if claim.held > 0 && (before.account != holders.account || claim.next_holders.is_some()) {
            claim.next_holders = Some(Box::new(holders));
            return;
        }
        self.change(slot, claim, |permits, claim| {
            permits.tenants.give_back(before.tenant, claim.held);
            permits.tenants.take(holders.tenant, claim.held);
            permits.give_first_back(claim);
            permits.hosts.change(before.on_host, claim.held, 0);
            permits.hosts.change(holders.on_host, 0, claim.held);
            claim.holders = holders;
        });
    }

    /// Another hook has the slot now. Attempts under way count for the former hook's holders until they have ended.
    pub(in crate::queues) fn hand_over(&mut self, slot: SlotName, claim: &mut Claim, holders: Holders) {
        self.change(slot, claim, |_, claim| {
            // How the former hook's receiver behaves says nothing about the new one.
            claim.occupancy = occupancy::Occupancy::default();
            claim.next_holders = (claim.held > 0).then(|| Box::new(holders));
            claim.holders = if claim.next_holders.is_some() { claim.holders } else { holders };
        });
    }

    /// The permits that a tenant and an account hold, and the shared ones of a host that are held.
    #[cfg(test)]
    pub(in crate::queues) fn held_at(&self, holders: Holders) -> (u32, u32, u32) {
        let of_host = self.hosts.held(holders.on_host.host);
        (self.tenants.held(holders.tenant), self.accounts.held(holders.account), of_host)
    }
}
