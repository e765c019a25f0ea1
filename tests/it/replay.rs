//! Replays: delivering a range of the log again, recognisably, with progress and cancellation.

use serde_json::{Value, json};

use crate::support::app::{Answer, TestApp, call_event};
use crate::support::look::{LONG, events_of, number, patch, settled};
use crate::support::process::Process;
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::eventually;

async fn ask(app: &TestApp, hook: &str, data: Value) -> Answer {
    app.api.own("POST", &format!("/webhooks/{hook}/replay"), Some(json!({"data": data}))).await
}

async fn begin(app: &TestApp, hook: &str, data: Value) -> String {
    let answer = ask(app, hook, data).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    answer.data()["id"].as_str().unwrap().to_owned()
}

/// The replay's progress once it is in this state.
async fn ended(app: &TestApp, hook: &str, replay: &str, state: &str) -> Value {
    eventually("the replay ends", LONG, || async {
        let found = app.api.own("GET", &format!("/webhooks/{hook}/replay/{replay}"), None).await;
        (found.data()["state"] == state).then(|| found.data().clone())
    })
    .await
}

async fn delivered(app: &TestApp, receiver: &Receiver, count: u64) -> (String, Vec<u64>) {
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json", "retries": 1})).await;
    let offsets = app.api.publish(&events_of("one", 0..count)).await;
    settled(&app.api, &hook).await;
    (hook, offsets)
}

#[tokio::test]
async fn a_range_of_offsets_is_replayed_with_the_same_ids_and_the_replay_header() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let (hook, offsets) = delivered(&app, &receiver, 10).await;
    let first = receiver.requests();
    assert!(first.iter().all(|r| r.header("x-replay").is_none()));
    receiver.forget();
    let range = json!({"from_offset": offsets[3], "until_offset": offsets[7]});
    let replay = begin(&app, &hook, range).await;
    let progress = ended(&app, &hook, &replay, "done").await;
    assert_eq!(
        (&progress["matched"], &progress["delivered"], &progress["dead"]),
        (&json!(4), &json!(4), &json!(0))
    );
    let again = receiver.requests();
    assert_eq!(again.iter().map(number).collect::<Vec<_>>(), [3, 4, 5, 6]);
    for (old, new) in first[3..7].iter().zip(&again) {
        assert_eq!(new.header("x-replay"), Some("true"));
        assert_eq!((new.header("webhook-id"), &new.body), (old.header("webhook-id"), &old.body));
    }
    let list = app.api.own("GET", &format!("/webhooks/{hook}/replay"), None).await;
    assert_eq!(list.data()[0]["id"], *replay, "{list:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_range_of_time_is_replayed() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let (hook, _) = delivered(&app, &receiver, 5).await;
    receiver.forget();
    let now = switchhook::model::gregorian_seconds(switchhook::model::Clock::system().now_us());
    let later = ask(&app, &hook, json!({"created_from": now + 100, "created_to": now + 200})).await;
    assert_eq!(later.status, 400, "an empty range: {later:?}");
    let turned = ask(&app, &hook, json!({"created_from": now, "created_to": now - 100})).await;
    assert_eq!(turned.status, 400, "{turned:?}");
    let replay = begin(&app, &hook, json!({"created_from": now - 600, "created_to": now + 1})).await;
    ended(&app, &hook, &replay, "done").await;
    assert_eq!(receiver.requests().iter().map(number).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    app.stop().await;
}

#[tokio::test]
async fn only_failed_deliveries_are_replayed() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::by(|r| if number(r).is_multiple_of(3) { Mood::status(500) } else { Mood::Ok }));
    let mut app = TestApp::with(&["disable.failure_count=0"]).await;
    let (hook, _) = delivered(&app, &receiver, 10).await;
    receiver.forget();
    receiver.mood(Mood::Ok);
    // They are listed once the ledger has synced the last attempt.
    eventually("all that failed is known", LONG, || async {
        let known = ask(&app, &hook, json!({"only": "failed", "dry_run": true})).await;
        (known.data()["matched"] == 4).then_some(())
    })
    .await;
    let replay = begin(&app, &hook, json!({"only": "failed"})).await;
    let progress = ended(&app, &hook, &replay, "done").await;
    assert_eq!((&progress["matched"], &progress["delivered"]), (&json!(4), &json!(4)));
    assert_eq!(receiver.requests().iter().map(number).collect::<Vec<_>>(), [0, 3, 6, 9]);
    // Known once the ledger has synced the last delivery.
    eventually("nothing is left: it has been delivered since", LONG, || async {
        let nothing = ask(&app, &hook, json!({"only": "failed", "dry_run": true})).await;
        (nothing.data()["matched"] == 0).then_some(())
    })
    .await;
    app.stop().await;
}

#[tokio::test]
async fn a_dry_run_counts_and_delivers_nothing() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let (hook, _) = delivered(&app, &receiver, 10).await;
    let answer = ask(&app, &hook, json!({"from_offset": 0, "dry_run": true})).await;
    assert_eq!((answer.status, &answer.data()["matched"]), (200, &json!(10)), "{answer:?}");
    let nothing = ask(&app, &hook, json!({"from_offset": 0, "hook_events": ["sms"], "dry_run": true})).await;
    assert_eq!(nothing.data()["matched"], 0, "{nothing:?}");
    app.api.publish(&events_of("one", 10..11)).await;
    settled(&app.api, &hook).await;
    assert_eq!(receiver.count(), 11);
    app.stop().await;
}

#[tokio::test]
async fn a_replay_keeps_its_rate_until_it_is_cancelled() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let (hook, _) = delivered(&app, &receiver, 100).await;
    receiver.forget();
    let replay = begin(&app, &hook, json!({"from_offset": 0, "rate": 5})).await;
    let got = receiver.wait_for(3, LONG).await;
    assert!(got[2].at - got[0].at >= std::time::Duration::from_millis(350), "five in a second");
    let path = format!("/webhooks/{hook}/replay/{replay}");
    let running = app.api.own("GET", &path, None).await;
    assert_eq!(running.data()["state"], "running", "{running:?}");
    let answer = app.api.own("DELETE", &path, None).await;
    assert_eq!((answer.status, &answer.data()["state"]), (200, &json!("cancelled")), "{answer:?}");
    let progress = ended(&app, &hook, &replay, "cancelled").await;
    assert!(progress["delivered"].as_u64().unwrap() < 100, "{progress}");
    // When later events arrive, nothing more of the replay can follow.
    app.api.publish(&events_of("one", 100..110)).await;
    settled(&app.api, &hook).await;
    assert!(receiver.count() < 100, "{}", receiver.count());
    app.stop().await;
}

#[tokio::test]
async fn a_replay_can_start_before_the_hook_existed_and_survives_a_restart() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    app.api.publish(&events_of("one", 0..30)).await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    let replay = begin(&app, &hook, json!({"from_offset": 0, "rate": 20})).await;
    receiver.wait_for(3, LONG).await;
    app.restart(None).await;
    ended(&app, &hook, &replay, "done").await;
    let mut got: Vec<u64> = receiver.requests().iter().map(number).collect();
    got.dedup();
    assert_eq!(got, (0..30).collect::<Vec<_>>());
    app.stop().await;
}

#[tokio::test]
async fn a_replay_of_a_disabled_hook_waits_until_it_is_enabled() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let (hook, _) = delivered(&app, &receiver, 5).await;
    receiver.forget();
    patch(&app.api, &hook, json!({"enabled": false})).await;
    let replay = begin(&app, &hook, json!({"from_offset": 0})).await;
    patch(&app.api, &hook, json!({"enabled": true})).await;
    ended(&app, &hook, &replay, "done").await;
    assert_eq!(receiver.requests().iter().map(number).collect::<Vec<_>>(), [0, 1, 2, 3, 4]);
    app.stop().await;
}

#[tokio::test]
async fn a_replay_is_known_from_its_answer_on_until_it_has_ended() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let (hook, _) = delivered(&app, &receiver, 1).await;
    for _ in 0..20 {
        let replay = begin(&app, &hook, json!({"from_offset": 0})).await;
        eventually("the replay ends", LONG, || async {
            let seen = app.api.own("GET", &format!("/webhooks/{hook}/replay/{replay}"), None).await;
            assert_eq!(seen.status, 200, "{seen:?}");
            (seen.data()["state"] == "done").then_some(())
        })
        .await;
    }
    app.stop().await;
}

#[tokio::test]
async fn a_filter_selects_by_name_subject_and_message_and_reports_the_number() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json", "hook": "all"})).await;
    let mut events = events_of("one", 0..3);
    events.extend(events_of("two", 3..6));
    events.push(call_event("CHANNEL_DESTROY", "two", 6));
    app.api.publish(&events).await;
    settled(&app.api, &hook).await;
    for (filter, numbers) in [
        (json!({"subjects": ["two"]}), vec![3, 4, 5, 6]),
        (json!({"subjects": "two", "event_names": ["CHANNEL_CREATE"]}), vec![3, 4, 5]),
        (json!({"hook_events": ["channel_destroy"]}), vec![6]),
        (json!({"msg_ids": ["one-CHANNEL_CREATE-1"]}), vec![1]),
        (json!({"account_ids": ["0".repeat(32)]}), vec![]),
    ] {
        let mut data = filter.clone();
        (data["from_offset"], data["dry_run"]) = (json!(0), json!(true));
        let counted = ask(&app, &hook, data.clone()).await;
        assert_eq!(counted.data()["matched"], numbers.len(), "{filter}: {counted:?}");
        receiver.forget();
        data["dry_run"] = json!(false);
        let replay = begin(&app, &hook, data).await;
        let done = ended(&app, &hook, &replay, "done").await;
        assert_eq!(done["delivered"], numbers.len(), "{filter}: {done}");
        let mut got: Vec<u64> = receiver.requests().iter().map(number).collect();
        got.sort_unstable();
        assert_eq!(got, numbers, "{filter}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_cancelled_replay_stays_so_through_kill_9() {
    let receiver = Receiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::serve(dir.path(), &[]).await;
    let api = process.api().await;
    let hook = api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    api.publish(&events_of("one", 0..50)).await;
    settled(&api, &hook).await;
    let slow = json!({"data": {"from_offset": 0, "rate": 5}});
    let begun = api.own("POST", &format!("/webhooks/{hook}/replay"), Some(slow)).await;
    let path = format!("/webhooks/{hook}/replay/{}", begun.data()["id"].as_str().unwrap());
    receiver.wait_for(52, LONG).await;
    assert_eq!(api.own("DELETE", &path, None).await.data()["state"], "cancelled");
    process.kill();
    receiver.forget();
    let process = Process::serve(dir.path(), &[]).await;
    let api = process.api().await;
    api.publish(&events_of("one", 50..60)).await;
    settled(&api, &hook).await;
    assert_eq!(api.own("GET", &path, None).await.data()["state"], "cancelled");
    assert!(receiver.requests().iter().all(|r| r.header("x-replay").is_none()));
}

#[tokio::test]
async fn replays_of_a_deleted_hook_end_and_old_ended_ones_are_removed() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let (hook, _) = delivered(&app, &receiver, 1).await;
    for _ in 0..22 {
        let replay = begin(&app, &hook, json!({"from_offset": 0})).await;
        ended(&app, &hook, &replay, "done").await;
    }
    let list = app.api.own("GET", &format!("/webhooks/{hook}/replay"), None).await;
    let shown = list.data().as_array().unwrap().len();
    assert_eq!(shown, 21, "the last one and twenty before it");
    app.api.publish(&events_of("one", 1..50)).await;
    settled(&app.api, &hook).await;
    begin(&app, &hook, json!({"from_offset": 0, "rate": 1})).await;
    app.api.own("DELETE", &format!("/webhooks/{hook}"), None).await;
    app.restart(None).await;
    // What was under way when the hook was deleted may have arrived until now.
    receiver.forget();
    let (other, _) = delivered(&app, &receiver, 3).await;
    assert!(receiver.requests().iter().all(|r| r.header("x-hook-id") == Some(&other)));
    app.stop().await;
}
