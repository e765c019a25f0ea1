//! Hooks disabled by the program or by a person: they keep their position in the log, and get the right events
//! afterwards.

use std::collections::HashMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::{Api, TestApp, call_event};
use crate::support::look::{
    LONG, accepted_per_call, attempts_when, document, events_of, number, patch, queue_when, settled,
};
use crate::support::process::Process;
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::eventually;

const REASON: &str = "too many failed attempts";
/// Switches probes off.
const NO_PROBE: &str = "disable.probe_initial_ms=0";

/// A hook that a failing receiver has disabled, with events 0 to 20 of one call waiting. The first had used up its
/// tries, and the second has been attempted.
async fn disabled(app: &TestApp, receiver: &Receiver) -> String {
    disabled_with(app, receiver, 4).await
}

async fn disabled_with(app: &TestApp, receiver: &Receiver, tries: u64) -> String {
    receiver.mood(Mood::status(500));
    let retry = json!({"max_attempts": tries});
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json", "retry": retry})).await;
    app.api.publish(&events_of("one", 0..20)).await;
    is_disabled(app, &hook).await;
    hook
}

async fn is_disabled(app: &TestApp, hook: &str) -> Value {
    eventually("the hook is disabled", LONG, || async {
        let found = document(&app.api, hook).await;
        (found["enabled"] == false).then_some(found)
    })
    .await
}

async fn is_enabled(app: &TestApp, hook: &str) {
    eventually("the hook is enabled", LONG, || async {
        (document(&app.api, hook).await["enabled"] != false).then_some(())
    })
    .await;
}

/// Makes the receiver work again and forget the requests that it refused.
fn recovers(receiver: &Receiver) {
    receiver.forget();
    receiver.mood(Mood::Ok);
}

fn assert_got_in_order(receiver: &Receiver, numbers: std::ops::Range<u64>) {
    assert_eq!(accepted_per_call(&receiver.requests())["one"], numbers.collect::<Vec<_>>());
}

#[tokio::test]
async fn six_failures_disable_a_hook_with_kazoo_s_reason() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&[NO_PROBE]).await;
    let hook = disabled(&app, &receiver).await;
    let found = document(&app.api, &hook).await;
    assert_eq!((&found["enabled"], &found["disable_reason"]), (&json!(false), &json!(REASON)));
    let list = app.api.own("GET", "/webhooks", None).await;
    assert_eq!(list.data()[0]["disable_reason"], REASON, "{list:?}");
    assert_eq!(list.data()[0]["enabled"], false);
    let queue = queue_when(&app.api, &hook, "nothing is under way", |q| q["in_flight"] == 0).await;
    assert_eq!((&queue["state"], &queue["disable_reason"]), (&json!("auto_disabled"), &json!(REASON)));
    assert_eq!(
        (&queue["waiting"], &queue["dead"], &queue["next_try_at"]),
        (&json!(20), &json!(0), &Value::Null)
    );
    assert_eq!(receiver.count(), 6);
    app.stop().await;
}

#[tokio::test]
async fn a_hook_enabled_by_a_person_gets_all_missed_events_in_order() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&[NO_PROBE, "queues.window=16", "queues.lane=8"]).await;
    let hook = disabled(&app, &receiver).await;
    app.api.publish(&events_of("one", 20..100)).await;
    recovers(&receiver);
    let shown = patch(&app.api, &hook, json!({"enabled": true})).await;
    assert_eq!((&shown["enabled"], &shown["disable_reason"]), (&json!(true), &Value::Null));
    let queue = settled(&app.api, &hook).await;
    assert_eq!((&queue["dead"], &queue["state"]), (&json!(0), &json!("idle")));
    assert_got_in_order(&receiver, 0..100);
    app.stop().await;
}

#[tokio::test]
async fn a_successful_probe_enables_the_hook_which_then_catches_up_in_order() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&[
        "disable.probe_initial_ms=200",
        "disable.probe_max_ms=400",
        "queues.window=16",
        "queues.lane=8",
    ])
    .await;
    let hook = disabled_with(&app, &receiver, 10).await;
    app.api.publish(&events_of("one", 20..60)).await;
    let got = receiver.wait_for(8, LONG).await;
    assert!(got.iter().all(|r| number(r) == 0), "only the oldest delivery is tried");
    assert!(got[6].at - got[5].at >= Duration::from_millis(190), "the first probe waits");
    assert_eq!(is_disabled(&app, &hook).await["disable_reason"], REASON);
    receiver.mood(Mood::Ok);
    is_enabled(&app, &hook).await;
    settled(&app.api, &hook).await;
    assert_got_in_order(&receiver, 0..60);
    assert_eq!(document(&app.api, &hook).await["disable_reason"], Value::Null);
    app.stop().await;
}

#[tokio::test]
async fn bulk_re_enable_enables_only_hooks_that_the_program_disabled() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&[NO_PROBE]).await;
    let hook = disabled(&app, &receiver).await;
    let off = app.api.hook(json!({"uri": receiver.uri("/off"), "enabled": false})).await;
    recovers(&receiver);
    let answer = app.api.own("PATCH", "/webhooks", Some(json!({"data": {"re-enable": true}}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    settled(&app.api, &hook).await;
    assert_got_in_order(&receiver, 0..20);
    assert_eq!(document(&app.api, &off).await["enabled"], false);
    app.stop().await;
}

#[tokio::test]
async fn bulk_re_enable_reaches_the_hooks_of_all_accounts_below_and_no_others() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(410));
    let mut app = TestApp::with(&[NO_PROBE]).await;
    let master = app.api.account.clone();
    let child = app.api.account_below(&master, "child").await;
    let grandchild = app.api.account_below(&child, "grandchild").await;
    let beside = app.api.account_below(&master, "beside").await;
    let mut hooks = Vec::new();
    for account in [&child, &grandchild, &beside] {
        let hook = app.api.hook_of(account, json!({"uri": receiver.uri("/"), "format": "json"})).await;
        let event = json!({"data": events_of(account, 0..1)});
        app.api.call("PUT", &format!("/v2/accounts/{account}/events"), Some(event)).await;
        hooks.push(format!("/v2/accounts/{account}/webhooks/{hook}"));
    }
    let is_enabled = async |hook: &str| app.api.call("GET", hook, None).await.data()["enabled"] == true;
    for hook in &hooks {
        eventually("the hook is disabled", LONG, || async { (!is_enabled(hook).await).then_some(()) }).await;
    }
    recovers(&receiver);
    let path = format!("/v2/accounts/{child}/descendants/webhooks");
    let answer = app.api.call("PATCH", &path, Some(json!({"data": {"re-enable": true}}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    receiver.wait_for(2, LONG).await;
    assert_eq!((is_enabled(&hooks[0]).await, is_enabled(&hooks[1]).await), (true, true));
    assert!(!is_enabled(&hooks[2]).await, "another's");
    let calls = accepted_per_call(&receiver.requests());
    assert!(calls.contains_key(&child) && calls.contains_key(&grandchild) && calls.len() == 2, "{calls:?}");
    app.stop().await;
}

#[tokio::test]
async fn failures_from_before_a_hook_was_enabled_again_do_not_count_after_a_crash() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::by(|r| if [0, 1, 3].contains(&number(r)) { Mood::status(500) } else { Mood::Ok }));
    let dir = tempfile::tempdir().unwrap();
    let settings = ["disable.failure_count=3".to_owned(), "disable.window_ms=600000".to_owned()];
    let mut process = Process::serve(dir.path(), &settings).await;
    let api = process.api().await;
    let hook = json!({"uri": receiver.uri("/"), "format": "json", "retries": 1});
    let hook = api.hook(hook).await;
    let failed = async |api: &Api, count: u64| {
        queue_when(api, &hook, "the failures are counted", |q| q["recent_failures"] == count).await;
    };
    // Two deliveries are dead, because the third shows that the hook works; neither is retried.
    api.publish(&events_of("one", 0..3)).await;
    settled(&api, &hook).await;
    failed(&api, 2).await;
    patch(&api, &hook, json!({"enabled": false})).await;
    patch(&api, &hook, json!({"enabled": true})).await;
    failed(&api, 0).await;
    api.publish(&events_of("one", 3..5)).await;
    // When the last attempt is listed, everything before it has been written.
    attempts_when(&api, &hook, 5).await;
    process.kill();
    let process = Process::serve(dir.path(), &settings).await;
    let api = process.api().await;
    failed(&api, 1).await;
    assert_eq!(document(&api, &hook).await["enabled"], true);
}

#[tokio::test]
async fn a_hook_disabled_by_a_person_starts_from_now_when_it_is_enabled_again() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    app.api.publish(&events_of("one", 0..3)).await;
    settled(&app.api, &hook).await;
    patch(&app.api, &hook, json!({"enabled": false})).await;
    app.api.publish(&events_of("one", 3..6)).await;
    let queue = queue_when(&app.api, &hook, "it is disabled", |q| q["state"] == "disabled").await;
    assert_eq!(queue["disable_reason"], Value::Null);
    patch(&app.api, &hook, json!({"enabled": true})).await;
    app.api.publish(&events_of("one", 6..9)).await;
    settled(&app.api, &hook).await;
    let got: Vec<u64> = receiver.requests().iter().map(number).collect();
    assert_eq!(got, [0, 1, 2, 6, 7, 8]);
    app.stop().await;
}

#[tokio::test]
async fn a_hook_with_resume_held_continues_where_it_stopped() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    app.api.publish(&events_of("one", 0..3)).await;
    settled(&app.api, &hook).await;
    patch(&app.api, &hook, json!({"enabled": false})).await;
    app.api.publish(&events_of("one", 3..6)).await;
    app.restart(None).await;
    patch(&app.api, &hook, json!({"enabled": true, "resume": "held"})).await;
    app.api.publish(&events_of("one", 6..9)).await;
    settled(&app.api, &hook).await;
    assert_got_in_order(&receiver, 0..9);
    assert_eq!(receiver.count(), 9);
    app.stop().await;
}

#[tokio::test]
async fn a_hook_created_disabled_gets_nothing_and_starts_when_it_is_enabled() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let off = json!({"uri": receiver.uri("/off"), "format": "json", "enabled": false});
    let off = app.api.hook(off).await;
    let on = app.api.hook(json!({"uri": receiver.uri("/on"), "format": "json"})).await;
    app.api.publish(&events_of("one", 0..5)).await;
    settled(&app.api, &on).await;
    assert_eq!(receiver.requests_at("/off").len(), 0);
    patch(&app.api, &off, json!({"enabled": true})).await;
    app.api.publish(&events_of("one", 5..7)).await;
    settled(&app.api, &off).await;
    let got: Vec<u64> = receiver.requests_at("/off").iter().map(number).collect();
    assert_eq!(got, [5, 6]);
    app.stop().await;
}

#[tokio::test]
async fn a_disabled_hook_and_its_position_survive_restarts() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&[NO_PROBE, "queues.window=16", "queues.lane=8"]).await;
    let hook = disabled(&app, &receiver).await;
    app.api.publish(&events_of("one", 20..40)).await;
    app.restart(None).await;
    assert_eq!(document(&app.api, &hook).await["disable_reason"], REASON);
    app.api.publish(&events_of("one", 40..60)).await;
    app.restart(None).await;
    let queue = queue_when(&app.api, &hook, "it is disabled", |q| q["state"] == "auto_disabled").await;
    assert_eq!((&queue["dead"], &queue["in_flight"]), (&json!(0), &json!(0)));
    assert_eq!(receiver.count(), 6, "nothing is tried while it is disabled");
    recovers(&receiver);
    patch(&app.api, &hook, json!({"enabled": true})).await;
    settled(&app.api, &hook).await;
    assert_got_in_order(&receiver, 0..60);
    app.stop().await;
}

#[tokio::test]
async fn tries_before_a_hook_was_disabled_still_count_after_restarts() {
    const CALLS: u64 = 20;
    let receiver = Receiver::start().await;
    receiver.mood(Mood::After(Duration::from_millis(200), Box::new(Mood::status(500))));
    let mut app = TestApp::with(&[NO_PROBE]).await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    let events = (0..CALLS).map(|n| call_event("CHANNEL_CREATE", &format!("c{n}"), n));
    app.api.publish(&events.collect::<Vec<_>>()).await;
    is_disabled(&app, &hook).await;
    queue_when(&app.api, &hook, "nothing is under way", |q| q["in_flight"] == 0).await;
    let tried: HashMap<u64, usize> = receiver.requests().iter().map(number).fold(HashMap::new(), counted);
    assert!(tried.len() > 6, "more are under way than disable a hook, and than it keeps in memory then");
    // A restart must keep everything from the checkpoint of the previous one.
    app.restart(None).await;
    app.restart(None).await;
    recovers(&receiver);
    patch(&app.api, &hook, json!({"enabled": true})).await;
    settled(&app.api, &hook).await;
    let got = receiver.requests();
    assert_eq!(got.len() as u64, CALLS, "each comes once");
    for request in got {
        let before = tried.get(&number(&request)).copied().unwrap_or_default();
        assert_eq!(request.header("x-attempt"), Some((before + 1).to_string().as_str()));
    }
    app.stop().await;
}

fn counted(mut counts: HashMap<u64, usize>, number: u64) -> HashMap<u64, usize> {
    *counts.entry(number).or_default() += 1;
    counts
}

#[tokio::test]
async fn probing_continues_after_a_restart() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&[NO_PROBE]).await;
    let hook = disabled(&app, &receiver).await;
    recovers(&receiver);
    app.restart(Some(&["disable.probe_initial_ms=100"])).await;
    is_enabled(&app, &hook).await;
    settled(&app.api, &hook).await;
    assert_got_in_order(&receiver, 0..20);
    app.stop().await;
}

#[tokio::test]
async fn deliveries_for_disabled_hooks_wait_on_disk() {
    const HOOKS: usize = 400;
    // More than fits into a window: 200,000 deliveries, which would take 70 MB of memory.
    const EVENTS: u64 = 600;
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let process = Process::serve(dir.path(), &[]).await;
    let api = process.api().await;
    let mut hooks = Vec::new();
    for n in 0..HOOKS {
        let fields = json!({"uri": receiver.uri(&format!("/{n}")), "format": "json", "enabled": false});
        hooks.push(api.hook(fields).await);
    }
    let before = process.memory();
    for from in (0..EVENTS).step_by(100) {
        let events = (from..from + 100).map(|n| call_event("CHANNEL_CREATE", &format!("c{n}"), n));
        api.publish(&events.collect::<Vec<_>>()).await;
    }
    queue_when(&api, &hooks[HOOKS - 1], "all of it is routed", |q| q["waiting"] == EVENTS).await;
    let grown = process.memory().saturating_sub(before);
    assert!(grown < 25 << 20, "{} MB", grown >> 20);
    patch(&api, &hooks[0], json!({"enabled": true, "resume": "held"})).await;
    let got = receiver.wait_for(usize::try_from(EVENTS).unwrap(), LONG).await;
    let numbers: std::collections::BTreeSet<u64> = got.iter().map(number).collect();
    assert!(numbers.into_iter().eq(0..EVENTS), "what waited comes, and nothing twice");
    assert_eq!(got.len() as u64, EVENTS);
}
