//! The view: the account tree and the compiled hooks, in memory for quick lookups.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value};

use super::called::{self, Called};
use super::document::{self, JournalEntry, Kind, is_deleted};
use super::ids::Ids;
use super::limits::Census;
use super::revoked::Revoked;
use super::tenants::Tenants;
use crate::kazoo;
use crate::model::{Account, AccountId, DocumentId, FailureLimits, Hook, HookId};

/// A change of a document that concerns the queues. Changes come in order and none is left out.
#[derive(Debug, Clone)]
pub enum Change {
    /// A hook is new or has changed.
    HookPut(Arc<Hook>),
    /// A hook was deleted.
    HookGone(HookId, AccountId),
    /// An account is new or has changed.
    AccountPut {
        /// The account now.
        now: Arc<Account>,
        /// The account before the change; `None` for a new account.
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
    ids: Ids,
    /// The number of documents of every account.
    pub(super) census: Census,
    /// The accounts and space of every tenant.
    pub(super) tenants: Tenants,
    pub(super) revoked: Revoked,
}

impl View {
    /// Applies one document and returns the change for the queues. A hook whose document is invalid is left out.
    pub(super) fn apply(&mut self, entry: &JournalEntry) -> Option<Change> {
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
            // Removed before it is added, because name and realm may have changed, and `called` finds accounts by
            // both.
            if let Some(before) = &before {
                self.called.remove(before);
            }
            self.called.add(&account);
            self.ids.add(account.id.into(), Kind::Account);
            return Some(Change::AccountPut { now: account, before });
        }
        let gone = self.accounts.remove(&id.parse().ok()?)?;
        self.called.remove(&gone);
        self.ids.remove(gone.id.into(), Kind::Account);
        Some(Change::AccountGone(gone.id))
    }

    fn apply_hook(&mut self, id: &str, doc: Option<&Map<String, Value>>) -> Option<Change> {
        if let Some(doc) = doc {
            match kazoo::hook_from_document(doc) {
                Ok(hook) => {
                    let hook = Arc::new(hook);
                    self.hooks.insert(hook.id, Arc::clone(&hook));
                    self.ids.add(hook.id.into(), Kind::Hook);
                    return Some(Change::HookPut(hook));
                }
                Err(reason) => {
                    // A stored document that is invalid cannot stop the program. Its hook is treated as deleted
                    // until the document is corrected.
                    tracing::warn!(hook_id = id, %reason, "hook {id} is ignored: its document cannot be understood");
                }
            }
        }
        let gone = self.hooks.remove(&id.parse().ok()?)?;
        self.ids.remove(gone.id.into(), Kind::Hook);
        Some(Change::HookGone(gone.id, gone.account))
    }

    pub(super) fn account(&self, id: AccountId) -> Option<Arc<Account>> {
        self.accounts.get(&id).cloned()
    }

    pub(super) fn account_of_realm(&self, realm: &str) -> Option<AccountId> {
        let found: Vec<_> = self.called.with_realm(realm).filter_map(|id| self.account(id)).collect();
        called::meant(realm, &found)
    }

    /// The accounts with a realm in any spelling.
    pub(super) fn with_realm(&self, realm: &str) -> Vec<AccountId> {
        self.called.with_realm(realm).collect()
    }

    /// Whether an account other than `except` has a realm, in any spelling.
    pub(super) fn has_realm(&self, realm: &str, except: AccountId) -> bool {
        self.called.with_realm(realm).any(|id| id != except)
    }

    /// The accounts with a name, ordered so that no account can push back another by creating more of that name.
    pub(super) fn accounts_named(&self, name: &str) -> Vec<Arc<Account>> {
        called::in_turns(self.called.with_name(name).filter_map(|id| self.account(id)).collect())
    }

    /// The tenant of an account: the account itself or its ancestor directly below the master account.
    pub(super) fn tenant_of(&self, id: AccountId) -> AccountId {
        self.accounts.get(&id).and_then(|account| account.tree.get(1)).copied().unwrap_or(id)
    }

    /// Whether an id cannot be used for a new document of a kind: a document of another kind has it, or it shares a
    /// shortened or derived form with an id in use. A document of the same kind and id is not considered.
    pub(super) fn is_taken(&self, id: DocumentId, kind: Kind) -> bool {
        self.ids.is_taken(id, kind)
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

    /// Accounts directly below an account, in order of their ids.
    pub(super) fn children(&self, id: AccountId) -> Vec<Arc<Account>> {
        self.accounts.values().filter(|a| a.tree.last() == Some(&id)).cloned().collect()
    }

    /// All accounts below an account, in order of their ids.
    pub(super) fn descendants(&self, id: AccountId) -> Vec<Arc<Account>> {
        self.accounts.values().filter(|a| a.tree.contains(&id)).cloned().collect()
    }

    pub(super) fn is_ancestor_or_self(&self, ancestor: AccountId, id: AccountId) -> bool {
        ancestor == id || self.accounts.get(&id).is_some_and(|a| a.tree.contains(&ancestor))
    }

    /// Whether the account exists and is enabled, and its failure limits. Limits that it does not set come from its
    /// reseller, otherwise from the master account.
    pub(super) fn standing(&self, id: AccountId) -> (bool, FailureLimits) {
        let Some(account) = self.accounts.get(&id) else { return (false, FailureLimits::default()) };
        let of = |id: Option<AccountId>| {
            id.and_then(|id| self.accounts.get(&id)).map(|above| above.failure_limits).unwrap_or_default()
        };
        let (reseller, master) = (of(self.reseller_of(id)), of(account.tree.first().copied()));
        (account.enabled, account.failure_limits.or(reseller).or(master))
    }

    /// The nearest reseller above an account; otherwise the master account.
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
        let tree: Vec<_> = tree.iter().map(|id| AccountId(*id).to_string()).collect();
        let doc = json!({"_id": DocumentId(id).to_string(), "pvt_tree": tree, "pvt_reseller": reseller});
        view.apply(&JournalEntry {
            kind: Kind::Account,
            id: DocumentId(id).to_string(),
            doc: doc.as_object().cloned(),
        });
    }

    #[test]
    fn a_realm_leads_to_the_account_that_has_it_now() {
        let mut view = View::default();
        let mut put = |id: u128, realm: &str| {
            let doc = json!({"_id": DocumentId(id).to_string(), "realm": realm}).as_object().cloned();
            view.apply(&JournalEntry { kind: Kind::Account, id: DocumentId(id).to_string(), doc });
            ["a.example", "b.example"].map(|realm| view.account_of_realm(realm))
        };
        assert_eq!(put(1, "A.example"), [Some(AccountId(1)), None]);
        assert_eq!(put(1, "b.example"), [None, Some(AccountId(1))]);
        assert_eq!(put(1, "a.example"), [Some(AccountId(1)), None]);
        assert_eq!(put(2, "b.example"), [Some(AccountId(1)), Some(AccountId(2))]);
        view.apply(&JournalEntry { kind: Kind::Account, id: DocumentId(2).to_string(), doc: None });
        assert_eq!(view.account_of_realm("B.EXAMPLE"), None);
    }

    #[test]
    fn the_nearest_reseller_above_is_found() {
        let mut view = View::default();
        put(&mut view, 1, &[], true);
        put(&mut view, 2, &[1], true);
        put(&mut view, 3, &[1, 2], false);
        put(&mut view, 4, &[1, 2, 3], false);
        assert_eq!(view.reseller_of(AccountId(4)), Some(AccountId(2)));
        assert_eq!(view.reseller_of(AccountId(2)), Some(AccountId(1)));
        assert_eq!(view.reseller_of(AccountId(1)), None);
        assert!(
            view.is_ancestor_or_self(AccountId(2), AccountId(4))
                && !view.is_ancestor_or_self(AccountId(4), AccountId(2))
        );
        assert_eq!(view.children(AccountId(2)).len(), 1);
        assert_eq!(view.descendants(AccountId(1)).len(), 3);
    }
}
