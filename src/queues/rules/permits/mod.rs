//! Permits to make an attempt: which slot may have one, and which slot is next. Pure: time is an argument.
//!
//! An account may hold at most as many permits as it leaves free (half of them), a tenant with all its accounts at
//! most three times as many (three quarters), and on one host a tenant as many as it leaves free there. A hook may
//! hold an eighth of what its account may still take. Each may hold one while any is free. While there is one account
//! only, its hooks share all permits. Of the permits in total and of those of a host, slow hooks leave an eighth to quick
//! ones (`occupancy`), and among those that wait the one that has held less goes first. However many receivers hang,
//! some permits stay free for the others, and on one host no hook waits for its first.
//!
//! What is free is offered until a slot takes it: one that cannot use a permit lets the next one try.
//!
//! All shards take permits from here, so that everything above holds over all of them together. A slot is named by its
//! place in its shard and its shard (`Permits::named`). When a permit comes back for a slot of another shard, that shard is
//! offered it and woken; until it has had its turn, the permit counts as taken to everybody else.

mod hosts;
mod occupancy;
mod of_shard;
mod offers;
mod over_share;
#[cfg(test)]
mod tests;
mod tier;

use crate::model::{AccountId, Hook};
use hosts::{Hosts, OnHost};
use occupancy::Occupancy;
use of_shard::OfShard;
use over_share::OverShare;
use tier::{Parked, Tier};

/// A tenant with all its accounts may hold this many times what is free of the total.
const TENANT_MULTIPLE: u32 = 3;
/// An account may hold this many times what is free of the total.
const ACCOUNT_MULTIPLE: u32 = 1;

/// Where the permits of a slot are counted, beside its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) struct Places {
    /// Its tenant among the tenants.
    pub(in crate::queues) tenant: usize,
    /// Its account among the accounts.
    pub(in crate::queues) account: usize,
    /// Its receiver's host.
    pub(in crate::queues) on_host: OnHost,
}

/// Why a slot may not take a permit: what has none for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) enum Refusal {
    /// The total, for its tenant.
    Tenant,
    /// The total, for its account.
    Account,
    /// It holds its share of its account's permits.
    OverShare,
    /// Its host.
    Host,
}

/// Where a slot waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wait {
    /// On the list of those whose turn comes.
    Ready,
    /// For a permit that it was refused.
    Refused(Refusal, Parked),
}

/// A slot's part: what it holds, and where it waits for more.
#[derive(Debug)]
pub(in crate::queues) struct Claim {
    places: Places,
    /// Where its permits are counted once it holds none, if the hook has changed while attempts were under way.
    next_places: Option<Places>,
    held: u32,
    occupancy: Occupancy,
    wait: Option<Wait>,
}

impl Claim {
    /// A slot that holds nothing and waits for nothing.
    pub(in crate::queues) fn new(places: Places) -> Self {
        Self { places, next_places: None, held: 0, occupancy: Occupancy::default(), wait: None }
    }

    /// Permits that it holds: attempts under way.
    pub(in crate::queues) fn held(&self) -> u32 {
        self.held
    }

    /// Whether it waits for its turn or for a permit: a permit that comes free finds it.
    pub(in crate::queues) fn waits(&self) -> bool {
        self.wait.is_some()
    }

    /// Where its permits are counted.
    #[cfg(test)]
    pub(in crate::queues) fn places(&self) -> Places {
        self.places
    }

    /// Whether it waits for its host.
    #[cfg(test)]
    pub(in crate::queues) fn waits_for_host(&self) -> bool {
        matches!(self.wait, Some(Wait::Refused(Refusal::Host, _)))
    }
}

/// All permits.
#[derive(Debug)]
pub(in crate::queues) struct Permits {
    total: u32,
    in_flight: u32,
    shards: Vec<OfShard>,
    /// Permits that are free and offered to slots whose turn is still to come.
    promised: u32,
    /// Shards to which something was offered since they were last asked for.
    woken: Vec<usize>,
    /// Slots that hold their share of their account's permits.
    over_share: OverShare,
    /// Permits of each tenant: an account right below the master account, with all accounts below it.
    tenants: Tier,
    accounts: Tier,
    hosts: Hosts,
}

impl Permits {
    /// The limit in total, the limit of one hook alone on its host, and the number of shards.
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

    /// Other limits. Every slot that waits has to be asked again (`ask_again`).
    pub(in crate::queues) fn limit_to(&mut self, total: usize, per_host: u32) {
        self.total = u32::try_from(total).unwrap_or(u32::MAX);
        self.hosts.limit_to(per_host);
    }

    /// The name of the slot at this place of a shard.
    pub(in crate::queues) fn named(&self, shard: usize, at: usize) -> usize {
        at * self.shards.len() + shard
    }

    /// The place of a slot in its shard.
    pub(in crate::queues) fn place_of(&self, slot: usize) -> usize {
        slot / self.shards.len()
    }

    fn of_shard(&mut self, slot: usize) -> Option<&mut OfShard> {
        let shard = slot % self.shards.len();
        self.shards.get_mut(shard)
    }

    /// Attempts under way.
    #[cfg(test)]
    pub(in crate::queues) fn in_flight(&self) -> usize {
        self.in_flight as usize
    }

    /// Attempts under way of one shard.
    pub(in crate::queues) fn in_flight_of(&self, shard: usize) -> usize {
        self.shards.get(shard).map_or(0, |of| of.in_flight as usize)
    }

    /// Permits of the total that nobody holds and that are offered to nobody.
    fn unpromised(&self) -> u32 {
        self.free().saturating_sub(self.promised)
    }

    /// Permits of the total that nobody holds.
    pub(in crate::queues) fn free(&self) -> u32 {
        self.total.saturating_sub(self.in_flight)
    }

    /// Whether more than half of all permits are taken.
    pub(in crate::queues) fn are_scarce(&self) -> bool {
        self.in_flight > self.total / 2
    }

    /// Where the permits of a hook are counted.
    pub(in crate::queues) fn places_of(&mut self, hook: &Hook, tenant: AccountId) -> Places {
        Places {
            tenant: self.tenants.of(tenant),
            account: self.accounts.of(hook.account),
            on_host: self.hosts.of(hook, tenant),
        }
    }

    /// Puts a slot on the list of those whose turn comes, unless it waits already.
    pub(in crate::queues) fn list(&mut self, at: usize, claim: &mut Claim) {
        if claim.wait.is_none() {
            claim.wait = Some(Wait::Ready);
            self.push_ready(at);
        }
    }

    /// Has a slot that waits for a permit ask for it again: what it was refused for may be another matter now.
    pub(in crate::queues) fn ask_again(&mut self, at: usize, claim: &mut Claim) {
        if matches!(claim.wait, Some(Wait::Refused(..))) {
            self.forget(claim);
            self.list(at, claim);
        }
    }

    /// A slot waits for nothing any more. The ready list is not searched for it: it is passed over there.
    pub(in crate::queues) fn forget(&mut self, claim: &mut Claim) {
        let Places { tenant, account, on_host } = claim.places;
        if let Some(Wait::Refused(refusal, parked)) = claim.wait.take() {
            match refusal {
                Refusal::Tenant => self.tenants.leave(tenant, parked),
                Refusal::Account => self.accounts.leave(account, parked),
                Refusal::Host => {
                    self.hosts.leave(on_host, parked);
                    // It may have been offered a permit, and the slots behind it wait for its turn.
                    self.hosts.free_up(on_host);
                }
                Refusal::OverShare => {
                    let of_account = self.accounts.held(account);
                    self.over_share.remove(account, of_account, (claim.held, parked.slot));
                }
            }
        }
    }

    fn push_ready(&mut self, slot: usize) {
        if let Some(of) = self.of_shard(slot) {
            of.ready.push_back(slot);
        }
    }

    /// A slot's turn has come: it waits for nothing now.
    pub(in crate::queues) fn turn_of(&mut self, claim: &mut Claim) {
        self.forget(claim);
    }

    /// Keeps a slot where the permit that it lacks finds it.
    pub(in crate::queues) fn set_aside(
        &mut self,
        at: usize,
        claim: &mut Claim,
        refusal: Refusal,
        now_us: u64,
    ) {
        claim.occupancy.note(claim.held, now_us);
        let all = if refusal == Refusal::Host { self.hosts.shared() } else { self.total };
        let parked = Parked { leaves: claim.occupancy.leaves(all), rank: claim.occupancy.rank(), slot: at };
        claim.wait = Some(Wait::Refused(refusal, parked));
        let Places { tenant, account, on_host } = claim.places;
        match refusal {
            Refusal::Tenant => self.tenants.park(tenant, parked),
            Refusal::Account => self.accounts.park(account, parked),
            Refusal::Host => self.hosts.park(on_host, parked),
            Refusal::OverShare => {
                let of_account = self.accounts.held(account);
                self.over_share.insert(account, of_account, (claim.held, at));
            }
        }
    }

    /// A slot takes no permit now: its host may have one for the next slot in line.
    pub(in crate::queues) fn pass_on(&mut self, claim: &Claim) {
        self.hosts.free_up(claim.places.on_host);
    }

    /// Whether a slot may take a permit. `own_targets`: each of its deliveries has a host of its own.
    pub(in crate::queues) fn admit(&self, claim: &Claim, own_targets: bool) -> Result<(), Refusal> {
        let (free, Places { tenant, account, on_host }) = (self.unpromised(), claim.places);
        let leaves = claim.occupancy.leaves(self.total);
        let of_host = claim.occupancy.leaves(self.hosts.shared());
        if !self.tenants.admits(tenant, leaves, free) {
            Err(Refusal::Tenant)
        } else if !self.accounts.admits(account, leaves, free) {
            Err(Refusal::Account)
        } else if !OverShare::admits(claim.held, account, free, &self.accounts) {
            Err(Refusal::OverShare)
        } else if !own_targets && !self.hosts.admits(on_host, claim.held, of_host) {
            Err(Refusal::Host)
        } else {
            Ok(())
        }
    }

    /// A slot takes a permit: an attempt begins.
    pub(in crate::queues) fn take(&mut self, at: usize, claim: &mut Claim, now_us: u64) {
        claim.occupancy.note(claim.held, now_us);
        self.in_flight = self.in_flight.saturating_add(1);
        if let Some(of) = self.of_shard(at) {
            of.in_flight = of.in_flight.saturating_add(1);
        }
        self.hold(at, claim, claim.held.saturating_add(1));
    }

    /// A slot gives a permit back: an attempt has ended that took this long.
    pub(in crate::queues) fn give_back(&mut self, at: usize, claim: &mut Claim, now_us: u64, took_us: u64) {
        claim.occupancy.note(claim.held, now_us);
        claim.occupancy.ended(took_us);
        self.give_back_lost(at % self.shards.len());
        self.hold(at, claim, claim.held.saturating_sub(1));
        if claim.held == 0
            && let Some(places) = claim.next_places.take()
        {
            self.forget_and_list(at, claim, places);
        }
    }

    /// A permit comes back of a shard's slot that is gone.
    pub(in crate::queues) fn give_back_lost(&mut self, shard: usize) {
        self.in_flight = self.in_flight.saturating_sub(1);
        if let Some(of) = self.shards.get_mut(shard) {
            of.in_flight = of.in_flight.saturating_sub(1);
        }
    }

    /// A slot's hook has other places: its permits are counted there from now on, those of attempts under way too, and
    /// it waits no longer for a permit of the former ones. What another account was given stays its own until it ends.
    pub(in crate::queues) fn move_to(&mut self, at: usize, claim: &mut Claim, places: Places) {
        let before = claim.places;
        if before == places && claim.next_places.is_none() {
            return;
        }
        if claim.held > 0 && (before.account != places.account || claim.next_places.is_some()) {
            claim.next_places = Some(places);
            return;
        }
        let held = claim.held;
        self.forget_and_list(at, claim, places);
        self.tenants.give_back(before.tenant, held);
        self.tenants.take(places.tenant, held);
        self.hosts.change(before.on_host, held, 0);
        self.hosts.change(places.on_host, 0, held);
    }

    /// Another hook has the slot now: what is under way stays where it is counted.
    pub(in crate::queues) fn hand_over(&mut self, at: usize, claim: &mut Claim, places: Places) {
        claim.occupancy = Occupancy::default();
        claim.next_places = (claim.held > 0).then_some(places);
        let present = if claim.held > 0 { claim.places } else { places };
        self.forget_and_list(at, claim, present);
    }

    fn forget_and_list(&mut self, at: usize, claim: &mut Claim, places: Places) {
        let waited = claim.waits();
        self.forget(claim);
        claim.places = places;
        if waited {
            self.list(at, claim);
        }
    }

    /// Counts what a slot holds now, everywhere. Where it waits follows from that, so it asks again.
    fn hold(&mut self, at: usize, claim: &mut Claim, now: u32) {
        let waited = matches!(claim.wait, Some(Wait::Refused(..)));
        self.forget_if_refused(claim);
        let (before, places) = (claim.held, claim.places);
        let of_account = self.accounts.held(places.account);
        if now > before {
            self.tenants.take(places.tenant, now - before);
            self.accounts.take(places.account, now - before);
        } else {
            self.tenants.give_back(places.tenant, before - now);
            self.accounts.give_back(places.account, before - now);
        }
        self.over_share.follow(places.account, of_account, self.accounts.held(places.account));
        self.hosts.change(places.on_host, before, now);
        claim.held = now;
        if waited {
            self.list(at, claim);
        }
    }

    fn forget_if_refused(&mut self, claim: &mut Claim) {
        if matches!(claim.wait, Some(Wait::Refused(..))) {
            self.forget(claim);
        }
    }

    /// Permits of a tenant, of an account, and of a host beside the first of each hook.
    #[cfg(test)]
    pub(in crate::queues) fn held_at(&self, places: Places) -> (u32, u32, u32) {
        let further = self.hosts.further(places.on_host.host);
        (self.tenants.held(places.tenant), self.accounts.held(places.account), further)
    }
}
