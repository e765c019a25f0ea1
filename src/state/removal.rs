//! What a change removes along with itself: everything that a deleted account owns, and the oldest soft-deleted documents.
//!
//! All of it is part of the same record of the journal, so a crash leaves no half-deleted account.

use std::collections::BTreeSet;

use serde_json::Value;

use super::document::{JournalEntry, Kind, is_deleted};
use super::limits::holder;
use super::owner::{Checked, Overlay, StateTask};
use super::tenants;
use super::write::{WriteError, Written};
use crate::model::AccountId;

/// Kinds of documents that are deleted with their account.
const OWNED: [Kind; 4] = [Kind::Hook, Kind::Key, Kind::User, Kind::Link];
/// The most soft-deleted documents that one change removes. There are more only after the limit was lowered.
const FORGOTTEN_AT_ONCE: usize = 16;

impl StateTask {
    /// The soft-deleted documents to remove because another one is soft-deleted now: the oldest ones above the limit.
    pub(super) fn forgotten_for(
        &self,
        entry: &JournalEntry,
        before: Option<&Written>,
    ) -> Vec<(Kind, String)> {
        let is_deleted_now =
            entry.doc.as_ref().is_some_and(is_deleted) && before.is_some_and(|doc| !is_deleted(doc));
        let payer = entry.doc.as_ref().and_then(|doc| tenants::payer(entry.kind, &entry.id, doc));
        let Some(account) = payer.filter(|_| is_deleted_now) else { return Vec::new() };
        // One less, because the view does not have the deletion that is being checked.
        let keep = self.options.limits.deleted.saturating_sub(1);
        let beyond = self.shared.view().tenants.deleted_beyond(entry.kind, account, keep);
        beyond.into_iter().take(FORGOTTEN_AT_ONCE).map(|id| (entry.kind, id)).collect()
    }

    /// Adds the removal of soft-deleted documents to `checked`.
    pub(super) fn forget(
        &self,
        overlay: &Overlay,
        documents: Vec<(Kind, String)>,
        checked: &mut Checked,
    ) -> Result<(), WriteError> {
        for (kind, id) in documents {
            // An earlier change of this commit may have removed the document, or restored the account.
            let before = self.current(overlay, kind, &id)?.filter(is_deleted);
            if before.is_some() {
                checked.push(JournalEntry { kind, id, doc: None }, before);
            }
        }
        Ok(())
    }

    /// Adds the removal of everything that an account owns, including its soft-deleted hooks.
    pub(super) fn delete_owned(
        &self,
        overlay: &Overlay,
        account: AccountId,
        checked: &mut Checked,
    ) -> Result<(), WriteError> {
        for kind in OWNED {
            let stored = self.shared.index()?.owned(kind, account)?;
            let text = |doc: &Written| doc.get("_id").and_then(Value::as_str).map(str::to_owned);
            // Documents that earlier commands of this commit create are not in the index yet.
            let of_kind = overlay.keys().filter(|(other, _)| *other == kind).map(|(_, id)| id.clone());
            let ids: BTreeSet<String> = stored.iter().filter_map(text).chain(of_kind).collect();
            for id in ids {
                let before = self.current(overlay, kind, &id)?;
                if holder(kind, before.as_ref()) == Some(account) {
                    checked.push(JournalEntry { kind, id, doc: None }, before);
                }
            }
        }
        let deleted = self.shared.view().tenants.deleted_beyond(Kind::Hook, account, 0);
        self.forget(overlay, deleted.into_iter().map(|id| (Kind::Hook, id)).collect(), checked)
    }
}
