//! Documents: JSON objects with KAZOO's private fields, and the fields that every write sets.
//!
//! `_id`, `_rev`, `pvt_type`, `pvt_created` and `pvt_modified` are set here and nowhere else, so every stored document
//! has them.

use aws_lc_rs::digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::model::{Account, AccountId, FailureLimits, gregorian_seconds};

/// The kind of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// An account.
    Account,
    /// A webhook.
    Hook,
    /// An API key, stored as its hash.
    Key,
    /// One of the program's own settings.
    Setting,
    /// A replay.
    Replay,
    /// A user, who can log in to an account.
    User,
    /// A token that was revoked before it expired.
    Revocation,
    /// A link that opens the console.
    Link,
}

impl Kind {
    /// All kinds.
    pub(super) const ALL: [Self; 8] = [
        Self::Setting,
        Self::Account,
        Self::Key,
        Self::Hook,
        Self::Replay,
        Self::User,
        Self::Revocation,
        Self::Link,
    ];

    pub(super) fn byte(self) -> u8 {
        match self {
            Self::Account => b'a',
            Self::Hook => b'h',
            Self::Key => b'k',
            Self::Setting => b's',
            Self::Replay => b'r',
            Self::User => b'u',
            Self::Revocation => b't',
            Self::Link => b'l',
        }
    }

    pub(super) fn from_byte(byte: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.byte() == byte)
    }

    /// The value of `pvt_type`.
    fn pvt_type(self) -> &'static str {
        match self {
            Self::Account => "account",
            Self::Hook => "webhook",
            Self::Key => "api_key",
            Self::Setting => "setting",
            Self::Replay => "replay",
            Self::User => "user",
            Self::Revocation => "revocation",
            Self::Link => "console_link",
        }
    }
}

/// One document's new content; `None` removes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct JournalEntry {
    pub(super) kind: Kind,
    pub(super) id: String,
    pub(super) doc: Option<Map<String, Value>>,
}

/// Sets the fields that every stored document has. `before` is the stored document. Returns the new revision.
pub(super) fn stamp(
    doc: &mut Map<String, Value>,
    kind: Kind,
    id: &str,
    before: Option<&Map<String, Value>>,
    now_us: u64,
) -> String {
    let now = Value::from(gregorian_seconds(now_us));
    let created = before.and_then(|b| b.get("pvt_created")).or_else(|| doc.get("pvt_created"));
    let created = created.cloned().unwrap_or_else(|| now.clone());
    doc.insert("_id".into(), id.into());
    doc.insert("pvt_type".into(), kind.pvt_type().into());
    doc.insert("pvt_created".into(), created);
    if kind == Kind::Hook {
        note_disabled(doc, before, &now);
    }
    doc.insert("pvt_modified".into(), now);
    doc.shift_remove("_rev");
    let generation = before.and_then(revision).map_or(0, generation) + 1;
    let text = serde_json::to_vec(doc).unwrap_or_default();
    let rev = format!("{generation}-{}", hex(sha256(&text).get(..16).unwrap_or_default()));
    doc.insert("_rev".into(), rev.clone().into());
    rev
}

/// Keeps with a hook since when it is disabled, whatever else of it changes meanwhile.
fn note_disabled(doc: &mut Map<String, Value>, before: Option<&Map<String, Value>>, now: &Value) {
    if is_enabled(doc) {
        doc.shift_remove("pvt_disabled_at");
        return;
    }
    let since = before.filter(|before| !is_enabled(before));
    // Documents of earlier versions lack the field. Their last change is the nearest time that is known.
    let since = since.and_then(|before| before.get("pvt_disabled_at").or_else(|| before.get("pvt_modified")));
    doc.insert("pvt_disabled_at".into(), since.unwrap_or(now).clone());
}

/// Whether a hook is enabled: it is unless it says otherwise. Documents of KAZOO may say it as a text.
pub(super) fn is_enabled(doc: &Map<String, Value>) -> bool {
    !doc.get("enabled").is_some_and(|value| *value == false || *value == "false")
}

/// A document's revision.
pub(super) fn revision(doc: &Map<String, Value>) -> Option<&str> {
    doc.get("_rev").and_then(Value::as_str)
}

fn generation(rev: &str) -> u64 {
    rev.split_once('-').and_then(|(n, _)| n.parse().ok()).unwrap_or(0)
}

/// Whether a document is soft-deleted.
#[must_use]
pub fn is_deleted(doc: &Map<String, Value>) -> bool {
    doc.get("pvt_deleted").and_then(Value::as_bool).unwrap_or(false)
}

/// The account that owns a document.
#[must_use]
pub fn owner(doc: &Map<String, Value>) -> Option<AccountId> {
    doc.get("pvt_account_id")?.as_str()?.parse().ok()
}

/// The fields of an account document that event routing needs. `None` for a deleted or unreadable document.
pub(super) fn account(doc: &Map<String, Value>) -> Option<Account> {
    if is_deleted(doc) {
        return None;
    }
    let text = |field: &str| doc.get(field).and_then(Value::as_str).map(str::to_owned);
    let flag = |field: &str| doc.get(field).and_then(Value::as_bool);
    let tree = doc.get("pvt_tree").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    Some(Account {
        id: doc.get("_id")?.as_str()?.parse::<AccountId>().ok()?,
        tree: tree.iter().filter_map(|id| id.as_str()?.parse().ok()).collect(),
        name: text("name").unwrap_or_default(),
        realm: text("realm"),
        is_reseller: flag("pvt_reseller").unwrap_or(false),
        enabled: flag("pvt_enabled").unwrap_or(true),
        failure_limits: doc.get("webhooks").map(failure_limits).unwrap_or_default(),
    })
}

fn failure_limits(webhooks: &Value) -> FailureLimits {
    let number = |field: &str| webhooks.get(field).and_then(Value::as_u64);
    FailureLimits {
        count: number("attempt_failure_count").map(|count| u32::try_from(count).unwrap_or(u32::MAX)),
        window_ms: number("attempt_failure_expiry_ms"),
    }
}

/// SHA-256.
pub(super) fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut out = [0; 32];
    out.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    out
}

/// Lower-case hex digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    let digit = |half: u8| char::from_digit(u32::from(half), 16).unwrap_or('0');
    bytes.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
}

/// The hash by which an API key is stored and found.
#[must_use]
pub fn key_hash(api_key: &str) -> String {
    hex(&sha256(api_key.as_bytes()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_stamp_counts_revisions_and_keeps_the_time_of_creation() {
        let mut first = json!({"name": "a", "_rev": "9-forged"}).as_object().unwrap().clone();
        assert!(stamp(&mut first, Kind::Hook, "x", None, 1_000_000).starts_with("1-"));
        let mut second = json!({"name": "b"}).as_object().unwrap().clone();
        assert!(stamp(&mut second, Kind::Hook, "x", Some(&first), 5_000_000).starts_with("2-"));
        assert_eq!(second.get("pvt_created"), first.get("pvt_created"));
        assert_ne!(second.get("pvt_modified"), first.get("pvt_modified"));
    }

    #[test]
    fn a_deleted_account_document_gives_no_account() {
        let mut doc = json!({"_id": "0".repeat(32), "name": "n", "pvt_tree": ["1".repeat(32)]});
        assert_eq!(account(doc.as_object().unwrap()).unwrap().tree.len(), 1);
        doc["pvt_deleted"] = true.into();
        assert_eq!(account(doc.as_object().unwrap()), None);
    }
}
