//! Hooks, users and keys whose account is no more. The present version leaves none behind; earlier ones did.
//!
//! Of an account that was deleted they are removed at the start, as the deletion should have done; so are hooks that earlier
//! versions left as soft-deleted documents. Where the account's document
//! is missing altogether, nothing says that anybody deleted it: the journal may be damaged. Those stay, and the log names
//! the account. The master account can make it again under its id, and has them back.

use std::collections::{BTreeMap, BTreeSet};

use super::document::{self, Entry, Kind, is_deleted};
use super::write::{Expect, Write};
use crate::model::AccountId;

/// What is to become of the orphans.
#[derive(Debug, Default)]
pub(super) struct Orphans {
    /// Removes those whose account was deleted.
    pub(super) removals: Vec<Write>,
    /// Accounts that are missing, with the number of documents that name them.
    pub(super) missing: BTreeMap<AccountId, usize>,
}

impl Orphans {
    /// The orphans among all documents.
    pub(super) fn among(documents: &[Entry]) -> Self {
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

/// For good, as it goes when its account is deleted.
fn removal(entry: &Entry) -> Option<Write> {
    let before = entry.doc.as_ref()?;
    let expect = document::revision(before).map_or(Expect::Any, |rev| Expect::Rev(rev.to_owned()));
    Some(Write { kind: entry.kind, id: entry.id.clone(), doc: None, expect })
}
