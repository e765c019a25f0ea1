//! Permits for name lookups, shared among tenants. A name that no server answers for holds a permit for seconds, and
//! must not hold the permits that another tenant's names need.
//!
//! One half of the permits is shared, with a bounded part for each account and each tenant. The other half is
//! reserved for tenants' first lookups, one for each tenant. So every tenant makes progress, name by name, whatever
//! others do.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::AccountId;
use crate::shares::Shares;

/// Returns the tenant of an account.
pub(super) type TenantOf = dyn Fn(AccountId) -> AccountId + Send + Sync;

/// One tenant may use at most 1/`TENANTS_PART` of the shared permits.
const TENANTS_PART: usize = 4;
/// One account may use at most 1/`ACCOUNTS_PART` of the shared permits.
const ACCOUNTS_PART: usize = 8;

/// All permits. A lookup under way takes one, and one open file.
pub(super) struct LookupPermits {
    tenant_of: Arc<TenantOf>,
    /// Permits for tenants' first lookups.
    first: Arc<Semaphore>,
    shared: Arc<Semaphore>,
    of_first: Shares<AccountId>,
    of_tenant: Shares<AccountId>,
    of_account: Shares<AccountId>,
}

/// A permit, released when it is dropped.
#[derive(Debug)]
pub(super) struct LookupPermit {
    _held: Vec<OwnedSemaphorePermit>,
}

impl LookupPermits {
    /// Creates this number of permits, with at least one in each half.
    pub(super) fn new(permits: usize, tenant_of: Arc<TenantOf>) -> Self {
        let first = (permits / 2).max(1);
        let shared = permits.saturating_sub(first).max(1);
        Self {
            tenant_of,
            first: Arc::new(Semaphore::new(first)),
            shared: Arc::new(Semaphore::new(shared)),
            of_first: Shares::new(1),
            of_tenant: Shares::new(shared / TENANTS_PART),
            of_account: Shares::new(shared / ACCOUNTS_PART),
        }
    }

    /// Waits for a permit for a lookup of this account. `None` when the semaphores are closed.
    pub(super) async fn get(&self, account: AccountId) -> Option<LookupPermit> {
        let tenant = (self.tenant_of)(account);
        let first = self.of_first.of(tenant);
        // A holder's own part comes first, so that each holder's number of waiters for the shared permits is bounded
        // too.
        let shared = [self.of_account.of(account), self.of_tenant.of(tenant), Arc::clone(&self.shared)];
        tokio::select! {
            biased;
            // The reserved permit comes first, so that the shared ones are left for further lookups.
            permit = all_of([first, Arc::clone(&self.first)]) => permit,
            permit = all_of(shared) => permit,
        }
    }
}

async fn all_of<const N: usize>(semaphores: [Arc<Semaphore>; N]) -> Option<LookupPermit> {
    let mut held = Vec::with_capacity(N);
    for semaphore in semaphores {
        held.push(semaphore.acquire_owned().await.ok()?);
    }
    Some(LookupPermit { _held: held })
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    /// Permits of `total` that an account takes at once.
    fn take(permits: &LookupPermits, account: u128) -> Vec<LookupPermit> {
        std::iter::from_fn(|| permits.get(AccountId(account)).now_or_never().flatten()).collect()
    }

    #[test]
    fn a_tenant_with_all_its_accounts_gets_a_part_and_others_always_find_a_permit() {
        // Accounts of the same hundred belong to one tenant.
        let permits = LookupPermits::new(64, Arc::new(|account: AccountId| AccountId(account.0 / 100 * 100)));
        let own = take(&permits, 100);
        assert_eq!(own.len(), 1 + 32 / ACCOUNTS_PART);
        let child = take(&permits, 101);
        assert_eq!(child.len(), 32 / TENANTS_PART - 32 / ACCOUNTS_PART);
        assert_eq!(take(&permits, 102).len(), 0, "a further account brings no more");
        let others: Vec<_> = (2..12).map(|n| take(&permits, n * 100)).collect();
        assert!(others.iter().all(|held| !held.is_empty()), "{others:?}");
        assert_eq!(take(&permits, 2000).len(), 1, "one that has none finds its first");
        drop(own);
        assert_eq!(take(&permits, 100).len(), 1 + 32 / ACCOUNTS_PART);
    }
}
