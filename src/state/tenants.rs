//! The accounts of each tenant, and how much space their documents use, including soft-deleted ones.

use std::collections::{BTreeSet, HashMap};

use serde_json::{Map, Value};

use super::document::{JournalEntry, Kind, is_deleted, owner};
use crate::model::{AccountId, fields_weight};

/// The space of a document in addition to its JSON: its entries in the index and in memory. In bytes.
const OVERHEAD: u64 = 1024;

/// What a stored document counts for.
#[derive(Debug)]
struct StoredDocument {
    account: AccountId,
    bytes: u64,
}

/// When a document was soft-deleted, and which group it belongs to since then.
#[derive(Debug)]
struct Deletion {
    group: Group,
    at: u64,
}

/// A group of soft-deleted documents with a common limit: the hooks of an account, or the accounts of a tenant.
type Group = (Kind, AccountId);

/// The accounts of each tenant, and the bytes of each account and tenant.
#[derive(Debug, Default)]
pub(super) struct Tenants {
    /// The tenant of every account that has a document, including deleted accounts.
    of: HashMap<AccountId, AccountId>,
    /// Each account below its tenant, without deleted ones. One set for all tenants: most tenants have one account, and a set
    /// of its own would take four times the memory.
    accounts: BTreeSet<(AccountId, AccountId)>,
    held: HashMap<(Kind, String), StoredDocument>,
    /// The soft-deleted documents among those in `held`; few of all.
    deletions: HashMap<(Kind, String), Deletion>,
    by_account: HashMap<AccountId, u64>,
    by_tenant: HashMap<AccountId, u64>,
    /// The soft-deleted documents of each group, oldest first.
    deleted: HashMap<Group, BTreeSet<(u64, String)>>,
}

/// The space that a document uses, in bytes.
pub(super) fn size(doc: Option<&Map<String, Value>>) -> u64 {
    doc.map_or(0, |doc| fields_weight(doc) as u64 + OVERHEAD)
}

/// The account that a document counts for; `None` when it counts for no account.
pub(super) fn payer(kind: Kind, id: &str, doc: &Map<String, Value>) -> Option<AccountId> {
    match kind {
        Kind::Account => id.parse().ok(),
        Kind::Hook | Kind::User | Kind::Key | Kind::Replay | Kind::Link => owner(doc),
        // Settings belong to the program, and revocations are removed when their tokens expire.
        Kind::Setting | Kind::Revocation => None,
    }
}

/// The tenant according to the document of an account.
pub(super) fn tenant_in(id: AccountId, doc: &Map<String, Value>) -> AccountId {
    // The tree begins with the master account, and tenants stand directly below it.
    let tree = doc.get("pvt_tree").and_then(Value::as_array);
    tree.and_then(|tree| tree.get(1)?.as_str()?.parse::<AccountId>().ok()).unwrap_or(id)
}

/// Changes a sum, and removes it when it is 0.
fn add(sums: &mut HashMap<AccountId, u64>, of: AccountId, more: u64, less: u64) {
    let sum = sums.entry(of).or_default();
    *sum = (*sum + more).saturating_sub(less);
    if *sum == 0 {
        sums.remove(&of);
    }
}

impl Tenants {
    /// Takes a document in its present form.
    pub(super) fn note(&mut self, entry: &JournalEntry) {
        if entry.kind == Kind::Account
            && let Ok(id) = entry.id.parse()
        {
            self.place(id, entry.doc.as_ref());
        }
        let key = (entry.kind, entry.id.clone());
        // Undo the document's former state first: it may have been charged to another tenant or have been soft-deleted.
        if let Some(before) = self.held.remove(&key) {
            self.count(before.account, 0, before.bytes);
        }
        if let Some(Deletion { group, at }) = self.deletions.remove(&key)
            && let Some(all) = self.deleted.get_mut(&group)
        {
            all.remove(&(at, entry.id.clone()));
            if all.is_empty() {
                self.deleted.remove(&group);
            }
        }
        let Some(doc) = entry.doc.as_ref() else { return };
        let Some(account) = payer(entry.kind, &entry.id, doc) else { return };
        let bytes = size(Some(doc));
        self.count(account, bytes, 0);
        // Account and group as they are now, so that undoing this does not depend on where the account is by then.
        if is_deleted(doc) {
            let at = doc.get("pvt_modified").and_then(Value::as_u64).unwrap_or(0);
            let group = self.group(entry.kind, account);
            self.deleted.entry(group).or_default().insert((at, entry.id.clone()));
            self.deletions.insert(key.clone(), Deletion { group, at });
        }
        self.held.insert(key, StoredDocument { account, bytes });
    }

    /// Assigns an account to the tenant that its document names. Its bytes move with it.
    fn place(&mut self, id: AccountId, doc: Option<&Map<String, Value>>) {
        let before = self.of(id);
        let now = doc.map_or(id, |doc| tenant_in(id, doc));
        self.accounts.remove(&(before, id));
        match doc {
            Some(_) => drop(self.of.insert(id, now)),
            None => drop(self.of.remove(&id)),
        }
        if doc.is_some_and(|doc| !is_deleted(doc)) {
            self.accounts.insert((now, id));
        }
        if before != now {
            // Everything that the account owns moves along, and not only its own document.
            let bytes = self.by_account.get(&id).copied().unwrap_or(0);
            add(&mut self.by_tenant, before, 0, bytes);
            add(&mut self.by_tenant, now, bytes, 0);
        }
    }

    fn count(&mut self, account: AccountId, more: u64, less: u64) {
        let tenant = self.of(account);
        add(&mut self.by_account, account, more, less);
        add(&mut self.by_tenant, tenant, more, less);
    }

    fn group(&self, kind: Kind, account: AccountId) -> Group {
        (kind, if kind == Kind::Account { self.of(account) } else { account })
    }

    /// The tenant of an account. Works for deleted accounts too.
    pub(super) fn of(&self, account: AccountId) -> AccountId {
        self.of.get(&account).copied().unwrap_or(account)
    }

    /// The accounts of a tenant, without deleted ones.
    pub(super) fn accounts(&self, tenant: AccountId) -> Vec<AccountId> {
        let all = (tenant, AccountId(0))..=(tenant, AccountId(u128::MAX));
        self.accounts.range(all).map(|(_, account)| *account).collect()
    }

    /// The bytes of all documents of a tenant.
    pub(super) fn bytes(&self, tenant: AccountId) -> u64 {
        self.by_tenant.get(&tenant).copied().unwrap_or(0)
    }

    /// The bytes of a stored document; 0 if there is none.
    pub(super) fn bytes_of(&self, kind: Kind, id: &str) -> u64 {
        self.held.get(&(kind, id.to_owned())).map_or(0, |held| held.bytes)
    }

    /// The oldest soft-deleted documents in the group of a document, without the `keep` latest.
    pub(super) fn deleted_beyond(&self, kind: Kind, account: AccountId, keep: usize) -> Vec<String> {
        let Some(all) = self.deleted.get(&self.group(kind, account)) else { return Vec::new() };
        all.iter().take(all.len().saturating_sub(keep)).map(|(_, id)| id.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::DocumentId;

    fn note(tenants: &mut Tenants, kind: Kind, id: u128, doc: Option<Value>) {
        let doc = doc.map(|doc| doc.as_object().unwrap().clone());
        tenants.note(&JournalEntry { kind, id: DocumentId(id).to_string(), doc });
    }

    #[test]
    fn an_account_that_moves_to_another_tenant_takes_its_bytes_along() {
        let mut tenants = Tenants::default();
        let account = |tree: &[u128]| {
            Some(json!({"pvt_tree": tree.iter().map(|id| AccountId(*id).to_string()).collect::<Vec<_>>()}))
        };
        note(&mut tenants, Kind::Account, 1, account(&[]));
        note(&mut tenants, Kind::Account, 2, account(&[1]));
        note(&mut tenants, Kind::Account, 3, account(&[1]));
        let alone = [2, 3].map(|id| tenants.bytes(AccountId(id)));
        note(&mut tenants, Kind::Account, 4, account(&[1, 2]));
        note(
            &mut tenants,
            Kind::Hook,
            9,
            Some(json!({"pvt_account_id": AccountId(4), "x": "y".repeat(5000)})),
        );
        assert!(tenants.bytes(AccountId(2)) > alone[0] + 5000);
        note(&mut tenants, Kind::Account, 4, account(&[1, 3]));
        assert_eq!(tenants.accounts(AccountId(2)), [AccountId(2)]);
        assert_eq!(tenants.accounts(AccountId(3)), [AccountId(3), AccountId(4)]);
        assert!(tenants.bytes(AccountId(3)) > alone[1] + 5000 && tenants.bytes(AccountId(2)) < 5000);
        note(&mut tenants, Kind::Hook, 9, None);
        note(&mut tenants, Kind::Account, 4, None);
        assert_eq!([2, 3].map(|id| tenants.bytes(AccountId(id))), alone);
    }

    #[test]
    fn soft_deleted_documents_use_space_and_the_oldest_above_the_limit_are_found() {
        let mut tenants = Tenants::default();
        for id in 10..15 {
            let doc = json!({"pvt_account_id": AccountId(2), "pvt_deleted": true, "pvt_modified": 100 - id});
            note(&mut tenants, Kind::Hook, id, Some(doc));
        }
        assert!(tenants.bytes(AccountId(2)) > 5 * OVERHEAD);
        let named = tenants.deleted_beyond(Kind::Hook, AccountId(2), 3);
        assert_eq!(named, [DocumentId(14), DocumentId(13)].map(|id| id.to_string()));
        note(&mut tenants, Kind::Hook, 14, None);
        assert_eq!(tenants.deleted_beyond(Kind::Hook, AccountId(2), 3), [DocumentId(13).to_string()]);
    }
}
