//! One damaged record: its row shows the error, and no other row is missing.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::support::app::Api;
use crate::support::look::{LONG, attempts_when, events_of, settled};
use crate::support::process::Process;
use crate::support::raw::send_as;
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::eventually;

/// The only segment of a log.
fn segment(dir: &Path, log: &str) -> PathBuf {
    dir.join(log).join(format!("{:020}.log", 0))
}

/// Flips one byte in the only record that contains this text.
fn flip(file: &Path, text: &str) {
    let mut bytes = std::fs::read(file).unwrap();
    let places: Vec<usize> =
        (0..bytes.len()).filter(|at| bytes[*at..].starts_with(text.as_bytes())).collect();
    let at = places.last().unwrap() + 2;
    bytes[at] ^= 0x20;
    std::fs::write(file, bytes).unwrap();
}

async fn rows(api: &Api, path: &str) -> Vec<Value> {
    let answer = api.own("GET", path, None).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.data().as_array().unwrap().clone()
}

/// The number of rows, and of rows with an `error`.
fn counted(rows: &[Value]) -> (usize, usize) {
    (rows.len(), rows.iter().filter(|row| row["error"].is_string()).count())
}

/// Lists read the ledger on disk, which follows the queue by some milliseconds.
async fn attempts_are_listed(api: &Api, hook: &str, count: usize) {
    let path = format!("/webhooks/{hook}/attempts?page_size=100");
    eventually("all attempts are listed", LONG, async || {
        (rows(api, &path).await.len() == count).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_flipped_byte_in_an_event_is_an_error_in_its_row_and_ends_no_page() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(500));
    let settings = ["disable.failure_count=0".to_owned()];
    let process = Process::serve(dir.path(), &settings).await;
    let api = process.api().await;
    let hook = api.hook(json!({"uri": receiver.uri("/"), "retries": 1, "format": "json"})).await;
    let offsets = api.publish(&events_of("c", 0..30)).await;
    settled(&api, &hook).await;
    let ids: Vec<String> = rows(&api, "/events?event_names=CHANNEL_CREATE&page_size=100")
        .await
        .iter()
        .map(|row| row["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(ids.len(), 30);
    attempts_are_listed(&api, &hook, 30).await;
    flip(&segment(dir.path(), "events"), "c-CHANNEL_CREATE-20");

    for path in [
        format!("/webhooks/{hook}/attempts?page_size=100"),
        "/webhooks/attempts?page_size=100".to_owned(),
        "/webhooks/attempts?page_size=100&ascending=true".to_owned(),
        "/webhooks/attempts?is_chunked=true&page_size=100".to_owned(),
        format!("/webhooks/{hook}/dead?page_size=100"),
    ] {
        assert_eq!(counted(&rows(&api, &path).await), (30, 1), "{path}");
    }
    // Also page by page, in both orders.
    for order in ["", "&ascending=true"] {
        let (mut seen, mut start) = (Vec::new(), String::new());
        loop {
            let path = format!("/webhooks/attempts?page_size=7{order}{start}");
            let page = api.own("GET", &path, None).await;
            seen.extend(page.data().as_array().unwrap().clone());
            let Some(next) = page.body["next_start_key"].as_str() else { break };
            start = format!("&start_key={next}");
        }
        assert_eq!(counted(&seen), (30, 1), "{order}");
    }
    let bad = rows(&api, &format!("/webhooks/{hook}/attempts?page_size=100")).await;
    let bad = bad.iter().find(|row| row["error"].is_string()).unwrap();
    assert!(bad["error"].as_str().unwrap().contains("damaged"), "{bad}");
    assert_eq!(bad["resp_status_code"], "500", "what the ledger knows is shown: {bad}");
    assert!(!bad.to_string().contains(dir.path().to_str().unwrap()), "{bad}");

    let account = &api.account;
    for path in [format!("webhooks/{hook}/attempts"), format!("webhooks/{hook}/dead")] {
        let path = format!("/v2/accounts/{account}/{path}");
        let csv = send_as(&api, "GET", &path, &[("accept", "text/csv")], "").await;
        assert_eq!((csv.status, csv.text.matches("is damaged").count()), (200, 1), "{}", csv.text);
        assert_eq!(csv.text.matches(",failure,").count(), 30, "{}", csv.text);
    }

    let found = rows(&api, "/events?page_size=100").await;
    assert_eq!(counted(&found).1, 1, "{found:?}");
    assert_eq!(rows(&api, "/events?page_size=100&event_names=CHANNEL_CREATE").await.len(), 29);
    let damaged = found.iter().find(|row| row["error"].is_string()).unwrap()["id"].as_str().unwrap();
    let answer = api.own("GET", &format!("/events/{damaged}"), None).await;
    assert_eq!(answer.status, 410, "{answer:?}");
    assert!(answer.data()["message"].as_str().unwrap().contains("damaged"), "{answer:?}");
    let other = ids.iter().find(|id| *id != damaged).unwrap();
    let other = api.own("GET", &format!("/events/{other}"), None).await;
    assert_eq!((other.status, &other.data()["deliveries"][0]["state"]), (200, &json!("dead")));
    assert_eq!(offsets.len(), 30);
}

#[tokio::test]
async fn a_flipped_byte_in_an_attempt_is_an_error_in_its_row_and_ends_no_page() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let told = AtomicUsize::new(0);
    receiver.mood(Mood::by(move |_| {
        Mood::answer(500, &[], &format!("answer number {}.", told.fetch_add(1, Ordering::SeqCst)))
    }));
    let process = Process::serve(dir.path(), &["disable.failure_count=0".to_owned()]).await;
    let api = process.api().await;
    let hook = api.hook(json!({"uri": receiver.uri("/"), "retries": 1})).await;
    api.publish(&events_of("c", 0..30)).await;
    settled(&api, &hook).await;
    // The file is not written to any more.
    attempts_when(&api, &hook, 30).await;
    flip(&segment(dir.path(), "ledger"), "answer number 20.");
    for order in ["", "&ascending=true", "&is_chunked=true"] {
        for list in [format!("/webhooks/{hook}/attempts"), "/webhooks/attempts".to_owned()] {
            let all = rows(&api, &format!("{list}?page_size=100{order}")).await;
            assert_eq!(counted(&all), (30, 1), "{list} {order}");
        }
    }
    // The damaged record was the last attempt of a dead delivery, and no other record says that the delivery is dead. If the
    // program had read the record before, the delivery is listed, with an error for its attempt.
    let dead = counted(&rows(&api, &format!("/webhooks/{hook}/dead?page_size=100")).await);
    assert!([(29, 0), (30, 1)].contains(&dead), "{dead:?}");
}

#[tokio::test]
async fn a_damaged_record_of_the_open_segment_is_shown_after_a_restart_too() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    let told = AtomicUsize::new(0);
    receiver.mood(Mood::by(move |_| {
        Mood::answer(500, &[], &format!("answer number {}.", told.fetch_add(1, Ordering::SeqCst)))
    }));
    let settings = ["disable.failure_count=0".to_owned()];
    let process = Process::serve(dir.path(), &settings).await;
    let api = process.api().await;
    let hook = api.hook(json!({"uri": receiver.uri("/"), "retries": 1})).await;
    api.publish(&events_of("c", 0..30)).await;
    settled(&api, &hook).await;
    process.terminate();
    assert_eq!(process.ended(LONG).await.code, Some(0));
    flip(&segment(dir.path(), "ledger"), "answer number 20.");
    flip(&segment(dir.path(), "events"), "c-CHANNEL_CREATE-5");
    let process = Process::serve(dir.path(), &settings).await;
    let api = process.api().await;
    for order in ["", "&ascending=true", "&is_chunked=true"] {
        for list in [format!("/webhooks/{hook}/attempts"), "/webhooks/attempts".to_owned()] {
            let all = rows(&api, &format!("{list}?page_size=100{order}")).await;
            assert_eq!(counted(&all), (30, 2), "{list} {order}: {all:?}");
        }
        let found = rows(&api, &format!("/events?page_size=100{order}")).await;
        assert_eq!(counted(&found).1, 1, "{order}: {found:?}");
    }
}

#[tokio::test]
async fn the_attempts_of_a_parent_show_a_damaged_event_of_a_child_in_its_row() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(500));
    let process = Process::serve(dir.path(), &["disable.failure_count=0".to_owned()]).await;
    let parent = process.api().await;
    let child = parent.tenant("child").await;
    let hook = parent
        .hook(json!({"uri": receiver.uri("/"), "retries": 1, "format": "json", "include_subaccounts": true}))
        .await;
    child.publish(&events_of("c", 0..10)).await;
    settled(&parent, &hook).await;
    attempts_when(&parent, &hook, 10).await;
    flip(&segment(dir.path(), "events"), "c-CHANNEL_CREATE-7");
    for list in [format!("/webhooks/{hook}/attempts"), "/webhooks/attempts".to_owned()] {
        for order in ["", "&ascending=true", "&is_chunked=true"] {
            let all = rows(&parent, &format!("{list}?page_size=100{order}")).await;
            assert_eq!(counted(&all), (10, 1), "{list} {order}");
        }
        let path = format!("/v2/accounts/{}{list}", parent.account);
        let csv = send_as(&parent, "GET", &path, &[("accept", "text/csv")], "").await;
        assert_eq!((csv.status, csv.text.matches("is damaged").count()), (200, 1), "{}", csv.text);
    }
}

#[tokio::test]
async fn a_flipped_byte_in_an_entry_of_the_audit_trail_is_an_error_in_its_row() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::serve(dir.path(), &[]).await;
    let api = process.api().await;
    for n in 0..10 {
        api.hook(json!({"uri": "http://127.0.0.1:9/", "name": format!("hook number {n}.")})).await;
    }
    flip(&segment(dir.path(), "audit"), "hook number 5.");
    let all = async |api: &Api| {
        for of in [String::new(), format!("&account_id={}", api.account)] {
            for order in ["", "&ascending=true", "&is_chunked=true"] {
                let path = format!("/admin/audit?page_size=100{of}{order}");
                let answer = api.call("GET", &path, None).await;
                let rows = answer.data().as_array().unwrap().clone();
                assert_eq!(counted(&rows).1, 1, "{path}: {rows:?}");
                let hooks = rows.iter().filter(|row| row["kind"] == "hook").count();
                assert_eq!(hooks, 9, "{path}");
                let at = rows.iter().position(|row| row["error"].is_string()).unwrap();
                let names = [&rows[at - 1], &rows[at + 1]].map(|row| row["after"]["name"].clone());
                assert!(names.contains(&json!("hook number 4.")), "in its place: {names:?}");
            }
        }
    };
    all(&api).await;
    process.kill();
    let process = Process::serve(dir.path(), &[]).await;
    all(&process.api().await).await;
}
