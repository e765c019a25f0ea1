//! `POST …/webhooks/{H}/test`: a sample sent immediately, past the queue, and the answer.

use serde_json::{Value, json};
use switchhook::model::Family;

use crate::support::app::{Answer, TestApp};
use crate::support::look::{LONG, attempts_when, document, events_of, patch, queue_when, settled};
use crate::support::receiver::{Mood, Receiver, closed_uri};

async fn test(app: &TestApp, hook: &str) -> Answer {
    app.api.own("POST", &format!("/webhooks/{hook}/test"), Some(json!({"data": {}}))).await
}

/// The answer of a test that was sent.
async fn tested(app: &TestApp, hook: &str) -> Value {
    let answer = test(app, hook).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.data().clone()
}

#[tokio::test]
async fn a_test_answers_with_the_request_as_the_receiver_got_it_its_answer_and_the_time() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::answer(200, &[("x-seen", "yes")], "thanks"));
    let mut app = TestApp::start().await;
    let own = json!({"uri": receiver.uri("/calls"), "format": "json", "headers": {"X-Own": "1"}});
    let hook = app.api.hook(own).await;
    let told = tested(&app, &hook).await;
    let request = receiver.requests().remove(0);
    assert_eq!((&told["result"], &told["client_error"]), (&json!("success"), &Value::Null), "{told}");
    assert!(told["duration_ms"].is_u64(), "{told}");
    assert_eq!(told["request"]["method"], "POST");
    assert_eq!(told["request"]["uri"], receiver.uri("/calls"));
    assert_eq!(told["request"]["body"], request.text());
    for name in ["x-own", "x-hook-id", "x-test", "webhook-id", "content-type"] {
        assert_eq!(told["request"]["headers"][name].as_str(), request.header(name), "{name}: {told}");
    }
    assert_eq!((request.header("x-test"), request.header("x-own")), (Some("true"), Some("1")));
    assert_eq!(request.header("webhook-id"), told["delivery_id"].as_str());
    let body: Value = serde_json::from_str(request.text()).unwrap();
    assert_eq!(
        (&body["hook_event"], &body["account_id"]),
        (&json!("channel_create"), &json!(app.api.account))
    );
    let response = &told["response"];
    assert_eq!((&response["status"], &response["body"]), (&json!(200), &json!("thanks")), "{told}");
    assert_eq!(response["headers"]["x-seen"], "yes", "{told}");
    app.stop().await;
}

#[tokio::test]
async fn failing_tests_of_a_hook_do_not_count_and_leave_no_trace() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::answer(503, &[], "busy"));
    let mut app = TestApp::with(&["disable.failure_count=2"]).await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    for _ in 0..4 {
        let told = tested(&app, &hook).await;
        assert_eq!(
            (&told["result"], &told["response"]["status"]),
            (&json!("failure"), &json!(503)),
            "{told}"
        );
    }
    let ids: std::collections::HashSet<_> =
        receiver.requests().iter().map(|r| r.header("webhook-id").unwrap().to_owned()).collect();
    assert_eq!(ids.len(), 4, "each test is a delivery of its own");
    receiver.mood(Mood::Ok);
    app.api.publish(&events_of("one", 0..1)).await;
    let queue = settled(&app.api, &hook).await;
    assert_eq!((&queue["recent_failures"], &queue["dead"]), (&json!(0), &json!(0)), "{queue}");
    assert_eq!(attempts_when(&app.api, &hook, 1).await.len(), 1, "the event's");
    assert_eq!(document(&app.api, &hook).await["enabled"], true);
    let refused = app.api.hook(json!({"uri": closed_uri()})).await;
    let told = tested(&app, &refused).await;
    assert_eq!(
        (&told["response"], &told["client_error"]),
        (&Value::Null, &json!("failed_connect: econnrefused"))
    );
    app.stop().await;
}

#[tokio::test]
async fn a_test_passes_a_stuck_queue_and_reaches_paused_and_disabled_hooks() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::by(|r| if r.header("x-test").is_some() { Mood::Ok } else { Mood::Hang }));
    let mut app = TestApp::with(&["delivery.request_timeout_ms=600000", "shutdown_grace_ms=100"]).await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "max_in_flight": 1, "ordering": "hook"})).await;
    app.api.publish(&events_of("one", 0..3)).await;
    queue_when(&app.api, &hook, "an attempt hangs", |q| q["in_flight"] == 1).await;
    assert_eq!(tested(&app, &hook).await["result"], "success");
    app.api.own("POST", &format!("/webhooks/{hook}/pause"), Some(json!({"data": {}}))).await;
    assert_eq!(tested(&app, &hook).await["result"], "success");
    patch(&app.api, &hook, json!({"enabled": false})).await;
    assert_eq!(tested(&app, &hook).await["result"], "success");
    assert_eq!(receiver.count(), 4);
    app.stop().await;
}

#[tokio::test]
async fn concurrent_tests_of_hooks_are_bounded_in_number_and_time() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::Hang);
    let mut app = TestApp::with(&["delivery.max_tests=1"]).await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "timeout_ms": 3000})).await;
    let first = test(&app, &hook);
    let second = async {
        receiver.wait_for(1, LONG).await;
        test(&app, &hook).await
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!((second.status, &second.body["error"]), (429, &json!("429")), "{second:?}");
    assert_eq!(first.data()["client_error"], "timeout", "{first:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_test_reaches_no_forbidden_address_and_no_other_account_s_hook() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/")})).await;
    let child = app.api.account_below(&app.api.account, "child").await;
    let path = format!("/v2/accounts/{child}/webhooks/{hook}/test");
    assert_eq!(app.api.call("POST", &path, Some(json!({"data": {}}))).await.status, 404);
    app.restart(Some(&["delivery.allow_addresses=[]"])).await;
    assert_eq!(tested(&app, &hook).await["client_error"], "forbidden_address");
    assert_eq!(receiver.count(), 0);
    app.stop().await;
}

#[tokio::test]
async fn hooks_of_every_family_have_a_sample() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    for id in Family::ALL.iter().map(|family| family.id()).chain(["all"]) {
        let filter = match id {
            "object" => json!({"type": "device", "action": "doc_edited"}),
            "notifications" => json!({"type": "low_balance"}),
            _ => json!({}),
        };
        let own = json!({"hook": id, "uri": receiver.uri("/"), "format": "json", "custom_data": filter});
        let hook = app.api.hook(own).await;
        let told = tested(&app, &hook).await;
        assert_eq!(told["result"], "success", "{id}: {told}");
        let body: Value = serde_json::from_str(told["request"]["body"].as_str().unwrap()).unwrap();
        assert!(body.as_object().unwrap().len() > 3, "{id}: {told}");
        if id == "notifications" {
            assert_eq!(body["event_name"], "low_balance", "one that the hook asks for: {told}");
        }
    }
    app.stop().await;
}
