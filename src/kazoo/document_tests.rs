//! Stored documents become hooks, and the API returns them without secrets.

use super::*;
use serde_json::json;

fn document(fields: &Value) -> Object {
    let mut doc = json!({"_id": "c".repeat(32), "_rev": "1-x", "pvt_account_id": "d".repeat(32), "pvt_type": "webhook",
        "hook": "parking", "uri": "https://r.example/h"});
    for (key, value) in fields.as_object().into_iter().flatten() {
        doc[key] = value.clone();
    }
    doc.as_object().cloned().unwrap()
}

#[test]
fn a_minimal_document_gets_defaults() {
    let hook = hook_from_document(&document(&json!({}))).unwrap();
    assert_eq!(
        (hook.trigger, hook.verb, hook.format),
        (Trigger::Family(Family::Parking), Verb::Post, Format::Form)
    );
    assert_eq!(
        (hook.tries, hook.enabled, hook.include_subaccounts, hook.include_internal_legs),
        (2, true, false, true)
    );
    assert_eq!((hook.ordering, hook.success, hook.resume), (Ordering::Subject, Success::Kazoo, Resume::Now));
    assert_eq!((hook.start_offset, hook.custom_data, hook.secrets.len()), (EventOffset::FIRST, None, 0));
}

#[test]
fn documents_of_every_age_are_read() {
    for (fields, tries) in [
        (json!({"retries": 0}), 1),
        (json!({"retries": "3"}), 3),
        (json!({"retries": 40}), 5),
        (json!({"retries": -2}), 1),
        (json!({"retries": null}), 2),
        (json!({"retries": "x"}), 2),
    ] {
        assert_eq!(hook_from_document(&document(&fields)).unwrap().tries, tries, "{fields}");
    }
    let hook = hook_from_document(&document(&json!({"hook": "CHANNEL_DESTROY", "http_verb": "PUT", "format": "json",
        "enabled": "false", "pvt_disabled_message": "why", "custom_data": {}, "headers": {"X-A": "1", "X-B": 2},
        "retry": {"max_attempts": 30, "initial_ms": "500"}, "success": "2xx", "resume": "held", "ordering": "hook",
        "timeout_ms": 900, "max_in_flight": 3, "rate_limit_per_s": 7, "pvt_paused": true, "pvt_start_offset": 77})))
    .unwrap();
    assert_eq!(
        (hook.trigger, hook.verb, hook.format),
        (Trigger::Family(Family::ChannelDestroy), Verb::Put, Format::Json)
    );
    assert_eq!((hook.enabled, hook.disable_reason.as_deref()), (false, Some("why")));
    assert_eq!(hook.custom_data.map(|d| d.len()), Some(0));
    assert_eq!(hook.headers, [("X-A".to_owned(), "1".to_owned())]);
    assert_eq!(
        (hook.retry.max_attempts, hook.retry.initial_ms, hook.retry.max_ms),
        (Some(30), Some(500), None)
    );
    assert_eq!((hook.success, hook.resume, hook.ordering), (Success::Any2xx, Resume::Held, Ordering::Hook));
    assert_eq!(
        (hook.timeout_ms, hook.max_in_flight, hook.start_offset),
        (Some(900), Some(3), EventOffset(77))
    );
    assert_eq!((hook.rate_limit_per_s, hook.paused), (Some(7), true));
    let deleted = hook_from_document(&document(&json!({"pvt_deleted": true}))).unwrap();
    assert!(!deleted.enabled);
}

#[test]
fn secrets_are_read_newest_first() {
    let secret = |byte: u8| format!("whsec_{}", STANDARD.encode([byte; 24]));
    let hook = hook_from_document(&document(&json!({"secret": secret(1),
        "pvt_secrets": [secret(2), secret(1), {"secret": secret(3), "until": 99}, "whsec_!!", 7]})))
    .unwrap();
    let of = |byte, until_s| Secret { key: vec![byte; 24], until_s };
    assert_eq!(hook.secrets, [of(1, None), of(2, None), of(3, Some(99))]);
}

#[test]
fn a_document_without_ids_or_uri_is_refused() {
    for (fields, error) in [
        (json!({"_id": "short"}), DocumentError::NoId),
        (json!({"pvt_account_id": null}), DocumentError::NoAccount),
        (json!({"uri": ""}), DocumentError::NoUri),
        (json!({"hook": "skel"}), DocumentError::UnknownHook("skel".to_owned())),
    ] {
        assert_eq!(hook_from_document(&document(&fields)), Err(error));
    }
}

#[test]
fn the_apis_document_has_no_private_fields_and_no_secret() {
    let doc = document(&json!({"secret": "whsec_abc", "secrets": ["x"], "enabled": false, "group": "g",
        "disable_reason": "stale", "pvt_disabled_message": "too many failed attempts", "pvt_secrets": ["y"]}));
    assert_eq!(
        Value::Object(public_document(&doc)),
        json!({"hook": "parking", "uri": "https://r.example/h",
        "secret": MASKED_SECRET, "enabled": false, "group": "g", "id": "c".repeat(32),
        "disable_reason": "too many failed attempts"})
    );
    let enabled = document(&json!({"enabled": true, "pvt_disabled_message": "old"}));
    assert_eq!(public_document(&enabled).get("disable_reason"), None);
}
