//! What must be quick to find, in memory: the tree of accounts and the hooks in their compiled form.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::document::{self, Entry, Kind, is_deleted};
use super::limits::Census;
use crate::kazoo;
use crate::model::{Account, AccountId, FailureLimits, Hook, HookId};

/// What changed, for the queues: applied in this order, none left out.
#[derive(Debug, Clone)]
pub enum Change {
    /// A hook is new or has changed.
    HookPut(Arc<Hook>),
    /// A hook was deleted.
    HookGone(HookId, AccountId),
    /// An account is new, or has changed from what it was.
    AccountPut {
        /// As it is now.
        now: Arc<Account>,
        /// As it was; `None`: it is new.
        before: Option<Arc<Account>>,
    },
    /// An account was deleted.
    AccountGone(AccountId),
}

/// Accounts and hooks by id.
#[derive(Debug, Default)]
pub(super) struct View {
    accounts: BTreeMap<AccountId, Arc<Account>>,
    /// The accounts' SIP realms, in lower case.
    realms: HashMap<String, AccountId>,
    hooks: HashMap<HookId, Arc<Hook>>,
    /// How many documents every account has.
    pub(super) census: Census,
}

impl View {
    /// Takes over one document; answers what that changed. A hook that cannot be understood is left out.
    pub(super) fn apply(&mut self, entry: &Entry) -> Option<Change> {
        self.census.note(entry);
        let doc = entry.doc.as_ref().filter(|doc| !is_deleted(doc));
        match entry.kind {
            Kind::Account => self.apply_account(&entry.id, doc),
            Kind::Hook => self.apply_hook(&entry.id, doc),
            Kind::Key | Kind::Setting | Kind::Replay | Kind::User | Kind::Revocation => None,
        }
    }

    fn apply_account(&mut self, id: &str, doc: Option<&Map<String, Value>>) -> Option<Change> {
        if let Some(account) = doc.and_then(document::account) {
            let account = Arc::new(account);
            self.forget_realm(account.id);
            if let Some(realm) = &account.realm {
                self.realms.insert(realm.to_ascii_lowercase(), account.id);
            }
            let before = self.accounts.insert(account.id, Arc::clone(&account));
            return Some(Change::AccountPut { now: account, before });
        }
        self.forget_realm(id.parse().ok()?);
        let gone = self.accounts.remove(&id.parse().ok()?)?;
        Some(Change::AccountGone(gone.id))
    }

    fn forget_realm(&mut self, account: AccountId) {
        let realm = self.accounts.get(&account).and_then(|account| account.realm.as_ref());
        if let Some(realm) = realm.map(|realm| realm.to_ascii_lowercase())
            && self.realms.get(&realm) == Some(&account)
        {
            self.realms.remove(&realm);
        }
    }

    fn apply_hook(&mut self, id: &str, doc: Option<&Map<String, Value>>) -> Option<Change> {
        if let Some(doc) = doc {
            match kazoo::hook_from_document(doc) {
                Ok(hook) => {
                    let hook = Arc::new(hook);
                    self.hooks.insert(hook.id, Arc::clone(&hook));
                    return Some(Change::HookPut(hook));
                }
                Err(reason) => {
                    tracing::warn!(hook.id = id, %reason, "hook {id} is not served: its document is not understood");
                }
            }
        }
        let gone = self.hooks.remove(&id.parse().ok()?)?;
        Some(Change::HookGone(gone.id, gone.account))
    }

    pub(super) fn account(&self, id: AccountId) -> Option<Arc<Account>> {
        self.accounts.get(&id).cloned()
    }

    pub(super) fn account_of_realm(&self, realm: &str) -> Option<AccountId> {
        self.realms.get(&realm.to_ascii_lowercase()).copied()
    }

    pub(super) fn accounts(&self) -> Vec<Arc<Account>> {
        self.accounts.values().cloned().collect()
    }

    pub(super) fn hook(&self, id: HookId) -> Option<Arc<Hook>> {
        self.hooks.get(&id).cloned()
    }

    pub(super) fn hooks(&self) -> Vec<Arc<Hook>> {
        self.hooks.values().cloned().collect()
    }

    /// Direct children, in order of id.
    pub(super) fn children(&self, id: AccountId) -> Vec<Arc<Account>> {
        self.accounts.values().filter(|a| a.tree.last() == Some(&id)).cloned().collect()
    }

    /// All accounts below, in order of id.
    pub(super) fn descendants(&self, id: AccountId) -> Vec<Arc<Account>> {
        self.accounts.values().filter(|a| a.tree.contains(&id)).cloned().collect()
    }

    pub(super) fn is_ancestor_or_self(&self, ancestor: AccountId, id: AccountId) -> bool {
        ancestor == id || self.accounts.get(&id).is_some_and(|a| a.tree.contains(&ancestor))
    }

    /// Whether the account is there and enabled, and its own failure limits or else its reseller's.
    pub(super) fn standing(&self, id: AccountId) -> (bool, FailureLimits) {
        let Some(account) = self.accounts.get(&id) else { return (false, FailureLimits::default()) };
        let reseller = self.reseller_of(id).and_then(|id| self.accounts.get(&id));
        let further_up = reseller.map(|reseller| reseller.failure_limits).unwrap_or_default();
        (account.enabled, account.failure_limits.or(further_up))
    }

    /// The nearest reseller above an account; the root when there is none.
    pub(super) fn reseller_of(&self, id: AccountId) -> Option<AccountId> {
        let tree = &self.accounts.get(&id)?.tree;
        let resells = |a: &&AccountId| self.accounts.get(*a).is_some_and(|a| a.is_reseller);
        tree.iter().rev().find(resells).or(tree.first()).copied()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::Id;

    fn put(view: &mut View, id: u128, tree: &[u128], reseller: bool) {
        let tree: Vec<_> = tree.iter().map(|id| Id(*id).to_string()).collect();
        let doc = json!({"_id": Id(id).to_string(), "pvt_tree": tree, "pvt_reseller": reseller});
        view.apply(&Entry { kind: Kind::Account, id: Id(id).to_string(), doc: doc.as_object().cloned() });
    }

    #[test]
    fn a_realm_names_the_account_that_has_it_now() {
        let mut view = View::default();
        let mut put = |id: u128, realm: &str| {
            let doc = json!({"_id": Id(id).to_string(), "realm": realm}).as_object().cloned();
            view.apply(&Entry { kind: Kind::Account, id: Id(id).to_string(), doc });
            ["a.example", "b.example"].map(|realm| view.account_of_realm(realm))
        };
        assert_eq!(put(1, "A.example"), [Some(Id(1)), None]);
        assert_eq!(put(1, "b.example"), [None, Some(Id(1))]);
        assert_eq!(put(2, "b.example"), [None, Some(Id(2))]);
        assert_eq!(put(1, "a.example"), [Some(Id(1)), Some(Id(2))]);
        view.apply(&Entry { kind: Kind::Account, id: Id(2).to_string(), doc: None });
        assert_eq!(view.account_of_realm("B.EXAMPLE"), None);
    }

    #[test]
    fn the_nearest_reseller_above_is_found() {
        let mut view = View::default();
        put(&mut view, 1, &[], true);
        put(&mut view, 2, &[1], true);
        put(&mut view, 3, &[1, 2], false);
        put(&mut view, 4, &[1, 2, 3], false);
        assert_eq!(view.reseller_of(Id(4)), Some(Id(2)));
        assert_eq!(view.reseller_of(Id(2)), Some(Id(1)));
        assert_eq!(view.reseller_of(Id(1)), None);
        assert!(view.is_ancestor_or_self(Id(2), Id(4)) && !view.is_ancestor_or_self(Id(4), Id(2)));
        assert_eq!(view.children(Id(2)).len(), 1);
        assert_eq!(view.descendants(Id(1)).len(), 3);
    }
}
