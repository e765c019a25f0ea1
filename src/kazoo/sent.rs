//! A hook's request settings as a document for the ledger, and the request headers of an attempt.
//!
//! The document contains no secret: `model/secrets.rs`, the only masking rule of the program, is applied to it.

use serde_json::{Value, json};
use url::Url;

use super::document::hook_from_document;
use super::{Object, WireRequest};
use crate::model::{Event, Hook, MASK, Secret, Sent, Trigger, fields_weight, masked, masked_uri};

/// The user agent of deliveries.
pub const USER_AGENT: &str = concat!("switchhook/", env!("CARGO_PKG_VERSION"));

/// Most bytes of `custom_data` and `modifiers` together that are stored with each revision. A body with more data can
/// be shown only while the hook still has that revision.
const MOST_DATA: usize = 8 << 10;
/// A hook at the time of a request.
#[derive(Debug, Clone)]
pub struct AsSent {
    /// The hook. Only the fields that requests depend on are those of that time.
    pub hook: Hook,
    /// The user agent of that time.
    user_agent: String,
    /// Whether all data was stored, so that a body can be rebuilt.
    pub has_data: bool,
}

impl AsSent {
    /// The hook as it is now.
    #[must_use]
    pub fn of(hook: &Hook) -> Self {
        Self { hook: hook.clone(), user_agent: USER_AGENT.to_owned(), has_data: true }
    }

    /// The hook from the ledger's document; `now` is today's hook.
    #[must_use]
    pub fn read(now: &Hook, mut document: Object) -> Option<Self> {
        document.insert("_id".to_owned(), now.id.to_string().into());
        document.insert("pvt_account_id".to_owned(), now.account.to_string().into());
        let text = |name: &str| document.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
        let user_agent = text("user_agent");
        let flag = |name: &str| document.get(name) == Some(&Value::Bool(true));
        let (is_signed, lacks_data) = (flag("signed"), flag("data_left_out"));
        let mut hook = hook_from_document(&document).ok()?;
        let is_whole = !lacks_data || now.revision == hook.revision;
        if is_signed {
            // The record says only that the request was signed. An empty secret makes the masked header appear.
            hook.secrets = vec![Secret { key: Vec::new(), until_s: None }];
        }
        if lacks_data && is_whole {
            hook.custom_data.clone_from(&now.custom_data);
            hook.modifiers.clone_from(&now.modifiers);
        }
        Some(Self { hook, user_agent, has_data: is_whole })
    }
}

/// A former revision of a hook with its present secrets, so that its request can be sent again; revisions
/// are stored without secrets. The flag is false if a secret of that time has no present counterpart and stays masked.
#[must_use]
pub fn with_secrets_of(then: &Hook, now: &Hook) -> (Hook, bool) {
    if then.revision == now.revision {
        return (now.clone(), true);
    }
    let mut hook = then.clone();
    hook.secrets = if then.secrets.is_empty() { Vec::new() } else { now.secrets.clone() };
    // The URIs differ at most in what is masked, so the present secret belongs in the same place.
    if masked_uri(&now.uri) == then.uri {
        hook.uri.clone_from(&now.uri);
    }
    for (name, value) in hook.headers.iter_mut().filter(|(_, value)| value.contains(MASK)) {
        let same =
            now.headers.iter().find(|(present, shown)| present == name && shown_value(name, shown) == *value);
        if let Some((_, present)) = same {
            value.clone_from(present);
        }
    }
    let is_masked = hook.uri.contains(MASK) || hook.headers.iter().any(|(_, value)| value.contains(MASK));
    (hook, !is_masked)
}

/// The document for the ledger.
#[must_use]
pub fn sent_document(hook: &Hook) -> Object {
    let trigger = match hook.trigger {
        Trigger::All => "all",
        Trigger::Family(family) => family.id(),
    };
    let headers: Object =
        hook.headers.iter().map(|(name, value)| (name.clone(), shown_value(name, value).into())).collect();
    let mut out = Object::new();
    let mut put = |name: &str, value: Value| {
        out.insert(name.to_owned(), value);
    };
    put("_rev", (*hook.revision).into());
    put("user_agent", USER_AGENT.into());
    put("hook", trigger.into());
    put("uri", masked_uri(&hook.uri).into());
    put("http_verb", hook.verb.id().into());
    if hook.format == crate::model::Format::Json {
        put("format", "json".into());
    }
    if !headers.is_empty() {
        put("headers", headers.into());
    }
    if !hook.secrets.is_empty() {
        put("signed", true.into());
    }
    let data = [("custom_data", &hook.custom_data), ("modifiers", &hook.modifiers)];
    let weight: usize = data.iter().filter_map(|(_, fields)| fields.as_deref()).map(fields_weight).sum();
    if weight > MOST_DATA {
        put("data_left_out", true.into());
    } else {
        for (name, fields) in data {
            if let Some(fields) = fields {
                put(name, json!(fields));
            }
        }
    }
    out
}

/// The parts of a request's headers that do not come from the hook.
#[derive(Debug, Clone, Copy)]
pub struct RequestParts<'a> {
    /// The request.
    pub request: &'a WireRequest,
    /// Its event.
    pub event: &'a Event<'a>,
    /// `x-event-id`.
    pub event_id: &'a str,
    /// `webhook-id`.
    pub delivery_id: &'a str,
    /// 1 for the first try.
    pub attempt: u16,
    /// The parts that only this request had; `None` when an older record does not have them.
    pub sent: Option<Sent>,
    /// End of the attempt, microseconds since 1970.
    pub ended_us: u64,
    /// Whether a replay made it.
    pub is_replay: bool,
}

/// All headers of a request as sent, with names in lower case and secrets masked.
#[must_use]
pub fn request_headers(sent: &AsSent, parts: &RequestParts<'_>) -> Object {
    let hook = &sent.hook;
    let mut out = Object::new();
    let mut put = |name: &str, value: String| {
        out.insert(name.to_ascii_lowercase(), value.into());
    };
    let url = Url::parse(&hook.uri).ok();
    put("user-agent", sent.user_agent.clone());
    put("accept", "*/*".to_owned());
    put("x-hook-id", hook.id.to_string());
    put("x-account-id", hook.account.to_string());
    if url.as_ref().is_some_and(|url| !url.username().is_empty() || url.password().is_some()) {
        put("authorization", MASK.to_owned());
    }
    let host = url.as_ref().and_then(Url::host_str);
    if let Some(host) = host {
        let port = url.as_ref().and_then(Url::port).map(|port| format!(":{port}"));
        put("host", format!("{host}{}", port.unwrap_or_default()));
    }
    for (name, value) in &hook.headers {
        put(name, shown_value(name, value));
    }
    if let Some(content_type) = parts.request.content_type {
        put("content-type", content_type.to_owned());
        put("content-length", parts.request.body.len().to_string());
    }
    put("webhook-id", parts.delivery_id.to_owned());
    put("x-event-id", parts.event_id.to_owned());
    put("x-attempt", parts.attempt.to_string());
    if !hook.secrets.is_empty() {
        put("webhook-signature", MASK.to_owned());
    }
    if let Some(request) = parts.sent {
        put("webhook-timestamp", (parts.ended_us / 1_000_000).saturating_sub(request.ago_s).to_string());
        if let (Some(span), Some(id)) = (parts.event.trace, request.span_id) {
            put("traceparent", span.child(id).to_string());
            if !parts.event.trace_state.is_empty() {
                put("tracestate", parts.event.trace_state.to_owned());
            }
        }
    }
    if parts.is_replay {
        put("x-replay", "true".to_owned());
    }
    out
}

fn shown_value(name: &str, value: &str) -> String {
    let shown = masked(&format!("headers.{name}"), &value.into());
    shown.as_str().unwrap_or(MASK).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Format, Verb};

    fn hook() -> Hook {
        let document = json!({
            "_id": "e".repeat(32), "pvt_account_id": "f".repeat(32), "_rev": "7-abc", "hook": "channel_create",
            "uri": "https://u:pa55@r.example/a?b=c", "http_verb": "put", "format": "json", "secret": "whsec_c2VjcmV0",
            "headers": {"X-Api-Key": "k3y", "Accept": "text/plain"}, "custom_data": {"a": "b"},
        });
        hook_from_document(document.as_object().unwrap()).unwrap()
    }

    #[test]
    fn a_stored_revision_has_no_secret_and_yields_the_hook() {
        let hook = hook();
        let document = sent_document(&hook);
        let text = Value::Object(document.clone()).to_string();
        for secret in ["pa55", "k3y", "c2VjcmV0", "secret"] {
            assert!(!text.contains(secret), "{text}");
        }
        let again = AsSent::read(&Hook { uri: "http://other.example/".to_owned(), ..hook.clone() }, document);
        let again = again.unwrap();
        assert_eq!(again.hook.uri, "https://***@r.example/a?b=***");
        assert_eq!(
            (again.hook.verb, again.hook.format, again.hook.generation()),
            (Verb::Put, Format::Json, 7)
        );
        assert_eq!((&again.hook.custom_data, again.hook.secrets.len()), (&hook.custom_data, 1));
        let headers =
            [("X-Api-Key".to_owned(), MASK.to_owned()), ("Accept".to_owned(), "text/plain".to_owned())];
        assert_eq!(again.hook.headers, headers);
    }

    #[test]
    fn a_former_revision_gets_the_secrets_that_are_still_the_same() {
        let now = hook();
        let document = sent_document(&now);
        let changed = Hook { revision: "8-def".into(), verb: Verb::Post, ..now.clone() };
        let then = AsSent::read(&changed, document.clone()).unwrap().hook;
        let (again, is_complete) = with_secrets_of(&then, &changed);
        assert!(is_complete);
        assert_eq!((again.verb, &again.uri, &again.headers), (Verb::Put, &now.uri, &now.headers));
        assert_eq!(again.secrets, now.secrets);
        let moved = Hook { uri: "https://u:pa55@other.example/".to_owned(), ..changed };
        let then = AsSent::read(&moved, document).unwrap().hook;
        let (again, is_complete) = with_secrets_of(&then, &moved);
        assert!(
            !is_complete && again.uri == "https://***@r.example/a?b=***",
            "no secret goes to another address"
        );
    }

    #[test]
    fn data_too_large_to_store_is_taken_from_the_hook_only_at_the_same_revision() {
        let mut hook = hook();
        let large = json!({"a": "b".repeat(MOST_DATA + 1)});
        hook.custom_data = large.as_object().cloned().map(Box::new);
        let document = sent_document(&hook);
        assert!(Value::Object(document.clone()).to_string().len() < 1000);
        let same = AsSent::read(&hook, document.clone()).unwrap();
        assert_eq!((same.has_data, &same.hook.custom_data), (true, &hook.custom_data));
        hook.revision = "8-def".into();
        assert!(!AsSent::read(&hook, document).unwrap().has_data);
    }
}
