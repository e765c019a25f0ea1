//! The checks of a change that a client requests: the limits of its account and tenant, and the room on disk.
//!
//! Promise: the program's own changes are always accepted, and the master account can always clean up. The master
//! account has no rate, and the disk's reserve for changes does not apply to it.

use super::audit;
use super::document::{JournalEntry, Kind, is_deleted};
use super::limits::{LimitError, cleans_up, holder};
use super::owner::{Overlay, StateTask};
use super::tenants;
use super::write::{By, WriteError, Written};
use crate::model::{AccountId, Actor, Payer};

impl StateTask {
    /// Whether `bytes` can be written without touching the reserve for changes. A file system that does not report
    /// its free space counts as having room.
    pub(super) fn has_room_for(&self, bytes: u64) -> bool {
        let needed = self.options.reserve_bytes.saturating_add(bytes);
        let free = || self.disk.free_bytes(&self.options.data_dir);
        self.options.reserve_bytes == 0 || free().map_or(true, |free| free >= needed)
    }

    /// Refuses a change that breaks a limit, or for which the disk has no room.
    pub(super) fn admit(
        &self,
        overlay: &Overlay,
        by: &By,
        entry: &JournalEntry,
        before: Option<&Written>,
    ) -> Result<(), WriteError> {
        let Some(by) = by else { return Ok(()) };
        let after = entry.doc.as_ref();
        if !self.is_master(by) && !cleans_up(before, after) && !self.has_room_for(0) {
            return Err(WriteError::Full);
        }
        if let Some(account) = self.lost_owner(overlay, entry)? {
            return Err(WriteError::NoOwner(account));
        }
        self.options.limits.check_size(before, after)?;
        if !self.is_master(by) {
            self.options.limits.check_depth(before, after)?;
            self.check_tenant(overlay, entry)?;
        }
        let (was, is) = (holder(entry.kind, before), holder(entry.kind, after));
        if let (Some(account), Some((what, max))) = (is, self.options.limits.most(entry.kind))
            && was != is
            && self.count(overlay, entry, account) >= max
        {
            return Err(LimitError::TooMany { what, max }.into());
        }
        Ok(())
    }

    /// Refuses a document for which its tenant has no room. A document that does not grow is accepted.
    fn check_tenant(&self, overlay: &Overlay, entry: &JournalEntry) -> Result<(), WriteError> {
        let Some(doc) = entry.doc.as_ref() else { return Ok(()) };
        let view = self.shared.view();
        let tenant_of = |(kind, id): (Kind, &str), doc: &Written| {
            let account = tenants::payer(kind, id, doc)?;
            Some(if kind == Kind::Account {
                tenants::tenant_in(account, doc)
            } else {
                // The document's account may have been created in the same commit.
                let of = overlay.get(&(Kind::Account, account.to_string())).and_then(Option::as_ref);
                of.map_or_else(|| view.tenants.of(account), |doc| tenants::tenant_in(account, doc))
            })
        };
        let stored = |kind: Kind, id: &str| view.tenants.bytes_of(kind, id);
        let (is, was) = (tenants::size(Some(doc)), stored(entry.kind, &entry.id));
        let Some(tenant) = tenant_of((entry.kind, &entry.id), doc) else { return Ok(()) };
        // A tenant that is over its limit, because the limit was lowered, must still be able to clean up.
        if is <= was || is_deleted(doc) {
            return Ok(());
        }
        // Documents that shrink in this commit count as 0. They make room only once they are stored.
        let added: u64 = overlay
            .iter()
            .filter_map(|((kind, id), doc)| Some((*kind, id, doc.as_ref()?)))
            .filter(|(kind, id, doc)| tenant_of((*kind, id), doc) == Some(tenant))
            .map(|(kind, id, doc)| tenants::size(Some(doc)).saturating_sub(stored(kind, id)))
            .sum();
        let max = self.options.limits.tenant_bytes;
        if view.tenants.bytes(tenant) + added + is - was > max {
            return Err(LimitError::TenantFull { max }.into());
        }
        Ok(())
    }

    /// The owner of a document, if the owner does not exist or is deleted. Checked in the commit itself, so nothing is
    /// created for an account that is deleted at the same time.
    fn lost_owner(&self, overlay: &Overlay, entry: &JournalEntry) -> Result<Option<AccountId>, WriteError> {
        // Accounts have parents instead; the other kinds go with their hook or belong to the program.
        let is_owned = matches!(entry.kind, Kind::Hook | Kind::Key | Kind::User | Kind::Link);
        let Some(account) = holder(entry.kind, entry.doc.as_ref()).filter(|_| is_owned) else {
            return Ok(None);
        };
        let owner = self.current(overlay, Kind::Account, &account.to_string())?;
        Ok(owner.is_none_or(|doc| is_deleted(&doc)).then_some(account))
    }

    /// The number of documents of the entry's kind in an account, including those that the same commit adds.
    fn count(&self, overlay: &Overlay, entry: &JournalEntry, account: AccountId) -> usize {
        // A document that the account has already is part of the census and must not count twice.
        let is_added = |(kind, id): &(_, String), doc: Option<&Written>| {
            *kind == entry.kind
                && holder(*kind, doc) == Some(account)
                && self
                    .current(&Overlay::new(), *kind, id)
                    .is_ok_and(|stored| holder(*kind, stored.as_ref()) != Some(account))
        };
        let added = overlay.iter().filter(|(key, doc)| is_added(key, doc.as_ref())).count();
        self.shared.view().census.count(entry.kind, account) + added
    }

    /// Charges a change to the rates of its account and tenant.
    pub(super) fn charge(&self, by: &By, bytes: usize) -> Result<(), WriteError> {
        let Some(by) = by.as_ref().filter(|by| !self.is_master(by)) else { return Ok(()) };
        let payer = Payer { account: by.account, tenant: self.shared.view().tenant_of(by.account) };
        Ok(self.shared.allowance.charge(payer, bytes as u64)?)
    }

    /// The tenant whose share of the audit trail a change uses; `None` for the operator. A change that the program
    /// makes itself counts for the tenant of the document, because the tenant can cause such changes.
    pub(super) fn tenant_charged(
        &self,
        by: &By,
        entry: &JournalEntry,
        before: Option<&Written>,
    ) -> Option<AccountId> {
        let view = self.shared.view();
        let account = match by {
            Some(by) => Some(by.account),
            None => audit::owner(entry, before),
        };
        let account =
            account.filter(|account| !view.account(*account).is_some_and(|account| account.tree.is_empty()));
        account.map(|account| view.tenant_of(account))
    }

    fn is_master(&self, by: &Actor) -> bool {
        self.shared.view().account(by.account).is_some_and(|account| account.tree.is_empty())
    }
}
