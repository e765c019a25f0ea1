//! The outcome of a delivery: which answers count, what is retried and how often, and when a delivery is dead.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::{TestApp, call_event};
use crate::support::look::{LONG, attempts_when, body, document, number, queue_when, settled};
use crate::support::process::Process;
use crate::support::receiver::{Mood, Receiver, closed_uri};

/// In this test failures never disable a hook.
const NEVER_DISABLE: &str = "disable.failure_count=0";

async fn one_try_of(app: &TestApp, receiver: &Receiver, path: &str, mood: Mood, fields: Value) -> Value {
    receiver.mood_at(path, mood);
    let mut document = json!({"uri": receiver.uri(path), "retries": 1});
    document.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
    let hook = app.api.hook(document).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", path, 1)]).await;
    let row = attempts_when(&app.api, &hook, 1).await.remove(0);
    let expected_dead = u64::from(row["result"] == "failure");
    let queue = settled(&app.api, &hook).await;
    assert_eq!(queue["dead"], expected_dead, "{path}: {queue}");
    patch_off(app, &hook).await;
    assert_eq!(receiver.requests_at(path).len(), 1, "{path}");
    row
}

/// Disables the hook, so that it does not get later events of the test.
async fn patch_off(app: &TestApp, hook: &str) {
    crate::support::look::patch(&app.api, hook, json!({"enabled": false})).await;
}

#[tokio::test]
async fn a_receiver_that_breaks_the_connection_is_a_failure_with_its_own_name() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&[NEVER_DISABLE, "delivery.request_timeout_ms=1000"]).await;
    for (path, mood, error) in [
        ("/hang", Mood::Hang, "timeout"),
        ("/slow", Mood::After(Duration::from_secs(30), Box::new(Mood::Ok)), "timeout"),
        ("/reset", Mood::Reset, "socket_closed_remotely"),
        ("/close", Mood::Close, "socket_closed_remotely"),
        ("/partial", Mood::Partial, "socket_closed_remotely"),
    ] {
        let row = one_try_of(&app, &receiver, path, mood, json!({})).await;
        assert_eq!(
            (&row["result"], &row["client_error"]),
            (&json!("failure"), &json!(error)),
            "{path}: {row}"
        );
        assert_eq!(row["reason"], "kazoo http client error");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_refused_connection_is_a_failure_with_its_own_name() {
    let mut app = TestApp::with(&[NEVER_DISABLE]).await;
    let hook = app.api.hook(json!({"uri": closed_uri(), "retries": 1})).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    let rows = attempts_when(&app.api, &hook, 1).await;
    assert_eq!(rows[0]["client_error"], "failed_connect: econnrefused", "{rows:?}");
    app.stop().await;
}

#[tokio::test]
async fn only_200_and_for_put_201_count_unless_the_hook_says_2xx() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&[NEVER_DISABLE]).await;
    for (number, (status, fields, result)) in [
        (200, json!({}), "success"),
        (201, json!({}), "failure"),
        (201, json!({"http_verb": "put"}), "success"),
        (201, json!({"success": "2xx"}), "success"),
        (204, json!({}), "failure"),
        (204, json!({"success": "2xx"}), "success"),
        (302, json!({"success": "2xx"}), "failure"),
        (404, json!({}), "failure"),
        (500, json!({"success": "2xx"}), "failure"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = format!("/{number}");
        let row = one_try_of(&app, &receiver, &path, Mood::status(status), fields.clone()).await;
        assert_eq!(row["result"], result, "{status} {fields}: {row}");
        assert_eq!(row["resp_status_code"], status.to_string());
    }
    app.stop().await;
}

#[tokio::test]
async fn an_endless_answer_is_read_to_a_bound_and_counts_by_its_status() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&[NEVER_DISABLE, "delivery.request_timeout_ms=30000"]).await;
    let row = one_try_of(&app, &receiver, "/endless", Mood::Endless, json!({})).await;
    assert_eq!(row["result"], "success", "{row}");
    app.stop().await;
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&[NEVER_DISABLE]).await;
    let elsewhere = receiver.uri("/elsewhere");
    let mood = Mood::answer(307, &[("location", &elsewhere)], "moved");
    let row = one_try_of(&app, &receiver, "/moved", mood, json!({})).await;
    assert_eq!((&row["result"], &row["resp_body"]), (&json!("failure"), &json!("moved")), "{row}");
    assert_eq!(receiver.requests_at("/elsewhere").len(), 0);
    app.stop().await;
}

#[tokio::test]
async fn a_failed_attempt_is_repeated_with_the_same_id_and_the_next_attempt_number() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::by(|r| if r.number < 3 { Mood::status(500) } else { Mood::Ok }));
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json", "retries": 4})).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    let got = receiver.wait_for(3, LONG).await;
    let queue = settled(&app.api, &hook).await;
    assert_eq!((&queue["dead"], receiver.count()), (&json!(0), 3));
    let tries: Vec<_> = got.iter().map(|r| r.header("x-attempt").unwrap()).collect();
    assert_eq!(tries, ["1", "2", "3"]);
    for name in ["webhook-id", "x-event-id"] {
        assert!(
            got.iter().all(|r| r.header(name).is_some() && r.header(name) == got[0].header(name)),
            "{name}"
        );
    }
    assert!(got.iter().all(|r| body(r) == body(&got[0])));
    let rows = attempts_when(&app.api, &hook, 3).await;
    let results: Vec<_> = rows.iter().map(|r| r["result"].as_str().unwrap()).collect();
    assert_eq!(results, ["success", "failure", "failure"]);
    app.stop().await;
}

#[tokio::test]
async fn retry_after_is_honoured_when_it_is_longer_than_the_delay() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::by(|r| match r.number {
        1 => Mood::answer(429, &[("retry-after", "2")], ""),
        _ => Mood::Ok,
    }));
    let mut app = TestApp::start().await;
    app.api.hook(json!({"uri": receiver.uri("/")})).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    let got = receiver.wait_for(2, LONG).await;
    let waited = got[1].at - got[0].at;
    assert!(waited >= Duration::from_millis(1990), "{waited:?}");
    app.stop().await;
}

#[tokio::test]
async fn an_answer_of_410_disables_the_hook_at_once_with_a_reason() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(410));
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "retries": 4})).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    let queue = queue_when(&app.api, &hook, "it is disabled", |q| q["state"] == "auto_disabled").await;
    assert_eq!(queue["disable_reason"], "receiver answered 410 gone");
    assert_eq!((&queue["waiting"], &queue["next_try_at"], receiver.count()), (&json!(1), &Value::Null, 1));
    let stored = crate::support::wait::eventually("the document says so", LONG, || async {
        let stored = document(&app.api, &hook).await;
        (stored["enabled"] == false).then_some(stored)
    })
    .await;
    assert_eq!(stored["disable_reason"], "receiver answered 410 gone");
    app.stop().await;
}

#[tokio::test]
async fn retries_is_the_total_of_tries() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(503));
    let mut app = TestApp::with(&[NEVER_DISABLE]).await;
    let mut hooks = Vec::new();
    for retries in 0..=4_usize {
        let path = format!("/{retries}");
        let hook = app.api.hook(json!({"uri": receiver.uri(&path), "retries": retries})).await;
        hooks.push((path, hook, retries.max(1)));
    }
    let asked = json!({"uri": receiver.uri("/7"), "retries": 1, "retry": {"max_attempts": 7}});
    hooks.push(("/7".to_owned(), app.api.hook(asked).await, 7));
    app.api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    for (path, hook, tries) in hooks {
        queue_when(&app.api, &hook, "the delivery is dead", |q| q["dead"] == 1 && q["waiting"] == 0).await;
        assert_eq!(receiver.requests_at(&path).len(), tries, "{path}");
        let rows = attempts_when(&app.api, &hook, tries).await;
        assert_eq!((rows.len(), &rows[0]["retries_left"]), (tries, &json!("retries exceeded")), "{path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_delivery_out_of_tries_is_dead_when_the_hook_works_and_its_lane_continues() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::by(|r| if number(r) == 2 { Mood::status(500) } else { Mood::Ok }));
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json", "retries": 2})).await;
    let events: Vec<_> = (1..=4).map(|n| call_event("CHANNEL_CREATE", "one", n)).collect();
    app.api.publish(&events).await;
    let got = receiver.wait_for(5, LONG).await;
    assert_eq!(got.iter().map(number).collect::<Vec<_>>(), [1, 2, 2, 3, 4]);
    let queue = settled(&app.api, &hook).await;
    assert_eq!((&queue["dead"], &queue["state"]), (&json!(1), &json!("idle")));
    app.stop().await;
}

#[tokio::test]
async fn an_answer_after_the_time_limit_does_not_count_however_late_it_is_processed() {
    let (dir, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let late = Duration::from_millis(1500);
    receiver.mood(Mood::After(late, Box::new(Mood::Ok)));
    let process = Process::serve(dir.path(), &[]).await;
    let api = process.api().await;
    let hook = api.hook(json!({"uri": receiver.uri("/"), "timeout_ms": 1000, "retries": 1})).await;
    api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    receiver.wait_for(1, LONG).await;
    // When the program continues, the answer has arrived and the time limit has passed.
    process.signal("STOP");
    tokio::time::sleep(late + Duration::from_secs(1)).await;
    process.signal("CONT");
    let rows = attempts_when(&api, &hook, 1).await;
    assert_eq!(rows[0]["client_error"], "timeout", "{rows:?}");
}
