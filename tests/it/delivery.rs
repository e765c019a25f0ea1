//! Deliveries of a hook, from the submitted event to the receiver.

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

#[tokio::test]
async fn an_ancestors_hook_gets_events_of_accounts_below_only_if_it_includes_them() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let child = app.api.account_below(&app.api.account, "child").await;
    let reaching = json!({"uri": receiver.uri("/reaching"), "include_subaccounts": true});
    app.api.hook(reaching).await;
    app.api.hook(json!({"uri": receiver.uri("/own")})).await;
    let events = json!({"data": [call_event("CHANNEL_CREATE", "of-the-child", 1)]});
    let taken = app.api.call("PUT", &format!("/v2/accounts/{child}/events"), Some(events)).await;
    assert_eq!(taken.status, 201, "{taken:?}");
    app.api.publish(&[call_event("CHANNEL_CREATE", "of-the-master", 2)]).await;
    let got = receiver.wait_for(3, Duration::from_secs(10)).await;
    assert_eq!(got.len(), 3);
    assert_eq!(receiver.requests_at("/reaching").len(), 2);
    assert_eq!(receiver.requests_at("/own").len(), 1);
    app.stop().await;
}
