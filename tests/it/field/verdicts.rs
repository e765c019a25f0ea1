//! The consequences of an attempt's result for the event, for the hook's other calls, and for the hook's state.

use serde_json::json;

use crate::support::app::{TestApp, call_event};
use crate::support::look::{LONG, attempts_when, queue_when};
use crate::support::receiver::Receiver;

#[tokio::test]
async fn an_event_too_long_for_a_get_hook_is_dead_at_once_and_the_hook_continues() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "http_verb": "get", "ordering": "hook"})).await;
    let mut events = Vec::new();
    for n in 0..10 {
        let mut event = call_event("CHANNEL_CREATE", &format!("c{n}"), n);
        if n < 8 {
            // A query of more than 65,534 bytes does not fit into a URI.
            event["Caller-ID-Name"] = "x".repeat(70_000).into();
        }
        events.push(event);
    }
    app.api.publish(&events).await;
    receiver.wait_for(2, LONG).await;
    let state = queue_when(&app.api, &hook, "all is settled", |queue| queue["waiting"] == 0).await;
    assert_eq!(state["disable_reason"], serde_json::Value::Null, "{state}");
    assert_eq!(receiver.count(), 2, "only the short ones are requests");
    let rows = attempts_when(&app.api, &hook, 10).await;
    let unsendable = rows.iter().filter(|row| {
        row["reason"] == "the event can never be sent"
            && row["client_error"].as_str().is_some_and(|text| text.contains("too long"))
    });
    assert_eq!(unsendable.count(), 8, "{rows:?}");
    app.stop().await;
}
