//! Backups made while events flow, and restores.

use std::collections::HashSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::support::app::{Api, TestApp, call_event};
use crate::support::look::{LONG, accepted_per_call, events_of, queue_when, settled};
use crate::support::process::{Ended, Process, run};
use crate::support::receiver::{Mood, Receiver};

async fn backup(data: &Path, to: &Path) -> Ended {
    run(&["backup", to.to_str().unwrap(), "--data-dir", data.to_str().unwrap()]).await
}

async fn restore(from: &Path, data: &Path) -> Ended {
    run(&["restore", from.to_str().unwrap(), data.to_str().unwrap()]).await
}

/// Submits events of the call `flow` until `stop`; returns the acknowledged ids.
async fn flow(api: Api, stop: Arc<AtomicBool>) -> Vec<String> {
    let mut ids = Vec::new();
    for number in 1000.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let event = json!({"data": call_event("CHANNEL_CREATE", "flow", number)});
        let answer = api.own("PUT", "/events", Some(event)).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        ids.extend(
            answer.data()["event_ids"].as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()),
        );
    }
    ids
}

#[tokio::test]
async fn a_backup_made_while_events_flow_restores_everything_acknowledged_before() {
    let (healthy, failing) = (Receiver::start().await, Receiver::start().await);
    failing.mood(Mood::status(500));
    let dir = tempfile::tempdir().unwrap();
    let [first, copy, second] = ["first", "copy", "second"].map(|name| dir.path().join(name));
    let no_probe = ["disable.probe_initial_ms=0".to_owned()];
    let mut process = Process::serve(&first, &no_probe).await;
    let api = process.api().await;
    let works = api.hook(json!({"uri": healthy.uri("/"), "format": "json"})).await;
    let fails =
        api.hook(json!({"uri": failing.uri("/"), "format": "json", "retry": {"max_attempts": 50}})).await;
    api.publish(&events_of("before", 0..40)).await;
    queue_when(&api, &fails, "the hook is disabled", |q| q["state"] == "auto_disabled").await;
    settled(&api, &works).await;

    let stop = Arc::new(AtomicBool::new(false));
    let flowing = flow(api.clone(), stop.clone());
    let copying = async {
        let ended = backup(&first, &copy).await;
        // Events after the backup are lost, but receivers have got them.
        let got = healthy.count();
        healthy.wait_for(got + 10, LONG).await;
        stop.store(true, Ordering::Relaxed);
        ended
    };
    let (given_out, ended) = tokio::join!(flowing, copying);
    assert_eq!((ended.code, ended.stdout.len()), (Some(0), 5), "{ended:?}");
    process.kill();
    healthy.forget();
    failing.forget();
    failing.mood(Mood::Ok);

    assert_eq!(restore(&copy, &second).await.code, Some(0));
    let process = Process::serve(&second, &no_probe).await;
    let api = process.api().await;
    settled(&api, &works).await;
    let repeated = accepted_per_call(&healthy.requests()).remove("before");
    assert_eq!(repeated, None, "what the ledger knew as delivered is not repeated");
    let enable = json!({"data": {"enabled": true}});
    assert_eq!(api.own("PATCH", &format!("/webhooks/{fails}"), Some(enable)).await.status, 200);
    settled(&api, &fails).await;
    let all: Vec<u64> = (0..40).collect();
    assert_eq!(accepted_per_call(&failing.requests())["before"], all, "what waited was kept, in order");

    // The log continues at offsets of lost events; no id may be used twice.
    let kept = api.call("GET", "/admin/status", None).await.data()["logs"]["events"]["end_offset"].as_u64();
    assert!(kept < Some(40 + given_out.len() as u64), "some were lost");
    let answer = api.own("PUT", "/events", Some(json!({"data": events_of("after", 0..200)}))).await;
    let ids = answer.data()["event_ids"].as_array().unwrap().clone();
    let known: HashSet<&str> = given_out.iter().map(String::as_str).collect();
    assert!(ids.iter().all(|id| !known.contains(id.as_str().unwrap())), "{ids:?}");
    settled(&api, &works).await;
    let sent: HashSet<String> =
        healthy.requests().iter().map(|r| r.header("x-event-id").unwrap().to_owned()).collect();
    assert!(ids.iter().all(|id| sent.contains(id.as_str().unwrap())), "deliveries carry these ids");
    process.terminate();
    assert_eq!(process.ended(LONG).await.code, Some(0));
}

#[tokio::test]
async fn a_backup_needs_a_data_directory_and_an_empty_target_and_is_complete_or_refused() {
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": "http://127.0.0.1:9/", "enabled": false})).await;
    let dir = tempfile::tempdir().unwrap();
    let [copy, data, other] = ["copy", "data", "other"].map(|name| dir.path().join(name));
    assert_eq!(backup(&other, &copy).await.code, Some(1), "no data directory");
    assert_eq!(backup(app.dir(), &copy).await.code, Some(0));
    let again = backup(app.dir(), &copy).await;
    assert!(again.code == Some(1) && again.stderr.contains("is not empty"), "{again:?}");
    app.stop().await;

    assert_eq!(restore(&copy, &data).await.code, Some(0));
    let again = restore(&copy, &data).await;
    assert!(again.code == Some(1) && again.stderr.contains("is not empty"), "{again:?}");
    std::fs::remove_file(copy.join("backup.json")).unwrap();
    let partial = restore(&copy, &other).await;
    assert!(partial.code == Some(1) && partial.stderr.contains("not a complete backup"), "{partial:?}");

    let process = Process::serve(&data, &[]).await;
    let found = process.api().await.own("GET", &format!("/webhooks/{hook}"), None).await;
    assert_eq!((found.status, &found.data()["id"]), (200, &Value::from(hook)), "{found:?}");
}

#[tokio::test]
async fn damage_is_copied_and_reported() {
    let mut app = TestApp::start().await;
    app.api.publish(&events_of("one", 0..50)).await;
    app.stop().await;
    let file = app.dir().join("events/00000000000000000000.log");
    let mut bytes = std::fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let ended = backup(app.dir(), &dir.path().join("copy")).await;
    let told = ended.stdout.iter().any(|line| line.contains("is damaged at byte"));
    assert!(ended.code == Some(1) && told, "{ended:?}");
    assert_eq!(restore(&dir.path().join("copy"), &dir.path().join("data")).await.code, Some(1));
    let data = dir.path().join("data");
    let process = Process::serve(&data, &[]).await;
    let status = process.api().await.call("GET", "/admin/status", None).await;
    assert_eq!(status.data()["logs"]["events"]["end_offset"], 50, "{status:?}");
}
