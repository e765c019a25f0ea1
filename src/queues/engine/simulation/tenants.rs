//! The accounts and documents of a simulation. A change is durable at once; the engine learns of it through its feed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::model::{Account, AccountId, FailureLimits, Hook, HookId, ReplayId};
use crate::queues::{Directory, ReplayJob};

/// The documents. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Tenants(Arc<Mutex<Documents>>);

#[derive(Debug, Default)]
struct Documents {
    accounts: BTreeMap<AccountId, Arc<Account>>,
    hooks: BTreeMap<HookId, Arc<Hook>>,
    /// The hook of each replay, and whether it runs.
    replays: BTreeMap<ReplayId, (HookId, bool)>,
}

impl Tenants {
    fn documents(&self) -> MutexGuard<'_, Documents> {
        self.0.lock().unwrap()
    }

    /// Writes an account. Returns the account from before.
    pub(super) fn put(&self, account: Account) -> Option<Arc<Account>> {
        self.documents().accounts.insert(account.id, Arc::new(account))
    }

    /// Deletes an account.
    pub(super) fn remove(&self, id: AccountId) {
        self.documents().accounts.remove(&id);
    }

    /// All accounts, in the order of their ids.
    pub(super) fn all(&self) -> Vec<Arc<Account>> {
        self.documents().accounts.values().cloned().collect()
    }

    /// Writes a replay's document.
    pub(super) fn note_replay(&self, job: &ReplayJob, runs: bool) {
        self.documents().replays.insert(job.id, (job.hook, runs));
    }

    /// Deletes a replay's document.
    pub(super) fn forget_replay(&self, id: ReplayId) {
        self.documents().replays.remove(&id);
    }

    /// Writes a hook.
    pub(super) fn put_hook(&self, hook: &Arc<Hook>) {
        self.documents().hooks.insert(hook.id, Arc::clone(hook));
    }

    /// Deletes a hook.
    pub(super) fn remove_hook(&self, id: HookId) {
        self.documents().hooks.remove(&id);
    }
}

impl Directory for Tenants {
    fn account(&self, id: AccountId) -> Option<Arc<Account>> {
        self.documents().accounts.get(&id).cloned()
    }

    fn tenant_of(&self, id: AccountId) -> AccountId {
        self.account(id).and_then(|account| account.tree.get(1).copied()).unwrap_or(id)
    }

    fn is_ancestor_or_self(&self, ancestor: AccountId, id: AccountId) -> bool {
        ancestor == id
            || self.documents().accounts.get(&id).is_some_and(|account| account.tree.contains(&ancestor))
    }

    fn standing(&self, id: AccountId) -> (bool, FailureLimits) {
        let documents = self.documents();
        let Some(account) = documents.accounts.get(&id) else { return (false, FailureLimits::default()) };
        let mut above = account.tree.iter().rev().filter_map(|id| documents.accounts.get(id));
        let reseller = above.find(|account| account.is_reseller);
        let further_up = reseller.map(|reseller| reseller.failure_limits).unwrap_or_default();
        (account.enabled, account.failure_limits.or(further_up))
    }

    fn hooks(&self) -> Vec<Arc<Hook>> {
        self.documents().hooks.values().cloned().collect()
    }

    fn hook_of_replay(&self, id: ReplayId) -> Option<HookId> {
        self.documents().replays.get(&id).map(|(hook, _)| *hook)
    }

    fn runs_replay(&self, id: ReplayId) -> bool {
        self.documents().replays.get(&id).is_some_and(|(_, runs)| *runs)
    }
}
