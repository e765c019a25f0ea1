//! The list "What is different on purpose" of the page "Moving from KAZOO": the program behaves as each of its points says.

use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::json;

use crate::support::app::{TestApp, call_event};
use crate::support::look::{LONG, accepted_per_call, attempts_when, body, events_of, number, queue_when};
use crate::support::receiver::{Mood, Receiver};

const PAGE: &str = include_str!("../../../docs/moving-from-kazoo.md");

/// The names of the differences, in the order of the page.
fn differences() -> Vec<&'static str> {
    let (_, list) = PAGE.split_once("## What is different on purpose\n").unwrap();
    let list = list.split("\n## ").next().unwrap();
    let names = list.lines().filter_map(|line| line.strip_prefix("- **")?.split_once("**"));
    names.map(|(name, _)| name.trim_end_matches('.')).collect()
}

async fn hooks_of_a_disabled_account_are_held(app: &TestApp, receiver: &Receiver) {
    let child = app.api.below(app.api.account_below(&app.api.account, "child").await);
    let hook = child.hook(json!({"uri": receiver.uri("/held"), "format": "json"})).await;
    for enabled in [false, true] {
        let set = child.own("PATCH", "", Some(json!({"data": {"enabled": enabled}}))).await;
        assert_eq!(set.status, 200, "{set:?}");
        if !enabled {
            child.publish(&events_of("held", 0..3)).await;
            queue_when(&child, &hook, "its deliveries wait", |queue| queue["waiting"] == 3).await;
            assert_eq!(receiver.requests_at("/held").len(), 0);
        }
    }
    let got = receiver.wait_until(LONG, |got| got.iter().filter(|r| r.path == "/held").count() == 3).await;
    assert_eq!(accepted_per_call(&got)["held"], [0, 1, 2]);
}

async fn private_addresses_need_permission(app: &TestApp) {
    for (address, status) in [("127.0.0.1", 201), ("127.0.0.2", 400), ("10.0.0.1", 400), ("[::1]", 400)] {
        let hook = json!({"name": "n", "hook": "parking", "uri": format!("http://{address}:9/")});
        let made = app.api.own("PUT", "/webhooks", Some(json!({"data": hook}))).await;
        assert_eq!(made.status, status, "{address}: {made:?}");
    }
}

async fn a_redirect_is_a_failure(app: &TestApp, receiver: &Receiver) {
    let elsewhere = receiver.uri("/elsewhere");
    receiver.mood_at("/moved", Mood::answer(302, &[("location", &elsewhere)], ""));
    let hook = json!({"uri": receiver.uri("/moved"), "hook": "channel_answer", "retries": 1});
    let hook = app.api.hook(hook).await;
    app.api.publish(&[call_event("CHANNEL_ANSWER", "moved", 1)]).await;
    let rows = attempts_when(&app.api, &hook, 1).await;
    assert_eq!((&rows[0]["result"], &rows[0]["resp_status_code"]), (&json!("failure"), &json!("302")));
    assert_eq!(receiver.requests_at("/elsewhere").len(), 0);
}

async fn a_slow_delivery_delays_only_its_call(app: &TestApp, receiver: &Receiver) {
    // The first event of the call "slow" is accepted only after the event of the call "other".
    let has_other = AtomicBool::new(false);
    let mood = Mood::by(move |request| {
        let is_slow = body(request)["call_id"] == "slow";
        has_other.fetch_or(!is_slow, Ordering::Relaxed);
        let refuses = is_slow && number(request) == 0 && !has_other.load(Ordering::Relaxed);
        if refuses { Mood::status(503) } else { Mood::Ok }
    });
    receiver.mood_at("/order", mood);
    let retry = json!({"max_attempts": 10});
    app.api.hook(json!({"uri": receiver.uri("/order"), "format": "json", "retry": retry})).await;
    let events = [events_of("slow", 0..3), events_of("other", 0..1)].concat();
    app.api.publish(&events).await;
    receiver
        .wait_until(LONG, |got| {
            got.iter().any(|r| r.path == "/order" && body(r)["call_id"] == "slow" && number(r) == 2)
        })
        .await;
    let got = receiver.requests_at("/order");
    let place = |call: &str, n: u64| got.iter().position(|r| body(r)["call_id"] == call && number(r) == n);
    assert_eq!(accepted_per_call(&got)["slow"], [0, 1, 2]);
    assert!(place("other", 0) < place("slow", 1), "{got:#?}");
}

#[tokio::test]
async fn each_difference_that_the_page_lists_is_as_the_page_says() {
    let receiver = Receiver::start().await;
    let settings = ["delivery.allow_addresses=[\"127.0.0.1/32\"]", "disable.failure_count=0"];
    let mut app = TestApp::with(&settings).await;
    let listed = differences();
    for name in &listed {
        match *name {
            "Disabled accounts" => hooks_of_a_disabled_account_are_held(&app, &receiver).await,
            "Private addresses" => private_addresses_need_permission(&app).await,
            "Redirects" => a_redirect_is_a_failure(&app, &receiver).await,
            "Order" => a_slow_delivery_delays_only_its_call(&app, &receiver).await,
            other => panic!("the page lists '{other}', and nothing tests it"),
        }
    }
    assert_eq!(listed.len(), 4, "{listed:?}");
    app.stop().await;
}
