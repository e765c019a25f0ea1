//! Valid hook documents, and the errors of invalid ones.

use super::*;
use base64::Engine as _;

const RULES: Rules<'_> = Rules { allow: &[], master: false };

fn document(fields: &Value) -> Object {
    let mut doc = Object::new();
    for (key, value) in [("name", "n"), ("hook", "sms"), ("uri", "https://r.example/")] {
        doc.insert(key.to_owned(), value.into());
    }
    for (key, value) in fields.as_object().into_iter().flatten() {
        doc.insert(key.clone(), value.clone());
    }
    doc
}

fn types(types: &str, value: &Value) -> Value {
    json!({"type": {"message": format!("Value did not match type(s): {types}"), "target": types, "value": value}})
}

fn choice(target: &[&str], value: &str) -> Value {
    json!({"enum": {"message": "Value not found in enumerated list of values", "target": target, "value": value}})
}

fn only_error(field: &str, given: &Value, error: Value) {
    let mut expected = Object::new();
    expected.insert(field.to_owned(), error);
    let mut fields = Object::new();
    fields.insert(field.to_owned(), given.clone());
    assert_eq!(errors(&Value::Object(fields)), Value::Object(expected), "{field}: {given}");
}

fn errors(fields: &Value) -> Value {
    validate_hook(&document(fields), &RULES).map_or_else(Value::Object, |stored| json!({"stored": stored}))
}

#[test]
fn defaults_are_filled_in_and_unknown_fields_kept() {
    let stored =
        validate_hook(&document(&json!({"group": {"a": 1}, "include_subaccounts": null})), &RULES).unwrap();
    assert_eq!(
        Value::Object(stored),
        json!({"name": "n", "hook": "sms", "uri": "https://r.example/",
        "group": {"a": 1}, "http_verb": "post", "format": "form-data", "retries": 2, "enabled": true,
        "include_internal_legs": true})
    );
}

#[test]
fn all_missing_fields_are_named_at_once() {
    let required =
        |field: &str| json!({"required": {"message": "Field is required but missing", "value": field}});
    let given = json!({"name": "only", "retries": 5});
    let found = validate_hook(given.as_object().unwrap(), &RULES).unwrap_err();
    assert_eq!(
        Value::Object(found),
        json!({"hook": required("hook"), "uri": required("uri"),
        "retries": {"maximum": {"message": "Value must be at most 4", "target": 4, "value": 5}}})
    );
}

#[test]
fn convertible_values_are_converted() {
    for (field, given, stored) in [
        ("retries", json!("1"), json!(1)),
        ("retries", json!(1.5), json!(2)),
        ("retries", json!(4.0), json!(4)),
        ("retries", json!("0"), json!(0)),
        ("enabled", json!("false"), json!(false)),
        ("include_subaccounts", json!("true"), json!(true)),
        ("include_internal_legs", json!("false"), json!(false)),
        ("timeout_ms", json!("250"), json!(250)),
        ("name", json!(""), json!("")),
    ] {
        let mut fields = Object::new();
        fields.insert(field.to_owned(), given);
        let out = validate_hook(&document(&Value::Object(fields)), &RULES).unwrap();
        assert_eq!(out.get(field), Some(&stored), "{field}");
    }
}

#[test]
fn each_invalid_value_has_kazoos_error() {
    let ids = hook_ids();
    for (field, given, error) in [
        ("name", json!(7), types("string", &json!(7))),
        ("uri", json!(["x"]), types("string", &json!(["x"]))),
        ("hook", json!("CHANNEL_CREATE"), choice(&ids, "CHANNEL_CREATE")),
        ("hook", json!(true), types("string", &json!(true))),
        ("http_verb", json!("delete"), choice(&["get", "post", "put"], "delete")),
        ("http_verb", json!("POST"), choice(&["get", "post", "put"], "POST")),
        ("format", json!("yaml"), choice(&["form-data", "json"], "yaml")),
        ("retries", json!("many"), types("integer", &json!("many"))),
        ("retries", json!([]), types("integer", &json!([]))),
        (
            "retries",
            json!(-1),
            json!({"minimum": {"message": "Value must be at least 0", "target": 0, "value": -1}}),
        ),
        ("enabled", json!("perhaps"), types("boolean", &json!("perhaps"))),
        ("enabled", json!(1), types("boolean", &json!(1))),
        ("include_subaccounts", json!("x"), types("boolean", &json!("x"))),
        ("custom_data", json!([1]), types("object", &json!([1]))),
        (
            "uri",
            json!("ws://r.example/"),
            json!({"error": {"message": "invalid client URL", "value": "ws://r.example/"}}),
        ),
        (
            "uri",
            json!("http://10.0.0.1/"),
            json!({"error": {"message": "invalid client URL", "cause": UnusableUri::Forbidden.to_string(), "value": "http://10.0.0.1/"}}),
        ),
    ] {
        only_error(field, &given, error);
    }
}

#[test]
fn invalid_values_of_our_own_fields_have_errors_in_kazoos_form() {
    for (field, given, error) in [
        ("ordering", json!("call"), choice(&["subject", "hook", "none"], "call")),
        ("success", json!("3xx"), choice(&["kazoo", "2xx"], "3xx")),
        ("resume", json!("later"), choice(&["now", "held"], "later")),
        (
            "max_in_flight",
            json!(0),
            json!({"minimum": {"message": "Value must be at least 1", "target": 1, "value": 0}}),
        ),
        (
            "timeout_ms",
            json!(120_001),
            json!({"maximum": {"message": "Value must be at most 120000", "target": 120_000, "value": 120_001}}),
        ),
        ("retry", json!("fast"), types("object", &json!("fast"))),
    ] {
        only_error(field, &given, error);
    }
}

#[test]
fn custom_data_may_contain_only_texts() {
    let found = errors(&json!({"custom_data": {"ok": "x", "n.o": 1, "deep": {}}}));
    let fault = |value: Value| json!({"type": {"message": "Value did not match type(s): string", "target": "string", "value": value}});
    assert_eq!(found, json!({"custom_data.n%2Eo": fault(json!(1)), "custom_data.deep": fault(json!({}))}));
}

#[test]
fn required_modifiers_must_be_set() {
    let missing = json!({"required": {"message": "missing required modifier"}});
    assert_eq!(
        errors(&json!({"hook": "object"})),
        json!({"custom_data.type": missing, "custom_data.action": missing})
    );
    assert_eq!(
        errors(&json!({"hook": "object", "custom_data": {"type": "user"}})),
        json!({"custom_data.action": missing})
    );
    assert_eq!(errors(&json!({"hook": "notifications"})), json!({"custom_data.type": missing}));
    let found = errors(&json!({"hook": "object", "custom_data": {"type": "all", "action": "doc_lost"}}));
    assert_eq!(
        found,
        json!({"custom_data.action": {"enum": {"message": "value not found in enumerated list of values",
        "cause": "doc_lost", "target": ["all", "doc_created", "doc_edited", "doc_deleted"]}}})
    );
    // A schema error is reported alone.
    assert!(errors(&json!({"hook": "object", "retries": 9})).get("custom_data.type").is_none());
}

#[test]
fn types_for_the_master_account_are_accepted_but_not_listed() {
    for kind in ["system_alert", "webhook_disabled", "all", "topup"] {
        assert!(
            errors(&json!({"hook": "notifications", "custom_data": {"type": kind}})).get("stored").is_some()
        );
    }
    let targets = |master| {
        let document = document(&json!({"hook": "notifications", "custom_data": {"type": "x"}}));
        let found = validate_hook(&document, &Rules { allow: &[], master }).unwrap_err();
        found["custom_data.type"]["enum"]["target"].as_array().unwrap().len()
    };
    assert_eq!((targets(true), targets(false)), (39, 37));
}

#[test]
fn hooks_without_modifiers_need_no_custom_data() {
    for id in hook_ids() {
        if !["object", "notifications"].contains(&id) {
            assert!(errors(&json!({"hook": id})).get("stored").is_some(), "{id}");
        }
    }
}

fn secret(bytes: usize) -> String {
    format!("whsec_{}", base64::engine::general_purpose::STANDARD.encode(vec![7; bytes]))
}

#[test]
fn a_secret_is_24_to_64_bytes_and_never_shown_in_an_error() {
    for good in [secret(24), secret(32), secret(64), secret(25).trim_end_matches('=').to_owned()] {
        assert!(errors(&json!({"secret": good})).get("stored").is_some(), "{good}");
    }
    for bad in [
        json!(secret(23)),
        json!(secret(65)),
        json!("whsec_"),
        json!("secretsecretsecretsecret"),
        json!("whsec_***"),
        json!(123_456_789),
        json!(["whsec_x"]),
    ] {
        let found = errors(&json!({"secret": bad}));
        assert!(found.get("secret").is_some(), "{bad}");
        assert!(
            !found.to_string().contains(bad.as_str().unwrap_or("123456789")) || bad == "whsec_",
            "{found}"
        );
    }
    assert!(errors(&json!({"secrets": []})).get("secrets").is_some());
}

#[test]
fn headers_are_valid_few_and_not_ours() {
    let good = json!({"headers": {"Authorization": "Bearer x.y", "X-Tenant": "seven 7", "User-Agent": "me"}});
    assert!(errors(&good).get("stored").is_some());
    for name in [
        "Host",
        "content-length",
        "Transfer-Encoding",
        "CONNECTION",
        "X-Hook-ID",
        "x-account-id",
        "Webhook-Id",
        "webhook-signature",
        "bad name",
        "",
        "a:b",
        "ü",
    ] {
        let mut headers = Object::new();
        headers.insert(name.to_owned(), "v".into());
        let found = errors(&json!({"headers": headers}));
        assert!(found.get(format!("headers.{name}")).is_some(), "{name}: {found}");
    }
    for value in ["a\r\nb: c", "\u{0}", "ü"] {
        assert!(errors(&json!({"headers": {"X-A": value}})).get("headers.X-A").is_some(), "{value:?}");
    }
    assert!(errors(&json!({"headers": {"X-A": 1}})).get("headers.X-A").is_some());
    let many = |n: usize, bytes: usize| -> Object {
        (0..n).map(|i| (format!("x-{i}"), Value::from("v".repeat(bytes)))).collect()
    };
    assert!(errors(&json!({"headers": many(20, 1)})).get("stored").is_some());
    assert!(errors(&json!({"headers": many(21, 1)})).get("headers").is_some());
    assert!(errors(&json!({"headers": many(2, 2048)})).get("headers").is_some());
}

#[test]
fn a_retry_schedule_is_checked_and_converted() {
    let stored = errors(&json!({"retry": {"max_attempts": "50", "initial_ms": 100, "max_ms": 86_400_000}}));
    assert_eq!(
        stored["stored"]["retry"],
        json!({"max_attempts": 50, "initial_ms": 100, "max_ms": 86_400_000})
    );
    for (retry, field) in [
        (json!({"max_attempts": 0}), "retry.max_attempts"),
        (json!({"max_attempts": 101}), "retry.max_attempts"),
        (json!({"initial_ms": 99}), "retry.initial_ms"),
        (json!({"initial_ms": 3_600_001}), "retry.initial_ms"),
        (json!({"max_ms": 86_400_001}), "retry.max_ms"),
        (json!({"initial_ms": 5000, "max_ms": 4000}), "retry.max_ms"),
        (json!({"initial_ms": "soon"}), "retry.initial_ms"),
    ] {
        assert!(errors(&json!({"retry": retry})).get(field).is_some(), "{retry}");
    }
}
