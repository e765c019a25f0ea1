//! Buttons that no other test presses: replays, websockets, retention; and the way to an event by its id.

use serde_json::{Value, json};

use super::browser::Browser;
use crate::support::app::TestApp;
use crate::support::look::{LONG, events_of, settled};
use crate::support::receiver::Receiver;
use crate::support::wait::eventually;

#[tokio::test]
async fn a_replay_is_watched_paused_continued_and_cancelled_with_its_buttons() {
    let (receiver, mut app) = (Receiver::start().await, TestApp::start().await);
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    app.api.publish(&events_of("one", 0..30)).await;
    settled(&app.api, &hook).await;
    let browser = Browser::operator(app.address()).await;
    let page = format!("/console/accounts/{}/hooks/{hook}", app.api.account);
    let (tab, replay) = (format!("{page}?tab=replays"), format!("{page}/replay"));
    // One in a second, so that it is still running at the end.
    let fields = [("only", "all"), ("rate", "1"), ("do", "start")];
    assert_eq!(browser.submit(&replay, &replay, &fields).await.status, 303);
    let replays = || async {
        app.api.own("GET", &format!("/webhooks/{hook}/replay"), None).await.data().as_array().unwrap().clone()
    };
    let id = replays().await[0]["id"].as_str().unwrap().to_owned();
    eventually("its progress shows", LONG, || async {
        browser.get(&tab).await.says("1 of 30 delivered").then_some(())
    })
    .await;
    for (action, state, next) in
        [("pause", "paused", "Go on"), ("resume", "running", "Pause"), ("cancel", "cancelled", "cancelled")]
    {
        let pressed = browser.submit(&tab, &format!("{page}/replays/{id}/{action}"), &[]).await;
        assert_eq!(pressed.status, 303, "{action}: {pressed:?}");
        assert_eq!(replays().await[0]["state"], state, "{action}");
        assert!(browser.get(&tab).await.says(next), "{action}");
    }
    app.stop().await;
}

#[tokio::test]
async fn websockets_are_listed_and_closed_events_found_by_id_and_retention_applied() {
    let mut app = TestApp::start().await;
    let browser = Browser::operator(app.address()).await;
    let of = format!("/console/accounts/{}", app.api.account);
    let mut client = app.connect().await;
    client.subscribe(&app.api.account, "webhook.queue.*", Value::Null).await;
    let sessions = format!("{of}/sessions");
    let listed = browser.get(&sessions).await;
    assert!(listed.says("webhook.queue.*"), "{listed:?}");
    let (before, _) = listed.text.split_once("/close\"").unwrap();
    let close = format!("{}/close", before.rsplit('"').next().unwrap());
    assert_eq!(browser.submit(&sessions, &close, &[]).await.status, 303);
    client.ended().await;

    app.api.publish(&events_of("wanted", 0..1)).await;
    let events = app.api.own("GET", "/events?subjects=wanted", None).await;
    let id = events.data()[0]["id"].as_str().unwrap().to_owned();
    let found = browser.get(&format!("{of}/events/find?id=%20{id}")).await;
    assert_eq!((found.status, &found.location), (303, &format!("{of}/events/{id}")));
    assert!(browser.get(&found.location).await.says("wanted"));
    for query in ["event=channel_create", "subject=wanted", "name=CHANNEL_CREATE", "since=15m"] {
        let page = browser.get(&format!("{of}/events?{query}")).await;
        assert!(page.says(&format!("{of}/events/{id}")), "{query}: {page:?}");
    }
    assert!(!browser.get(&format!("{of}/events?to=2020-01-01T00:00")).await.says(&id));
    let log = "/console/admin/log";
    let retained = browser.submit(log, &format!("{log}/retention"), &[]).await;
    assert_eq!((retained.status, retained.location.as_str()), (303, "/console/admin/log?done=retained"));
    app.stop().await;
}
