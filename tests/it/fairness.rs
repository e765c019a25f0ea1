//! No hook waits for another: hanging receivers delay no other hook, and no permit is lost.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::json;

use crate::support::app::{TestApp, call_event};
use crate::support::look::{LONG, body, events_of, number, patch, queue_when};
use crate::support::receiver::{Mood, Receiver, Request};

const HEALTHY: usize = 900;
const HANGING: usize = 100;
const EVENTS: usize = 4;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_hanging_hooks_do_not_delay_the_healthy_ones_of_a_thousand() {
    let healthy = Receiver::start().await;
    let mut hanging = Vec::new();
    for _ in 0..10 {
        let receiver = Receiver::start().await;
        receiver.mood(Mood::Hang);
        hanging.push(receiver);
    }
    // Few enough permits that the hanging hooks could take all of them.
    let mut app = TestApp::with(&["delivery.max_in_flight=256", "delivery.request_timeout_ms=120000"]).await;
    for n in 0..HANGING {
        app.api.hook(json!({"uri": hanging[n % 10].uri("/"), "ordering": "none"})).await;
    }
    for n in 0..HEALTHY {
        app.api.hook(json!({"uri": healthy.uri(&format!("/{n}")), "format": "json"})).await;
    }
    let events = u64::try_from(EVENTS).unwrap();
    app.api.publish(&events_of("one", 0..events)).await;
    let got = healthy.wait_for(HEALTHY * EVENTS, 2 * LONG).await;
    let mut of_hooks: HashMap<&str, Vec<u64>> = HashMap::new();
    for request in &got {
        of_hooks.entry(&request.path).or_default().push(number(request));
    }
    assert_eq!(of_hooks.len(), HEALTHY);
    for (path, numbers) in of_hooks {
        assert_eq!(numbers, (0..events).collect::<Vec<_>>(), "{path}");
    }
    for receiver in &hanging {
        let all = receiver.wait_for(10, LONG).await;
        assert_eq!(receiver.most_in_flight(), all.len(), "all of them hang");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_replay_delays_neither_the_hooks_own_events_nor_other_hooks() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&["delivery.request_timeout_ms=120000"]).await;
    let mut hooks = Vec::new();
    for path in ["/replayed", "/other"] {
        hooks.push(app.api.hook(json!({"uri": receiver.uri(path), "format": "json"})).await);
    }
    let calls: Vec<_> = (0..50).map(|n| call_event("CHANNEL_CREATE", &format!("c{n}"), n)).collect();
    app.api.publish(&calls).await;
    receiver.wait_for(100, LONG).await;
    receiver.forget();
    receiver.mood(Mood::by(|r| if r.header("x-replay").is_some() { Mood::Hang } else { Mood::Ok }));
    let replay = format!("/webhooks/{}/replay", hooks[0]);
    let answer = app.api.own("PUT", &replay, Some(json!({"data": {"from_offset": 0}}))).await;
    assert_eq!(answer.status, 405, "it is a POST: {answer:?}");
    let answer = app.api.own("POST", &replay, Some(json!({"data": {"from_offset": 0}}))).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    // A quarter of the hook's 32 permits.
    receiver.wait_for(8, LONG).await;
    app.api.publish(&events_of("new", 0..20)).await;
    let got = receiver.wait_for(48, LONG).await;
    assert_eq!(got.iter().filter(|r| r.header("x-replay").is_some()).count(), 8);
    for path in ["/replayed", "/other"] {
        let new = got.iter().filter(|r| r.path == path && body(r)["call_id"] == "new");
        assert_eq!(new.map(number).collect::<Vec<_>>(), (0..20).collect::<Vec<_>>(), "{path}");
    }
    app.stop().await;
}

/// The first hook holds the only permit, two more wait for it, and the first of those two is disabled meanwhile.
#[tokio::test]
async fn a_permit_of_the_total_is_not_lost_on_a_hook_that_was_disabled_while_it_waited() {
    let receiver = Receiver::start().await;
    receiver.mood_at("/first", Mood::Hang);
    let mut app = TestApp::with(&["delivery.max_in_flight=1", "disable.failure_count=0"]).await;
    let first = json!({"uri": receiver.uri("/first"), "timeout_ms": 8000, "retries": 1});
    app.api.hook(first).await;
    let mut waiting = Vec::new();
    for path in ["/second", "/third"] {
        let document = json!({"uri": receiver.uri(path), "hook": "channel_answer"});
        waiting.push(app.api.hook(document).await);
    }
    app.api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    receiver.wait_for(1, LONG).await;
    app.api.publish(&[call_event("CHANNEL_ANSWER", "c", 2)]).await;
    queue_when(&app.api, &waiting[1], "it waits", |q| q["waiting"] == 1).await;
    patch(&app.api, &waiting[0], json!({"enabled": false})).await;
    queue_when(&app.api, &waiting[0], "it is disabled", |q| q["state"] == "disabled").await;
    assert_eq!(receiver.count(), 1, "the first still hangs");
    let got = receiver.wait_for(2, LONG).await;
    assert_eq!(got[1].path, "/third");
    app.stop().await;
}

/// Every hook has its first permit of the host. The first hook also holds the only one that the host has to share;
/// two more wait for it, and the first of these is disabled meanwhile.
#[tokio::test]
async fn a_host_s_permit_is_not_lost_on_a_hook_that_was_disabled_while_it_waited() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::Hang);
    let settings =
        ["delivery.per_host_in_flight=2", "delivery.request_timeout_ms=120000", "disable.failure_count=0"];
    let mut app = TestApp::with(&settings).await;
    let first = json!({"uri": receiver.uri("/first"), "timeout_ms": 8000, "retries": 1, "ordering": "none"});
    app.api.hook(first).await;
    let mut waiting = Vec::new();
    for path in ["/second", "/third"] {
        let document = json!({"uri": receiver.uri(path), "hook": "channel_answer", "ordering": "none"});
        waiting.push(app.api.hook(document).await);
    }
    app.api.publish(&events_of("c", 0..2)).await;
    receiver.wait_for(2, LONG).await;
    app.api.publish(&[call_event("CHANNEL_ANSWER", "c", 2), call_event("CHANNEL_ANSWER", "c", 3)]).await;
    for hook in &waiting {
        queue_when(&app.api, hook, "one waits", |q| q["waiting"] == 2 && q["in_flight"] == 1).await;
    }
    patch(&app.api, &waiting[0], json!({"enabled": false})).await;
    queue_when(&app.api, &waiting[0], "it is disabled", |q| q["state"] == "disabled").await;
    assert_eq!(receiver.count(), 4, "all of them still hang");
    receiver.wait_until(LONG, |got| got.iter().filter(|r| r.path == "/third").count() == 2).await;
    app.stop().await;
}

#[tokio::test]
async fn a_hook_gets_its_events_while_a_hundred_hooks_on_its_host_hang() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::by(|r| if r.path == "/healthy" { Mood::Ok } else { Mood::Hang }));
    let mut app =
        TestApp::with(&["delivery.per_host_in_flight=16", "delivery.request_timeout_ms=300000"]).await;
    for n in 0..100 {
        app.api.hook(json!({"uri": receiver.uri(&format!("/{n}")), "ordering": "none"})).await;
    }
    app.api.publish(&events_of("first", 0..8)).await;
    // One permit for each hook, and all shared permits of the host.
    let hanging = 100 + 15;
    receiver.wait_for(hanging, LONG).await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/healthy"), "format": "json"})).await;
    app.api.publish(&events_of("then", 0..20)).await;
    let healthy = |got: &[Request]| got.iter().filter(|r| r.path == "/healthy").count();
    let got = receiver.wait_until(LONG, |got| healthy(got) == 20).await;
    queue_when(&app.api, &hook, "all is delivered", |q| q["waiting"] == 0).await;
    let numbers = got.iter().filter(|r| r.path == "/healthy").map(number);
    assert_eq!(numbers.collect::<Vec<_>>(), (0..20).collect::<Vec<_>>());
    assert_eq!(got.len(), hanging + 20, "the others still hang");
    app.stop().await;
}

/// Slow receivers answer 200, so no hook is disabled and nothing is retried; only the duration shows that they are slow.
#[tokio::test]
async fn slow_hooks_leave_permits_of_the_total_to_a_quick_hook_that_holds_none() {
    const SLOW: usize = 40;
    let receiver = Receiver::start().await;
    let answers = Mood::After(Duration::from_millis(1500), Box::new(Mood::Ok));
    receiver.mood(Mood::by(move |r| match (r.path.as_str(), r.number_at_path) {
        ("/quick", _) => Mood::Ok,
        (_, 1) => answers.clone(),
        _ => Mood::Hang,
    }));
    let mut app = TestApp::with(&["delivery.max_in_flight=32", "delivery.request_timeout_ms=300000"]).await;
    let quick = app.api.hook(json!({"uri": receiver.uri("/quick"), "format": "json"})).await;
    app.api.publish(&events_of("first", 0..1)).await;
    receiver.wait_for(1, LONG).await;
    queue_when(&app.api, &quick, "it is known as quick", |q| q["waiting"] == 0).await;
    let mut slow = Vec::new();
    for n in 0..SLOW {
        let document = json!({"uri": receiver.uri(&format!("/{n}")), "hook": "channel_answer"});
        slow.push(app.api.hook(document).await);
    }
    app.api.publish(&[call_event("CHANNEL_ANSWER", "one", 1)]).await;
    receiver.wait_for(1 + SLOW, LONG).await;
    for hook in &slow {
        queue_when(&app.api, hook, "its answer came late", |q| q["waiting"] == 0).await;
    }
    app.api.publish(&[call_event("CHANNEL_ANSWER", "two", 2)]).await;
    let second = |got: &[Request]| got.iter().filter(|r| r.path != "/quick" && r.number_at_path == 2).count();
    receiver.wait_until(LONG, |got| second(got) == 28).await;
    app.api.publish(&events_of("then", 1..11)).await;
    receiver.wait_until(LONG, |got| got.iter().filter(|r| r.path == "/quick").count() == 11).await;
    assert_eq!(second(&receiver.requests()), 28, "the slow ones hold theirs, and an eighth is left");
    app.stop().await;
}
