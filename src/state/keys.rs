//! The keys of the index (pure): which entries a document has.
//!
//! `d` kind id → the document; `o` kind account id → nothing (the documents that an account owns, in order of their
//! ids);
//! `k` SHA-256 of an API key → the id of the key; `u` account verifier → the id of the user with these credentials;
//! `m` → how far the journal has been applied.

use serde_json::{Map, Value};

use super::document::{Kind, is_deleted, owner};
use crate::model::AccountId;

/// The key of the mark.
pub(super) const MARK: &[u8] = b"m";
/// The first byte of every document's key.
pub(super) const DOCUMENTS: &[u8] = b"d";
/// The fields of a user by which a log-in finds the user: KAZOO's two forms of credentials, hashed.
const VERIFIERS: [&str; 2] = ["pvt_md5_auth", "pvt_sha1_auth"];

/// The key of a document.
pub(super) fn document(kind: Kind, id: &str) -> Vec<u8> {
    let mut key = Vec::with_capacity(id.len() + 2);
    key.extend_from_slice(DOCUMENTS);
    key.push(kind.byte());
    key.extend_from_slice(id.as_bytes());
    key
}

/// The kind of the document that a key belongs to.
pub(super) fn kind_of(key: &[u8]) -> Option<Kind> {
    match key {
        [b'd', kind, ..] => Kind::from_byte(*kind),
        _ => None,
    }
}

/// The prefix of the keys of an account's documents of a kind.
pub(super) fn owned(kind: Kind, account: AccountId) -> Vec<u8> {
    let mut key = vec![b'o', kind.byte()];
    key.extend_from_slice(&account.0.to_be_bytes());
    key
}

/// The key of one document that an account owns.
pub(super) fn one_owned(kind: Kind, account: AccountId, id: &str) -> Vec<u8> {
    [&owned(kind, account)[..], id.as_bytes()].concat()
}

/// The id of the document in a key that begins with `owned`.
pub(super) fn id_in(key: &[u8]) -> Option<&str> {
    // `o`, the kind, and the 16 bytes of the account.
    let (_, id) = key.split_at_checked(18)?;
    std::str::from_utf8(id).ok()
}

/// The key for the hash of an API key.
pub(super) fn api_key(hash: &[u8]) -> Vec<u8> {
    [b"k", hash].concat()
}

/// The key for the hashed credentials of a user.
pub(super) fn verifier(account: AccountId, verifier: &str) -> Vec<u8> {
    [b"u", &account.0.to_be_bytes()[..], verifier.as_bytes()].concat()
}

/// Further entries of a document, by which it can be found. A deleted document has none.
pub(super) fn derived(kind: Kind, id: &str, doc: &Map<String, Value>) -> Vec<(Vec<u8>, Vec<u8>)> {
    let Some(account) = owner(doc).filter(|_| !is_deleted(doc)) else { return Vec::new() };
    let text = |field: &str| doc.get(field).and_then(Value::as_str);
    let mut entries = vec![(one_owned(kind, account, id), Vec::new())];
    match kind {
        Kind::Key => {
            let found = text("pvt_key_hash").map(|hash| api_key(hash.as_bytes()));
            entries.extend(found.map(|key| (key, id.as_bytes().to_vec())));
        }
        Kind::User => {
            let verifiers = VERIFIERS.into_iter().filter_map(text);
            entries.extend(verifiers.map(|v| (verifier(account, v), id.as_bytes().to_vec())));
        }
        Kind::Hook | Kind::Link => {}
        Kind::Account | Kind::Setting | Kind::Replay | Kind::Revocation => return Vec::new(),
    }
    entries
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::model::HookId;

    #[test]
    fn a_hook_is_found_by_its_account_until_it_is_deleted() {
        let (account, hook) = (AccountId(7), HookId(9).to_string());
        let mut doc = json!({"pvt_account_id": account.to_string()});
        let entries = derived(Kind::Hook, &hook, doc.as_object().unwrap());
        let (key, _) = entries.first().unwrap();
        assert!(key.starts_with(&owned(Kind::Hook, account)));
        assert_eq!(id_in(key), Some(hook.as_str()));
        doc["pvt_deleted"] = true.into();
        assert_eq!(derived(Kind::Hook, &hook, doc.as_object().unwrap()), []);
    }

    #[test]
    fn a_user_is_found_by_both_forms_of_credentials() {
        let doc = json!({"pvt_account_id": AccountId(7), "pvt_md5_auth": "m", "pvt_sha1_auth": "s"});
        let found = derived(Kind::User, "id", doc.as_object().unwrap());
        let keys: Vec<_> = found.iter().skip(1).map(|(key, _)| key.clone()).collect();
        assert_eq!(keys, [verifier(AccountId(7), "m"), verifier(AccountId(7), "s")]);
    }

    #[test]
    fn the_key_of_a_document_has_its_kind() {
        assert_eq!(kind_of(&document(Kind::Replay, "x")), Some(Kind::Replay));
        assert_eq!(kind_of(b"m"), None);
    }
}
