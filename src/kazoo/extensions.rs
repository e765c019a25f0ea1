//! Our own fields of a hook document, checked in KAZOO's manner.

use http::{HeaderName, HeaderValue};
use serde_json::{Value, json};

use super::Object;
use super::document::decode_secret;
use super::validate::{Check, path};

/// The fields that KAZOO and its user interface do not know. When a form replaces a hook, those that it does not
/// name stay unchanged.
pub const OWN_FIELDS: [&str; 10] = [
    "ordering",
    "success",
    "resume",
    "timeout_ms",
    "max_in_flight",
    "rate_limit_per_s",
    "headers",
    "retry",
    "secret",
    "secret_overlap_s",
];

/// The name for `headers` in Monster UI's hook form, and in its form of a callflow's webhook action.
const KAZOO_HEADERS: &str = "custom_request_headers";

const MAX_HEADERS: usize = 20;
const MAX_HEADER_BYTES: usize = 4096;

/// Headers that the delivery sets itself, besides all that start with `webhook-`.
const OWN_HEADERS: [&str; 18] = [
    "host",
    "content-length",
    "transfer-encoding",
    "connection",
    "keep-alive",
    "proxy-connection",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "x-hook-id",
    "x-account-id",
    "x-event-id",
    "x-attempt",
    "x-replay",
    "x-test",
    "traceparent",
    "tracestate",
];

/// Checks our fields and converts numbers.
pub(super) fn check(check: &mut Check) {
    check.choice("ordering", &["subject", "hook", "none"], None);
    check.choice("success", &["kazoo", "2xx"], None);
    check.choice("resume", &["now", "held"], None);
    check.whole("timeout_ms", 100, 120_000);
    check.whole("max_in_flight", 1, 256);
    check.whole("rate_limit_per_s", 1, 1000);
    check.whole("secret_overlap_s", 0, 2_592_000);
    secret(check);
    if check.doc.contains_key("secrets") {
        let message = "secrets are kept by the server: set 'secret', the former one stays valid for a while";
        check.error("secrets", "error", json!({"message": message}));
    }
    for field in ["headers", KAZOO_HEADERS] {
        if check.texts(field) {
            headers(check, field);
        }
    }
    retry(check);
}

/// Checks a secret. The error never contains the value.
fn secret(check: &mut Check) {
    if !check.text("secret") {
        if let Some(rules) =
            check.errors.get_mut("secret").and_then(|r| r.get_mut("type")).and_then(Value::as_object_mut)
        {
            rules.shift_remove("value");
        }
        return;
    }
    let usable = check
        .doc
        .get("secret")
        .and_then(Value::as_str)
        .and_then(decode_secret)
        .is_some_and(|key| (24..=64).contains(&key.len()));
    if !usable {
        let message = "secret must be 'whsec_' followed by the base64 text of 24 to 64 bytes";
        check.error("secret", "error", json!({"message": message}));
    }
}

/// The extra headers of a hook: `headers`, then those of `custom_request_headers` with other names. Headers that
/// cannot be sent, from documents stored before the check existed, are left out.
pub(super) fn sent_headers(doc: &Object) -> Vec<(String, String)> {
    let mut sent: Vec<(String, String)> = Vec::new();
    for field in ["headers", KAZOO_HEADERS] {
        let known = sent.len();
        for (name, value) in doc.get(field).and_then(Value::as_object).into_iter().flatten() {
            let Some(value) = value.as_str().filter(|value| header_fault(name, value).is_none()) else {
                continue;
            };
            let is_new = !sent.iter().any(|(other, _)| other.eq_ignore_ascii_case(name));
            if is_new && sent.len() - known < MAX_HEADERS {
                sent.push((name.clone(), value.to_owned()));
            }
        }
    }
    sent
}

fn headers(check: &mut Check, field: &str) {
    let headers = check.doc.get(field).and_then(Value::as_object).cloned().unwrap_or_default();
    if headers.len() > MAX_HEADERS {
        let message = format!("at most {MAX_HEADERS} headers are sent");
        check.error(
            field,
            "error",
            json!({"message": message, "target": MAX_HEADERS, "value": headers.len()}),
        );
    }
    let bytes: usize =
        headers.iter().map(|(name, value)| name.len() + value.as_str().map_or(0, str::len)).sum();
    if bytes > MAX_HEADER_BYTES {
        let message = format!("headers take at most {MAX_HEADER_BYTES} bytes together");
        check.error(field, "error", json!({"message": message, "target": MAX_HEADER_BYTES, "value": bytes}));
    }
    for (name, value) in &headers {
        if let Some(message) = header_fault(name, value.as_str().unwrap_or_default()) {
            check.error(&path(field, name), "error", json!({"message": message, "value": name}));
        }
    }
}

fn header_fault(name: &str, value: &str) -> Option<&'static str> {
    let Ok(parsed) = HeaderName::from_bytes(name.as_bytes()) else { return Some("not a header name") };
    if OWN_HEADERS.contains(&parsed.as_str()) || parsed.as_str().starts_with("webhook-") {
        return Some("this header is set by the server");
    }
    if !value.is_ascii() || HeaderValue::from_str(value).is_err() {
        return Some("not a header value: visible ASCII characters and spaces only");
    }
    None
}

fn retry(check: &mut Check) {
    let mut retry = match check.doc.get("retry").cloned() {
        None => return,
        Some(Value::Object(retry)) => retry,
        Some(other) => return check.type_error("retry", "object", &other),
    };
    retry.retain(|_, value| !value.is_null());
    for (key, min, max) in
        [("max_attempts", 1, 100), ("initial_ms", 100, 3_600_000), ("max_ms", 100, 86_400_000)]
    {
        if let Some(value) = retry.get(key).cloned()
            && let Some(number) = check.bounded(&path("retry", key), &value, min, max)
        {
            retry.insert(key.to_owned(), number.into());
        }
    }
    let of = |key| retry.get(key).and_then(Value::as_i64);
    if let (Some(initial), Some(max)) = (of("initial_ms"), of("max_ms"))
        && max < initial
        && !check.errors.contains_key("retry.max_ms")
    {
        let message = format!("Value must be at least {initial}");
        check.error("retry.max_ms", "minimum", json!({"message": message, "target": initial, "value": max}));
    }
    check.doc.insert("retry".to_owned(), Value::Object(retry));
}
