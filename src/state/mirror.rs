//! Mirrored documents: copies of accounts, hooks and users that a KAZOO owns, kept as they are there.
//!
//! A mirrored change is written like any other and has an entry in the audit trail, but no event announces it,
//! because the KAZOO has announced it. The rules of the account tree hold whatever the KAZOO sends: the parent of an
//! account must exist, and a realm belongs to one account.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::accounts::TreeError;
use super::document::{Kind, is_deleted, owner, revision};
use super::handle::State;
use super::write::{Expect, MirroredBy, Write, WriteError};
use crate::model::AccountId;

type Document = Map<String, Value>;

/// The private field that marks a document as mirrored.
pub const MIRRORED: &str = "pvt_kazoo";

/// A change of one mirrored document: fields to set and fields to remove. All other fields stay.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Mirror {
    /// Account, hook or user.
    pub kind: Kind,
    /// The id of the document, the same as in the KAZOO.
    pub id: String,
    /// The revision that must be stored; `None` when the document must be absent or deleted.
    pub rev: Option<String>,
    /// Fields with their new values.
    pub set: Document,
    /// Fields to remove.
    pub unset: Vec<String>,
}

impl State {
    /// Makes all changes or none. The `pvt_tree` of an account must be its parent's tree followed by the parent, as
    /// earlier changes of the list leave it.
    pub async fn mirror(&self, edits: &[Mirror], by: MirroredBy) -> Result<(), TreeError> {
        let _alone = self.shared.tree.lock().await;
        self.check_trees(edits)?;
        self.check_realms(edits)?;
        let writes = edits.iter().map(|edit| self.mirrored(edit)).collect::<Result<Vec<_>, _>>()?;
        self.write_mirrored(writes, by).await.map(drop).map_err(Into::into)
    }

    /// Deletes a mirrored document; one that is ours stays. An account must have none below it; what it has goes with it.
    pub async fn mirror_gone(&self, kind: Kind, id: &str, by: MirroredBy) -> Result<(), TreeError> {
        let _alone = self.shared.tree.lock().await;
        let is_theirs = |doc: &Document| is_mirrored(doc) && !is_deleted(doc);
        let Some(mut doc) = self.get(kind, id)?.filter(is_theirs) else { return Ok(()) };
        if kind == Kind::Account {
            let account = id.parse().map_err(|_| WriteError::Missing { id: id.to_owned() })?;
            if account == self.settings().master {
                return Err(TreeError::Root);
            }
            if !self.descendants(account).is_empty() {
                return Err(TreeError::HasDescendants(account));
            }
        }
        let expect = expected(&doc);
        let doc = (kind != Kind::User).then(|| {
            doc.insert("pvt_deleted".into(), true.into());
            doc
        });
        let write = Write { kind, id: id.to_owned(), doc, expect };
        self.write_mirrored(vec![write], by).await.map(drop).map_err(Into::into)
    }

    /// The write for an edit, with the condition that the stored document must meet.
    fn mirrored(&self, edit: &Mirror) -> Result<Write, TreeError> {
        let Mirror { kind, id, rev, set, unset } = edit;
        let stored = self.get(*kind, id)?;
        let live = stored.as_ref().filter(|doc| !is_deleted(doc));
        // The edit was computed from that revision. Somebody else has changed the document since then.
        if live.and_then(revision) != rev.as_deref() {
            return Err(WriteError::Conflict { id: id.clone() }.into());
        }
        if let (Some(live), Some(new)) = (live, set.get("pvt_account_id"))
            && *kind == Kind::User
            && owner(live).map(|id| id.to_string()).as_deref() != new.as_str()
        {
            return Err(WriteError::Conflict { id: id.clone() }.into());
        }
        let mut doc = live.cloned().unwrap_or_default();
        for field in unset {
            doc.shift_remove(field);
        }
        doc.extend(set.iter().map(|(field, value)| (field.clone(), value.clone())));
        let expect = match (&stored, kind) {
            // The KAZOO has the hook again. `Free` would refuse it, because a soft-deleted hook keeps its id.
            (Some(deleted), Kind::Hook) if live.is_none() => expected(deleted),
            _ if live.is_none() => Expect::Free,
            (Some(stored), _) => expected(stored),
            (None, _) => Expect::Free,
        };
        Ok(Write { kind: *kind, id: id.clone(), doc: Some(doc), expect })
    }

    fn check_trees(&self, edits: &[Mirror]) -> Result<(), TreeError> {
        let mut trees: BTreeMap<AccountId, Vec<AccountId>> = BTreeMap::new();
        for edit in edits {
            if let (Kind::Account, Some(tree)) = (edit.kind, edit.set.get("pvt_tree")) {
                let id: AccountId =
                    edit.id.parse().map_err(|_| WriteError::Missing { id: edit.id.clone() })?;
                let tree = tree.as_array().map(Vec::as_slice).unwrap_or_default();
                let tree: Vec<AccountId> = tree.iter().filter_map(|id| id.as_str()?.parse().ok()).collect();
                if id == self.settings().master {
                    return Err(TreeError::Root);
                }
                let Some((parent, above)) = tree.split_last() else { return Err(TreeError::Root) };
                let of_parent = match trees.get(parent) {
                    Some(tree) => tree.clone(),
                    None => self.account(*parent).ok_or(TreeError::Missing(*parent))?.tree.clone(),
                };
                if tree.contains(&id) {
                    return Err(TreeError::Circle(id));
                }
                if of_parent != above {
                    return Err(TreeError::Missing(*parent));
                }
                trees.insert(id, tree);
            }
        }
        Ok(())
    }

    /// Refuses a realm that belongs to an account which these changes do not take it from, and a realm taken twice.
    fn check_realms(&self, edits: &[Mirror]) -> Result<(), TreeError> {
        let leaves =
            |edit: &&Mirror| edit.set.contains_key("realm") || edit.unset.iter().any(|f| f == "realm");
        let accounts = edits.iter().filter(|edit| edit.kind == Kind::Account);
        // Accounts may exchange their realms in one change, so what counts is the result of all edits.
        let leaving: BTreeSet<AccountId> =
            accounts.clone().filter(leaves).filter_map(|edit| edit.id.parse().ok()).collect();
        let mut taken = BTreeSet::new();
        for edit in accounts {
            let Some(realm) = edit.set.get("realm").and_then(Value::as_str) else { continue };
            let is_kept = self.shared.view().with_realm(realm).iter().any(|id| !leaving.contains(id));
            if is_kept || !taken.insert(realm.to_lowercase()) {
                return Err(TreeError::RealmTaken(realm.to_owned()));
            }
        }
        Ok(())
    }
}

fn expected(doc: &Document) -> Expect {
    revision(doc).map_or(Expect::Any, |rev| Expect::Rev(rev.to_owned()))
}

/// Whether another system owns the document.
#[must_use]
pub fn is_mirrored(doc: &Document) -> bool {
    doc.contains_key(MIRRORED)
}
