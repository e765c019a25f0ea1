//! What one account, and one tenant with all its accounts, may hold of the events log: when the log is nearly as large as it
//! may be, who holds more than their part hands in nothing more over HTTP, so that retention by size drops nobody else's
//! events for it.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::{Duration, Instant};

use crate::log::Reader;
use crate::model::{AccountId, TENANT_MULTIPLE};
use crate::state::State;

/// How long a tenant's sum is used before it is taken from the log again.
const FRESH: Duration = Duration::from_secs(1);
/// Sums that are remembered.
const SUMS: usize = 1024;

/// The rule, over the log as it is.
#[derive(Debug, Clone)]
pub(super) struct AccountShare {
    pub(super) events: Reader,
    /// Size of the log above which retention drops segments.
    pub(super) max_bytes: Arc<AtomicU64>,
    /// The accounts.
    pub(super) state: State,
    /// Of the size, the part of one account.
    pub(super) percent: u64,
    /// The operator's own account, which decides what it keeps: the rule does not bind it.
    pub(super) master: AccountId,
    /// What tenants held, and when that was looked at.
    pub(super) sums: Arc<Mutex<HashMap<AccountId, (Instant, u64)>>>,
}

impl AccountShare {
    /// Whether further events of the account would cost others theirs: the account holds more than its part, or its tenant
    /// with all its accounts more than four such parts.
    pub(super) fn is_used_up(&self, account: AccountId, bytes: u64) -> bool {
        let most = self.max_bytes.load(Ordering::Relaxed);
        let used = self.events.stats().bytes.saturating_add(bytes);
        let part = |percent: u64| most / 100 * percent.min(100);
        if self.percent >= 100 || account == self.master || used <= part(90) {
            return false;
        }
        let tenant = self.state.tenant_of(account);
        if self.events.bytes_of(account.tag()).saturating_add(bytes) > part(self.percent) {
            return true;
        }
        self.held(tenant, |held| {
            let after = held.saturating_add(bytes);
            let is_used_up = after > part(self.percent.saturating_mul(TENANT_MULTIPLE));
            // What is let in counts at once, though the sum is taken later.
            *held = if is_used_up { *held } else { after };
            is_used_up
        })
    }

    /// What the log holds of all accounts of a tenant. The log knows tags only: where accounts share a tag, its bytes count
    /// for each of them, once for a tenant, because otherwise nobody would answer for them.
    fn held<T>(&self, tenant: AccountId, look: impl FnOnce(&mut u64) -> T) -> T {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((at, held)) = sums.get_mut(&tenant)
            && at.elapsed() < FRESH
        {
            return look(held);
        }
        if sums.len() >= SUMS {
            sums.retain(|_, (at, _)| at.elapsed() < FRESH);
        }
        let accounts = self.state.accounts_of_tenant(tenant).into_iter().chain([tenant]);
        let tags: BTreeSet<u64> = accounts.map(AccountId::tag).collect();
        let mut held = tags.into_iter().map(|tag| self.events.bytes_of(tag)).sum();
        let seen = look(&mut held);
        sums.insert(tenant, (Instant::now(), held));
        seen
    }
}
