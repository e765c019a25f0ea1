//! Dead deliveries: listing in pages, and delivering one or all again, even across `kill -9`.

use serde_json::{Value, json};

use crate::support::app::{Answer, Api, TestApp};
use crate::support::look::{LONG, events_of, number, queue_when, settled};
use crate::support::process::Process;
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::eventually;

/// In this test failures never disable a hook.
const NEVER_DISABLE: &str = "disable.failure_count=0";

/// A hook with `count` attempted events, of which those selected by `is_dead` are dead.
async fn with_dead(api: &Api, receiver: &Receiver, count: u64, is_dead: fn(u64) -> bool) -> String {
    receiver
        .mood(Mood::by(move |r| if is_dead(number(r)) { Mood::answer(500, &[], "no") } else { Mood::Ok }));
    let hook = api.hook(json!({"uri": receiver.uri("/"), "format": "json", "retries": 1})).await;
    api.publish(&events_of("one", 0..count)).await;
    settled(api, &hook).await;
    // The ledger is written a moment later.
    dead_when(api, &hook, (0..count).filter(|n| is_dead(*n)).count()).await;
    receiver.forget();
    hook
}

async fn page(api: &Api, hook: &str, query: &str) -> Answer {
    let answer = api.own("GET", &format!("/webhooks/{hook}/dead{query}"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

async fn dead(api: &Api, hook: &str) -> Vec<Value> {
    page(api, hook, "").await.data().as_array().unwrap().clone()
}

/// Waits until this number of deliveries is dead.
async fn dead_when(api: &Api, hook: &str, count: usize) {
    eventually("this number of deliveries is dead", LONG, || async {
        (dead(api, hook).await.len() == count).then_some(())
    })
    .await;
}

fn got(receiver: &Receiver) -> Vec<u64> {
    receiver.requests().iter().map(number).collect()
}

async fn post(api: &Api, path: &str, data: Value) -> Answer {
    api.own("POST", path, Some(json!({"data": data}))).await
}

#[tokio::test]
async fn dead_deliveries_are_listed_with_their_last_attempt_until_they_are_delivered() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&[NEVER_DISABLE]).await;
    let hook = with_dead(&app.api, &receiver, 10, |n| n % 3 == 0).await;
    let rows = dead(&app.api, &hook).await;
    assert_eq!(rows.len(), 4, "{rows:?}");
    let row = &rows[0];
    assert_eq!((&row["event_name"], &row["subject"]), (&json!("CHANNEL_CREATE"), &json!("one")), "{row}");
    assert_eq!((&row["resp_status_code"], &row["resp_body"]), (&json!("500"), &json!("no")), "{row}");
    assert!(row["req_body"].as_str().unwrap().contains("\"9\""), "the newest comes first: {row}");
    assert!(row["died"].is_u64() && row["received"].is_u64(), "{row}");

    receiver.mood(Mood::Ok);
    let all = post(&app.api, &format!("/webhooks/{hook}/dead"), json!({})).await;
    assert_eq!((all.status, &all.data()["only"]), (201, &json!("dead")), "{all:?}");
    dead_when(&app.api, &hook, 0).await;
    assert_eq!(got(&receiver), [0, 3, 6, 9]);
    assert!(receiver.requests().iter().all(|r| r.header("x-replay") == Some("true")));
    app.stop().await;
}

#[tokio::test]
async fn pages_of_dead_deliveries_have_no_gaps_or_repeats() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&[NEVER_DISABLE]).await;
    let hook = with_dead(&app.api, &receiver, 11, |_| true).await;
    for order in ["", "&ascending=true"] {
        let (mut ids, mut query) = (Vec::new(), format!("?page_size=4{order}"));
        loop {
            let answer = page(&app.api, &hook, &query).await;
            ids.extend(answer.data().as_array().unwrap().iter().map(|row| row["event_id"].clone()));
            let Some(next) = answer.body["next_start_key"].as_str() else { break };
            query = format!("?page_size=4{order}&start_key={next}");
        }
        let mut sorted = ids.clone();
        sorted.sort_by_key(|id| id.as_str().unwrap().to_owned());
        sorted.dedup();
        assert_eq!(sorted.len(), 11, "{ids:?}");
        if order.is_empty() {
            sorted.reverse();
        }
        assert_eq!(ids, sorted);
    }
    app.stop().await;
}

#[tokio::test]
async fn chosen_deliveries_are_repeated_with_the_same_ids() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&[NEVER_DISABLE]).await;
    let hook = with_dead(&app.api, &receiver, 6, |n| n < 4).await;
    receiver.mood(Mood::Ok);
    let rows = dead(&app.api, &hook).await;
    let id = |n: usize, key: &str| rows[n][key].as_str().unwrap().to_owned();
    let chosen = json!({"event_ids": [id(0, "event_id")], "delivery_ids": [id(2, "delivery_id")]});
    let path = format!("/webhooks/{hook}/dead");
    assert_eq!(post(&app.api, &path, chosen).await.status, 201);
    receiver.wait_for(2, LONG).await;
    dead_when(&app.api, &hook, 2).await;
    assert_eq!(got(&receiver), [1, 3]);
    assert_eq!(receiver.requests()[1].header("webhook-id"), rows[0]["delivery_id"].as_str());

    for foreign in ["dlv_x", "000000000000000000000001"] {
        let refused = post(&app.api, &path, json!({"event_ids": [foreign]})).await;
        assert_eq!((refused.status, refused.data()["event_ids"].is_object()), (400, true), "{refused:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn one_delivery_can_be_repeated_by_its_id_below_its_hook_and_below_its_account() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&[NEVER_DISABLE]).await;
    let hook = with_dead(&app.api, &receiver, 3, |n| n == 1).await;
    let child = app.api.account_below(&app.api.account, "child").await;
    receiver.mood(Mood::Ok);
    let row = dead(&app.api, &hook).await.remove(0);
    let (event, delivery) = (row["event_id"].as_str().unwrap(), row["delivery_id"].as_str().unwrap());
    for (count, path) in [
        (1, format!("/webhooks/{hook}/attempts/{delivery}")),
        (2, format!("/webhooks/{hook}/attempts/{event}")),
        (3, format!("/webhooks/attempts/{delivery}")),
    ] {
        let answer = post(&app.api, &path, json!({})).await;
        assert_eq!((answer.status, &answer.data()["only"]), (201, &json!("chosen")), "{path}: {answer:?}");
        receiver.wait_for(count, LONG).await;
    }
    assert!(got(&receiver).iter().all(|n| *n == 1));
    assert!(dead(&app.api, &hook).await.is_empty());
    let unknown = format!("{}{}", &delivery[..12], "ffffffffffffffff") + &delivery[28..];
    for path in [
        format!("/webhooks/attempts/{event}"),
        format!("/webhooks/attempts/{unknown}"),
        format!("/webhooks/{hook}/attempts/none"),
    ] {
        assert_eq!(post(&app.api, &path, json!({})).await.status, 404, "{path}");
    }
    let other = format!("/v2/accounts/{child}/webhooks/attempts/{delivery}");
    let refused = app.api.call("POST", &other, Some(json!({"data": {}}))).await;
    assert_eq!(refused.status, 404, "another account's: {refused:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_redelivery_that_was_answered_survives_kill_9() {
    let receiver = Receiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let settings = [NEVER_DISABLE.to_owned()];
    let mut process = Process::serve(dir.path(), &settings).await;
    let api = process.api().await;
    let hook = with_dead(&api, &receiver, 8, |_| true).await;
    receiver.mood(Mood::Hang);
    assert_eq!(post(&api, &format!("/webhooks/{hook}/dead"), json!({})).await.status, 201);
    process.kill();
    receiver.mood(Mood::Ok);
    receiver.forget();
    let process = Process::serve(dir.path(), &settings).await;
    let api = process.api().await;
    dead_when(&api, &hook, 0).await;
    let mut numbers = got(&receiver);
    numbers.dedup();
    assert_eq!(numbers, (0..8).collect::<Vec<_>>());
    queue_when(&api, &hook, "nothing is under way", |q| q["in_flight"] == 0).await;
}
