//! What one account, and one tenant with all its accounts, may hold of the events log: when the log is nearly as large as it
//! may be, who holds more than their part hands in nothing more over HTTP, so that retention by size drops nobody else's
//! events for it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::log::Reader;
use crate::model::{AccountId, TENANT_MULTIPLE};
use crate::state::State;

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
        let held = self.held(account);
        held.account.saturating_add(bytes) > part(self.percent)
            || held.tenant.saturating_add(bytes) > part(self.percent.saturating_mul(TENANT_MULTIPLE))
    }

    /// What the log holds of an account and of its tenant. The log knows tags only: a tag that several accounts have counts
    /// for none of them, since nobody can say whose bytes they are.
    fn held(&self, account: AccountId) -> Held {
        let tenant = self.state.tenant_of(account);
        let all = self.state.accounts();
        let mut accounts_with: HashMap<u64, usize> = HashMap::with_capacity(all.len());
        for other in &all {
            *accounts_with.entry(other.id.tag()).or_default() += 1;
        }
        let bytes_of = |id: AccountId| {
            let is_clear = accounts_with.get(&id.tag()).is_none_or(|accounts| *accounts == 1);
            if is_clear { self.events.bytes_of(id.tag()) } else { 0 }
        };
        let branch = all.iter().filter(|other| other.id == tenant || other.tree.contains(&tenant));
        Held { account: bytes_of(account), tenant: branch.map(|other| bytes_of(other.id)).sum() }
    }
}

/// Bytes of the log.
struct Held {
    account: u64,
    tenant: u64,
}
