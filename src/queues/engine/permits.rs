//! The permits, as one shard uses them. All shards share them behind a lock, which is held for one decision at a time. So every
//! limit and every rule of fairness holds exactly over all shards together.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::slots::SlotId;
use crate::model::{AccountId, Hook, Moment};
use crate::queues::rules::permits::{self as rules, Claim, Holders, Refusal, SlotName};

/// One shard's end of the shared permits.
#[derive(Debug)]
pub struct Permits {
    all: Arc<All>,
    shard: usize,
}

#[derive(Debug)]
struct All {
    permits: Mutex<rules::Permits>,
    /// By shard: wakes it when a permit is offered to it.
    offered: Vec<Notify>,
}

impl Permits {
    /// Permits for this number of shards, one end for each, with the limits in total and for one host.
    #[must_use]
    pub fn shared(total: usize, per_host: u32, shards: usize) -> Vec<Self> {
        let permits = Mutex::new(rules::Permits::new(total, per_host, shards));
        let all = Arc::new(All { permits, offered: (0..shards).map(|_| Notify::new()).collect() });
        (0..shards).map(|shard| Self { all: Arc::clone(&all), shard }).collect()
    }

    fn all(&self) -> MutexGuard<'_, rules::Permits> {
        self.all.permits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Resolves when another shard has offered this shard a permit. The permit is taken through [`Self::next`].
    pub(super) fn offered(&self) -> impl Future<Output = ()> + use<> {
        let (all, shard) = (Arc::clone(&self.all), self.shard);
        async move {
            match all.offered.get(shard) {
                Some(offered) => offered.notified().await,
                None => std::future::pending().await,
            }
        }
    }

    fn name(&self, slot: SlotId) -> SlotName {
        SlotName { number: slot.number(), shard: self.shard }
    }

    fn wake(&self, woken: Vec<usize>) {
        for offered in woken.into_iter().filter_map(|shard| self.all.offered.get(shard)) {
            offered.notify_one();
        }
    }

    /// Changes the limits. Every slot that waits has to ask again ([`Self::ask_again`]).
    pub(super) fn limit_to(&self, total: usize, per_host: u32) {
        self.all().limit_to(total, per_host);
    }

    /// Attempts of this shard that are under way.
    pub(super) fn in_flight(&self) -> usize {
        self.all().in_flight_of(self.shard)
    }

    /// Whether more than half of all permits are taken.
    pub(super) fn are_scarce(&self) -> bool {
        self.all().are_scarce()
    }

    /// Where the permits of a hook are counted.
    pub(super) fn holders_of(&self, hook: &Hook, tenant: AccountId) -> Holders {
        self.all().holders_of(hook, tenant)
    }

    /// Lets a slot wait for its turn, unless it waits already.
    pub(super) fn wait_for_turn(&self, slot: SlotId, claim: &mut Claim) {
        // Asked after every change of a slot with something to start, so the lock is taken only when it matters.
        if !claim.waits() {
            self.all().make_ready(self.name(slot), claim);
        }
    }

    /// Has a slot that waits for a permit ask for it again.
    pub(super) fn ask_again(&self, slot: SlotId, claim: &mut Claim) {
        self.all().ask_again(self.name(slot), claim);
    }

    /// A slot waits for nothing any more, because its turn has come or its hook is gone.
    pub(super) fn stop_waiting(&self, claim: &mut Claim) {
        self.all().stop_waiting(claim);
    }

    /// The slot of this shard whose turn it is. Other shards' slots that come first are offered what is free.
    pub(super) fn next(&self, now: Moment) -> Option<SlotId> {
        let mut all = self.all();
        // The lock covers finding the slot and making the offers, so that no two shards are promised the same
        // permit.
        let next = all.next(self.shard, now).map(|slot| SlotId::numbered(slot.number));
        let woken = all.woken();
        drop(all);
        self.wake(woken);
        next
    }

    /// This shard starts nothing at present, so permits that it was offered go to the others.
    pub(super) fn decline(&self, now: Moment) {
        let mut all = self.all();
        all.decline(self.shard, now);
        let woken = all.woken();
        drop(all);
        self.wake(woken);
    }

    /// Parks a slot where the permit that it was refused will find it.
    pub(super) fn park(&self, slot: SlotId, claim: &mut Claim, refusal: Refusal, now: Moment) {
        self.all().park(self.name(slot), claim, refusal, now);
    }

    /// A slot takes no further permit now, so a permit of its host may go to the next slot in line.
    pub(super) fn pass_on(&self, claim: &Claim) {
        self.all().pass_on(claim);
    }

    /// A slot takes a permit for an attempt, if it may. With `own_targets`, each of its deliveries has its own host. Both under one
    /// lock: between the two another shard could take the last permit.
    pub(super) fn take(
        &self,
        slot: SlotId,
        claim: &mut Claim,
        own_targets: bool,
        now: Moment,
    ) -> Result<(), Refusal> {
        self.all().take_in_turn(self.name(slot), claim, own_targets, now)
    }

    /// A slot takes a permit if any is free, whatever its share. Returns whether it did.
    pub(super) fn take_free(&self, slot: SlotId, claim: &mut Claim, now: Moment) -> bool {
        let mut all = self.all();
        let is_free = all.free() > 0;
        if is_free {
            all.take(self.name(slot), claim, now);
        }
        is_free
    }

    /// A slot had nothing to start after all: it gives its permit back unused.
    pub(super) fn put_back(&self, slot: SlotId, claim: &mut Claim, now: Moment) {
        self.all().put_back(self.name(slot), claim, now);
    }

    /// Whether a slot may take a permit, for the simulation.
    #[cfg(test)]
    pub(super) fn admit(&self, claim: &Claim, own_targets: bool, now: Moment) -> Result<(), Refusal> {
        self.all().admit(claim, own_targets, now)
    }

    /// When the next slot may take its first permit on its host, if any slot waits for one.
    pub(super) fn first_due(&self, now: Moment) -> Option<Moment> {
        self.all().first_due(now)
    }

    /// A slot gives a permit back: an attempt has ended that took this long.
    pub(super) fn give_back(&self, slot: SlotId, claim: &mut Claim, now: Moment, took: Duration) {
        self.all().give_back(self.name(slot), claim, now, took);
    }

    /// A permit is given back whose slot does not exist any more.
    pub(super) fn give_back_lost(&self) {
        self.all().give_back_lost(self.shard);
    }

    /// A slot's hook has another tenant, account or host.
    pub(super) fn move_to(&self, slot: SlotId, claim: &mut Claim, holders: Holders) {
        self.all().move_to(self.name(slot), claim, holders);
    }

    /// Another hook has the slot now: what is under way stays where it is counted.
    pub(super) fn hand_over(&self, slot: SlotId, claim: &mut Claim, holders: Holders) {
        self.all().hand_over(self.name(slot), claim, holders);
    }

    /// Whether something was offered that is not taken yet.
    #[cfg(test)]
    pub(super) fn has_offers(&self) -> bool {
        self.all().has_offers(self.shard)
    }

    /// Permits of a tenant, of an account, and of a host beside the first of each hook, of all shards.
    #[cfg(test)]
    pub(super) fn held_at(&self, holders: Holders) -> (u32, u32, u32) {
        self.all().held_at(holders)
    }
}
