//! Rows of attempts show the request that was sent, with the hook's revision of that time, not the request of now.

use serde_json::{Value, json};

use crate::support::app::{Api, TestApp, call_event};
use crate::support::look::{LONG, attempts_when, patch, settled};
use crate::support::receiver::{Receiver, Request};

/// The text in a row that replaces a secret.
const MASK: &str = "***";

fn hook(receiver: &Receiver) -> Value {
    let uri = receiver.uri("/first").replace("http://", "http://u:pa55word@");
    json!({
        "uri": uri, "hook": "all", "format": "json", "secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3",
        "headers": {"X-Api-Key": "k3y-of-the-tenant", "X-Colour": "red"}, "custom_data": {"tenant": "first"},
    })
}

/// Checks that the row has the headers that the receiver got, with secrets replaced.
fn same_headers(row: &Value, request: &Request) {
    let shown = row["req_headers"].as_object().unwrap();
    let secrets = ["authorization", "x-api-key", "x-colour", "webhook-signature"];
    for (name, value) in &request.headers {
        let expected = if secrets.contains(&name.as_str()) { MASK } else { value };
        assert_eq!(shown.get(name).and_then(Value::as_str), Some(expected), "{name}: {row}");
    }
    assert_eq!(shown.len(), request.headers.len(), "{row}");
}

async fn row_of(api: &Api, hook: &str, n: usize, call: &str) -> Value {
    let rows = attempts_when(api, hook, n).await;
    rows.into_iter().find(|row| row["subject"] == call).unwrap()
}

#[tokio::test]
async fn a_row_shows_the_request_that_was_sent_even_after_the_hook_changed() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let id = app.api.hook(hook(&receiver)).await;
    let mut first = call_event("CHANNEL_CREATE", "call-1", 1);
    first["Caller-ID-Name"] = "x\u{0}y".into();
    app.api.publish(&[first]).await;
    let request = receiver.wait_for(1, LONG).await.remove(0);
    let before = row_of(&app.api, &id, 1, "call-1").await;
    same_headers(&before, &request);
    let of = |row: &Value, field: &str| row[field].clone();
    assert_eq!(of(&before, "event_type"), "channel_create", "{before}");
    assert_eq!(of(&before, "event_name"), "CHANNEL_CREATE");
    assert_eq!(of(&before, "req_body"), request.text());
    let revision = of(&before, "hook_revision");
    assert!(revision.as_str().unwrap().starts_with("1-"), "{before}");
    assert!(!before.to_string().contains("pa55word"), "{before}");

    let changes = json!({
        "uri": receiver.uri("/second"), "format": "form-data", "http_verb": "put", "headers": {"X-Colour": "blue"},
        "custom_data": {"tenant": "second"}, "secret": null,
    });
    patch(&app.api, &id, changes).await;
    let after = row_of(&app.api, &id, 1, "call-1").await;
    assert_eq!(after, before, "a row is not made from the hook as it is now");

    // After a restart only the ledger knows the revision, and the next one is distinguished from it.
    app.restart(None).await;
    app.api.publish(&[call_event("CHANNEL_ANSWER", "call-2", 2)]).await;
    let requests = receiver.wait_for(2, LONG).await;
    let second = row_of(&app.api, &id, 2, "call-2").await;
    same_headers(&second, &requests[1]);
    assert_eq!((of(&second, "event_name"), of(&second, "method")), (json!("CHANNEL_ANSWER"), json!("put")));
    assert_eq!(row_of(&app.api, &id, 2, "call-1").await, before);
    settled(&app.api, &id).await;
    app.stop().await;
    // No secret of a hook is in the ledger.
    let ledger = std::fs::read(app.dir().join("ledger").join(format!("{:020}.log", 0))).unwrap();
    let ledger = String::from_utf8_lossy(&ledger);
    for secret in ["pa55word", "k3y-of-the-tenant", "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3"] {
        assert!(!ledger.contains(secret), "{secret}");
    }
}

#[tokio::test]
async fn a_thousand_attempts_of_a_hook_store_its_revision_once() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let long = "v".repeat(1000);
    let data = json!({"note": long});
    let id = app.api.hook(json!({"uri": receiver.uri("/"), "custom_data": data})).await;
    for part in 0..10_u64 {
        let events: Vec<Value> =
            (0..100).map(|n| call_event("CHANNEL_CREATE", &format!("c{part}-{n}"), part * 100 + n)).collect();
        app.api.publish(&events).await;
    }
    receiver.wait_for(1000, LONG).await;
    settled(&app.api, &id).await;
    app.stop().await;
    let ledger = std::fs::read(app.dir().join("ledger").join(format!("{:020}.log", 0))).unwrap();
    let held = String::from_utf8_lossy(&ledger).matches(&long).count();
    assert_eq!(held, 1, "the ledger has {} bytes", ledger.len());
}
