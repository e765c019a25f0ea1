//! Our own fields of a hook: an invalid value is refused with the field's name, and a valid one takes effect.

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::look::{LONG, attempts_when, events_of, patch, settled};
use crate::support::receiver::{Mood, Receiver, Request};

const NEVER_DISABLE: &str = "disable.failure_count=0";

fn secret(byte: u8) -> String {
    format!("whsec_{}", STANDARD.encode([byte; 32]))
}

/// The signature of a request with a secret.
fn expected(byte: u8, request: &Request) -> String {
    let (id, time) = (request.header("webhook-id").unwrap(), request.header("webhook-timestamp").unwrap());
    let signed = format!("{id}.{time}.{}", request.text());
    let key = hmac::Key::new(hmac::HMAC_SHA256, &[byte; 32]);
    format!("v1,{}", STANDARD.encode(hmac::sign(&key, signed.as_bytes())))
}

#[tokio::test]
async fn an_invalid_value_is_refused_with_the_fields_name() {
    let mut app = TestApp::start().await;
    for (field, value, named) in [
        ("ordering", json!("random"), "ordering"),
        ("secret", json!("whsec_short"), "secret"),
        ("secret_overlap_s", json!(-1), "secret_overlap_s"),
        ("headers", json!({"webhook-id": "x"}), "headers.webhook-id"),
        ("headers", json!({"X-A": "line\nbreak"}), "headers.X-A"),
        ("success", json!("3xx"), "success"),
        ("retry", json!({"max_attempts": 0}), "retry.max_attempts"),
        ("retry", json!({"initial_ms": 5000, "max_ms": 1000}), "retry.max_ms"),
        ("timeout_ms", json!(1), "timeout_ms"),
        ("max_in_flight", json!(0), "max_in_flight"),
        ("rate_limit_per_s", json!(0), "rate_limit_per_s"),
        ("rate_limit_per_s", json!("fast"), "rate_limit_per_s"),
        ("resume", json!("later"), "resume"),
    ] {
        let hook = json!({"name": "n", "hook": "all", "uri": "https://example.com/", field: value});
        let refused = app.api.own("PUT", "/webhooks", Some(json!({"data": hook}))).await;
        assert_eq!(refused.status, 400, "{field}: {refused:?}");
        assert!(refused.data().get(named).is_some(), "{named}: {refused:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn during_a_rotation_both_secrets_sign_and_afterwards_only_the_new_one() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "secret": secret(1)})).await;
    let signed = async |number: u64| {
        app.api.publish(&events_of("one", number..number + 1)).await;
        let requests = receiver.wait_for(usize::try_from(number).unwrap() + 1, LONG).await;
        let request = requests.last().unwrap().clone();
        let header = request.header("webhook-signature").unwrap().to_owned();
        (request, header.split(' ').map(str::to_owned).collect::<Vec<_>>())
    };
    let (request, signatures) = signed(0).await;
    assert_eq!(signatures, [expected(1, &request)]);
    let shown = patch(&app.api, &hook, json!({"secret": secret(2)})).await;
    assert_eq!(shown["secret"], "whsec_***", "never shown");
    let (request, signatures) = signed(1).await;
    assert_eq!(signatures, [expected(2, &request), expected(1, &request)]);
    patch(&app.api, &hook, json!({"secret": null})).await;
    patch(&app.api, &hook, json!({"secret": secret(3)})).await;
    patch(&app.api, &hook, json!({"secret": secret(4), "secret_overlap_s": 0})).await;
    let (request, signatures) = signed(2).await;
    assert_eq!(signatures, [expected(4, &request)], "an overlap of no time at all");
    app.stop().await;
}

#[tokio::test]
async fn a_hooks_own_headers_are_sent_with_every_attempt() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::by(|r| if r.number == 1 { Mood::status(500) } else { Mood::Ok }));
    let mut app = TestApp::start().await;
    let headers = json!({"X-Tenant": "a b", "Authorization": "Bearer t", "User-Agent": "mine"});
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "headers": headers})).await;
    app.api.publish(&events_of("one", 0..1)).await;
    settled(&app.api, &hook).await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 2);
    for request in requests {
        assert_eq!(request.header("x-tenant"), Some("a b"));
        assert_eq!(request.header("authorization"), Some("Bearer t"));
        assert_eq!(request.header("user-agent"), Some("mine"));
    }
    app.stop().await;
}

#[tokio::test]
async fn a_hooks_own_retry_schedule_replaces_retries() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(500));
    let mut app = TestApp::with(&[NEVER_DISABLE, "retry.initial_ms=1", "retry.max_ms=1"]).await;
    let retry = json!({"max_attempts": 7, "initial_ms": 100, "max_ms": 100});
    let own = json!({"uri": receiver.uri("/"), "retries": 1, "retry": retry});
    let hook = app.api.hook(own).await;
    app.api.publish(&events_of("one", 0..1)).await;
    settled(&app.api, &hook).await;
    let requests = receiver.requests();
    assert_eq!(requests.len(), 7);
    for pair in requests.windows(2) {
        let gap = pair[1].at - pair[0].at;
        assert!(gap >= Duration::from_millis(79), "100 ms, at most a fifth less: {gap:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_hook_s_own_timeout_ends_its_attempts() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::Hang);
    let mut app = TestApp::with(&[NEVER_DISABLE, "delivery.request_timeout_ms=600000"]).await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "retries": 1, "timeout_ms": 150})).await;
    app.api.publish(&events_of("one", 0..1)).await;
    let row = attempts_when(&app.api, &hook, 1).await.remove(0);
    assert_eq!(row["client_error"], "timeout", "{row}");
    app.stop().await;
}

#[tokio::test]
async fn a_hook_s_own_limit_bounds_its_attempts_at_once() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::After(Duration::from_millis(20), Box::new(Mood::Ok)));
    let mut app = TestApp::start().await;
    let own = json!({"uri": receiver.uri("/"), "ordering": "none", "max_in_flight": 3});
    let hook = app.api.hook(own).await;
    app.api.publish(&events_of("one", 0..40)).await;
    settled(&app.api, &hook).await;
    assert_eq!((receiver.count(), receiver.most_in_flight()), (40, 3));
    app.stop().await;
}

#[tokio::test]
async fn a_hooks_rate_spaces_its_attempts_and_removing_it_sends_the_rest() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let own = json!({"uri": receiver.uri("/"), "ordering": "none", "rate_limit_per_s": 10});
    let hook = app.api.hook(own).await;
    // Not from the first arrival: the first connection may take longer than a space.
    let before = tokio::time::Instant::now();
    app.api.publish(&events_of("one", 0..500)).await;
    let first = receiver.wait_for(6, LONG).await;
    let spread = first[5].at - before;
    assert!(spread >= Duration::from_millis(450), "five spaces of 100 ms: {spread:?}");
    patch(&app.api, &hook, json!({"rate_limit_per_s": null})).await;
    settled(&app.api, &hook).await;
    assert_eq!(receiver.count(), 500);
    app.stop().await;
}

#[tokio::test]
async fn unknown_overlapping_and_limited_fields_are_shown_as_stored() {
    let mut app = TestApp::start().await;
    let fields = json!({"uri": "http://127.0.0.1:9/", "secret_overlap_s": "60", "rate_limit_per_s": 5.0});
    let hook = app.api.hook(fields).await;
    let shown: Value = crate::support::look::document(&app.api, &hook).await;
    assert_eq!((&shown["secret_overlap_s"], &shown["rate_limit_per_s"]), (&json!(60), &json!(5)), "{shown}");
    app.stop().await;
}
