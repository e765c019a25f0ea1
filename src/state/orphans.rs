//! Orphans: hooks, users and keys whose account no longer exists. Only earlier versions left some behind.
//!
//! Orphans of a deleted account are removed at the start, as the deletion should have done; so are the soft-deleted
//! hooks that earlier versions left. If the document of the account is missing altogether, nobody may have deleted
//! it: the journal may be damaged. Those orphans stay, and a warning names the account. When the master account
//! creates the account again under its id, the account has them back.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{self, JournalEntry, Kind, is_deleted};
use super::write::{Expect, Write};
use crate::model::AccountId;

/// The orphans that were found.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    /// Writes that remove the orphans of deleted accounts.
    pub(super) removals: Vec<Write>,
    /// Missing accounts, each with the number of its documents.
    pub(super) missing: BTreeMap<AccountId, usize>,
}

impl Orphans {
    /// Finds the orphans among all documents.
    pub(super) fn among(documents: &[JournalEntry]) -> Self {
        let (mut live, mut deleted) = (BTreeSet::new(), BTreeSet::new());
        for entry in documents.iter().filter(|entry| entry.kind == Kind::Account) {
            let Ok(id) = entry.id.parse::<AccountId>() else { continue };
            let is_gone = entry.doc.as_ref().is_none_or(is_deleted);
            if is_gone {
                deleted.insert(id)
            } else {
                live.insert(id)
            };
        }
        let mut orphans = Self::default();
        for entry in documents {
            let is_owned = matches!(entry.kind, Kind::Hook | Kind::User | Kind::Key | Kind::Link);
            let owner = entry.doc.as_ref().and_then(document::owner);
            match owner.filter(|owner| is_owned && !live.contains(owner)) {
                Some(owner) if deleted.contains(&owner) => orphans.removals.extend(removal(entry)),
                Some(owner) if !entry.doc.as_ref().is_none_or(is_deleted) => {
                    *orphans.missing.entry(owner).or_default() += 1;
                }
                Some(_) | None => {}
            }
        }
        orphans
    }
}

/// A write that removes the document, as the deletion of its account would have.
fn removal(entry: &JournalEntry) -> Option<Write> {
    let before = entry.doc.as_ref()?;
    let expect = document::revision(before).map_or(Expect::Any, |rev| Expect::Rev(rev.to_owned()));
    Some(Write { kind: entry.kind, id: entry.id.clone(), doc: None, expect })
}
