//! The audit trail: who changed which document, when, from what to what. It has its own log and contains no secrets.
//!
//! Promise: no change is made before its entry is on disk. So an entry may describe a change that a crash or a failing
//! disk prevented right then, but every change has an entry.

use serde_json::{Map, Value, json};

use super::document::{self, JournalEntry, Kind};
use super::limits::json_bytes;
use super::write::MirroredBy;
use crate::log::NewRecord;
use crate::model::{AccountId, Actor, MASK, gregorian_seconds, masked};

/// The version of an entry. Version 1 did not name the tenant.
const VERSION: u32 = 2;
/// The field with the tenant whose share of the trail an entry uses; null for the operator.
pub(super) const TENANT: &str = "tenant_id";
/// The field of a kept entry with its former offset in the first part.
pub(super) const WAS: &str = "was";
/// The largest size of a document in an entry. A larger document is abridged to the fields that changed.
const MOST_BYTES: usize = 4096;
/// The largest size of a value in an abridged document.
const SHORT_BYTES: usize = 256;
/// The most names of changed fields in an entry, and the largest size of each.
const MOST_NAMES: usize = 64;
const NAME_BYTES: usize = 128;
/// Fields that every write changes. They are not listed as changed.
const BOOKKEEPING: [&str; 6] =
    ["_rev", "pvt_modified", "pvt_request_id", "pvt_auth_account_id", "pvt_is_authenticated", "pvt_vsn"];

/// The record of a change that is about to be made.
pub(super) fn record(
    entry: &JournalEntry,
    before: Option<&Map<String, Value>>,
    by: &Value,
    tenant: Option<AccountId>,
    now_us: u64,
) -> NewRecord {
    let (kind, after) = (entry.kind, entry.doc.as_ref());
    let owner = owner(entry, before);
    let changed = changed(before, after);
    let side = |doc| short(without_secrets(kind, doc), &changed);
    let entry = json!({
        "v": VERSION, "timestamp": gregorian_seconds(now_us), "by": by, "action": action(before, after),
        "kind": kind, "id": entry.id, "account_id": owner, TENANT: tenant, "changed": names(&changed),
        "before": before.map(side), "after": after.map(side),
    });
    let payload = entry.to_string().into();
    NewRecord { tag: owner.map_or(0, AccountId::tag), flags: 0, time_us: now_us, payload }
}

/// Who makes a change, as the trail shows it: the sender of a request, the program itself, or an import or sync of another
/// system's documents (an import through the API with the sender of its request).
pub(super) fn who(by: Option<&Actor>, mirrored: Option<MirroredBy>) -> Value {
    let kind = mirrored.map(MirroredBy::id);
    by.map_or_else(
        || json!({"kind": kind.unwrap_or("program")}),
        |by| {
            json!({
                "kind": kind.unwrap_or("api"), "account_id": by.account, "owner_id": by.user,
                "request_id": by.request_id, "remote": by.remote.map(|address| address.to_string()),
            })
        },
    )
}

/// The account that the entry's document belongs to. An account belongs to itself.
pub(super) fn owner(entry: &JournalEntry, before: Option<&Map<String, Value>>) -> Option<AccountId> {
    match entry.kind {
        Kind::Account => entry.id.parse().ok(),
        _ => entry.doc.as_ref().or(before).and_then(document::owner),
    }
}

fn action(before: Option<&Map<String, Value>>, after: Option<&Map<String, Value>>) -> &'static str {
    let deleted = |doc: Option<&Map<String, Value>>| doc.is_none_or(document::is_deleted);
    match (deleted(before), deleted(after)) {
        (true, false) => "create",
        (false, false) => "change",
        (_, true) => "delete",
    }
}

/// The names of the top-level fields that differ. Secret fields are included, as only names are shown.
fn changed(before: Option<&Map<String, Value>>, after: Option<&Map<String, Value>>) -> Vec<String> {
    let (Some(before), Some(after)) = (before, after) else { return Vec::new() };
    let names = before.keys().chain(after.keys().filter(|name| !before.contains_key(*name)));
    let differs = |name: &&String| before.get(*name) != after.get(*name);
    names.filter(differs).filter(|name| !BOOKKEEPING.contains(&name.as_str())).cloned().collect()
}

/// The first names, each cut to the size that an entry allows.
fn names(changed: &[String]) -> Vec<&str> {
    changed.iter().take(MOST_NAMES).map(|name| cut(name, NAME_BYTES)).collect()
}

fn cut(text: &str, most: usize) -> &str {
    let end = (0..=most.min(text.len())).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
    text.get(..end).unwrap_or_default()
}

/// A document as it stands in the trail. A large document is abridged: only changed and private fields stay, and a
/// large value is replaced by its size (`omitted_bytes`). So every entry has at most a few kilobytes.
fn short(doc: Map<String, Value>, changed: &[String]) -> Map<String, Value> {
    let whole: usize = doc.iter().map(|(name, value)| name.len() + json_bytes(value)).sum();
    if whole <= MOST_BYTES {
        return doc;
    }
    let is_kept = |name: &str| {
        // No field is listed as changed when a document is created or deleted. Then all of them matter.
        changed.is_empty()
            || name.starts_with('_')
            || name.starts_with("pvt_")
            || name == "name"
            || changed.iter().any(|changed| changed == name)
    };
    let (mut kept, mut bytes) = (Map::new(), 0);
    let mut omitted = 0;
    for (name, value) in doc {
        let size = json_bytes(&value);
        let value = if size > SHORT_BYTES { json!({"omitted_bytes": size}) } else { value };
        let cost = name.len() + size.min(SHORT_BYTES);
        if is_kept(&name) && bytes + cost <= MOST_BYTES {
            bytes += cost;
            kept.insert(name, value);
        } else {
            omitted += 1;
        }
    }
    kept.insert("omitted_fields".into(), omitted.into());
    kept
}

/// A document without its secrets. For the program's own settings, only the field names are kept.
fn without_secrets(kind: Kind, doc: &Map<String, Value>) -> Map<String, Value> {
    let show = |(name, value): (&String, &Value)| {
        let hidden = kind == Kind::Setting && name != "_id";
        (name.clone(), if hidden { MASK.into() } else { masked(name, value) })
    };
    doc.iter().map(show).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doc(value: &Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    fn entry_of(before: Option<&Value>, after: Option<&Value>) -> Value {
        let entry = JournalEntry { kind: Kind::Hook, id: "h".to_owned(), doc: after.map(doc) };
        let by = Actor {
            account: AccountId(1),
            user: Some("u".to_owned()),
            request_id: "r".to_owned(),
            remote: Some([192, 0, 2, 1].into()),
        };
        let by = who(Some(&by), None);
        let record = record(&entry, before.map(doc).as_ref(), &by, Some(AccountId(7)), 5_000_000);
        assert_eq!(record.time_us, 5_000_000);
        serde_json::from_slice(&record.payload).unwrap()
    }

    #[test]
    fn an_entry_has_the_actor_the_action_and_the_document() {
        let before = json!({"name": "a", "enabled": true, "_rev": "1-x", "pvt_account_id": AccountId(7)});
        let after = json!({"name": "b", "enabled": true, "_rev": "2-y", "pvt_account_id": AccountId(7)});
        let entry = entry_of(Some(&before), Some(&after));
        assert_eq!((&entry["action"], &entry["changed"]), (&json!("change"), &json!(["name"])));
        assert_eq!((&entry["before"]["name"], &entry["after"]["name"]), (&json!("a"), &json!("b")));
        assert_eq!(
            (&entry["by"]["remote"], &entry["account_id"]),
            (&json!("192.0.2.1"), &json!(AccountId(7)))
        );
        assert_eq!(entry_of(None, Some(&after))["action"], "create");
        assert_eq!(entry_of(Some(&after), Some(&json!({"pvt_deleted": true})))["action"], "delete");
        assert_eq!(entry_of(Some(&after), None)["action"], "delete");
    }

    #[test]
    fn an_entry_of_a_large_document_is_small_and_has_what_changed() {
        let large = |name: &str| {
            let many = (0..5000).map(|at| (format!("field {at}"), json!("y"))).collect::<Map<_, _>>();
            let mut doc = json!({"name": name, "custom_data": "x".repeat(1 << 20), "_rev": "1-x"});
            doc.as_object_mut().unwrap().extend(many);
            doc
        };
        let entry = entry_of(Some(&large("a")), Some(&large("b")));
        assert!(entry.to_string().len() < 3 * MOST_BYTES, "{} bytes", entry.to_string().len());
        assert_eq!((&entry["before"]["name"], &entry["after"]["name"]), (&json!("a"), &json!("b")));
        assert_eq!((&entry["changed"], &entry["after"]["omitted_fields"]), (&json!(["name"]), &json!(5001)));
        let made = entry_of(None, Some(&large("a")));
        assert!(made["after"]["custom_data"]["omitted_bytes"].as_u64() > Some(1 << 20), "{made}");
        let renamed = json!({"n".repeat(1 << 20): "new"});
        assert!(entry_of(Some(&large("a")), Some(&renamed)).to_string().len() < 4 * MOST_BYTES);
    }

    #[test]
    fn an_entry_names_a_changed_secret_without_showing_it() {
        let with = |secret: &str| {
            json!({
                "secret": secret, "pvt_secrets": [secret], "pvt_stamp": secret, "pvt_md5_auth": secret, "pvt_key_hash": secret, "nested": {"Password": secret},
                "headers": {"authorization": secret, "x-key": secret}, "list": [{"token": secret}],
                "uri": format!("https://me:{secret}@example.com/hook"), "name": "n",
            })
        };
        let entry = entry_of(Some(&with("s3cret-1")), Some(&with("s3cret-2")));
        assert!(!entry.to_string().contains("s3cret"), "{entry}");
        assert_eq!(entry["after"]["headers"], json!({"authorization": "***", "x-key": "***"}));
        assert_eq!(entry["after"]["uri"], "https://***@example.com/hook");
        assert!(entry["changed"].as_array().unwrap().contains(&json!("secret")), "{entry}");
        assert_eq!(
            without_secrets(Kind::Setting, &doc(&json!({"_id": "system", "x": 1}))),
            doc(&json!({"_id": "system", "x": "***"}))
        );
    }
}
