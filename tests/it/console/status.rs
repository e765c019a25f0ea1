//! Hooks with the state of their queues in one request: who sees which hooks, in which order, and the filters.

use serde_json::{Value, json};

use crate::support::app::{Api, TestApp};
use crate::support::look::{LONG, events_of, queue_when, settled};
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::eventually;

async fn rows(api: &Api, path: &str) -> Vec<Value> {
    let answer = api.own("GET", path, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.data().as_array().unwrap().clone()
}

fn named(rows: &[Value]) -> Vec<&str> {
    rows.iter().map(|row| row["name"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn hooks_that_need_a_person_come_first_with_the_state_of_their_queues() {
    let (good, bad) = (Receiver::start().await, Receiver::start().await);
    bad.mood(Mood::status(500));
    let mut app = TestApp::with(&["disable.probe_initial_ms=0"]).await;
    let api = &app.api;
    let works = api.hook(json!({"name": "Alpha works", "uri": good.uri("/a")})).await;
    let retry = json!({"max_attempts": 20});
    let fails = api.hook(json!({"name": "beta fails", "uri": bad.uri("/b"), "retry": retry})).await;
    let off = json!({"name": "gamma off", "uri": good.uri("/c"), "enabled": false});
    api.hook(off).await;
    let held = api.hook(json!({"name": "delta held", "uri": good.uri("/d")})).await;
    assert_eq!(api.own("POST", &format!("/webhooks/{held}/pause"), None).await.status, 200);
    api.publish(&events_of("one", 0..7)).await;
    settled(api, &works).await;
    queue_when(api, &fails, "the hook is disabled", |q| q["status"] == "auto_disabled").await;
    let seen = eventually("the age shows", LONG, || async {
        let seen = rows(api, "/webhooks/status").await;
        (seen[0]["oldest_waiting_age_ms"].as_u64() > Some(0)).then_some(seen)
    })
    .await;
    let states: Vec<_> = seen.iter().map(|row| row["state"].as_str().unwrap()).collect();
    assert_eq!(states, ["auto_disabled", "paused", "disabled", "idle"]);
    let first = &seen[0];
    assert_eq!((&first["id"], &first["waiting"]), (&json!(fails), &json!(7)));
    assert_eq!(first["disable_reason"], "too many failed attempts");
    assert_eq!(first["last_attempt"]["status"], 500, "{first}");
    assert_eq!(first["last_attempt"]["delivered"], false);
    assert!(first["failed_per_min"].as_u64() > Some(0), "{first}");
    let last = &seen[3];
    assert_eq!(last["last_attempt"]["delivered"], true);
    assert!(last["rate_per_min"].as_u64() > Some(0), "{last}");
    assert_eq!(seen[2]["last_attempt"], Value::Null);

    let of = |query: &str| {
        let path = format!("/webhooks/status?{query}");
        async move { named(&rows(api, &path).await).join(",") }
    };
    assert_eq!(of("state=disabled,paused").await, "delta held,gamma off");
    assert_eq!(of("search=ALPHA").await, "Alpha works");
    assert_eq!(of("search=/c").await, "gamma off");
    assert_eq!(of(&format!("search={fails}")).await, "beta fails");
    assert_eq!(of("search=nobody").await, "");
    assert_eq!(of("sort=name&ascending=true").await, "Alpha works,beta fails,delta held,gamma off");
    let page = api.own("GET", "/webhooks/status?page_size=1", None).await;
    let next = page.body["next_start_key"].as_str().unwrap();
    let rest = rows(api, &format!("/webhooks/status?start_key={next}")).await;
    assert_eq!(named(&rest), ["delta held", "gamma off", "Alpha works"]);
    for query in ["state=broken", "sort=size"] {
        let refused = api.own("GET", &format!("/webhooks/status?{query}"), None).await;
        assert_eq!(refused.status, 400, "{query}: {refused:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn nobody_sees_the_state_of_a_foreign_hook() {
    let mut app = TestApp::start().await;
    let uri = "http://127.0.0.1:9/?key=s3cret";
    let tenant = app.api.tenant("tenant").await;
    let below = tenant.account_below(&tenant.account, "below").await;
    let other = app.api.tenant("other").await;
    tenant.hook(json!({"name": "own", "uri": uri})).await;
    tenant.hook_of(&below, json!({"name": "below", "uri": uri})).await;
    other.hook(json!({"name": "foreign", "uri": uri})).await;
    app.api.hook(json!({"name": "above", "uri": uri})).await;
    assert_eq!(named(&rows(&tenant, "/webhooks/status").await), ["own"]);
    let mut tree = rows(&tenant, "/descendants/webhooks/status").await;
    tree.sort_by_key(|row| row["name"].to_string());
    assert_eq!(named(&tree), ["below", "own"]);
    assert_eq!(named(&rows(&tenant, "/descendants/webhooks/status?search=BELOW").await), ["below"]);
    assert_eq!(rows(&app.api, "/descendants/webhooks/status").await.len(), 4);
    for path in ["webhooks/status", "descendants/webhooks/status"] {
        let foreign = format!("/v2/accounts/{}/{path}", other.account);
        assert_eq!(tenant.call("GET", &foreign, None).await.status, 403);
        assert_eq!(app.anonymous().call("GET", &foreign, None).await.status, 401);
    }
    let user = app.user_of(&tenant, "user").await;
    let seen = rows(&user, "/webhooks/status").await;
    assert_eq!(named(&seen), ["own"]);
    assert_eq!(seen[0]["uri"], "http://127.0.0.1:9/?key=***");
    assert_eq!(user.own("GET", "/descendants/webhooks/status", None).await.status, 403);
    app.stop().await;
}
