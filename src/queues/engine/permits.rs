//! The permits, as one shard uses them. All shards share them behind a lock, which is held for one decision at a time. So every
//! limit and every rule of fairness holds exactly over all shards together.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use crate::model::{AccountId, Hook};
use crate::queues::rules::permits::{self as rules, Claim, Places, Refusal};

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

    /// How many permits nobody holds.
    pub(super) fn free(&self) -> u32 {
        self.all().free()
    }

    /// Whether more than half of all permits are taken.
    pub(super) fn are_scarce(&self) -> bool {
        self.all().are_scarce()
    }

    /// Where the permits of a hook are counted.
    pub(super) fn places_of(&self, hook: &Hook, tenant: AccountId) -> Places {
        self.all().places_of(hook, tenant)
    }

    /// Puts a slot on the list of those that wait for their turn, unless it waits already.
    pub(super) fn wait_for_turn(&self, at: usize, claim: &mut Claim) {
        // Asked after every change of a slot with something to start, so the lock is taken only when it matters.
        if !claim.waits() {
            let mut all = self.all();
            let slot = all.named(self.shard, at);
            all.list(slot, claim);
        }
    }

    /// Lets a slot that waits for a permit ask for it again.
    pub(super) fn ask_again(&self, at: usize, claim: &mut Claim) {
        let mut all = self.all();
        let slot = all.named(self.shard, at);
        all.ask_again(slot, claim);
    }

    /// A slot no longer waits for anything.
    pub(super) fn forget(&self, claim: &mut Claim) {
        self.all().forget(claim);
    }

    /// The slot of this shard whose turn it is. Slots of other shards that come before it are offered free permits.
    pub(super) fn next(&self) -> Option<usize> {
        let mut all = self.all();
        let next = all.next(self.shard).map(|slot| all.place_of(slot));
        let woken = all.woken();
        drop(all);
        self.wake(woken);
        next
    }

    /// This shard starts nothing at present, so permits that it was offered go to the others.
    pub(super) fn decline(&self) {
        let mut all = self.all();
        all.decline(self.shard);
        let woken = all.woken();
        drop(all);
        self.wake(woken);
    }

    /// A slot has its turn, and so does not wait.
    pub(super) fn turn_of(&self, claim: &mut Claim) {
        self.all().turn_of(claim);
    }

    /// A slot was refused a permit: it waits until such a permit is given back.
    pub(super) fn set_aside(&self, at: usize, claim: &mut Claim, refusal: Refusal, now_us: u64) {
        let mut all = self.all();
        let slot = all.named(self.shard, at);
        all.set_aside(slot, claim, refusal, now_us);
    }

    /// A slot takes no further permit now, so a permit of its host may go to the next slot in line.
    pub(super) fn pass_on(&self, claim: &Claim) {
        self.all().pass_on(claim);
    }

    /// Whether a slot may take a permit. With `own_targets`, each of its deliveries has its own host.
    pub(super) fn admit(&self, claim: &Claim, own_targets: bool) -> Result<(), Refusal> {
        self.all().admit(claim, own_targets)
    }

    /// A slot takes a permit: an attempt begins.
    pub(super) fn take(&self, at: usize, claim: &mut Claim, now_us: u64) {
        let mut all = self.all();
        let slot = all.named(self.shard, at);
        all.take(slot, claim, now_us);
    }

    /// A slot gives a permit back: an attempt has ended, which took this long.
    pub(super) fn give_back(&self, at: usize, claim: &mut Claim, now_us: u64, took_us: u64) {
        let mut all = self.all();
        let slot = all.named(self.shard, at);
        all.give_back(slot, claim, now_us, took_us);
    }

    /// A permit is given back whose slot does not exist any more.
    pub(super) fn give_back_lost(&self) {
        self.all().give_back_lost(self.shard);
    }

    /// The permits of a slot are counted elsewhere from now on.
    pub(super) fn move_to(&self, at: usize, claim: &mut Claim, places: Places) {
        let mut all = self.all();
        let slot = all.named(self.shard, at);
        all.move_to(slot, claim, places);
    }

    /// Another hook has the slot now. Permits of attempts under way stay counted where they are.
    pub(super) fn hand_over(&self, at: usize, claim: &mut Claim, places: Places) {
        let mut all = self.all();
        let slot = all.named(self.shard, at);
        all.hand_over(slot, claim, places);
    }

    /// Whether something was offered that is not taken yet.
    #[cfg(test)]
    pub(super) fn has_offers(&self) -> bool {
        self.all().has_offers(self.shard)
    }

    /// Permits of a tenant, of an account, and of a host beside the first of each hook, of all shards.
    #[cfg(test)]
    pub(super) fn held_at(&self, places: Places) -> (u32, u32, u32) {
        self.all().held_at(places)
    }
}
