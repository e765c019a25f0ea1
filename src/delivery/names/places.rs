//! Places of lookups, shared among tenants: names that nobody answers for hold places for seconds, and must not hold
//! those that another tenant's names need.
//!
//! One half of the places is shared, a bounded part for each account and each tenant. The other half is for tenants'
//! first lookups, one for each tenant: so a tenant gets on, name by name, whatever all others do.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::AccountId;
use crate::shares::Shares;

/// To which tenant an account belongs.
pub(super) type TenantOf = dyn Fn(AccountId) -> AccountId + Send + Sync;

/// The part of the shared places that one tenant gets at most.
const TENANTS_PART: usize = 4;
/// The part of the shared places that one account gets at most.
const ACCOUNTS_PART: usize = 8;

/// All places. A lookup under way takes one, and one open file.
pub(super) struct Places {
    tenant_of: Arc<TenantOf>,
    /// For tenants' first lookups.
    first: Arc<Semaphore>,
    shared: Arc<Semaphore>,
    of_first: Shares<AccountId>,
    of_tenant: Shares<AccountId>,
    of_account: Shares<AccountId>,
}

/// A place that is taken, given back when it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    _held: Vec<OwnedSemaphorePermit>,
}

impl Places {
    /// So many places, one at least of each half.
    pub(super) fn new(places: usize, tenant_of: Arc<TenantOf>) -> Self {
        let first = (places / 2).max(1);
        let shared = places.saturating_sub(first).max(1);
        Self {
            tenant_of,
            first: Arc::new(Semaphore::new(first)),
            shared: Arc::new(Semaphore::new(shared)),
            of_first: Shares::new(1),
            of_tenant: Shares::new(shared / TENANTS_PART),
            of_account: Shares::new(shared / ACCOUNTS_PART),
        }
    }

    /// Waits for a place for a lookup of this account. `None`: there are none any more.
    pub(super) async fn get(&self, account: AccountId) -> Option<Place> {
        let tenant = (self.tenant_of)(account);
        let first = self.of_first.of(tenant);
        // A holder's own part first: what waits for places of all is bounded for each holder, too.
        let shared = [self.of_account.of(account), self.of_tenant.of(tenant), Arc::clone(&self.shared)];
        tokio::select! {
            biased;
            place = all_of([first, Arc::clone(&self.first)]) => place,
            place = all_of(shared) => place,
        }
    }
}

async fn all_of<const N: usize>(semaphores: [Arc<Semaphore>; N]) -> Option<Place> {
    let mut held = Vec::with_capacity(N);
    for semaphore in semaphores {
        held.push(semaphore.acquire_owned().await.ok()?);
    }
    Some(Place { _held: held })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;
    use crate::model::Id;

    /// Places of `total` that an account takes at once.
    fn take(places: &Places, account: u128) -> Vec<Place> {
        std::iter::from_fn(|| places.get(Id(account)).now_or_never().flatten()).collect()
    }

    #[test]
    fn a_tenant_takes_a_part_with_all_its_accounts_and_others_always_find_a_place() {
        // Accounts of the same hundred are one tenant's.
        let places = Places::new(64, Arc::new(|account: AccountId| Id(account.0 / 100 * 100)));
        let own = take(&places, 100);
        assert_eq!(own.len(), 1 + 32 / ACCOUNTS_PART);
        let child = take(&places, 101);
        assert_eq!(child.len(), 32 / TENANTS_PART - 32 / ACCOUNTS_PART);
        assert_eq!(take(&places, 102).len(), 0, "a further account brings no more");
        let others: Vec<_> = (2..12).map(|n| take(&places, n * 100)).collect();
        assert!(others.iter().all(|held| !held.is_empty()), "{others:?}");
        assert_eq!(take(&places, 2000).len(), 1, "one that has none finds its first");
        drop(own);
        assert_eq!(take(&places, 100).len(), 1 + 32 / ACCOUNTS_PART);
    }
}
