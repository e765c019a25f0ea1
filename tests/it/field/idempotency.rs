//! Events that are submitted twice over HTTP with one idempotency key are stored and delivered once.

use serde_json::{Value, json};

use crate::support::app::{Answer, Api, TestApp, call_event};
use crate::support::look::{LONG, settled};
use crate::support::process::Process;
use crate::support::receiver::Receiver;

async fn hand_in(api: &Api, events: &[Value], key: &str) -> Answer {
    let path = format!("/v2/accounts/{}/events", api.account);
    api.call_with("PUT", &path, Some(json!({"data": events})), &[("Idempotency-Key", key)]).await
}

fn event(number: u64) -> Value {
    call_event("CHANNEL_CREATE", &format!("c{number}"), number)
}

#[tokio::test]
async fn events_submitted_twice_with_a_key_are_delivered_once_and_answered_alike() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/")})).await;
    let events = [event(1), event(2)];
    let first = hand_in(&app.api, &events, "order-1").await;
    assert_eq!(first.status, 201, "{first:?}");
    for _ in 0..3 {
        let again = hand_in(&app.api, &events, "order-1").await;
        assert_eq!((again.status, again.data()), (201, first.data()));
    }
    app.api.publish(&[event(3)]).await;
    receiver.wait_for(3, LONG).await;
    settled(&app.api, &hook).await;
    assert_eq!(receiver.count(), 3);

    let other = hand_in(&app.api, &[event(4)], "order-1").await;
    assert_eq!(other.status, 422, "{other:?}");
    assert!(other.data()["message"].as_str().unwrap().contains("Idempotency-Key"), "{other:?}");
    let too_long = "k".repeat(256);
    for bad in ["", "two words", too_long.as_str()] {
        assert_eq!(hand_in(&app.api, &events, bad).await.status, 400, "{bad}");
    }
    // A refused request does not use up its key.
    let refused = hand_in(&app.api, &[json!({"Event-Category": "call_event"})], "order-2").await;
    assert_eq!(refused.status, 400, "{refused:?}");
    assert_eq!(hand_in(&app.api, &[event(5)], "order-2").await.status, 201);
    app.stop().await;
}

#[tokio::test]
async fn another_account_s_key_is_another_key() {
    let mut app = TestApp::start().await;
    let tenant = app.api.tenant("t").await;
    let ours = hand_in(&app.api, &[event(1)], "same").await;
    let theirs = hand_in(&tenant, &[event(2)], "same").await;
    assert_eq!((ours.status, theirs.status), (201, 201));
    assert_ne!(ours.data(), theirs.data());
    app.stop().await;
}

#[tokio::test]
async fn an_answered_idempotency_key_is_known_after_kill_9() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::serve(dir.path(), &[]).await;
    let first = hand_in(&process.api().await, &[event(1), event(2)], "kept").await;
    assert_eq!(first.status, 201, "{first:?}");
    process.kill();
    let process = Process::serve(dir.path(), &[]).await;
    let api = process.api().await;
    let again = hand_in(&api, &[event(1), event(2)], "kept").await;
    assert_eq!((again.status, again.data()), (201, first.data()));
    assert_eq!(hand_in(&api, &[event(3)], "kept").await.status, 422);
}

#[tokio::test]
async fn the_msg_id_is_the_idempotency_key_on_request() {
    let mut app = TestApp::start().await;
    let path = format!("/v2/accounts/{}/events?idempotency=msg_id", app.api.account);
    let put = async |events: Value| app.api.call("PUT", &path, Some(json!({"data": events}))).await;
    let first = put(event(1)).await;
    let again = put(event(1)).await;
    assert_eq!((first.status, again.status), (201, 201), "{first:?}");
    assert_eq!(first.data(), again.data());
    let mut changed = event(1);
    changed["Caller-ID-Name"] = "other".into();
    assert_eq!(put(changed).await.status, 422);
    let mut nameless = event(2);
    nameless.as_object_mut().unwrap().remove("Msg-ID");
    assert_eq!(put(nameless).await.status, 400);
    assert_eq!(put(json!([event(3), event(4)])).await.status, 400);
    // Without the request for it, the `Msg-ID` is not a key.
    let ids = [app.api.publish(&[event(1)]).await, app.api.publish(&[event(1)]).await];
    assert_ne!(ids[0], ids[1]);
    app.stop().await;
}
