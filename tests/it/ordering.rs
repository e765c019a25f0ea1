//! The order of deliveries: kept within a call across failures and restarts, without one call delaying another.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use switchhook::model::EventId;

use crate::support::app::{TestApp, call_event};
use crate::support::look::{LONG, accepted_per_call, body, events_of, number, patch, settled};
use crate::support::receiver::{Mood, Receiver, Request};

const CALLS: u64 = 8;
const EVENTS: u64 = 25;

/// Fails about one request in three, in different ways.
fn flaky() -> Mood {
    let seed = AtomicU64::new(0x9e37_79b9);
    Mood::by(move |_| {
        let next =
            |s: u64| Some(s.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407));
        let drawn = seed.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).unwrap();
        match (drawn >> 33) % 12 {
            0 => Mood::status(500),
            1 => Mood::Reset,
            2 => Mood::Close,
            3 => Mood::Partial,
            _ => Mood::After(Duration::from_millis(2), Box::new(Mood::Ok)),
        }
    })
}

/// The events of `CALLS` calls, interleaved.
fn interleaved() -> Vec<Value> {
    let all = (1..=EVENTS).flat_map(|n| (0..CALLS).map(move |call| (n, call)));
    all.map(|(n, call)| call_event("CHANNEL_CREATE", &format!("call-{call}"), n)).collect()
}

fn patient(uri: &str, ordering: &str) -> Value {
    json!({"uri": uri, "format": "json", "ordering": ordering, "retry": {"max_attempts": 100}})
}

/// The events in the order of their last attempts, across all calls.
fn in_order_of_last_tries(requests: &[Request]) -> Vec<String> {
    let mut seen = HashSet::new();
    let ids = requests.iter().rev().map(|r| r.header("x-event-id").unwrap().to_owned());
    let mut last: Vec<_> = ids.filter(|id| seen.insert(id.clone())).collect();
    last.reverse();
    last
}

fn offset_of(event_id: &str) -> u64 {
    event_id.parse::<EventId>().unwrap().offset.0
}

fn assert_every_call_is_complete_and_in_order(requests: &[Request]) {
    let calls = accepted_per_call(requests);
    assert_eq!(calls.len() as u64, CALLS);
    for (call, numbers) in calls {
        assert_eq!(numbers, (1..=EVENTS).collect::<Vec<_>>(), "{call}");
    }
}

#[tokio::test]
async fn a_call_s_events_arrive_in_order_through_random_failures() {
    let receiver = Receiver::start().await;
    receiver.mood(flaky());
    let mut app = TestApp::with(&["disable.failure_count=0"]).await;
    let hook = app.api.hook(patient(&receiver.uri("/"), "subject")).await;
    app.api.publish(&interleaved()).await;
    receiver.wait_for(usize::try_from(CALLS * EVENTS).unwrap(), LONG).await;
    let queue = settled(&app.api, &hook).await;
    assert_eq!(queue["dead"], 0);
    assert_every_call_is_complete_and_in_order(&receiver.requests());
    assert!(receiver.most_in_flight() > 1, "calls are delivered side by side");
    app.stop().await;
}

#[tokio::test]
async fn a_strict_hook_gets_all_its_events_in_one_order_through_random_failures() {
    let receiver = Receiver::start().await;
    receiver.mood(flaky());
    let mut app = TestApp::with(&["disable.failure_count=0"]).await;
    let hook = app.api.hook(patient(&receiver.uri("/"), "hook")).await;
    let offsets = app.api.publish(&interleaved()).await;
    receiver.wait_for(offsets.len(), LONG).await;
    settled(&app.api, &hook).await;
    let got = receiver.requests();
    assert_every_call_is_complete_and_in_order(&got);
    let mut seen: Vec<u64> = got.iter().map(|r| offset_of(r.header("x-event-id").unwrap())).collect();
    seen.dedup();
    assert_eq!(seen, offsets);
    assert_eq!(receiver.most_in_flight(), 1);
    app.stop().await;
}

/// The subjects of deliveries that wait in a hook's one lane are not known any more, so lanes of calls have to wait for them,
/// over a restart too.
#[tokio::test]
async fn a_call_stays_in_order_when_its_hook_begins_to_order_by_call_with_a_backlog() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::Hang);
    let mut app = TestApp::with(&["disable.failure_count=0", "delivery.request_timeout_ms=500"]).await;
    let hook = app.api.hook(patient(&receiver.uri("/"), "hook")).await;
    let event = |n: u64| call_event("CHANNEL_CREATE", &format!("call-{}", n % 2), n / 2);
    app.api.publish(&(0..20).map(event).collect::<Vec<_>>()).await;
    receiver.wait_for(1, LONG).await;
    patch(&app.api, &hook, json!({"ordering": "subject"})).await;
    app.api.publish(&(20..30).map(event).collect::<Vec<_>>()).await;
    app.restart(None).await;
    app.api.publish(&(30..40).map(event).collect::<Vec<_>>()).await;
    receiver.mood(Mood::After(Duration::from_millis(5), Box::new(Mood::Ok)));
    settled(&app.api, &hook).await;
    let calls = accepted_per_call(&receiver.requests());
    assert_eq!(calls.len(), 2);
    for (call, numbers) in calls {
        assert_eq!(numbers, (0..20).collect::<Vec<_>>(), "{call}");
    }
    // Nothing waits any more, so calls are delivered side by side now.
    receiver.mood(Mood::Hang);
    receiver.forget();
    app.api.publish(&[event(40), event(41)]).await;
    receiver.wait_for(2, LONG).await;
    app.stop().await;
}

#[tokio::test]
async fn an_unordered_hook_gets_all_events_of_one_call_concurrently() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::Hang);
    let mut app = TestApp::with(&["disable.failure_count=0"]).await;
    let hook = app.api.hook(patient(&receiver.uri("/"), "none")).await;
    let offsets = app.api.publish(&events_of("one", 0..20)).await;
    receiver.wait_for(20, LONG).await;
    assert_eq!(receiver.most_in_flight(), 20);
    receiver.mood(flaky());
    settled(&app.api, &hook).await;
    let mut last: Vec<u64> =
        in_order_of_last_tries(&receiver.requests()).iter().map(|id| offset_of(id)).collect();
    last.sort_unstable();
    assert_eq!(last, offsets);
    app.stop().await;
}

#[tokio::test]
async fn a_stuck_call_delays_no_other_and_drains_in_order_later() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::by(|r| if body(r)["call_id"] == "stuck" { Mood::status(500) } else { Mood::Ok }));
    let mut app = TestApp::with(&["disable.failure_count=0", "queues.window=64", "queues.lane=8"]).await;
    let hook = app.api.hook(patient(&receiver.uri("/"), "subject")).await;
    app.api.publish(&events_of("stuck", 0..200)).await;
    app.api.publish(&events_of("free", 0..100)).await;
    app.api.publish(&events_of("stuck", 200..300)).await;
    app.api.publish(&events_of("also-free", 0..100)).await;
    let of = |requests: &[Request], call: &str| accepted_per_call(requests).remove(call).unwrap_or_default();
    let hundred: Vec<u64> = (0..100).collect();
    receiver.wait_until(LONG, |r| of(r, "free").len() == 100 && of(r, "also-free").len() == 100).await;
    let got = receiver.requests();
    assert_eq!((of(&got, "free"), of(&got, "also-free")), (hundred.clone(), hundred));
    assert!(of(&got, "stuck").len() <= 1, "only its first event is tried");
    receiver.mood(Mood::Ok);
    settled(&app.api, &hook).await;
    assert_eq!(of(&receiver.requests(), "stuck"), (0..300).collect::<Vec<_>>());
    app.stop().await;
}

#[tokio::test]
async fn a_hanging_call_delays_no_other() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::by(|r| if body(r)["call_id"] == "stuck" { Mood::Hang } else { Mood::Ok }));
    let mut app = TestApp::with(&["disable.failure_count=0", "delivery.request_timeout_ms=60000"]).await;
    app.api.hook(patient(&receiver.uri("/"), "subject")).await;
    app.api.publish(&events_of("stuck", 0..50)).await;
    app.api.publish(&events_of("free", 0..50)).await;
    let got = receiver.wait_for(51, LONG).await;
    let free = accepted_per_call(&got).remove("free").unwrap();
    assert_eq!(free, (0..50).collect::<Vec<_>>());
    app.stop().await;
}

#[tokio::test]
async fn restarts_in_between_keep_the_order_and_lose_nothing() {
    for ordering in ["subject", "hook"] {
        let receiver = Receiver::start().await;
        receiver.mood(flaky());
        let mut app = TestApp::with(&["disable.failure_count=0", "queues.window=32", "queues.lane=4"]).await;
        let hook = app.api.hook(patient(&receiver.uri("/"), ordering)).await;
        let events = interleaved();
        for part in events.chunks(events.len() / 4) {
            app.api.publish(part).await;
            receiver.wait_for(receiver.count() + part.len() / 4, LONG).await;
            app.restart(None).await;
        }
        let queue = settled(&app.api, &hook).await;
        assert_eq!(queue["dead"], 0);
        assert_every_call_is_complete_and_in_order(&receiver.requests());
        app.stop().await;
    }
}

#[tokio::test]
async fn a_restart_while_a_call_is_stuck_beyond_its_lane_keeps_its_order() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::by(|r| if body(r)["call_id"] == "stuck" { Mood::status(500) } else { Mood::Ok }));
    let mut app = TestApp::with(&["disable.failure_count=0", "queues.window=32", "queues.lane=4"]).await;
    let hook = app.api.hook(patient(&receiver.uri("/"), "subject")).await;
    for from in [0, 40, 80] {
        app.api.publish(&events_of("stuck", from..from + 20)).await;
        app.api.publish(&events_of("free", from..from + 40)).await;
        app.api.publish(&events_of("stuck", from + 20..from + 40)).await;
        receiver
            .wait_until(LONG, |r| r.iter().any(|r| body(r)["call_id"] == "free" && number(r) == from + 39))
            .await;
        app.restart(None).await;
    }
    receiver.mood(Mood::Ok);
    let queue = settled(&app.api, &hook).await;
    assert_eq!(queue["dead"], 0);
    let calls = accepted_per_call(&receiver.requests());
    assert_eq!(calls["stuck"], (0..120).collect::<Vec<_>>());
    assert_eq!(calls["free"], (0..120).collect::<Vec<_>>());
    app.stop().await;
}
