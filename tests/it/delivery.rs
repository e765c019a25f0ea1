//! A hook's deliveries, from an event handed in to the receiver.

use std::time::Duration;

use serde_json::json;

use crate::support::app::{TestApp, call_event};
use crate::support::receiver::Receiver;

#[tokio::test]
async fn an_event_is_delivered_with_kazoo_s_headers_and_ours() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/calls"), "format": "json"})).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "call-1", 1)]).await;
    let got = receiver.wait_for(1, Duration::from_secs(10)).await;
    let request = &got[0];
    assert_eq!(request.header("x-hook-id"), Some(hook.as_str()));
    assert_eq!(request.header("x-account-id"), Some(app.api.account.as_str()));
    assert_eq!(request.header("x-attempt"), Some("1"));
    assert!(request.header("webhook-id").unwrap().ends_with(&hook));
    let body: serde_json::Value = serde_json::from_str(request.text()).unwrap();
    assert_eq!((&body["call_id"], &body["hook_event"]), (&json!("call-1"), &json!("channel_create")));
    app.stop().await;
}
