//! A receiver that asks for time gets it, and one that is still down gets a single attempt instead of the whole
//! backlog.

use serde_json::json;

use crate::support::app::{Api, TestApp, call_event};
use crate::support::look::{LONG, document, patch, queue_when, settled};
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::eventually;

/// No hook is probed during a test.
const NO_PROBE: &str = "disable.probe_initial_ms=0";

/// Events of different calls, which do not wait for each other.
async fn publish(api: &Api, calls: std::ops::Range<u64>) {
    let events = calls.map(|n| call_event("CHANNEL_CREATE", &format!("c{n}"), n));
    api.publish(&events.collect::<Vec<_>>()).await;
}

async fn enabled(api: &Api, hook: &str, is: bool) {
    eventually("the hook is enabled or disabled", LONG, || async {
        (document(api, hook).await["enabled"] == is).then_some(())
    })
    .await;
}

#[tokio::test]
async fn six_429_with_retry_after_do_not_disable_the_hook_and_are_retried_later() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::by(|request| {
        if request.number <= 6 { Mood::answer(429, &[("Retry-After", "1")], "") } else { Mood::Ok }
    }));
    let mut app = TestApp::with(&[NO_PROBE, "delivery.per_hook_in_flight=1"]).await;
    let retry = json!({"max_attempts": 10, "initial_ms": 100});
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "retry": retry})).await;
    publish(&app.api, 0..20).await;
    let requests = receiver.wait_for(26, LONG).await;
    for pair in requests[..7].windows(2) {
        let waited = pair[1].at - pair[0].at;
        assert!(waited.as_millis() >= 900, "no call of the hook comes before the time is over: {waited:?}");
    }
    let queue = settled(&app.api, &hook).await;
    assert_eq!((&queue["dead"], &queue["recent_failures"]), (&json!(0), &json!(0)), "{queue}");
    enabled(&app.api, &hook, true).await;
    app.stop().await;
}

#[tokio::test]
async fn six_429_without_retry_after_disable_the_hook() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(429));
    let mut app = TestApp::with(&[NO_PROBE]).await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/")})).await;
    publish(&app.api, 0..20).await;
    enabled(&app.api, &hook, false).await;
    app.stop().await;
}

#[tokio::test]
async fn a_delivery_whose_receiver_always_asks_for_time_is_dead_after_its_tries() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::answer(503, &[("Retry-After", "1")], ""));
    let mut app = TestApp::with(&[NO_PROBE, "disable.window_ms=1000"]).await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "retries": 2})).await;
    publish(&app.api, 0..1).await;
    let queue = queue_when(&app.api, &hook, "it is dead", |queue| queue["dead"] == 1).await;
    assert_eq!(receiver.count(), 2, "{queue}");
    enabled(&app.api, &hook, true).await;
    app.stop().await;
}

#[tokio::test]
async fn after_a_re_enable_a_receiver_that_is_still_down_costs_one_attempt() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(500));
    let mut app = TestApp::with(&[NO_PROBE]).await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    publish(&app.api, 0..50).await;
    enabled(&app.api, &hook, false).await;
    queue_when(&app.api, &hook, "nothing is under way", |queue| queue["in_flight"] == 0).await;

    receiver.forget();
    patch(&app.api, &hook, json!({"enabled": true})).await;
    receiver.wait_for(1, LONG).await;
    enabled(&app.api, &hook, false).await;
    assert_eq!(document(&app.api, &hook).await["disable_reason"], "too many failed attempts");
    assert_eq!(receiver.count(), 1);

    let body = json!({"data": {"re-enable": true}});
    let answer = app.api.own("PATCH", "/webhooks", Some(body)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    receiver.wait_for(2, LONG).await;
    enabled(&app.api, &hook, false).await;
    queue_when(&app.api, &hook, "nothing is under way", |queue| queue["in_flight"] == 0).await;
    assert_eq!(receiver.count(), 2, "so does a re-enable of all hooks");

    receiver.mood(Mood::Ok);
    receiver.forget();
    patch(&app.api, &hook, json!({"enabled": true})).await;
    let queue = settled(&app.api, &hook).await;
    assert_eq!((&queue["dead"], receiver.count()), (&json!(0), 50), "the rest follows the success: {queue}");
    app.stop().await;
}

#[tokio::test]
async fn an_account_that_is_enabled_again_sends_one_delivery_first() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&[NO_PROBE]).await;
    let api = app.api.tenant("t").await;
    let hook = api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    let account = format!("/v2/accounts/{}", api.account);
    let set = async |is: bool| {
        let body = json!({"data": {"enabled": is}});
        let answer = app.api.call("PATCH", &account, Some(body)).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    };
    set(false).await;
    publish(&app.api.below(api.account.clone()), 0..50).await;
    receiver.mood(Mood::status(500));
    set(true).await;
    receiver.wait_for(1, LONG).await;
    enabled(&api, &hook, false).await;
    assert_eq!(receiver.count(), 1);
    app.stop().await;
}
