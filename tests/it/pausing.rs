//! Pausing and resuming a hook, which differs from disabling, and a replay.

use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp};
use crate::support::look::{LONG, document, events_of, number, patch, queue_when, settled};
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::eventually;

async fn post(app: &TestApp, path: &str) -> Answer {
    let answer = app.api.own("POST", path, Some(json!({"data": {}}))).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer
}

/// A hook whose pause has taken effect.
async fn paused(app: &TestApp, receiver: &Receiver) -> String {
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    assert_eq!(post(app, &format!("/webhooks/{hook}/pause")).await.data()["paused"], true);
    queue_when(&app.api, &hook, "the queue is paused", |q| q["state"] == "paused").await;
    hook
}

fn got(receiver: &Receiver) -> Vec<u64> {
    receiver.requests().iter().map(number).collect()
}

/// Another hook that gets everything; events that the paused hook has not got by then are held back.
async fn witness(app: &TestApp, receiver: &Receiver) -> String {
    app.api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await
}

#[tokio::test]
async fn a_paused_hook_gets_nothing_and_after_resuming_everything_in_order() {
    let (receiver, seen) = (Receiver::start().await, Receiver::start().await);
    let mut app = TestApp::with(&["queues.window=8", "queues.lane=4"]).await;
    let hook = paused(&app, &receiver).await;
    let other = witness(&app, &seen).await;
    app.api.publish(&events_of("one", 0..20)).await;
    settled(&app.api, &other).await;
    let queue =
        queue_when(&app.api, &hook, "everything waits", |q| q["waiting"] == 20 && q["in_flight"] == 0).await;
    assert_eq!((&queue["state"], &queue["paused"]), (&json!("paused"), &json!(true)), "{queue}");
    assert!(got(&receiver).is_empty());
    let resumed = post(&app, &format!("/webhooks/{hook}/resume")).await;
    assert!(resumed.data().get("paused").is_none(), "{resumed:?}");
    settled(&app.api, &hook).await;
    assert_eq!(got(&receiver), (0..20).collect::<Vec<_>>());
    app.stop().await;
}

#[tokio::test]
async fn a_pause_survives_a_restart_and_writes_of_kazoos_clients() {
    let (receiver, seen) = (Receiver::start().await, Receiver::start().await);
    let mut app = TestApp::start().await;
    let hook = paused(&app, &receiver).await;
    let other = witness(&app, &seen).await;
    app.api.publish(&events_of("one", 0..5)).await;
    app.restart(None).await;
    let mut shown = document(&app.api, &hook).await;
    assert_eq!((&shown["paused"], &shown["enabled"]), (&json!(true), &json!(true)), "{shown}");
    // Writes the whole document back like a form in a browser, without the fields that the form does not know.
    shown["name"] = json!("other");
    shown.as_object_mut().unwrap().remove("paused");
    let written = app.api.own("POST", &format!("/webhooks/{hook}"), Some(json!({"data": shown}))).await;
    assert_eq!((written.status, &written.data()["paused"]), (200, &json!(true)), "{written:?}");
    patch(&app.api, &hook, json!({"paused": false})).await;
    app.api.publish(&events_of("one", 5..10)).await;
    settled(&app.api, &other).await;
    let queue = queue_when(&app.api, &hook, "ten wait", |q| q["waiting"] == 10).await;
    assert_eq!(queue["state"], "paused", "{queue}");
    assert!(got(&receiver).is_empty());
    post(&app, &format!("/webhooks/{hook}/resume")).await;
    settled(&app.api, &hook).await;
    assert_eq!(got(&receiver), (0..10).collect::<Vec<_>>());
    app.stop().await;
}

#[tokio::test]
async fn a_hook_that_is_disabled_and_paused_is_not_probed_until_it_is_resumed() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(500));
    let mut app = TestApp::with(&["disable.failure_count=2", "disable.probe_initial_ms=20"]).await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json", "retries": 4})).await;
    app.api.publish(&events_of("one", 0..3)).await;
    queue_when(&app.api, &hook, "the hook is disabled", |q| q["state"] == "auto_disabled").await;
    post(&app, &format!("/webhooks/{hook}/pause")).await;
    let at_rest = |q: &Value| q["paused"] == true && q["in_flight"] == 0;
    queue_when(&app.api, &hook, "nothing is under way", at_rest).await;
    receiver.forget();
    receiver.mood(Mood::Ok);
    // A restart creates all timers again, and still no probe is due.
    app.restart(None).await;
    let queue = queue_when(&app.api, &hook, "nothing is under way", at_rest).await;
    assert_eq!((&queue["state"], &queue["next_try_at"]), (&json!("auto_disabled"), &Value::Null), "{queue}");
    assert_eq!(receiver.count(), 0);
    post(&app, &format!("/webhooks/{hook}/resume")).await;
    settled(&app.api, &hook).await;
    assert_eq!(got(&receiver), [0, 1, 2]);
    // The queue continues as soon as the probe is delivered; the document follows when it is written.
    eventually("the document says that the hook is enabled", LONG, || async {
        (document(&app.api, &hook).await["enabled"] == true).then_some(())
    })
    .await;
    app.stop().await;
}

#[tokio::test]
async fn a_paused_replay_starts_nothing_survives_a_restart_and_continues_where_it_stopped() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    app.api.publish(&events_of("one", 0..30)).await;
    settled(&app.api, &hook).await;
    receiver.forget();
    let ask = json!({"data": {"from_offset": 0, "rate": 20}});
    let begun = app.api.own("POST", &format!("/webhooks/{hook}/replay"), Some(ask)).await;
    let path = format!("/webhooks/{hook}/replay/{}", begun.data()["id"].as_str().unwrap());
    receiver.wait_for(3, LONG).await;
    assert_eq!(post(&app, &format!("{path}/pause")).await.data()["state"], "paused");
    settled(&app.api, &hook).await;
    let reached = receiver.count();
    app.restart(None).await;
    app.api.publish(&events_of("one", 30..40)).await;
    settled(&app.api, &hook).await;
    assert_eq!(receiver.count(), reached + 10, "only what is live");
    assert_eq!(app.api.own("GET", &path, None).await.data()["state"], "paused");
    assert_eq!(post(&app, &format!("{path}/resume")).await.data()["state"], "running");
    let done = eventually("the replay ends", LONG, || async {
        let found = app.api.own("GET", &path, None).await;
        (found.data()["state"] == "done").then(|| found.data().clone())
    })
    .await;
    assert_eq!(done["delivered"], 30, "{done}");
    let replayed = receiver.requests().into_iter().filter(|r| r.header("x-replay").is_some());
    assert_eq!(replayed.map(|r| number(&r)).collect::<Vec<_>>(), (0..30).collect::<Vec<_>>());
    assert_eq!(post(&app, &format!("{path}/pause")).await.data()["state"], "done", "it has ended");
    app.stop().await;
}
