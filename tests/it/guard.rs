//! The address guard: neither a hook's URI nor the address of a name reaches a special address.

use serde_json::json;

use crate::support::app::{TestApp, call_event};
use crate::support::look::attempts_when;
use crate::support::receiver::Receiver;

const NOTHING_ALLOWED: &str = "delivery.allow_addresses=[]";

#[tokio::test]
async fn a_hook_cannot_be_written_with_a_special_host() {
    let mut app = TestApp::with(&[NOTHING_ALLOWED]).await;
    for host in
        ["localhost", "LOCALHOST.", "127.0.0.1", "0x7f000001", "10.0.0.1", "[::1]", "[::ffff:127.0.0.1]"]
    {
        let document = json!({"name": "n", "hook": "all", "uri": format!("http://{host}:8080/")});
        let answer = app.api.own("PUT", "/webhooks", Some(json!({"data": document}))).await;
        assert_eq!(answer.status, 400, "{host}: {answer:?}");
        assert!(answer.data().get("uri").is_some(), "{host}: {answer:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn the_address_behind_a_stored_uri_is_checked_for_every_delivery() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&["disable.failure_count=0"]).await;
    let port = receiver.address().port();
    let mut hooks = Vec::new();
    for host in ["localhost", "127.0.0.1"] {
        hooks.push(app.api.hook(json!({"uri": format!("http://{host}:{port}/"), "retries": 1})).await);
    }
    app.restart(Some(&["disable.failure_count=0", NOTHING_ALLOWED])).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    for hook in &hooks {
        let rows = attempts_when(&app.api, hook, 1).await;
        assert_eq!(rows[0]["client_error"], "forbidden_address", "{rows:?}");
    }
    assert_eq!(receiver.count(), 0);
    app.stop().await;
}
