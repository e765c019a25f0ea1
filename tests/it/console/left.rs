//! What is left to deliver, and what is dead: counted in lists and the overview, and listed delivery by delivery.

use std::time::Duration;

use serde_json::{Value, json};

use super::browser::Browser;
use crate::support::app::{Api, TestApp};
use crate::support::look::{LONG, events_of, queue_when, settled};
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::eventually;

async fn listed(api: &Api, path: &str) -> Vec<Value> {
    let answer = api.own("GET", path, None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.data().as_array().unwrap().clone()
}

/// The ledger's rows lag behind the queue by a moment.
async fn left(api: &Api, hook: &str, count: u64) {
    queue_when(api, hook, "what is left is counted", |q| {
        q["dead_left"] == count && q["dead_left_exact"] == true
    })
    .await;
}

#[tokio::test]
async fn dead_deliveries_are_counted_until_they_are_delivered_and_their_hook_needs_a_person() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(404));
    let mut app = TestApp::with(&["disable.failure_count=0"]).await;
    let hook = app.api.hook(json!({"name": "lossy", "uri": receiver.uri("/"), "retries": 1})).await;
    app.api.hook(json!({"name": "idle", "uri": receiver.uri("/idle"), "hook": "parking"})).await;
    app.api.publish(&events_of("one", 0..5)).await;
    queue_when(&app.api, &hook, "all are dead", |q| q["dead"] == 5).await;
    left(&app.api, &hook, 5).await;
    let api = &app.api;
    let seen = listed(api, "/webhooks/status?sort=dead").await;
    assert_eq!((&seen[0]["name"], &seen[0]["dead_left"]), (&json!("lossy"), &json!(5)));
    assert_eq!((&seen[1]["dead_left"], &seen[1]["dead_left_exact"]), (&json!(0), &json!(true)));
    let overview = api.own("GET", "/webhooks/overview", None).await.data().clone();
    assert_eq!((&overview["dead_left"], &overview["hooks_with_dead"]), (&json!(5), &json!(1)));
    assert_eq!((&overview["in_need"], &overview["in_need_first"][0]["name"]), (&json!(1), &json!("lossy")));

    // One is sent again and delivered; the others die again and stay.
    let dead = listed(api, &format!("/webhooks/{hook}/dead")).await;
    let chosen = dead[0]["event_id"].clone();
    receiver.mood(Mood::Ok);
    let again = json!({"data": {"event_ids": [chosen]}});
    assert_eq!(api.own("POST", &format!("/webhooks/{hook}/dead"), Some(again)).await.status, 201);
    left(api, &hook, 4).await;
    let rest = listed(api, &format!("/webhooks/{hook}/dead")).await;
    assert!(rest.len() == 4 && rest.iter().all(|row| row["event_id"] != chosen), "{rest:?}");

    // A restart forgets the counts and finds them again.
    app.restart(None).await;
    left(&app.api, &hook, 4).await;
    let all = app.api.own("POST", &format!("/webhooks/{hook}/dead"), Some(json!({"data": {}}))).await;
    assert_eq!(all.status, 201, "{all:?}");
    left(&app.api, &hook, 0).await;
    assert!(listed(&app.api, &format!("/webhooks/{hook}/dead")).await.is_empty());
    let overview = app.api.own("GET", "/webhooks/overview", None).await.data().clone();
    assert_eq!((&overview["in_need"], &overview["dead_left"]), (&json!(0), &json!(0)));
    app.stop().await;
}

#[tokio::test]
async fn deliveries_that_died_only_in_a_replay_are_counted_and_listed_everywhere() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&["disable.failure_count=0"]).await;
    let hook = app.api.hook(json!({"name": "replayed", "uri": receiver.uri("/"), "retries": 1})).await;
    app.api.publish(&events_of("one", 0..3)).await;
    queue_when(&app.api, &hook, "all are delivered", |q| q["state"] == "idle" && q["cursor"] == q["log_end"])
        .await;
    receiver.mood(Mood::status(404));
    let all = json!({"data": {"only": "all", "from_offset": 0}});
    let path = format!("/webhooks/{hook}/replay");
    assert_eq!(app.api.own("POST", &path, Some(all)).await.status, 201);
    left(&app.api, &hook, 3).await;
    app.restart(None).await;
    left(&app.api, &hook, 3).await;
    let api = &app.api;
    eventually("the replay has ended", LONG, || async {
        let replays = listed(api, &path).await;
        (replays[0]["state"] == "done" && replays[0]["dead"] == 3).then_some(())
    })
    .await;
    let status = listed(api, "/webhooks/status?sort=dead").await;
    assert_eq!((&status[0]["dead_left"], &status[0]["dead"]), (&json!(3), &json!(0)), "{status:?}");
    assert_eq!(listed(api, &format!("/webhooks/{hook}/dead")).await.len(), 3);
    let overview = api.own("GET", "/webhooks/overview", None).await.data().clone();
    assert_eq!((&overview["dead_left"], &overview["in_need"]), (&json!(3), &json!(1)));
    // Also after a start that finds the replay ended.
    app.restart(None).await;
    left(&app.api, &hook, 3).await;
    assert_eq!(listed(&app.api, "/webhooks/status").await[0]["dead_left"], 3);
    app.stop().await;
}

#[tokio::test]
async fn nothing_waits_for_an_idle_hook_of_a_rare_event_however_much_else_came() {
    let mut app = TestApp::with(&["http.max_searched_events=1000"]).await;
    let receiver = Receiver::start().await;
    let api = &app.api;
    let hook = api
        .hook(json!({"name": "rare", "uri": receiver.uri("/"), "hook": "parking", "format": "json"}))
        .await;
    // More than are examined at a time.
    for part in 0..25 {
        api.publish(&events_of("calls", part * 100..(part + 1) * 100)).await;
    }
    settled(api, &hook).await;
    // A page ends after so many events of the log. Here none has to be examined.
    let none = api.own("GET", &format!("/webhooks/{hook}/waiting"), None).await;
    assert_eq!((none.data(), none.body.get("next_start_key")), (&json!([]), None), "{none:?}");
    app.stop().await;
}

#[tokio::test]
async fn the_list_of_what_waits_has_every_delivery_that_has_not_ended_and_no_other() {
    let receiver = Receiver::start().await;
    // Calls whose first event is refused stand still; the others are delivered.
    receiver.mood(Mood::by(
        |request| {
            if request.text().contains("stuck") { Mood::status(500) } else { Mood::Ok }
        },
    ));
    let app = &mut TestApp::with(&[
        "queues.window=8",
        "queues.lane=4",
        "disable.failure_count=0",
        "retry.initial_ms=600000",
        "retry.max_ms=600000",
    ])
    .await;
    let hook = app.api.hook(json!({"name": "half", "uri": receiver.uri("/"), "format": "json"})).await;
    let api = &app.api;
    let mut stuck = events_of("stuck", 0..12);
    stuck.extend(events_of("other", 0..6));
    stuck.extend(events_of("stuck", 12..15));
    api.publish(&stuck).await;
    queue_when(api, &hook, "only the call that stands still waits", |q| q["waiting"] == 15).await;
    let seen = eventually("the first one is tried again later", LONG, || async {
        let seen = listed(api, &format!("/webhooks/{hook}/waiting")).await;
        (seen.len() == 15 && seen[0]["state"] == "retrying").then_some(seen)
    })
    .await;
    assert!(seen.iter().all(|row| row["subject"] == "stuck"), "{seen:?}");
    assert!(seen[0]["next_try_at"].is_u64() && seen[0]["attempts"] == 1, "{seen:?}");
    // Page by page, in the same order.
    let (mut paged, mut key) = (Vec::new(), String::new());
    loop {
        let path = format!("/webhooks/{hook}/waiting?page_size=4&start_key={key}");
        let page = api.own("GET", &path, None).await;
        assert_eq!(page.status, 200, "{page:?}");
        paged.extend(page.data().as_array().unwrap().iter().map(|row| row["event_id"].clone()));
        match page.body["next_start_key"].as_str() {
            Some(next) => next.clone_into(&mut key),
            None => break,
        }
    }
    let ids: Vec<_> = seen.iter().map(|row| row["event_id"].clone()).collect();
    assert_eq!(paged, ids);
    assert_eq!(api.own("GET", &format!("/webhooks/{hook}/waiting?ascending=true"), None).await.status, 400);
    // What waits for a paused hook is listed as well, and nobody else sees it.
    let paused = api.hook(json!({"name": "paused", "uri": receiver.uri("/p"), "format": "json"})).await;
    assert_eq!(api.own("POST", &format!("/webhooks/{paused}/pause"), None).await.status, 200);
    api.publish(&events_of("later", 0..3)).await;
    queue_when(api, &paused, "three wait", |q| q["waiting"] == 3).await;
    assert_eq!(listed(api, &format!("/webhooks/{paused}/waiting")).await.len(), 3);
    let tenant = api.tenant("tenant").await;
    let foreign = format!("/v2/accounts/{}/webhooks/{hook}/waiting", api.account);
    assert_eq!(tenant.call("GET", &foreign, None).await.status, 403);
    let user = app.user_of(&tenant, "user").await;
    let own = tenant.hook(json!({"name": "own", "uri": receiver.uri("/o")})).await;
    assert_eq!(user.own("GET", &format!("/webhooks/{own}/waiting"), None).await.status, 403);
    app.stop().await;
}

#[tokio::test]
async fn a_list_of_hooks_begins_with_what_hurts_most() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let api = &app.api;
    let mut hooks = Vec::new();
    for name in ["few", "many"] {
        let hook = api.hook(json!({"name": name, "uri": receiver.uri("/"), "format": "json"})).await;
        hooks.push(hook);
    }
    settled(api, &hooks[0]).await;
    assert_eq!(api.own("POST", &format!("/webhooks/{}/pause", hooks[1]), None).await.status, 200);
    receiver.mood(Mood::After(Duration::from_secs(1), Box::new(Mood::Ok)));
    api.publish(&events_of("one", 0..1)).await;
    settled(api, &hooks[0]).await;
    assert_eq!(api.own("POST", &format!("/webhooks/{}/pause", hooks[0]), None).await.status, 200);
    api.publish(&events_of("two", 0..3)).await;
    queue_when(api, &hooks[1], "it waits", |q| q["waiting"].as_u64() >= Some(4)).await;
    assert_eq!(listed(api, "/webhooks/status?sort=waiting").await[0]["name"], "many");
    // Only the other one has made an attempt.
    assert_eq!(listed(api, "/webhooks/status?sort=slowest").await[0]["name"], "few");
    // It took a second, which the list points out.
    let browser = Browser::operator(app.address()).await;
    eventually("the slow receiver is marked", LONG, || async {
        let page = browser.get(&format!("/console/accounts/{}/hooks", api.account)).await;
        page.says("▲ </span>1.").then_some(())
    })
    .await;
    // Ages in lists are those of the log's blocks, here the same one.
    assert_eq!(listed(api, "/webhooks/status?sort=oldest").await.len(), 2);
    app.stop().await;
}
