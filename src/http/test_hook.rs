//! `POST …/webhooks/{H}/test`: sends a sample now, beside the queue. It does not matter whether hook or account are
//! enabled or paused, and the result has no effect on them.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::call::Call;
use super::errors::ApiError;
use super::reply::Reply;
use crate::kazoo;
use crate::model::{AttemptResult, Hook, Tested};
use crate::queues::{Class, classify};

/// 200 with request, response and time, whatever the receiver answered; 429 when too many tests are under way.
pub(super) async fn send(call: &Call<'_>, hook: &str) -> Result<Reply, ApiError> {
    let (_, doc) = call.hook(hook)?;
    let hook = kazoo::hook_from_document(&doc).map_err(|_| ApiError::unknown(hook))?;
    // The sample is sent even if the hook's modifiers would exclude it.
    let hook = Arc::new(Hook { modifiers: None, ..hook });
    let record = kazoo::sample_record(&hook).unwrap_or_default();
    let tested = call.api.tester.test(hook.clone(), record.into()).await;
    Ok(Reply::ok(tested_row(&hook, &tested.ok_or_else(ApiError::too_many)?)))
}

fn tested_row(hook: &Hook, tested: &Tested) -> Value {
    let is_delivered = classify(hook, &tested.result) == Class::Delivered;
    let request = tested.request.as_ref().map(|request| {
        json!({
            "method": request.method, "uri": request.uri, "headers": headers(&request.headers),
            "body": String::from_utf8_lossy(&request.body),
        })
    });
    let (response, error) = match &tested.result {
        AttemptResult::Answered(response) => {
            let body = String::from_utf8_lossy(&response.body);
            let shown =
                json!({"status": response.status, "headers": headers(&response.headers), "body": body});
            (shown, Value::Null)
        }
        unanswered => (Value::Null, unanswered.client_error().unwrap_or("nothing to send").into()),
    };
    json!({
        "hook_id": hook.id, "delivery_id": tested.delivery_id,
        "result": if is_delivered { "success" } else { "failure" },
        "duration_ms": tested.duration_us / 1000, "request": request, "response": response,
        "timings": kazoo::timings(tested.phases, tested.duration_us), "client_error": error, "client_error_detail": tested.result.client_error_detail(),
    })
}

/// Joins headers of the same name, as HTTP allows.
fn headers(all: &[(String, String)]) -> Map<String, Value> {
    let mut out = Map::new();
    for (name, value) in all {
        let joined = out.get(name).and_then(Value::as_str).map(|before| format!("{before}, {value}"));
        out.insert(name.clone(), joined.unwrap_or_else(|| value.clone()).into());
    }
    out
}
