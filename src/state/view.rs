//! What must be quick to find, in memory: the tree of accounts and the hooks in their compiled form.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::called::{self, Called};
use super::document::{self, Entry, Kind, is_deleted};
use super::limits::Census;
use super::revoked::Revoked;
use super::tenants::Tenants;
use crate::kazoo;
use crate::model::{Account, AccountId, FailureLimits, Hook, HookId, Id};

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
    called: Called,
    hooks: HashMap<HookId, Arc<Hook>>,
    /// How many documents every account has.
    pub(super) census: Census,
    /// What every tenant has.
    pub(super) tenants: Tenants,
    pub(super) revoked: Revoked,
}

impl View {
    /// Takes over one document; answers what that changed. A hook that cannot be understood is left out.
    pub(super) fn apply(&mut self, entry: &Entry) -> Option<Change> {
        self.census.note(entry);
        self.tenants.note(entry);
        self.revoked.note(entry);
        let doc = entry.doc.as_ref().filter(|doc| !is_deleted(doc));
        match entry.kind {
            Kind::Account => self.apply_account(&entry.id, doc),
            Kind::Hook => self.apply_hook(&entry.id, doc),
            Kind::Key | Kind::Setting | Kind::Replay | Kind::User | Kind::Revocation | Kind::Link => None,
        }
    }

    fn apply_account(&mut self, id: &str, doc: Option<&Map<String, Value>>) -> Option<Change> {
        if let Some(account) = doc.and_then(document::account) {
            let account = Arc::new(account);
            let before = self.accounts.insert(account.id, Arc::clone(&account));
            if let Some(before) = &before {
                self.called.remove(before);
            }
            self.called.add(&account);
            return Some(Change::AccountPut { now: account, before });
        }
        let gone = self.accounts.remove(&id.parse().ok()?)?;
        self.called.remove(&gone);
        Some(Change::AccountGone(gone.id))
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
        let found: Vec<_> = self.called.with_realm(realm).filter_map(|id| self.account(id)).collect();
        called::meant(realm, &found)
    }

    /// The accounts with a realm, however it is written.
    pub(super) fn with_realm(&self, realm: &str) -> Vec<AccountId> {
        self.called.with_realm(realm).collect()
    }

    /// Whether another account has a realm, however it is written.
    pub(super) fn has_realm(&self, realm: &str, except: AccountId) -> bool {
        self.called.with_realm(realm).any(|id| id != except)
    }

    /// The accounts with a name, those first that nobody can push back by making others with that name.
    pub(super) fn accounts_named(&self, name: &str) -> Vec<Arc<Account>> {
        called::in_turns(self.called.with_name(name).filter_map(|id| self.account(id)).collect())
    }

    /// The account right below the master account that an account is or stands below; for the master account, itself.
    pub(super) fn tenant_of(&self, id: AccountId) -> AccountId {
        self.accounts.get(&id).and_then(|account| account.tree.get(1)).copied().unwrap_or(id)
    }

    /// Whether an id cannot be given to something of a kind: something of another kind has it, or it shares a shortened or
    /// derived form with an id in use. The same id of the same kind is not looked at.
    pub(super) fn is_taken(&self, id: Id, kind: Kind) -> bool {
        let is_taken = |other: Id, of: Kind| (other == id && of != kind) || other.collides(id);
        self.hooks.keys().any(|other| is_taken(*other, Kind::Hook))
            || self.accounts.keys().any(|other| is_taken(*other, Kind::Account))
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

    /// Whether the account is there and enabled, and its own failure limits, or else its reseller's, or else those of
    /// the master account, which hold for all.
    pub(super) fn standing(&self, id: AccountId) -> (bool, FailureLimits) {
        let Some(account) = self.accounts.get(&id) else { return (false, FailureLimits::default()) };
        let of = |id: Option<AccountId>| {
            id.and_then(|id| self.accounts.get(&id)).map(|above| above.failure_limits).unwrap_or_default()
        };
        let (reseller, master) = (of(self.reseller_of(id)), of(account.tree.first().copied()));
        (account.enabled, account.failure_limits.or(reseller).or(master))
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
        assert_eq!(put(1, "a.example"), [Some(Id(1)), None]);
        assert_eq!(put(2, "b.example"), [Some(Id(1)), Some(Id(2))]);
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
