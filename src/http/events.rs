//! `PUT …/events`: events from clients without a broker. A request's events are all accepted, or none.
//!
//! An event may name only accounts in the tree of the path's account. An event without an account belongs to the path's
//! account.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::call::Call;
use super::errors::ApiError;
use super::pieces;
use super::ports::{NewEvent, RequestKey};
use super::reply::Reply;
use crate::kazoo;
use crate::model::{AccountId, EventId, Payer, TraceContext};

/// The longest key, in bytes.
const MOST_KEY: usize = 255;

/// The body, parsed only as far as needed to find the bytes of the events.
#[derive(Deserialize)]
struct Raw<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
}

/// `PUT …/events`
pub(super) async fn create(call: &Call<'_>) -> Result<Reply, ApiError> {
    let account = call.account()?.id;
    let bodies = bodies(call)?;
    if bodies.is_empty() {
        return Err(ApiError::missing("data"));
    }
    // Before the rate is charged: a request with an unusable key is refused for free.
    let key = request_key(call, account, &bodies)?;
    take_rate(call, &bodies)?;
    let header = |name| call.request.header(name);
    let trace = header("traceparent").and_then(|parent| TraceContext::parse(parent, header("tracestate")));
    let mut events = Vec::with_capacity(bodies.len());
    for (index, body) in bodies.into_iter().enumerate() {
        check(call, account, index, &body)?;
        events.push(NewEvent { account, body, trace: trace.clone() });
    }
    Ok(answer_of(&call.api.events.submit(events, key).await?))
}

/// The response for accepted events.
pub(super) fn answer_of(ids: &[EventId]) -> Reply {
    let data = json!({
        "offsets": ids.iter().map(|id| id.offset).collect::<Vec<_>>(),
        "event_ids": ids.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    Reply { status: 201, ..Reply::ok(data) }
}

/// The unparsed events of a body that is only almost JSON.
fn pieces_of(body: &Bytes) -> Option<Vec<Bytes>> {
    let members = pieces::members(body)?;
    let (_, data) = members.into_iter().find(|(name, _)| name.eq_ignore_ascii_case("data"))?;
    if data.first() != Some(&b'[') {
        return Some(vec![body.slice_ref(data)]);
    }
    Some(pieces::elements(data)?.into_iter().map(|event| body.slice_ref(event)).collect())
}

/// The key of the request: `Idempotency-Key`, or with `?idempotency=msg_id` the `Msg-ID` of its only event.
fn request_key(
    call: &Call<'_>,
    account: AccountId,
    bodies: &[Bytes],
) -> Result<Option<RequestKey>, ApiError> {
    let refuse =
        |field: &str, message: String| Err(ApiError::field(field, "invalid", &json!({"message": message})));
    if let Some(key) = call.request.header("idempotency-key") {
        if key.is_empty() || key.len() > MOST_KEY || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let message =
                format!("Idempotency-Key must have 1 to {MOST_KEY} printable ASCII characters, no spaces");
            return refuse("Idempotency-Key", message);
        }
        return Ok(Some(RequestKey { account, key: format!("key:{key}") }));
    }
    match call.request.query("idempotency") {
        None => Ok(None),
        Some("msg_id") => {
            let [body] = bodies else {
                return refuse("idempotency", "msg_id is for requests with one event".to_owned());
            };
            let facts = kazoo::reading(body).ok().and_then(|reading| kazoo::facts(&reading.body).ok());
            match facts.map(|facts| facts.msg_id).filter(|id| !id.is_empty() && id.len() <= MOST_KEY) {
                Some(id) => Ok(Some(RequestKey { account, key: format!("msg:{id}") })),
                None => refuse("idempotency", format!("the event has no Msg-ID of 1 to {MOST_KEY} bytes")),
            }
        }
        Some(other) => refuse("idempotency", format!("'{other}' is unknown; use msg_id")),
    }
}

/// Charges the events to the rate of the caller's account.
fn take_rate(call: &Call<'_>, bodies: &[Bytes]) -> Result<(), ApiError> {
    let Some(caller) = call.caller.filter(|_| !call.is_master()) else { return Ok(()) };
    let bytes = bodies.iter().map(Bytes::len).sum();
    let payer = Payer { account: caller.account, tenant: call.api.state.tenant_of(caller.account) };
    let taken = call.api.intake.take(payer, bodies.len(), bytes);
    let message = "account hands in events too fast (ingest.http_bytes_per_second)";
    taken.map_err(|wait| ApiError::too_fast(message, wait))
}

fn bodies(call: &Call<'_>) -> Result<Vec<Bytes>, ApiError> {
    if let Ok(raw) = serde_json::from_slice::<Raw<'_>>(&call.request.body) {
        let text = raw.data.get();
        if !text.starts_with('[') {
            return Ok(vec![Bytes::copy_from_slice(text.as_bytes())]);
        }
        let all: Vec<&RawValue> = serde_json::from_str(text).map_err(|e| ApiError::invalid_json(&e))?;
        return Ok(all.into_iter().map(|one| Bytes::copy_from_slice(one.get().as_bytes())).collect());
    }
    if serde_json::from_slice::<&RawValue>(&call.request.body).is_err() {
        // The body is only almost JSON, so each event is repaired when it is accepted.
        return Ok(pieces_of(&call.request.body).unwrap_or_default());
    }
    // The envelope's member names are in another case, so the events are serialised again.
    let data = call.envelope.members.as_ref().and_then(|members| members.get("data"));
    Ok(match data {
        None => Vec::new(),
        Some(Value::Array(all)) => all.iter().map(|one| Bytes::from(one.to_string())).collect(),
        Some(one) => vec![Bytes::from(one.to_string())],
    })
}

/// Checks that the path's account may hand in this event.
pub(super) fn check(call: &Call<'_>, account: AccountId, index: usize, body: &[u8]) -> Result<(), ApiError> {
    let facts = kazoo::reading(body).and_then(|reading| kazoo::facts(&reading.body)).map_err(|reason| {
        let details = json!({"message": reason.to_string(), "target": index});
        ApiError::field(&format!("data.{index}"), "invalid", &details)
    })?;
    match facts.account {
        Some(named) if !call.api.state.is_ancestor_or_self(account, named) => {
            Err(ApiError::forbidden_event(index, &named.to_string()))
        }
        _ => Ok(()),
    }
}
