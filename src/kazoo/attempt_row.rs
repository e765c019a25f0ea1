//! An attempt as a row of KAZOO's attempts API: its field names and its way of counting, plus our own ids.

use serde_json::{Value, json};

use super::Object;
use crate::model::{
    AttemptResult, Event, Family, Hook, HookId, Phases, Response, Trigger, gregorian_seconds, masked_uri,
};

/// The known parts of an attempt.
#[derive(Debug, Clone, Copy)]
pub struct AttemptParts<'a> {
    /// The hook's id.
    pub hook_id: HookId,
    /// The hook at the time of the request; `None` when that state is no longer known.
    pub hook: Option<&'a Hook>,
    /// The event; `None` when it has been removed or cannot be read.
    pub event: Option<&'a Event<'a>>,
    /// `event_id`: the same for all tries of a delivery.
    pub event_id: &'a str,
    /// `delivery_id`, as the receiver gets it in `webhook-id`.
    pub delivery_id: &'a str,
    /// 1 for the first try.
    pub attempt: u16,
    /// Bound of the delivery's tries.
    pub max_tries: u16,
    /// The request's body, if there was a request and the body is known.
    pub body: Option<&'a [u8]>,
    /// The request's headers, if there was a request and they are known.
    pub headers: Option<&'a Object>,
    /// How it ended.
    pub result: &'a AttemptResult,
    /// Whether the result counts as delivered.
    pub delivered: bool,
    /// Duration.
    pub duration_us: u64,
    /// Durations of the phases.
    pub phases: Phases,
    /// Time of the end, microseconds since 1970.
    pub ended_us: u64,
}

/// All fields that a row may have.
pub const ATTEMPT_FIELDS: [&str; 27] = [
    "hook_id",
    "hook_revision",
    "hook_event",
    "event_id",
    "event_type",
    "event_name",
    "subject",
    "mended",
    "delivery_id",
    "attempt",
    "timestamp",
    "result",
    "reason",
    "client_error",
    "client_error_detail",
    "resp_status_code",
    "duration_ms",
    "timings",
    "method",
    "uri",
    "try",
    "retries",
    "retries_left",
    "req_headers",
    "req_body",
    "resp_headers",
    "resp_body",
];

/// Builds the row of an attempt. Header names are in lower case, as in KAZOO; values are unchanged.
///
/// Fields that depend on the hook are left out when the hook at the time of the request is not known: today's hook
/// might make another request.
#[must_use]
pub fn attempt_row(parts: &AttemptParts<'_>) -> Object {
    let mut row = Object::new();
    let mut put = |key: &str, value: Value| {
        row.insert(key.to_owned(), value);
    };
    put("hook_id", parts.hook_id.to_string().into());
    put("event_id", parts.event_id.into());
    put("delivery_id", parts.delivery_id.into());
    put("attempt", parts.attempt.into());
    if let Some(hook) = parts.hook {
        put("hook_event", hook_event(hook).into());
        put("hook_revision", (*hook.revision).into());
        put("uri", masked_uri(&hook.uri).into());
        put("method", hook.verb.id().into());
    }
    if let Some(event) = parts.event {
        put(
            "event_type",
            event.family.map_or_else(|| event.category.to_owned(), |family| family.id().to_owned()).into(),
        );
        put("event_name", event.name.into());
        put("subject", event.subject.into());
        if !event.mended.is_nothing() {
            put("mended", event.mended.names().collect::<Vec<_>>().into());
        }
    }
    if let Some(headers) = parts.headers {
        put("req_headers", Value::Object(headers.clone()));
    }
    if let Some(body) = parts.body {
        put("req_body", String::from_utf8_lossy(body).into_owned().into());
    }
    let result = match parts.result {
        AttemptResult::Shadow(_) => "shadow",
        _ if parts.delivered => "success",
        _ => "failure",
    };
    put("result", result.into());
    put("duration_ms", (parts.duration_us / 1000).into());
    if !parts.phases.is_empty() {
        put("timings", timings(parts.phases, parts.duration_us));
    }
    put("timestamp", gregorian_seconds(parts.ended_us).into());
    row.extend(outcome(parts));
    row
}

/// The phases of an attempt in a row; `null` for a phase that did not occur.
#[must_use]
pub fn timings(phases: Phases, duration_us: u64) -> Value {
    json!({
        "name_us": phases.name_us, "connect_us": phases.connect_us, "tls_us": phases.tls_us,
        "first_byte_us": phases.first_byte_us, "total_us": duration_us,
    })
}

/// KAZOO's internal name: channel events in upper case.
fn hook_event(hook: &Hook) -> String {
    match hook.trigger {
        Trigger::All => "all".to_owned(),
        Trigger::Family(
            family @ (Family::ChannelCreate
            | Family::ChannelAnswer
            | Family::ChannelBridge
            | Family::ChannelDestroy),
        ) => family.id().to_ascii_uppercase(),
        Trigger::Family(family) => family.id().to_owned(),
    }
}

fn lower(headers: &[(String, String)]) -> impl Iterator<Item = (String, Value)> {
    headers.iter().map(|(name, value)| (name.to_ascii_lowercase(), value.clone().into()))
}

/// The fields that depend on the result. KAZOO counts tries down and shows the counter from before the attempt: as
/// `try` after an HTTP answer, as `retries` without one.
fn outcome(parts: &AttemptParts<'_>) -> Object {
    let counter = parts.max_tries.saturating_sub(parts.attempt.saturating_sub(1)).max(1);
    let left = |left: u16| if counter <= 1 { Value::from("retries exceeded") } else { left.into() };
    let mut out = Object::new();
    match parts.result {
        AttemptResult::Answered(response) => {
            if !parts.delivered {
                out.insert("reason".to_owned(), "bad response code".into());
                out.insert("try".to_owned(), counter.into());
                out.insert("retries_left".to_owned(), left(counter - 1));
            }
            put_response(&mut out, response);
        }
        AttemptResult::Failed(_) => {
            out.insert("reason".to_owned(), "kazoo http client error".into());
            put_client_error(&mut out, parts.result);
            out.insert("retries".to_owned(), counter.into());
            out.insert("retries_left".to_owned(), left(counter));
        }
        AttemptResult::Ours(_) => {
            out.insert("reason".to_owned(), "switchhook could not make the attempt".into());
            put_client_error(&mut out, parts.result);
        }
        AttemptResult::Unsendable(_) => {
            out.insert("reason".to_owned(), "the event can never be sent".into());
            put_client_error(&mut out, parts.result);
        }
        AttemptResult::NothingToSend => {
            out.insert("reason".to_owned(), "nothing to send".into());
        }
        AttemptResult::Expired => {
            out.insert("reason".to_owned(), "event expired".into());
        }
        AttemptResult::Shadow(met) => {
            let (reason, answer) = match met.as_deref() {
                Some(AttemptResult::Answered(response)) => ("shadow: sent to the sink", Some(response)),
                _ => ("shadow: not sent", None),
            };
            out.insert("reason".to_owned(), reason.into());
            put_client_error(&mut out, parts.result);
            if let Some(response) = answer {
                put_response(&mut out, response);
            }
        }
    }
    out
}

fn put_client_error(out: &mut Object, result: &AttemptResult) {
    let fields =
        [("client_error", result.client_error()), ("client_error_detail", result.client_error_detail())];
    out.extend(fields.into_iter().filter_map(|(name, text)| Some((name.to_owned(), text?.into()))));
}

fn put_response(out: &mut Object, response: &Response) {
    out.insert("resp_status_code".to_owned(), response.status.to_string().into());
    out.insert("resp_headers".to_owned(), Value::Object(lower(&response.headers).collect()));
    out.insert("resp_body".to_owned(), String::from_utf8_lossy(&response.body).into_owned().into());
}

#[cfg(test)]
#[path = "attempt_row_tests.rs"]
mod tests;
