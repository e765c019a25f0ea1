//! The rules of an account's document, and how a change produces a new document (pure).
//!
//! An account above decides `enabled` and `is_reseller`. Like KAZOO, they are stored as private fields.

use serde_json::{Map, Value, json};

use crate::http::errors::ApiError;
use crate::http::fields::Fields;
use crate::http::fields::is_private;

type Document = Map<String, Value>;

/// Fields of a response that are not stored under that name.
const NOT_STORED: [&str; 7] =
    ["id", "enabled", "is_reseller", "superduper_admin", "created", "reseller_id", "tree"];
/// Fields that an account above decides, with the private fields that store them.
const DECIDED: [(&str, &str); 2] = [("enabled", "pvt_enabled"), ("is_reseller", "pvt_reseller")];
/// The largest failure count. (KAZOO has no limit.)
const MOST_FAILURES: u64 = 100_000;
/// The longest window of failures: a day.
const LONGEST_WINDOW_MS: u64 = 86_400_000;

/// The document of a new account.
pub(super) fn created(data: &Document) -> Result<Document, ApiError> {
    let mut before = Document::new();
    before.insert("pvt_enabled".into(), true.into());
    before.insert("pvt_reseller".into(), false.into());
    replaced(&before, data)
}

/// POST: `data` replaces all public fields. Fields that an account above decides stay unless `data` has them.
pub(super) fn replaced(stored: &Document, data: &Document) -> Result<Document, ApiError> {
    let mut input = data.clone();
    input.retain(|key, value| !is_private(key) && !value.is_null());
    finish(stored, input)
}

/// PATCH: `data` changes the stored fields; `null` removes one.
pub(super) fn merged(stored: &Document, data: &Document) -> Result<Document, ApiError> {
    let mut input = stored.clone();
    input.retain(|key, _| !is_private(key));
    for (key, value) in data.iter().filter(|(key, _)| !is_private(key)) {
        if value.is_null() {
            input.shift_remove(key);
        } else {
            input.insert(key.clone(), value.clone());
        }
    }
    finish(stored, input)
}

/// Whether a change includes fields that only an account above may change.
pub(super) fn needs_ancestor(stored: &Document, doc: &Document) -> bool {
    DECIDED.into_iter().any(|(_, private)| stored.get(private) != doc.get(private))
}

fn finish(stored: &Document, mut input: Document) -> Result<Document, ApiError> {
    let mut fields = Fields::of(&input);
    fields.required(&["name"]);
    fields.text("name", 1, 128);
    fields.text("realm", 4, 253);
    let realm = input.get("realm").filter(|realm| stored.get("realm") != Some(realm));
    if realm.and_then(Value::as_str).is_some_and(|realm| !is_host_name(realm)) {
        fields.finish()?;
        let message = "a realm is a host name: letters, digits, '-', '_' and single dots between them";
        return Err(ApiError::field("realm", "pattern", &json!({"message": message})));
    }
    fields.number_in("webhooks", "attempt_failure_count", 0, MOST_FAILURES);
    fields.number_in("webhooks", "attempt_failure_expiry_ms", 1, LONGEST_WINDOW_MS);
    let decided = DECIDED.map(|(public, private)| (private, fields.flag(public)));
    fields.finish()?;
    input.retain(|key, _| !NOT_STORED.contains(&key.as_str()));
    let private = stored.iter().filter(|(key, _)| is_private(key));
    input.extend(private.map(|(key, value)| (key.clone(), value.clone())));
    for (private, value) in decided {
        if let Some(value) = value {
            input.insert(private.into(), value.into());
        }
    }
    Ok(input)
}

/// Whether a realm is spelled like a host name: no trailing dot, no blank, no invisible character. So two realms that
/// look the same are the same, apart from upper and lower case.
fn is_host_name(realm: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty() && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    realm.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(value: &Value) -> &Document {
        value.as_object().unwrap()
    }

    #[test]
    fn private_fields_come_only_from_the_stored_document() {
        let stored = json!({"name": "a", "x": 1, "_rev": "1-a", "pvt_tree": ["t"], "pvt_enabled": true});
        let data = json!({"name": "b", "pvt_tree": [], "_rev": "9-z", "id": "i", "created": 1});
        let replaced = replaced(object(&stored), object(&data)).unwrap();
        let expected = json!({"name": "b", "_rev": "1-a", "pvt_tree": ["t"], "pvt_enabled": true});
        assert_eq!(Value::Object(replaced), expected);
        let merged = merged(object(&stored), object(&data)).unwrap();
        assert_eq!((&merged["x"], &merged["pvt_tree"]), (&json!(1), &json!(["t"])));
    }

    #[test]
    fn a_realm_that_only_looks_like_another_is_refused() {
        for realm in [
            "a.example.com.",
            " a.example.com",
            "a.exa\u{200b}mple.com",
            "a..example.com",
            "\u{430}.example.com",
        ] {
            assert!(created(object(&json!({"name": "a", "realm": realm}))).is_err(), "{realm:?}");
        }
        assert!(created(object(&json!({"name": "a", "realm": "A_1.example-2.com"}))).is_ok());
    }

    #[test]
    fn disabling_needs_an_account_above_and_leaving_the_field_out_does_not() {
        let stored = json!({"name": "a", "pvt_enabled": true, "pvt_reseller": false});
        let stored = object(&stored);
        let after = |data: Value| merged(stored, object(&data)).unwrap();
        assert!(needs_ancestor(stored, &after(json!({"enabled": false}))));
        assert!(needs_ancestor(stored, &after(json!({"is_reseller": "true"}))));
        assert!(!needs_ancestor(stored, &after(json!({"enabled": true, "name": "b"}))));
    }
}
