//! How a change produces a hook's new document (pure). Private fields stay, secrets are kept or rotated, and a hook
//! that a person enables or disables is no longer marked as disabled by the program.

use serde_json::{Map, Value, json};

use super::errors::ApiError;
use super::fields::is_private;
use crate::kazoo::{MASKED_SECRET, OWN_FIELDS};
use crate::state::{MIRRORED, is_auto_disabled};

type Document = Map<String, Value>;

/// Fields of responses that are not stored.
const SHOWN_ONLY: [&str; 4] = ["id", "disable_reason", "paused", "secrets"];

/// The most former secrets that are valid at a time.
const MOST_FORMER: usize = 4;

/// How long a former secret signs by default (`secret_overlap_s`): a day.
const OVERLAP_S: u64 = 86_400;

/// POST: `data` replaces all public fields, except the fields that KAZOO's form does not have. These stay unless `data` has
/// them; `null` removes one.
pub(super) fn replaced(
    stored: &Document,
    data: &Document,
    now_s: u64,
    validate: impl FnOnce(&Document) -> Result<Document, ApiError>,
) -> Result<Document, ApiError> {
    let mut input = public(data);
    for field in OWN_FIELDS {
        if let Some(value) = stored.get(field)
            && !input.contains_key(field)
        {
            input.insert(field.into(), value.clone());
        }
    }
    finish(stored, input, now_s, validate)
}

/// PATCH: `data` changes the stored fields; `null` removes one.
pub(super) fn merged(
    stored: &Document,
    data: &Document,
    now_s: u64,
    validate: impl FnOnce(&Document) -> Result<Document, ApiError>,
) -> Result<Document, ApiError> {
    let mut input = public(stored);
    for (key, value) in public(data) {
        if value.is_null() {
            input.shift_remove(&key);
        } else {
            input.insert(key, value);
        }
    }
    let mut doc = finish(stored, input, now_s, validate)?;
    // A person has disabled the hook explicitly, so the program must no longer probe it.
    if data.get("enabled").is_some_and(|v| *v == false || v == "false") {
        doc.shift_remove("pvt_disabled_message");
    }
    Ok(doc)
}

/// Whether a change of an imported hook touches a field that KAZOO has, too. Switchhook's own fields may be changed
/// here, and a hook that this program disabled and that is enabled in KAZOO may be enabled.
pub(super) fn touches_what_is_kazoos(stored: &Document, doc: &Document) -> bool {
    let Some(said) = stored.get(MIRRORED) else { return false };
    let is_reenabled = is_auto_disabled(stored) && said.get("enabled") == Some(&Value::Bool(true));
    let counts = |field: &str| !(OWN_FIELDS.contains(&field) || is_reenabled && field == "enabled");
    let (before, after) = (public(stored), public(doc));
    before.keys().chain(after.keys()).any(|field| counts(field) && before.get(field) != after.get(field))
}

fn public(doc: &Document) -> Document {
    let kept = doc.iter().filter(|(key, _)| !is_private(key) && !SHOWN_ONLY.contains(&key.as_str()));
    kept.map(|(key, value)| (key.clone(), value.clone())).collect()
}

fn finish(
    stored: &Document,
    mut input: Document,
    now_s: u64,
    validate: impl FnOnce(&Document) -> Result<Document, ApiError>,
) -> Result<Document, ApiError> {
    // Clients send back what they were shown. A masked secret in a document means "unchanged".
    let before = stored.get("secret");
    if input.get("secret").and_then(Value::as_str) == Some(MASKED_SECRET) {
        match before {
            Some(secret) => drop(input.insert("secret".into(), secret.clone())),
            None => drop(input.shift_remove("secret")),
        }
    }
    let mut doc = validate(&input)?;
    for (key, value) in stored.iter().filter(|(key, _)| is_private(key)) {
        doc.insert(key.clone(), value.clone());
    }
    match (before, doc.get("secret")) {
        (Some(old), Some(new)) if old != new => {
            let former = former_secrets(old, &doc, now_s);
            doc.insert("pvt_secrets".into(), former.into());
        }
        (_, None) => drop(doc.shift_remove("pvt_secrets")),
        _ => {}
    }
    if doc.get("enabled") == Some(&Value::Bool(true)) {
        doc.shift_remove("pvt_disabled_message");
    }
    Ok(doc)
}

/// The former secrets that are still valid. They sign beside the new one for a while, so that a receiver can change
/// over at its own time.
fn former_secrets(old: &Value, doc: &Document, now_s: u64) -> Vec<Value> {
    let overlap_s = doc.get("secret_overlap_s").and_then(Value::as_u64).unwrap_or(OVERLAP_S);
    let until = |entry: &Value| entry.get("until").and_then(Value::as_u64);
    let before = doc.get("pvt_secrets").and_then(Value::as_array).into_iter().flatten();
    let valid = before.filter(|entry| until(entry).is_some_and(|until| until > now_s)).cloned();
    // The newest former secret first: if there are too many, the oldest is dropped.
    let newest = json!({"secret": old, "until": now_s.saturating_add(overlap_s)});
    std::iter::once(newest).chain(valid).take(MOST_FORMER).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::starts_from_now;

    fn object(value: &Value) -> Document {
        value.as_object().cloned().unwrap_or_default()
    }

    fn stored() -> Document {
        object(&json!({
            "_id": "h", "name": "n", "uri": "u", "enabled": false, "secret": "whsec_old", "group": "g",
            "pvt_disabled_message": "too many failed attempts", "pvt_start_offset": 7,
        }))
    }

    #[expect(clippy::unnecessary_wraps, reason = "stands for a validation, which may fail")]
    fn as_is(input: &Document) -> Result<Document, ApiError> {
        Ok(input.clone())
    }

    #[test]
    fn a_post_keeps_private_fields_and_the_secret_and_drops_other_public_ones() {
        let data = object(&json!({"name": "m", "uri": "u", "enabled": false, "pvt_start_offset": 0}));
        let doc = replaced(&stored(), &data, 1000, as_is).unwrap();
        assert_eq!((doc["pvt_start_offset"].clone(), doc["secret"].clone()), (7.into(), "whsec_old".into()));
        assert!(!doc.contains_key("group") && doc.contains_key("pvt_disabled_message"));
    }

    #[test]
    fn enabling_removes_the_reason_why_the_hook_was_disabled() {
        let doc = merged(&stored(), &object(&json!({"enabled": true})), 1000, as_is).unwrap();
        assert!(!doc.contains_key("pvt_disabled_message"));
    }

    #[test]
    fn a_hook_that_a_person_disabled_skips_earlier_events_unless_it_is_held() {
        let on = object(&json!({"enabled": true}));
        let held = object(&json!({"enabled": true, "resume": "held"}));
        let off = object(&json!({"enabled": false}));
        assert!(starts_from_now(&off, &on) && starts_from_now(&off, &object(&json!({}))));
        assert!(!starts_from_now(&off, &held) && !starts_from_now(&on, &on) && !starts_from_now(&off, &off));
        assert!(!starts_from_now(&stored(), &on), "the program disabled it");
    }

    #[test]
    fn a_patch_overlays_and_null_removes() {
        let data =
            object(&json!({"group": null, "name": "m", "disable_reason": "x", "secret": MASKED_SECRET}));
        let doc = merged(&stored(), &data, 1000, as_is).unwrap();
        assert_eq!(doc["name"], "m");
        assert_eq!(doc["secret"], "whsec_old");
        assert!(!doc.contains_key("group") && !doc.contains_key("disable_reason"));
        assert!(doc.contains_key("pvt_disabled_message"));
    }

    #[test]
    fn a_new_secret_leaves_the_former_ones_valid_for_a_while() {
        let first = merged(&stored(), &object(&json!({"secret": "whsec_b"})), 1000, as_is).unwrap();
        assert_eq!(first["pvt_secrets"], json!([{"secret": "whsec_old", "until": 87_400}]));
        let quick = object(&json!({"secret": "whsec_c", "secret_overlap_s": 60}));
        let second = merged(&first, &quick, 2000, as_is).unwrap();
        let b = json!({"secret": "whsec_b", "until": 2060});
        assert_eq!(second["pvt_secrets"], json!([b, {"secret": "whsec_old", "until": 87_400}]));
        let third = merged(&second, &object(&json!({"secret": "whsec_d"})), 90_000, as_is).unwrap();
        assert_eq!(third["pvt_secrets"], json!([{"secret": "whsec_c", "until": 90_060}]));
        let gone = merged(&third, &object(&json!({"secret": null})), 90_000, as_is).unwrap();
        assert!(!gone.contains_key("secret") && !gone.contains_key("pvt_secrets"));
    }
}
