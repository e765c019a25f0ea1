//! Every refusal of the API: KAZOO's codes, short names and details (`docs/kazoo/webhooks.md#refusals`).

mod of_steps;

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::commands::CommandError;
use crate::model::{MASK, masked};

/// A refusal: status, short name and details.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ApiError {
    pub(super) status: u16,
    pub(super) message: &'static str,
    /// The details; `None` for a response without a body (content negotiation).
    pub(super) data: Option<Value>,
    /// Seconds until a retry makes sense. Only with 429.
    pub(super) retry_after_s: Option<u64>,
}

impl ApiError {
    fn new(status: u16, message: &'static str, data: Value) -> Self {
        Self { status, message, data: Some(data), retry_after_s: None }
    }

    /// 400 with errors by field. Shows refused values, except those that are or may contain secrets.
    pub(super) fn fields(errors: Map<String, Value>) -> Self {
        Self::new(400, "validation error", Value::Object(without_values_that_are_secret(errors)))
    }

    /// 400 for one field.
    pub(super) fn field(field: &str, rule: &str, details: &Value) -> Self {
        Self::fields(Map::from_iter([(field.to_owned(), json!({rule: details}))]))
    }

    pub(super) fn missing(field: &str) -> Self {
        let message = "Field is required but missing";
        Self::field(field, "required", &json!({"message": message, "value": field}))
    }

    /// 400 for a body without `data`. `body` is shown in the details.
    pub(super) fn without_data(body: &Value) -> Self {
        let message = "Field is required but missing";
        Self::field("data", "required", &json!({"message": message, "value": body}))
    }

    /// 400 for a value of the wrong type.
    pub(super) fn wrong_type(field: &str, expected: &str, value: &Value) -> Self {
        let message = format!("Value did not match type(s): {expected}");
        Self::field(field, "type", &json!({"message": message, "target": expected, "value": value}))
    }

    pub(super) fn invalid_json(reason: &serde_json::Error) -> Self {
        let message = format!("{reason} around {}", reason.column());
        Self::field("json", "invalid", &json!({"message": message, "target": "body"}))
    }

    /// 401 for a missing or unknown token.
    pub(super) fn invalid_credentials() -> Self {
        Self::new(401, "invalid_credentials", json!({"message": "invalid credentials"}))
    }

    /// 401 for an expired token.
    pub(super) fn expired() -> Self {
        Self::new(401, "invalid credentials", json!({}))
    }

    /// 423 for correct credentials of a disabled account.
    pub(super) fn account_disabled() -> Self {
        Self::new(423, "locked", json!({"account": {"disabled": {"message": "account disabled"}}}))
    }

    pub(super) fn forbidden() -> Self {
        Self::new(403, "forbidden", json!({"message": "forbidden"}))
    }

    /// 403 for data that only a KAZOO has.
    pub(super) fn not_kept() -> Self {
        Self::new(
            403,
            "forbidden",
            json!({"message": "Switchhook does not route calls and does not store this"}),
        )
    }

    /// 403 for one event of several.
    pub(super) fn forbidden_event(index: usize, account: &str) -> Self {
        let message = format!("event {index} belongs to another account");
        Self::new(403, "forbidden", json!({"message": message, "index": index, "cause": account}))
    }

    /// 404 for a document that does not exist, or that the caller may not see.
    pub(super) fn unknown(id: &str) -> Self {
        Self::new(404, "bad_identifier", json!({"message": "bad identifier", "cause": id}))
    }

    /// 404 for an unknown identifier.
    pub(super) fn unknown_name(name: &str) -> Self {
        Self::new(404, "bad identifier", json!([name]))
    }

    /// 404 for an unknown API key. KAZOO repeats the key; here it is masked, because it may be a valid key with a typo.
    pub(super) fn unknown_key() -> Self {
        Self::new(404, "bad identifier", json!([MASK]))
    }

    pub(super) fn malformed_account(id: &str) -> Self {
        let message = match id {
            "" => "missing account_id".to_owned(),
            id => format!("invalid account_id '{id}'"),
        };
        Self::new(404, "bad identifier", json!({"message": message}))
    }

    pub(super) fn not_found() -> Self {
        Self::new(404, "not_found", json!({"message": "not found"}))
    }

    pub(super) fn faulty_request(message: &str) -> Self {
        Self::new(404, "faulty_request", json!({"message": message}))
    }

    pub(super) fn method_not_allowed() -> Self {
        Self::new(405, "invalid_method", json!({"message": "method not allowed"}))
    }

    pub(super) fn not_acceptable() -> Self {
        Self { status: 406, message: "", data: None, retry_after_s: None }
    }

    /// 415 for a compressed body.
    pub(super) fn unsupported_encoding() -> Self {
        let message = "the body has a Content-Encoding; send it as plain JSON, without this header";
        Self::new(415, "unsupported_content_encoding", json!({"message": message}))
    }

    pub(super) fn unsupported_media_type() -> Self {
        Self { status: 415, message: "", data: None, retry_after_s: None }
    }

    pub(super) fn slow_body() -> Self {
        Self::new(408, "request timeout", json!({"message": "the body did not arrive in time"}))
    }

    pub(super) fn broken_body() -> Self {
        let details = json!({"message": "the body ended early", "target": "body"});
        Self::field("json", "invalid", &details)
    }

    pub(super) fn conflict() -> Self {
        Self::new(409, "datastore_conflict", json!({"message": "conflicting documents"}))
    }

    /// 409 for a hook without a probe.
    pub(super) fn nothing_to_probe() -> Self {
        let message = "only a hook that was disabled because of failures is probed; enable this hook instead";
        Self::new(409, "no_probe", json!({"message": message}))
    }

    /// The reason, for a row about one of several things.
    pub(super) fn reason(&self) -> Value {
        json!({"message": self.message, "data": self.data})
    }

    /// 409 for what was imported from a KAZOO that is followed.
    pub(super) fn kazoos(what: &str) -> Self {
        let message = format!(
            "this {what} was imported from KAZOO, which is followed (kazoo.sync): change it there, and the change comes here"
        );
        Self::new(409, "read_only", json!({"message": message}))
    }

    /// 409 for an account with child accounts.
    pub(super) fn has_descendants(id: &str) -> Self {
        let data = json!({"message": "move or delete its child accounts first", "cause": id});
        Self::new(409, "account_has_descendants", data)
    }

    pub(super) fn gone() -> Self {
        Self::new(410, "gone", json!({"message": "this version of the API is no longer served"}))
    }

    /// 410 for a damaged record. Retrying does not help; everything else can be read.
    pub(super) fn damaged() -> Self {
        let message = "the record of this event in the log is damaged and cannot be read";
        Self::new(410, "gone", json!({"message": message}))
    }

    /// 413, naming what is too large.
    pub(super) fn too_large(field: &str, max: usize) -> Self {
        let message = format!("at most {max} bytes are allowed");
        let data = json!({field: {"maxSize": {"message": message, "target": max}}});
        Self::new(413, "validation error", data)
    }

    /// 413 for a body whose parsed values would take too much memory.
    pub(super) fn too_many_values(max: usize) -> Self {
        let message = format!("at most {max} values are allowed");
        let data = json!({"file": {"maxItems": {"message": message, "target": max}}});
        Self::new(413, "validation error", data)
    }

    pub(super) fn range_too_large() -> Self {
        Self::new(416, "range not satisfiable", json!({}))
    }

    pub(super) fn too_many() -> Self {
        Self::new(429, "too_many_requests", json!({"message": "too many requests"}))
    }

    /// 429 for an account that exceeds its rate, with the reason.
    pub(super) fn too_fast(message: &str, wait: Duration) -> Self {
        let retry_after_s = Some(wait.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX));
        Self { retry_after_s, ..Self::new(429, "too_many_requests", json!({"message": message})) }
    }

    pub(super) fn no_room() -> Self {
        Self::new(507, "insufficient storage", json!({"message": "no room on disk"}))
    }

    /// 400 for an unknown action.
    pub(super) fn invalid_data(errors: Map<String, Value>) -> Self {
        Self::new(400, "invalid data", Value::Object(without_values_that_are_secret(errors)))
    }

    /// The refusal for a failed question or command about the call `call_id`.
    pub(super) fn command(error: &CommandError, call_id: &str) -> Self {
        match error {
            CommandError::Unknown => return Self::unknown(call_id),
            CommandError::Busy(_) => return Self::too_many(),
            CommandError::NotBridged => {
                let details = json!({"message": error.for_client()});
                return Self::field("other_leg_call_id", "required", &details);
            }
            _ => tracing::warn!(call_id, reason = %error, "switches could not be reached"),
        }
        let status = if matches!(error, CommandError::NoAnswer(_)) { 504 } else { 503 };
        Self::new(status, "could not reach ecallmgr channels", json!({"message": error.for_client()}))
    }

    /// 503. The reason is logged but not shown to the client.
    pub(super) fn unavailable(reason: &dyn std::fmt::Display) -> Self {
        tracing::error!(%reason, "a request failed: {reason}");
        Self::new(503, "datastore_fault", json!({"message": "datastore fatal error"}))
    }
}

/// Masks refused values that are or may contain secrets. They are in `value` or `cause`.
fn without_values_that_are_secret(errors: Map<String, Value>) -> Map<String, Value> {
    let of_field = |(field, mut rules): (String, Value)| {
        for details in rules.as_object_mut().into_iter().flat_map(Map::values_mut) {
            let Value::Object(details) = details else { continue };
            for shown in ["value", "cause"] {
                if let Some(value) = details.get_mut(shown).filter(|value| **value != *field) {
                    *value = masked(&field, value);
                }
            }
        }
        (field, rules)
    };
    errors.into_iter().map(of_field).collect()
}
