//! The index's keys, pure: which entries a document has in the index.
//!
//! `d` kind id → the document; `h` account hook → nothing (an account's hooks, in order of id);
//! `k` SHA-256 of an API key → its account; `m` → how far the journal has been applied.

use serde_json::{Map, Value};

use super::document::{Kind, is_deleted, owner};
use crate::model::{AccountId, HookId, Id};

/// Where the index's own mark lies.
pub(super) const MARK: &[u8] = b"m";
/// The first byte of every document's key.
pub(super) const DOCUMENTS: &[u8] = b"d";

/// A document's key.
pub(super) fn document(kind: Kind, id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(id.len() + 2);
    key.extend_from_slice(DOCUMENTS);
    key.push(kind.byte());
    key.extend_from_slice(id.as_bytes());
    key
}

/// The kind in a document's key.
pub(super) fn kind_of(key: &[u8]) -> Option<Kind> {
    match key {
        [b'd', kind, ..] => Kind::from_byte(*kind),
        _ => None,
    }
}

/// What all keys of an account's hooks begin with.
pub(super) fn hooks_of(account: AccountId) -> Vec<u8> {
    let mut key = b"h".to_vec();
    key.extend_from_slice(&account.0.to_be_bytes());
    key
}

/// The key of one of them.
pub(super) fn hook(account: AccountId, hook: HookId) -> Vec<u8> {
    let mut key = hooks_of(account);
    key.extend_from_slice(&hook.0.to_be_bytes());
    key
}

/// The hook's id in a key that begins with `hooks_of`.
pub(super) fn hook_in(key: &[u8]) -> Option<Id> {
    let (_, id) = key.split_at_checked(17)?;
    Some(Id(u128::from_be_bytes(id.try_into().ok()?)))
}

/// The key of an API key's hash.
pub(super) fn api_key(hash: &[u8]) -> Vec<u8> {
    [b"k", hash].concat()
}

/// A document's further entries: how else than by its id it is found. A deleted document has none.
pub(super) fn derived(kind: Kind, id: &str, doc: &Map<String, Value>) -> Option<(Vec<u8>, Vec<u8>)> {
    if is_deleted(doc) {
        return None;
    }
    let account = owner(doc)?;
    match kind {
        Kind::Hook => {
            let key = hook(account, id.parse().ok()?);
            Some((key, Vec::new()))
        }
        Kind::Key => {
            let hash = doc.get("pvt_key_hash")?.as_str()?;
            Some((api_key(hash.as_bytes()), account.0.to_be_bytes().to_vec()))
        }
        Kind::Account | Kind::Setting | Kind::Replay => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_hook_is_found_by_its_account_until_it_is_deleted() {
        let (account, hook) = (Id(7), Id(9));
        let mut doc = json!({"pvt_account_id": account.to_string()});
        let (key, _) = derived(Kind::Hook, &hook.to_string(), doc.as_object().unwrap()).unwrap();
        assert!(key.starts_with(&hooks_of(account)));
        assert_eq!(hook_in(&key), Some(hook));
        doc["pvt_deleted"] = true.into();
        assert_eq!(derived(Kind::Hook, &hook.to_string(), doc.as_object().unwrap()), None);
    }

    #[test]
    fn a_documents_key_tells_its_kind() {
        assert_eq!(kind_of(&document(Kind::Replay, "x")), Some(Kind::Replay));
        assert_eq!(kind_of(b"m"), None);
    }
}
