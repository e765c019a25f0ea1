//! The share of the events log that an account, or a tenant with all its accounts, may use. When the log is nearly
//! full, an account above its share is refused new events over HTTP. So retention by size does not remove other
//! accounts' events because of it.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::time::{Duration, Instant};

use crate::log::Reader;
use crate::model::{AccountId, TENANT_MULTIPLE};
use crate::state::State;

/// How long a tenant's sum is used before it is computed again.
const FRESH: Duration = Duration::from_secs(1);
/// The most tenants whose sum is remembered.
const SUMS: usize = 1024;

/// The rule, with the events log it reads.
#[derive(Debug, Clone)]
pub(super) struct AccountShare {
    pub(super) events: Reader,
    /// The size of the log above which retention removes segments.
    pub(super) max_bytes: Arc<AtomicU64>,
    /// The accounts.
    pub(super) state: State,
    /// The share of one account, in percent of that size.
    pub(super) percent: u64,
    /// The master account, to which the rule does not apply.
    pub(super) master: AccountId,
    /// The bytes of each tenant, with the time when they were computed.
    pub(super) sums: Arc<Mutex<HashMap<AccountId, (Instant, u64)>>>,
}

impl AccountShare {
    /// Whether `bytes` more events of the account would be at the cost of others: the account has more than its
    /// share, or its tenant with all accounts more than four shares.
    pub(super) fn is_used_up(&self, account: AccountId, bytes: u64) -> bool {
        let most = self.max_bytes.load(Ordering::Relaxed);
        let used = self.events.stats().bytes.saturating_add(bytes);
        let part = |percent: u64| most / 100 * percent.min(100);
        // Nobody is refused while there is room: shares matter only when retention would remove the events of
        // others.
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
            // Accepted bytes count at once, although the sum is computed later.
            *held = if is_used_up { *held } else { after };
            is_used_up
        })
    }

    /// The bytes of all accounts of a tenant in the log. The log knows only tags, so bytes of accounts with the same
    /// tag count for each of these accounts (once per tenant). Otherwise nobody could be charged for them.
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
        // A set, so that two accounts with the same tag do not count twice.
        let tags: BTreeSet<u64> = accounts.map(AccountId::tag).collect();
        let mut held = tags.into_iter().map(|tag| self.events.bytes_of(tag)).sum();
        let seen = look(&mut held);
        sums.insert(tenant, (Instant::now(), held));
        seen
    }
}
