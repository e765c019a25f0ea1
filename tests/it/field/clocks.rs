//! A clock that was wrong for one record does not hide later records.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value, json};
use switchhook::model::{Clock, gregorian_seconds};

use crate::support::app::{Api, TestApp};
use crate::support::look::{attempts_when, events_of, settled};
use crate::support::receiver::{Mood, Receiver};

const S: i64 = 1_000_000;
const DAY: i64 = 86_400 * S;

/// The machine's clock plus an offset that the test sets.
#[derive(Clone, Default)]
struct WrongClock(Arc<AtomicI64>);

impl WrongClock {
    fn set(&self, off_us: i64) {
        self.0.store(off_us, Ordering::SeqCst);
    }

    fn clock(&self) -> Clock {
        let (machine, off) = (Clock::system(), Arc::clone(&self.0));
        Clock::new(move || machine.now_us().saturating_add_signed(off.load(Ordering::SeqCst)))
    }
}

async fn rows(api: &Api, path: &str) -> Vec<Value> {
    let answer = api.call("GET", path, None).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.data().as_array().unwrap().clone()
}

#[tokio::test]
async fn records_after_one_with_a_wrong_time_are_found_by_time() {
    for off in [3600 * S, 400 * DAY, -3600 * S, -400 * DAY] {
        found_by_time(off).await;
    }
}

async fn found_by_time(off: i64) {
    let clock = WrongClock::default();
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(500));
    let mut app = TestApp::with_clock(&["disable.failure_count=0"], clock.clock()).await;
    let api = app.api.clone();
    let hook = api.hook(json!({"uri": receiver.uri("/"), "retries": 1})).await;
    api.publish(&events_of("before", 0..3)).await;
    settled(&api, &hook).await;

    clock.set(off);
    // The token is valid by the clock that created it.
    let wrong = app.client_with(crate::support::app::MASTER_KEY).await;
    wrong.publish(&events_of("wrong", 0..1)).await;
    settled(&wrong, &hook).await;
    let renamed = json!({"data": {"name": "renamed"}});
    assert_eq!(wrong.own("PATCH", &format!("/webhooks/{hook}"), Some(renamed)).await.status, 200);
    clock.set(0);
    api.publish(&events_of("after", 0..6)).await;
    settled(&api, &hook).await;
    let renamed = json!({"data": {"name": "renamed again"}});
    assert_eq!(api.own("PATCH", &format!("/webhooks/{hook}"), Some(renamed)).await.status, 200);

    let now = gregorian_seconds(Clock::system().now_us());
    let range = format!("created_from={}&created_to={}", now - 600, now + 5);
    let account = format!("/v2/accounts/{}", api.account);
    for order in ["", "&ascending=true", "&is_chunked=true", "&page_size=100"] {
        let events = format!("{account}/events?event_names=CHANNEL_CREATE&{range}{order}");
        assert_eq!(rows(&api, &events).await.len(), 9, "{off} {order}");
        let attempts = format!("{account}/webhooks/{hook}/attempts?{range}{order}");
        assert_eq!(rows(&api, &attempts).await.len(), 9, "{off} {order}");
        let audit = format!("/admin/audit?{range}{order}");
        let changed = rows(&api, &audit).await;
        let changed = changed.iter().filter(|row| row["id"] == *hook && row["action"] == "change");
        assert_eq!(changed.count(), 1, "{off} {order}");
    }
    // Also without a range.
    let usual = if off == -3600 * S { 10 } else { 9 };
    assert_eq!(rows(&api, &format!("{account}/webhooks/attempts")).await.len(), usual, "{off}");

    // The record itself is found at its own time.
    let there = now.saturating_add_signed(off / S);
    let range = format!("created_from={}&created_to={}", there - 600, there + 5);
    let found = rows(&api, &format!("{account}/events?event_names=CHANNEL_CREATE&{range}")).await;
    assert_eq!(found.len(), 1, "{off}");
    assert_eq!(rows(&api, &format!("{account}/webhooks/attempts?{range}")).await.len(), 1, "{off}");
    let one = api.own("GET", &format!("/events/{}", found[0]["id"].as_str().unwrap()), None).await;
    assert_eq!(one.data()["deliveries"][0]["attempts"].as_array().unwrap().len(), 1, "{off} {one:?}");

    // A replay by time takes exactly the events logged in that time.
    let replay = async |from: u64, until: u64| {
        let data = json!({"data": {"created_from": from, "created_to": until, "dry_run": true}});
        let counted = api.own("POST", &format!("/webhooks/{hook}/replay"), Some(data)).await;
        counted.data()["matched"].as_u64()
    };
    assert_eq!(replay(now - 600, now + 5).await, Some(9), "{off}");
    assert_eq!(replay(there - 600, there + 5).await, Some(1), "{off}");
    app.stop().await;
}

#[tokio::test]
async fn an_event_logged_while_the_clock_was_ahead_shows_its_later_attempts() {
    let clock = WrongClock::default();
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(500));
    let mut app = TestApp::with_clock(&["disable.failure_count=0"], clock.clock()).await;
    let api = app.api.clone();
    let hook = api.hook(json!({"uri": receiver.uri("/"), "retries": 1})).await;
    api.own("POST", &format!("/webhooks/{hook}/pause"), Some(json!({"data": {}}))).await;
    api.publish(&events_of("before", 0..1)).await;
    clock.set(400 * DAY);
    let wrong = app.client_with(crate::support::app::MASTER_KEY).await;
    wrong.publish(&events_of("wrong", 0..1)).await;
    clock.set(0);
    api.own("POST", &format!("/webhooks/{hook}/resume"), Some(json!({"data": {}}))).await;
    settled(&api, &hook).await;
    attempts_when(&api, &hook, 2).await;
    let path = format!("/v2/accounts/{}/events?event_names=CHANNEL_CREATE", api.account);
    let found = rows(&api, &path).await;
    assert_eq!(found.len(), 2);
    for event in found {
        let one = api.own("GET", &format!("/events/{}", event["id"].as_str().unwrap()), None).await;
        assert_eq!(one.data()["deliveries"][0]["attempts"].as_array().unwrap().len(), 1, "{one:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn retention_by_age_works_although_a_segment_began_while_the_clock_was_ahead() {
    let clock = WrongClock::default();
    let settings = ["log.segment_bytes=65536", "retention.max_age_hours=24"];
    let mut app = TestApp::with_clock(&settings, clock.clock()).await;
    let api = app.api.clone();
    let publish = async |api: &Api, call: &str| {
        let big = "x".repeat(20_000);
        let mut events = events_of(call, 0..8);
        for event in &mut events {
            event["Caller-ID-Name"] = json!(big);
        }
        api.publish(&events).await;
    };
    publish(&api, "before").await;
    clock.set(400 * DAY);
    let wrong = app.client_with(crate::support::app::MASTER_KEY).await;
    publish(&wrong, "wrong").await;
    clock.set(0);
    publish(&api, "after").await;
    let first = async |api: &Api| {
        let answer = api.call("POST", "/admin/retention", None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.data()["events"]["first_offset"].as_u64().unwrap()
    };
    assert_eq!(first(&api).await, 0, "nothing of today is dropped");
    clock.set(2 * DAY);
    let later = app.client_with(crate::support::app::MASTER_KEY).await;
    let names = std::fs::read_dir(app.dir().join("events")).unwrap().map(|entry| entry.unwrap().file_name());
    let firsts = names.filter_map(|name| name.to_str()?.strip_suffix(".log")?.parse::<u64>().ok());
    let last = firsts.max().unwrap();
    assert!(last > 8, "{last}");
    assert_eq!(first(&later).await, last, "all but the open segment is older than a day");
    app.stop().await;
}

#[tokio::test]
async fn a_websocket_since_a_time_gets_no_earlier_event_although_one_record_has_a_later_time() {
    let clock = WrongClock::default();
    let mut app = TestApp::with_clock(&[], clock.clock()).await;
    let api = app.api.clone();
    clock.set(-3600 * S);
    let early = app.client_with(crate::support::app::MASTER_KEY).await;
    early.publish(&events_of("before", 0..1)).await;
    clock.set(400 * DAY);
    let wrong = app.client_with(crate::support::app::MASTER_KEY).await;
    wrong.publish(&events_of("wrong", 1..2)).await;
    clock.set(-3600 * S);
    early.publish(&events_of("before", 2..5)).await;
    clock.set(0);
    api.publish(&events_of("now", 5..6)).await;
    let since = gregorian_seconds(Clock::system().now_us()) - 600;
    let mut client = app.connect().await;
    client.subscribe(&api.account, "call.CHANNEL_CREATE.*", json!({"since": since})).await;
    // Later events are never left out, whatever their time.
    clock.set(-3600 * S);
    early.publish(&events_of("live", 6..7)).await;
    let mut got = Vec::new();
    while got.len() < 3 {
        got.push(crate::support::websocket::number(&client.try_event().await.unwrap()));
    }
    assert_eq!(got, [1, 5, 6]);
    app.stop().await;
}
