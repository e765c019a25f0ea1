//! Masks secrets wherever the program shows a tenant's settings: to plain users, in the audit trail, and in errors of
//! the API. Which values are secret is decided here alone; `known_secrets.rs` searches for them in what receivers answer.
//!
//! Invariant: passwords and query values in URIs, values of headers that are not known to be harmless, and fields
//! named like a secret are never shown. Paths of URIs are shown, because they distinguish receivers.

use serde_json::{Map, Value};

/// Stands for a secret.
pub const MASK: &str = "***";

/// A field whose name contains one of these words, without what separates words, is secret.
const SECRET_NAMES: [&str; 14] = [
    "secret",
    "password",
    "passwd",
    "passphrase",
    "hash",
    "token",
    "md5",
    "sha1",
    "salt",
    "apikey",
    "credential",
    "privatekey",
    "pvtstamp",
    "authorization",
];
/// Fields with headers, as an object or as one text.
const HEADERS: [&str; 4] = ["headers", "custom_request_headers", "req_headers", "resp_headers"];
/// Common headers that grant no access.
const HARMLESS_HEADERS: [&str; 27] = [
    "accept",
    "age",
    "allow",
    "cache-control",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "date",
    "expires",
    "host",
    "keep-alive",
    "retry-after",
    "server",
    "traceparent",
    "tracestate",
    "transfer-encoding",
    "user-agent",
    "vary",
    "webhook-id",
    "webhook-timestamp",
    "x-account-id",
    "x-attempt",
    "x-event-id",
    "x-hook-id",
    "x-replay",
    "x-test",
];

/// A document with every secret in it masked.
#[must_use]
pub fn without_secrets(document: &Map<String, Value>) -> Map<String, Value> {
    document.iter().map(|(name, value)| (name.clone(), masked(name, value))).collect()
}

/// The value of a field with all secrets masked. The name may be a path (`headers.x-key`).
#[must_use]
pub fn masked(name: &str, value: &Value) -> Value {
    let lower = name.to_ascii_lowercase();
    if is_secret(&lower) && !value.is_null() {
        return MASK.into();
    }
    if let Some((_, header)) = lower.split_once('.').filter(|(field, _)| are_headers(field)) {
        return if is_harmless(header) { value.clone() } else { MASK.into() };
    }
    match value {
        Value::Object(headers) if are_headers(&lower) => {
            let shown = headers.iter().map(|(name, value)| {
                (name.clone(), if is_harmless(name) { value.clone() } else { MASK.into() })
            });
            shown.collect::<Map<_, _>>().into()
        }
        // Headers in an invalid form.
        other if are_headers(&lower) && !other.is_null() => MASK.into(),
        Value::String(body) if lower == "req_body" => masked_body(body).into(),
        Value::Object(inner) => without_secrets(inner).into(),
        Value::Array(items) => items.iter().map(|item| masked("", item)).collect::<Vec<_>>().into(),
        Value::String(text) => masked_uri(text).into(),
        other => other.clone(),
    }
}

/// Whether the value of a field with this name, in lower case, is secret. `api-key` and `apiKey` are `api_key`.
pub(super) fn is_secret(lower: &str) -> bool {
    let joined: String = lower.chars().filter(|c| !matches!(c, '_' | '-' | ' ')).collect();
    SECRET_NAMES.iter().any(|word| joined.contains(word))
}

/// Whether a field with this name, in lower case, has headers.
pub(super) fn are_headers(lower: &str) -> bool {
    HEADERS.contains(&lower)
}

/// Whether a header grants no access.
pub(super) fn is_harmless(header: &str) -> bool {
    HARMLESS_HEADERS.contains(&header.to_ascii_lowercase().as_str())
}

/// A URI without user, password, query values and fragment. A text that is not a URI is returned unchanged.
#[must_use]
pub fn masked_uri(text: &str) -> String {
    let looks_like_one = ["http:", "https:"].iter().any(|scheme| {
        let start = text.trim_start().get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    if !looks_like_one && !text.contains("://") {
        return text.to_owned();
    }
    let Ok(mut uri) = url::Url::parse(text) else {
        // Not a usable URI, so its parts cannot be told apart.
        let scheme = text.split_once(':').map_or(text, |(scheme, _)| scheme);
        return if text.contains(['@', '?', '#']) { format!("{scheme}:{MASK}") } else { text.to_owned() };
    };
    let has_user = !uri.username().is_empty() || uri.password().is_some();
    if !has_user && uri.query().is_none() && uri.fragment().is_none() {
        return text.to_owned();
    }
    if has_user {
        // Neither call can fail for a URI that has them.
        let _same = uri.set_username(MASK);
        let _same = uri.set_password(None);
    }
    let query = uri.query().map(masked_query);
    uri.set_query(query.as_deref());
    if uri.fragment().is_some() {
        uri.set_fragment(Some(MASK));
    }
    uri.into()
}

/// Masks the body of a request, JSON or form, which contains the hook's custom data.
fn masked_body(body: &str) -> String {
    if let Ok(json @ (Value::Object(_) | Value::Array(_))) = serde_json::from_str::<Value>(body) {
        let shown = masked("", &json);
        return if shown == json { body.to_owned() } else { shown.to_string() };
    }
    body.split('&').map(masked_pair).collect::<Vec<_>>().join("&")
}

/// A field of a form, masked by its name and its value as in a document. `a[b]` names a field `b` in `a`.
fn masked_pair(pair: &str) -> String {
    let Some((name, value)) = url::form_urlencoded::parse(pair.as_bytes()).next() else {
        return pair.to_owned();
    };
    let lower = name.to_ascii_lowercase();
    let path: Vec<&str> = lower.split(['[', ']']).filter(|part| !part.is_empty()).collect();
    let is_header =
        path.windows(2).any(|pair| matches!(pair, [field, name] if are_headers(field) && !is_harmless(name)));
    let shown = if is_header { MASK.into() } else { masked(&lower, &Value::from(&*value)) };
    let shown = shown.as_str().unwrap_or(MASK);
    if shown == value {
        return pair.to_owned();
    }
    let name = pair.split_once('=').map_or(pair, |(name, _)| name);
    format!("{name}={}", url::form_urlencoded::byte_serialize(shown.as_bytes()).collect::<String>())
}

/// Masks the values of a query. A part without a name may itself be the secret and is masked too.
fn masked_query(query: &str) -> String {
    let parts = query.split(['&', ';']).map(|part| match part.split_once('=') {
        Some((name, _)) => format!("{name}={MASK}"),
        None if part.is_empty() => String::new(),
        None => MASK.to_owned(),
    });
    parts.collect::<Vec<_>>().join("&")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_masked_uri_keeps_only_what_distinguishes_receivers() {
        for (uri, shown) in [
            ("https://a.example/hook", "https://a.example/hook"),
            ("https://me:s3cret@a.example/hook", "https://***@a.example/hook"),
            ("http://:s3cret@a.example", "http://***@a.example/"),
            ("https://a.example/h?key=s3cret&s3cret&b=", "https://a.example/h?key=***&***&b=***"),
            ("HTTP:me:s3cret@a.example/h#s3cret", "http://***@a.example/h#***"),
            ("http:\\\\me:s3cret@a.example\\h?x=s3cret", "http://***@a.example/h?x=***"),
            (" http://me:s3cret@a.example/", "http://***@a.example/"),
            ("http://me:s3cret@[broken/", "http:***"),
            ("a text, with ? and @", "a text, with ? and @"),
        ] {
            assert_eq!(masked_uri(uri), shown, "{uri}");
        }
    }

    #[test]
    fn headers_are_masked_unless_known_to_be_harmless() {
        let headers = json!({"Content-Type": "text/plain", "Authorization": "s3cret", "x-any": "s3cret"});
        let shown = json!({"Content-Type": "text/plain", "Authorization": "***", "x-any": "***"});
        for name in HEADERS {
            assert_eq!(masked(name, &headers), shown);
            assert_eq!(masked(name, &json!("Authorization: s3cret")), "***");
            assert_eq!(masked(name, &json!(5)), "***");
        }
        assert_eq!(masked("headers.x-any", &json!("s3cret")), "***");
        assert_eq!(masked("headers.content-type", &json!(1)), 1);
    }

    #[test]
    fn secrets_of_any_type_and_depth_are_masked() {
        for secret in [json!("s3cret"), json!(5), json!({"a": "s3cret"}), json!(["s3cret"])] {
            let document =
                json!({"a": [{"Password": secret}], "api_key": secret, "b": {"pvt_md5_auth": secret}});
            let shown = without_secrets(document.as_object().unwrap());
            let masked = json!({"a": [{"Password": "***"}], "api_key": "***", "b": {"pvt_md5_auth": "***"}});
            assert_eq!(Value::Object(shown), masked);
        }
        assert_eq!(masked("password", &Value::Null), Value::Null);
        for (body, shown) in [
            ("a=1&password=s3cret&b=2", "a=1&password=***&b=2"),
            ("a[headers][x-key]=s3cret&a[headers][accept]=b", "a[headers][x-key]=***&a[headers][accept]=b"),
            ("a=1&Pass%77ord=s3cret&api-key=s3cret&b", "a=1&Pass%77ord=***&api-key=***&b"),
            (
                "back=https%3A%2F%2Fme%3As3cret%40x.example%2F%3Fk%3Ds3cret&b=%3C+",
                "back=https%3A%2F%2F***%40x.example%2F%3Fk%3D***&b=%3C+",
            ),
            (r#"{"a": 1, "password": "s3cret"}"#, r#"{"a":1,"password":"***"}"#),
            (r#"{"a": 1}"#, r#"{"a": 1}"#),
        ] {
            assert_eq!(masked("req_body", &json!(body)), shown);
        }
    }
}
