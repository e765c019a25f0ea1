//! Clients that do not keep up: they cost nobody else anything, and lose nothing that is still kept.

use serde_json::{Value, json};

use super::support::app::{TestApp, call_event};
use super::support::look::LONG;
use super::support::wait::eventually;
use super::support::websocket::{Client, End, number};

const BINDING: &str = "call.CHANNEL_CREATE.*";

/// A call event of about so many bytes.
fn padded(number: u64, bytes: usize) -> Value {
    let mut event = call_event("CHANNEL_CREATE", "call", number);
    event["Padding"] = "x".repeat(bytes).into();
    event
}

#[tokio::test]
async fn a_client_that_retention_overtakes_gets_what_was_on_its_way_and_is_closed_with_1013() {
    // Far more than a connection's buffers hold (0.3 MB), and all but a tenth of it is dropped.
    const EVENTS: u64 = 96;
    let settings = ["retention.max_bytes=1048576", "log.segment_bytes=65536", "websocket.window_bytes=1024"];
    let mut app = TestApp::with(&[&settings[..], &["websocket.shared_bytes=65536"]].concat()).await;
    let mut client = Client::connect_narrow(app.websocket(), app.api.token()).await;
    client.subscribe(&app.api.account, BINDING, Value::Null).await;
    // It does not read: the buffers fill, and from then on its place in the log stands still.
    for from in (0..EVENTS).step_by(8) {
        app.api.publish(&(from..from + 8).map(|n| padded(n, 100_000)).collect::<Vec<_>>()).await;
    }
    eventually("retention has passed the client", LONG, || async {
        let status = app.api.call("GET", "/admin/status", None).await;
        (status.data()["logs"]["events"]["first_offset"].as_u64() > Some(EVENTS / 2)).then_some(())
    })
    .await;
    let (mut last, mut got) = (Value::Null, Vec::new());
    let end = loop {
        match client.try_event().await {
            Ok(event) => {
                got.push(number(&event));
                last = event["event_id"].clone();
            }
            Err(end) => break end,
        }
    };
    assert_eq!(end, End::Code(1013));
    assert!(!got.is_empty() && got.len() < 48, "{got:?} cannot have been on their way");
    assert!(got.iter().copied().eq(0..got.len() as u64), "{got:?} has a gap");
    // It cannot resume as if nothing had happened.
    let data = json!({"account_id": app.api.account, "binding": BINDING, "after": last});
    let reply = app.connect().await.ask(json!({"action": "subscribe", "data": data})).await;
    let told = format!("events after {} are no longer kept", last.as_str().unwrap());
    assert_eq!(reply["data"]["errors"], json!([told]));
    app.stop().await;
}
