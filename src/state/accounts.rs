//! Changes of the account tree: each account's parent and realm.
//!
//! A lock allows one change at a time, so what was checked still holds when the change is written: no account appears
//! below a deleted one, no realm is given to two accounts, and no branch becomes its own descendant.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::document::{Kind, revision};
use super::handle::State;
use super::index::IndexError;
use super::limits::LimitError;
use super::write::{Expect, Write, WriteError};
use crate::model::{Account, AccountId, Payer};

type Document = Map<String, Value>;

/// The most hooks that are deleted with an account in one write.
const HOOKS_AT_ONCE: usize = 256;
/// The approximate largest size of one change in the audit trail, in bytes.
const MOST_TRACED: u64 = 8192;

/// Why a change of the tree was refused.
#[derive(Debug, thiserror::Error)]
pub enum TreeError {
    /// The account does not exist.
    #[error("account {0} does not exist")]
    Missing(AccountId),
    /// Another account has the realm.
    #[error("realm '{0}' is in use")]
    RealmTaken(String),
    /// The account has descendants.
    #[error("account {0} has descendants")]
    HasDescendants(AccountId),
    /// The new parent is the account itself or one of its descendants.
    #[error("account {0} cannot stand below itself")]
    Circle(AccountId),
    /// The master account must stay the root of the tree.
    #[error("the master account cannot be moved or deleted")]
    Root,
    /// The write was refused.
    #[error(transparent)]
    Write(#[from] WriteError),
}

impl From<IndexError> for TreeError {
    fn from(error: IndexError) -> Self {
        Self::Write(error.into())
    }
}

impl State {
    /// Adds an account below `parent` and returns it as stored. An id that was ever used is refused as a conflict.
    pub async fn add_account(
        &self,
        id: AccountId,
        parent: AccountId,
        doc: Document,
    ) -> Result<Document, TreeError> {
        let _alone = self.shared.tree.lock().await;
        self.add(id, parent, doc, Expect::Absent).await
    }

    /// Adds an account under an id that the caller chose. The id must not share a shortened or derived form with
    /// another id. The id of a deleted account may be used again; what was deleted with that account stays deleted.
    pub async fn add_account_again(
        &self,
        id: AccountId,
        parent: AccountId,
        doc: Document,
    ) -> Result<Document, TreeError> {
        let _alone = self.shared.tree.lock().await;
        self.add(id, parent, doc, Expect::Free).await
    }

    /// Adds an account. The caller holds the lock of the tree.
    async fn add(
        &self,
        id: AccountId,
        parent: AccountId,
        mut doc: Document,
        expect: Expect,
    ) -> Result<Document, TreeError> {
        let above = self.account(parent).ok_or(TreeError::Missing(parent))?;
        self.check_realm(id, &doc)?;
        let tree: Vec<_> = above.tree.iter().chain([&parent]).map(AccountId::to_string).collect();
        doc.insert("pvt_account_id".into(), id.to_string().into());
        doc.insert("pvt_tree".into(), tree.into());
        self.put(vec![write(id, doc, expect)]).await
    }

    /// Replaces an account's document, if its revision is still the one in `doc`. Returns it as stored.
    pub async fn change_account(&self, id: AccountId, doc: Document) -> Result<Document, TreeError> {
        let _alone = self.shared.tree.lock().await;
        self.account(id).ok_or(TreeError::Missing(id))?;
        self.check_realm(id, &doc)?;
        self.put(vec![over(id, doc)]).await
    }

    /// Moves an account with all its descendants below another parent, in one write. Returns the account as stored.
    pub async fn move_account(&self, id: AccountId, parent: AccountId) -> Result<Document, TreeError> {
        let _alone = self.shared.tree.lock().await;
        let account = self.account(id).ok_or(TreeError::Missing(id))?;
        let above = self.account(parent).ok_or(TreeError::Missing(parent))?;
        if account.tree.is_empty() {
            return Err(TreeError::Root);
        }
        if self.is_ancestor_or_self(id, parent) {
            return Err(TreeError::Circle(id));
        }
        let new_tree: Vec<AccountId> = above.tree.iter().chain([&parent]).copied().collect();
        // The account itself is first, because `put` returns the first document.
        let branch: Vec<_> = std::iter::once(account.clone()).chain(self.descendants(id)).collect();
        // Checked before any document is read, so that a refusal costs little even for a large branch.
        self.check_move(&branch, new_tree.len())?;
        let mut writes = Vec::new();
        for moved in branch {
            let mut doc = self.account_document(moved.id)?;
            let rest = moved.tree.iter().skip(account.tree.len());
            let tree: Vec<_> = new_tree.iter().chain(rest).map(AccountId::to_string).collect();
            doc.insert("pvt_tree".into(), tree.into());
            writes.push(over(moved.id, doc));
        }
        self.put(writes).await
    }

    /// Deletes an account without descendants, with its hooks, keys and users. The account stays as a soft-deleted
    /// document; its hooks, keys and users do not. Returns the account as stored.
    pub async fn delete_account(&self, id: AccountId) -> Result<Document, TreeError> {
        let _alone = self.shared.tree.lock().await;
        let account = self.account(id).ok_or(TreeError::Missing(id))?;
        if account.tree.is_empty() {
            return Err(TreeError::Root);
        }
        if !self.descendants(id).is_empty() {
            return Err(TreeError::HasDescendants(id));
        }
        let mut hooks = self.hooks_of(id)?;
        // All hooks in one write could exceed the largest record of the journal.
        // A crash between two writes leaves the account with fewer hooks, and the deletion can be repeated.
        while hooks.len() > HOOKS_AT_ONCE {
            let rest = hooks.split_off(HOOKS_AT_ONCE);
            self.write(hooks.iter().filter_map(deleted_hook).collect()).await?;
            hooks = rest;
        }
        let mut doc = self.account_document(id)?;
        doc.insert("pvt_deleted".into(), true.into());
        // The owner task deletes what the account owns at that moment, and accepts nothing for it afterwards.
        self.put(vec![over(id, doc)]).await
    }

    /// Refuses a move that would break a limit (depth, size or rate), using figures in memory. The owner task checks
    /// again.
    fn check_move(&self, branch: &[Arc<Account>], depth: usize) -> Result<(), WriteError> {
        let allowance = &self.shared.allowance;
        let Some(first) = branch.first() else { return Ok(()) };
        let view = self.shared.view();
        let (mut journal, mut trail) = (0_u64, 0_u64);
        for account in branch {
            let bytes = view.tenants.bytes_of(Kind::Account, &account.id.to_string());
            journal += bytes;
            // An entry of the trail has the document before and after the change, each abridged when it is large.
            trail += MOST_TRACED.min(2 * bytes);
        }
        if journal > allowance.max_change_bytes {
            let reason = format!(
                "{} accounts would move at once, with {journal} bytes; at most {} are allowed: move smaller branches one by one",
                branch.len(),
                allowance.max_change_bytes
            );
            return Err(WriteError::TooLarge(reason));
        }
        let Some(by) = &self.by else { return Ok(()) };
        if view.account(by.account).is_some_and(|account| account.tree.is_empty()) {
            return Ok(());
        }
        let deepest = branch.iter().map(|account| account.tree.len()).max().unwrap_or(0);
        let (depth, max) = (depth + deepest - first.tree.len(), allowance.limits.depth);
        // A branch that is too deep already, after the limit was lowered, may still be moved up.
        if depth > max && depth > deepest {
            return Err(LimitError::TooDeep { depth, max }.into());
        }
        let payer = Payer { account: by.account, tenant: view.tenant_of(by.account) };
        Ok(allowance.check(payer, journal + trail)?)
    }

    fn account_document(&self, id: AccountId) -> Result<Document, TreeError> {
        self.get(Kind::Account, &id.to_string())?.ok_or(TreeError::Missing(id))
    }

    fn check_realm(&self, id: AccountId, doc: &Document) -> Result<(), TreeError> {
        let Some(realm) = doc.get("realm").and_then(Value::as_str) else { return Ok(()) };
        if self.shared.view().has_realm(realm, id) {
            return Err(TreeError::RealmTaken(realm.to_owned()));
        }
        Ok(())
    }

    /// Makes the writes and returns the first document.
    async fn put(&self, writes: Vec<Write>) -> Result<Document, TreeError> {
        Ok(self.write(writes).await?.into_iter().next().unwrap_or_default())
    }
}

fn write(id: AccountId, doc: Document, expect: Expect) -> Write {
    Write { kind: Kind::Account, id: id.to_string(), doc: Some(doc), expect }
}

/// A write that requires the revision in the document to be the stored one.
fn over(id: AccountId, doc: Document) -> Write {
    let rev = revision(&doc).unwrap_or_default().to_owned();
    write(id, doc, Expect::Rev(rev))
}

fn deleted_hook(doc: &Document) -> Option<Write> {
    let id = doc.get("_id")?.as_str()?.to_owned();
    // Deletes the hook even when it has changed meanwhile.
    Some(Write { kind: Kind::Hook, id, doc: None, expect: Expect::Any })
}
