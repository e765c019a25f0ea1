//! Reads what a receiver got and what the program reports about a hook.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use super::app::{Api, call_event};
use super::receiver::Request;
use super::wait::eventually;

/// Long enough for a busy machine.
pub const LONG: Duration = Duration::from_secs(60);

/// The JSON body of a request.
pub fn body(request: &Request) -> Value {
    serde_json::from_slice(&request.body).unwrap()
}

/// The number that `call_event` gave the event.
pub fn number(request: &Request) -> u64 {
    body(request)["caller_id_number"].as_str().unwrap().parse().unwrap()
}

/// For each call, the event numbers in the order of their last tries, as a receiver that refused the earlier tries
/// knows them.
pub fn accepted_per_call(requests: &[Request]) -> HashMap<String, Vec<u64>> {
    let mut calls: HashMap<String, Vec<u64>> = HashMap::new();
    for request in requests {
        let call = body(request)["call_id"].as_str().unwrap().to_owned();
        let numbers = calls.entry(call).or_default();
        let number = number(request);
        if numbers.last() != Some(&number) {
            numbers.push(number);
        }
    }
    calls
}

/// Numbered creation events of one call.
pub fn events_of(call: &str, numbers: std::ops::Range<u64>) -> Vec<Value> {
    numbers.map(|n| call_event("CHANNEL_CREATE", call, n)).collect()
}

/// Waits until `enough` is true for the queue of a hook; returns the queue.
pub async fn queue_when(api: &Api, hook: &str, what: &str, enough: impl Fn(&Value) -> bool) -> Value {
    eventually(what, LONG, || async {
        let queue = api.queue(hook).await;
        enough(&queue).then_some(queue)
    })
    .await
}

/// Waits until a hook has processed the whole log, and nothing of it waits or is under way.
pub async fn settled(api: &Api, hook: &str) -> Value {
    queue_when(api, hook, "the hook's queue is settled", |q| {
        q["waiting"] == 0 && q["in_flight"] == 0 && q["cursor"] == q["log_end"]
    })
    .await
}

/// The attempts of a hook, newest first.
pub async fn attempts(api: &Api, hook: &str) -> Vec<Value> {
    let answer = api.own("GET", &format!("/webhooks/{hook}/attempts"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.data().as_array().unwrap().clone()
}

/// Waits for at least `n` attempts of a hook; newest first.
pub async fn attempts_when(api: &Api, hook: &str, n: usize) -> Vec<Value> {
    eventually("attempts are listed", LONG, || async {
        let rows = attempts(api, hook).await;
        (rows.len() >= n).then_some(rows)
    })
    .await
}

/// Changes fields of a hook.
pub async fn patch(api: &Api, hook: &str, fields: Value) -> Value {
    let answer = api.own("PATCH", &format!("/webhooks/{hook}"), Some(json!({"data": fields}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.data().clone()
}

/// A hook's document.
pub async fn document(api: &Api, hook: &str) -> Value {
    let answer = api.own("GET", &format!("/webhooks/{hook}"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.data().clone()
}
