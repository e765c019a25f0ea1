//! One attempt in full: the request, the response, the event, and the duration of each phase.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use switchhook::model::Clock;

use crate::support::app::{Api, TestApp, call_event};
use crate::support::look::{attempts_when, events_of, patch, settled};
use crate::support::receiver::{Mood, Receiver};

async fn delivery(api: &Api, hook: &str, id: &Value) -> crate::support::app::Answer {
    api.own("GET", &format!("/webhooks/{hook}/attempts/{}", id.as_str().unwrap()), None).await
}

#[tokio::test]
async fn a_delivery_shows_its_event_and_every_attempt_with_the_duration_of_each_phase() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::by(|request| if request.number == 1 { Mood::status(503) } else { Mood::Ok }));
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    app.api.publish(&events_of("one", 0..1)).await;
    settled(&app.api, &hook).await;
    let rows = attempts_when(&app.api, &hook, 2).await;
    let shown = delivery(&app.api, &hook, &rows[0]["delivery_id"]).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let data = shown.data().clone();
    assert_eq!(data["attempts"], json!(rows), "as in the list, the newest first");
    assert_eq!((&data["state"], &data["complete"]), (&json!("delivered"), &json!(true)));
    assert_eq!(data["event"]["id"], rows[0]["event_id"]);
    assert_eq!(data["event"]["body"]["Call-ID"], "one", "{data}");
    assert_eq!(delivery(&app.api, &hook, &rows[0]["event_id"]).await.data(), &data, "by the event's id");
    for row in &rows {
        let us = |phase: &str| row["timings"][phase].as_u64();
        assert!(us("first_byte_us") > Some(0) && us("first_byte_us") <= us("total_us"), "{row}");
        assert_eq!(us("tls_us"), None, "{row}");
    }
    assert!(rows[1]["timings"]["connect_us"].as_u64() > Some(0), "the first connects: {}", rows[1]);
    assert_eq!(rows[1]["resp_status_code"], "503");

    // The history is read from the disk.
    app.restart(None).await;
    assert_eq!(delivery(&app.api, &hook, &rows[0]["delivery_id"]).await.data(), &data);
    // A deleted hook keeps its history.
    assert_eq!(app.api.own("DELETE", &format!("/webhooks/{hook}"), None).await.status, 200);
    assert_eq!(delivery(&app.api, &hook, &rows[0]["delivery_id"]).await.data(), &data);
    app.stop().await;
}

#[tokio::test]
async fn an_attempt_without_an_answer_shows_how_long_it_waited() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::Hang);
    let mut app = TestApp::start().await;
    let document = json!({"uri": receiver.uri("/"), "timeout_ms": 1000, "retries": 1});
    let hook = app.api.hook(document).await;
    app.api.publish(&events_of("one", 0..1)).await;
    let row = attempts_when(&app.api, &hook, 1).await.remove(0);
    assert_eq!(row["client_error"], "timeout", "{row}");
    assert!(row["timings"]["first_byte_us"].as_u64() >= Some(900_000), "{row}");
    app.stop().await;
}

#[tokio::test]
async fn nobody_can_read_a_foreign_delivery_and_a_plain_user_sees_no_event_body() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let (tenant, other) = (app.api.tenant("tenant").await, app.api.tenant("other").await);
    let hook = tenant.hook(json!({"uri": receiver.uri("/?key=s3cret"), "format": "json"})).await;
    let foreign = other.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    tenant.publish(&[call_event("CHANNEL_CREATE", "call-1", 1)]).await;
    let row = attempts_when(&tenant, &hook, 1).await.remove(0);
    let id = &row["delivery_id"];
    assert_eq!(delivery(&tenant, &hook, id).await.status, 200);
    let path = format!("/v2/accounts/{}/webhooks/{hook}/attempts/{}", tenant.account, id.as_str().unwrap());
    assert_eq!(other.call("GET", &path, None).await.status, 403);
    assert_eq!(app.anonymous().call("GET", &path, None).await.status, 401);
    for (api, hook) in [(&other, &hook), (&other, &foreign), (&app.api, &hook)] {
        assert_eq!(delivery(api, hook, id).await.status, 404);
        assert_eq!(delivery(api, hook, &row["event_id"]).await.status, 404);
    }
    assert_eq!(delivery(&tenant, &hook, &json!("nothing")).await.status, 404);
    let user = app.user_of(&tenant, "user").await;
    let shown = delivery(&user, &hook, id).await;
    assert_eq!(shown.status, 200, "{shown:?}");
    assert!(shown.data()["event"].get("body").is_none(), "{shown:?}");
    assert!(!shown.body.to_string().contains("s3cret"), "{shown:?}");
    app.stop().await;
}

#[tokio::test]
async fn the_answer_of_a_success_is_kept_within_its_bound_and_over_a_restart() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::answer(200, &[("x-handled-by", "worker-7")], &"a".repeat(5000)));
    let mut app = TestApp::with(&["delivery.success_keep_bytes=300"]).await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/")})).await;
    app.api.publish(&events_of("one", 0..1)).await;
    let row = attempts_when(&app.api, &hook, 1).await.remove(0);
    assert_eq!(
        (&row["result"], &row["resp_headers"]["x-handled-by"]),
        (&json!("success"), &json!("worker-7"))
    );
    let (headers, body) = (&row["resp_headers"], row["resp_body"].as_str().unwrap());
    let bytes: usize =
        headers.as_object().unwrap().iter().map(|(n, v)| n.len() + v.as_str().unwrap().len()).sum();
    assert!(!body.is_empty() && bytes + body.len() <= 300, "{row}");
    app.restart(Some(&["delivery.success_keep_bytes=0"])).await;
    assert_eq!(attempts_when(&app.api, &hook, 1).await[0], row);
    app.api.publish(&events_of("two", 0..1)).await;
    let newest = attempts_when(&app.api, &hook, 2).await.remove(0);
    assert_eq!((&newest["resp_headers"], &newest["resp_body"]), (&json!({}), &json!("")), "only the status");
    app.stop().await;
}

#[tokio::test]
async fn the_time_since_which_a_hook_is_disabled_survives_other_changes() {
    let now_us = Arc::new(AtomicU64::new(1_800_000_000_000_000));
    let shown = Arc::clone(&now_us);
    let mut app = TestApp::with_clock(&[], Clock::new(move || shown.load(Ordering::Relaxed))).await;
    let hook = app.api.hook(json!({"uri": "http://127.0.0.1:9/"})).await;
    assert_eq!(app.api.queue(&hook).await["disabled_at"], Value::Null);
    patch(&app.api, &hook, json!({"enabled": false})).await;
    let since = app.api.queue(&hook).await["disabled_at"].clone();
    assert_eq!(since, 1_800_000_000_u64 + 62_167_219_200);
    now_us.fetch_add(60_000_000, Ordering::Relaxed);
    patch(&app.api, &hook, json!({"name": "renamed"})).await;
    assert_eq!(app.api.queue(&hook).await["disabled_at"], since);
    patch(&app.api, &hook, json!({"enabled": true})).await;
    assert_eq!(app.api.queue(&hook).await["disabled_at"], Value::Null);
    app.stop().await;
}
