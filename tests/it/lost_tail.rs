//! An events log whose end the disk has lost: the lost offsets are not used for other events.

use std::fs::OpenOptions;

use serde_json::json;

use super::support::app::TestApp;
use super::support::look::{LONG, events_of, number, queue_when, settled};
use super::support::receiver::Receiver;

#[tokio::test]
async fn events_after_a_lost_end_are_delivered_and_the_loss_is_reported() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    // The first event announces the hook.
    queue_when(&app.api, &hook, "the hook is announced", |queue| queue["log_end"] == 1).await;
    assert_eq!(app.api.publish(&events_of("call", 0..5)).await, [1, 2, 3, 4, 5]);
    settled(&app.api, &hook).await;
    app.stop().await;
    // Cut the segment down to its header, where a segment may legally end.
    let path = app.dir().join("events/00000000000000000000.log");
    OpenOptions::new().write(true).open(path).unwrap().set_len(36).unwrap();

    receiver.forget();
    app.restart(None).await;
    let status = app.api.call("GET", "/admin/status", None).await;
    let events = &status.data()["logs"]["events"];
    assert_eq!((&events["first_offset"], &events["end_offset"]), (&json!(0), &json!(6)), "{events}");
    assert_eq!(events["damage"].as_array().map(Vec::len), Some(1), "{events}");
    assert_eq!(app.api.publish(&events_of("call", 5..8)).await, [6, 7, 8]);
    let got = receiver.wait_for(3, LONG).await;
    assert_eq!(got.iter().map(number).collect::<Vec<_>>(), [5, 6, 7]);
    settled(&app.api, &hook).await;
    app.restart(None).await;
    assert_eq!(app.api.publish(&events_of("call", 8..9)).await, [9]);
    receiver.wait_for(4, LONG).await;
    app.stop().await;
}
