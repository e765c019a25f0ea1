//! `PUT …/events`: events from a client without a broker. All of a request are taken, or none.
//!
//! An event may name an account only within the tree of the path's account; one that names none is the
//! path's account's own.

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::call::Call;
use super::errors::ApiError;
use super::ports::NewEvent;
use super::reply::Reply;
use crate::kazoo;
use crate::model::{AccountId, TraceContext};

/// Just enough of the body to find the events' bytes as they came.
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
    take_rate(call, &bodies)?;
    let header = |name| call.request.header(name);
    let trace = header("traceparent").and_then(|parent| TraceContext::parse(parent, header("tracestate")));
    let mut events = Vec::with_capacity(bodies.len());
    for (index, body) in bodies.into_iter().enumerate() {
        check(call, account, index, &body)?;
        events.push(NewEvent { account, body, trace: trace.clone() });
    }
    let ids = call.api.events.submit(events).await?;
    let data = json!({
        "offsets": ids.iter().map(|id| id.offset).collect::<Vec<_>>(),
        "event_ids": ids.iter().map(ToString::to_string).collect::<Vec<_>>(),
    });
    Ok(Reply { status: 201, ..Reply::ok(data) })
}

/// Takes the events out of the rate of the account whose token hands them in.
fn take_rate(call: &Call<'_>, bodies: &[Bytes]) -> Result<(), ApiError> {
    let Some(caller) = call.caller.filter(|_| !call.is_master()) else { return Ok(()) };
    let bytes = bodies.iter().map(Bytes::len).sum();
    let taken = call.api.intake.take(caller.account, bodies.len(), bytes);
    let message = "account hands in too much at once (ingest.http_bytes_per_second)";
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
    // The envelope's names in another case: the events are written anew.
    let data = call.envelope.members.as_ref().and_then(|members| members.get("data"));
    Ok(match data {
        None => Vec::new(),
        Some(Value::Array(all)) => all.iter().map(|one| Bytes::from(one.to_string())).collect(),
        Some(one) => vec![Bytes::from(one.to_string())],
    })
}

fn check(call: &Call<'_>, account: AccountId, index: usize, body: &[u8]) -> Result<(), ApiError> {
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
