//! Events that arrive before their account is known: they wait, and then go to the hooks in order.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::support::app::{TestApp, call_event};
use super::super::support::receiver::{Receiver, Request};
use super::super::support::wait::eventually;

const SOON: Duration = Duration::from_secs(20);
const NEW: &str = "b13fd1e2a7c94d5f8e0a6c3d9b2f4e71";
const OTHER: &str = "c24fd1e2a7c94d5f8e0a6c3d9b2f4e72";

/// A call event of an account that it names.
fn event(account: &str, call: &str, number: u64) -> Value {
    let mut event = call_event("CHANNEL_CREATE", call, number);
    event["Custom-Channel-Vars"] = json!({"Account-ID": account});
    event
}

/// The caller's number of each request, in the order in which they came.
fn numbers(requests: &[Request]) -> Vec<u64> {
    let body = |request: &Request| serde_json::from_str::<Value>(request.text()).unwrap();
    requests
        .iter()
        .map(|request| body(request)["caller_id_number"].as_str().unwrap().parse().unwrap())
        .collect()
}

/// Creates a hook of this receiver for calls of its account and all accounts below.
fn with_subaccounts(receiver: &Receiver, path: &str, ordering: &str) -> Value {
    json!({"uri": receiver.uri(&format!("/{path}")), "http_verb": "post", "format": "json", "ordering": ordering,
        "include_subaccounts": true})
}

async fn make_account(app: &TestApp, id: &str) {
    let body = json!({"data": {"id": id, "name": format!("customer {id}")}});
    let made = app.api.own("PUT", "", Some(body)).await;
    assert_eq!(made.status, 201, "{made:?}");
}

/// Waits until the status of events that wait for accounts is `wanted`.
async fn status_says(app: &TestApp, wanted: impl Fn(&Value) -> bool) -> Value {
    eventually("the status tells of events that wait for accounts", SOON, || async {
        let status = app.api.call("GET", "/admin/status", None).await;
        Some(status.data()["unknown_accounts"].clone()).filter(&wanted)
    })
    .await
}

#[tokio::test]
async fn a_new_customers_first_call_reaches_their_hooks_although_the_account_came_later() {
    let receiver = Receiver::start().await;
    let app = TestApp::start().await;
    // The windows of the last two hooks are always full, so that the waiting events must be read from the log.
    for ordering in ["subject", "hook", "none"] {
        app.api.hook(with_subaccounts(&receiver, ordering, ordering)).await;
    }
    let mine = app.api.account.clone();
    app.hand_in(&[
        event(NEW, "first", 1),
        event(&mine, "mine", 100),
        event(NEW, "first", 2),
        event(NEW, "second", 3),
    ])
    .await;
    app.hand_in(&[event(OTHER, "never", 7)]).await;
    let waiting = status_says(&app, |unknown| unknown["events_waiting"] == 4).await;
    assert_eq!((&waiting["accounts"], &waiting["given_up"]), (&json!(2), &json!(0)));
    for ordering in ["subject", "hook", "none"] {
        receiver.wait_until(SOON, |all| all.iter().any(|r| r.path == format!("/{ordering}"))).await;
    }

    make_account(&app, NEW).await;
    app.hand_in(&[event(NEW, "first", 4)]).await;
    let own = json!({"uri": receiver.uri("/own"), "http_verb": "post", "format": "json"});
    app.api.hook_of(NEW, own).await;
    app.hand_in(&[event(NEW, "first", 5)]).await;

    for ordering in ["subject", "hook", "none"] {
        let path = format!("/{ordering}");
        receiver.wait_until(SOON, |all| all.iter().filter(|r| r.path == path).count() >= 6).await;
    }
    receiver.wait_until(SOON, |all| all.iter().filter(|r| r.path == "/own").count() >= 5).await;
    let got = |path: &str| numbers(&receiver.requests_at(path));
    assert_eq!(got("/hook"), [100, 1, 2, 3, 4, 5]);
    for path in ["/subject", "/own"] {
        let call: Vec<u64> = got(path).into_iter().filter(|number| ![3, 100].contains(number)).collect();
        assert_eq!(call, [1, 2, 4, 5], "{path}: a call's events come in their order");
    }
    let mut unordered = got("/none");
    unordered.sort_unstable();
    assert_eq!(unordered, [1, 2, 3, 4, 5, 100]);
    let left = status_says(&app, |unknown| unknown["routed"] == 3).await;
    assert_eq!((&left["events_waiting"], &left["accounts"]), (&json!(1), &json!(1)));
}

#[tokio::test]
async fn events_that_wait_outlast_a_restart_and_a_full_window_and_are_delivered_once() {
    let receiver = Receiver::start().await;
    let settings = ["queues.window=2", "queues.lane=1"];
    let mut app = TestApp::with(&settings).await;
    for ordering in ["subject", "hook"] {
        app.api.hook(with_subaccounts(&receiver, ordering, ordering)).await;
    }
    let mine = app.api.account.clone();
    let calls =
        |from: u64| (from..from + 6).map(|n| event(NEW, &format!("call {}", n % 2), n)).collect::<Vec<_>>();
    app.hand_in(&calls(0)).await;
    app.hand_in(&[event(&mine, "mine", 100)]).await;
    receiver.wait_for(2, SOON).await;
    status_says(&app, |unknown| unknown["events_waiting"] == 6).await;

    app.restart(None).await;
    status_says(&app, |unknown| unknown["events_waiting"] == 6).await;
    make_account(&app, NEW).await;
    app.hand_in(&calls(6)).await;
    receiver.wait_for(26, SOON).await;
    // Delivered events are still settled after the next start.
    app.restart(None).await;
    app.hand_in(&[event(&mine, "mine", 101)]).await;
    let all = receiver.wait_until(SOON, |all| numbers(all).iter().filter(|n| **n == 101).count() == 2).await;
    assert_eq!(all.len(), 28, "{:?}", numbers(&all));
    for (path, parity) in [("/subject", 0), ("/subject", 1), ("/hook", 0), ("/hook", 1)] {
        let all = numbers(&receiver.requests_at(path));
        let call: Vec<u64> = all.into_iter().filter(|n| *n < 100 && n % 2 == parity).collect();
        assert_eq!(call, (parity..12).step_by(2).collect::<Vec<_>>(), "{path}");
    }
}

#[tokio::test]
async fn events_that_wait_for_an_account_are_bounded_and_dropped_ones_are_counted_and_named() {
    let app = TestApp::with(&["accounts.unknown_wait_bytes=4000", "accounts.unknown_wait_s=1"]).await;
    app.hand_in(&[event(OTHER, "kept", 0)]).await;
    let flood: Vec<Value> = (0..50).map(|n| event(NEW, "flood", n)).collect();
    app.hand_in(&flood).await;
    let waiting = status_says(&app, |unknown| unknown["no_room"].as_u64() > Some(30)).await;
    assert!(waiting["bytes_waiting"].as_u64() <= Some(4000), "{waiting}");
    let over = status_says(&app, |unknown| unknown["given_up"] == 51).await;
    assert_eq!((&over["events_waiting"], &over["bytes_waiting"]), (&json!(0), &json!(0)));
    assert!(over["expired"].as_u64() >= Some(1), "{over}");
    let health = app.api.raw("GET", "/health/ready", &[]).await;
    let health: Value = serde_json::from_str(&health).unwrap();
    assert_eq!((&health["ready"], &health["notices"][0]["what"]), (&json!(true), &json!("unknown_accounts")));
    let reason = health["notices"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("51 events") && reason.contains("accounts.unknown_wait_s"), "{reason}");
    let metrics = app.api.text("/metrics").await;
    assert!(metrics.contains("switchhook_unknown_account_events_total{result=\"no_room\"}"), "{metrics}");
    assert!(metrics.contains("switchhook_unknown_account_waiting_bytes 0"), "{metrics}");
}
