//! Accounts and the deliveries of their hooks: disabling, enabling, failure limits, moving and deleting.

use serde_json::{Value, json};

use crate::support::app::{Answer, Api, TestApp};
use crate::support::look::{LONG, accepted_per_call, events_of, queue_when, settled};
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::eventually;

/// A client with the master account's token for the paths of another account.
async fn below(app: &TestApp, parent: &str, name: &str) -> Api {
    app.api.below(app.api.account_below(parent, name).await)
}

async fn change(api: &Api, fields: Value) -> Answer {
    let answer = api.own("PATCH", "", Some(json!({"data": fields}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

async fn enabled(api: &Api, enabled: bool) {
    assert_eq!(change(api, json!({"enabled": enabled})).await.data()["enabled"], enabled);
}

#[tokio::test]
async fn a_disabled_account_s_hooks_get_nothing_and_miss_nothing() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let child = below(&app, &app.api.account, "child").await;
    let hook = child.hook(json!({"uri": receiver.uri("/own"), "format": "json"})).await;
    let above = json!({"uri": receiver.uri("/above"), "format": "json", "include_subaccounts": true});
    app.api.hook(above).await;
    enabled(&child, false).await;
    child.publish(&events_of("one", 0..5)).await;
    let on = |path: &str| receiver.requests().into_iter().filter(|r| r.path == path).collect::<Vec<_>>();
    eventually("the hook above has all", LONG, || async { (on("/above").len() == 5).then_some(()) }).await;
    let queue = queue_when(&child, &hook, "all waits", |q| q["waiting"] == 5).await;
    assert_eq!((&queue["state"], &queue["in_flight"]), (&json!("account_disabled"), &json!(0)));

    app.restart(None).await;
    let child = app.api.below(child.account);
    child.publish(&events_of("one", 5..8)).await;
    queue_when(&child, &hook, "all waits after a restart", |q| q["waiting"] == 8).await;
    assert_eq!(on("/own").len(), 0);
    enabled(&child, true).await;
    settled(&child, &hook).await;
    assert_eq!(accepted_per_call(&on("/own"))["one"], (0..8).collect::<Vec<_>>());
    app.stop().await;
}

#[tokio::test]
async fn an_account_s_own_failure_limit_disables_its_hooks_and_no_others() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(500));
    let mut app = TestApp::with(&["disable.probe_initial_ms=0", "disable.failure_count=1000"]).await;
    let (strict, lax) =
        (below(&app, &app.api.account, "strict").await, below(&app, &app.api.account, "lax").await);
    change(&strict, json!({"webhooks": {"attempt_failure_count": 3}})).await;
    let retry = json!({"max_attempts": 10});
    let of_strict = strict.hook(json!({"uri": receiver.uri("/strict"), "retry": retry})).await;
    let of_lax = lax.hook(json!({"uri": receiver.uri("/lax"), "retry": retry})).await;
    for api in [&strict, &lax] {
        api.publish(&events_of("one", 0..1)).await;
    }
    queue_when(&strict, &of_strict, "disabled", |q| q["state"] == "auto_disabled").await;
    queue_when(&lax, &of_lax, "tried to the end", |q| q["recent_failures"] == 10).await;
    assert_eq!(receiver.requests().iter().filter(|r| r.path == "/strict").count(), 3);
    app.stop().await;
}

#[tokio::test]
async fn a_reseller_s_failure_limit_counts_below_it_until_the_account_is_moved_away() {
    let receiver = Receiver::start().await;
    // Not a 5xx, which would disable the hook with its first attempt after a re-enable.
    receiver.mood(Mood::status(400));
    let mut app = TestApp::with(&["disable.probe_initial_ms=0", "disable.failure_count=1000"]).await;
    let reseller = below(&app, &app.api.account, "reseller").await;
    change(&reseller, json!({"is_reseller": true, "webhooks": {"attempt_failure_count": 2}})).await;
    let child = below(&app, &reseller.account, "child").await;
    let hook = child.hook(json!({"uri": receiver.uri("/"), "retry": {"max_attempts": 4}})).await;
    child.publish(&events_of("one", 0..1)).await;
    queue_when(&child, &hook, "disabled", |q| q["state"] == "auto_disabled").await;
    assert_eq!(receiver.count(), 2);

    let moved = child.own("POST", "/move", Some(json!({"data": {"to": app.api.account}}))).await;
    assert_eq!(moved.status, 200, "{moved:?}");
    let on = child.own("PATCH", &format!("/webhooks/{hook}"), Some(json!({"data": {"enabled": true}}))).await;
    assert_eq!(on.status, 200, "{on:?}");
    receiver.wait_for(6, LONG).await;
    assert_ne!(child.queue(&hook).await["state"], "auto_disabled");
    app.stop().await;
}

#[tokio::test]
async fn a_deleted_account_takes_its_hooks_with_it() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let child = below(&app, &app.api.account, "child").await;
    let hook = child.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    let deleted = child.own("DELETE", "", None).await;
    assert_eq!((deleted.status, &deleted.data()["_read_only"]["deleted"]), (200, &json!(true)));
    for path in [String::new(), "/webhooks".to_owned(), format!("/webhooks/{hook}")] {
        assert_eq!(child.own("GET", &path, None).await.status, 404, "{path}");
    }
    let event = json!({"data": events_of("one", 0..1)});
    assert_eq!(child.own("PUT", "/events", Some(event)).await.status, 404);
    app.restart(None).await;
    let child = app.api.below(child.account);
    assert_eq!(child.own("GET", "", None).await.status, 404);
    assert_eq!(receiver.count(), 0);
    app.stop().await;
}
