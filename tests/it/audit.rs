//! The audit trail: every change is in the trail before it is answered, with its author and without secrets.

use std::path::Path;

use serde_json::{Value, json};

use crate::support::app::{Api, TestApp};
use crate::support::look::{LONG, events_of, patch, queue_when};
use crate::support::process::{Process, run};
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::eventually;

const SECRET: &str = "whsec_c3dpdGNoaG9vay10ZXN0LXNlY3JldC0wMDAx";
const PASSWORD: &str = "correct-horse-battery";

/// All entries of a query, newest first, read page by page.
async fn trail(api: &Api, query: &str) -> Vec<Value> {
    let (mut entries, mut start) = (Vec::new(), String::new());
    loop {
        let path = format!("/admin/audit?page_size=3{query}{start}");
        let answer = api.call("GET", &path, None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        entries.extend(answer.data().as_array().unwrap().clone());
        match answer.body["next_start_key"].as_str() {
            Some(next) => start = format!("&start_key={next}"),
            None => return entries,
        }
    }
}

fn actions(entries: &[Value]) -> Vec<(&str, &str)> {
    entries.iter().map(|e| (e["kind"].as_str().unwrap(), e["action"].as_str().unwrap())).collect()
}

/// Everything in the trail's files.
fn bytes_of_trail(dir: &Path) -> Vec<u8> {
    let files = std::fs::read_dir(dir.join("audit")).unwrap();
    files.flat_map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
}

#[tokio::test]
async fn an_answered_change_is_in_the_trail_even_if_the_program_is_killed_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::serve(dir.path(), &[]).await;
    let api = process.api().await;
    let account = api.account_below(&api.account, "tenant").await;
    let uri = format!("http://me:{PASSWORD}@127.0.0.1:9/");
    let headers = json!({"authorization": format!("Bearer {PASSWORD}")});
    let document = json!({"uri": uri, "secret": SECRET, "headers": headers, "enabled": false});
    let hook = api.hook_of(&account, document).await;
    let path = format!("/v2/accounts/{account}/webhooks/{hook}");
    let renamed = api.call("PATCH", &path, Some(json!({"data": {"name": "renamed"}}))).await;
    assert_eq!(renamed.status, 200, "{renamed:?}");
    let deleted = api.call("DELETE", &path, None).await;
    assert_eq!(deleted.status, 200, "{deleted:?}");
    process.kill();

    let process = Process::serve(dir.path(), &[]).await;
    let api = process.api().await;
    let entries = trail(&api, &format!("&account_id={account}")).await;
    let made = [("hook", "delete"), ("hook", "change"), ("hook", "create"), ("account", "create")];
    assert_eq!(actions(&entries), made);
    let change = &entries[1];
    assert_eq!((&change["id"], &change["account_id"]), (&json!(hook), &json!(account)));
    assert_eq!((&change["before"]["name"], &change["after"]["name"]), (&json!("test"), &json!("renamed")));
    assert_eq!(change["changed"], json!(["name"]));
    let by = &change["by"];
    assert_eq!(
        (&by["kind"], &by["account_id"], &by["remote"]),
        (&json!("api"), &json!(api.account), &json!("127.0.0.1"))
    );
    assert_eq!(by["request_id"], renamed.body["request_id"]);

    let found = String::from_utf8_lossy(&bytes_of_trail(dir.path())).into_owned();
    assert!(found.contains("renamed") && !found.contains(SECRET) && !found.contains(PASSWORD));
    drop(process);
    let shown = run(&["log", "cat", "--data-dir", dir.path().to_str().unwrap(), "audit"]).await;
    assert!(shown.code == Some(0) && shown.stdout.iter().any(|line| line.contains("renamed")), "{shown:?}");
}

#[tokio::test]
async fn the_trail_is_searched_by_account_and_time_and_has_the_programs_own_changes() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&["disable.probe_initial_ms=0"]).await;
    receiver.mood(Mood::status(500));
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "retry": {"max_attempts": 20}})).await;
    let other = app.api.account_below(&app.api.account, "other").await;
    app.api.publish(&events_of("one", 0..7)).await;
    queue_when(&app.api, &hook, "the hook is disabled", |q| q["state"] == "auto_disabled").await;
    let own = format!("&account_id={}&filter_kind=hook", app.api.account);
    let disabled = eventually("the disabling is in the trail", LONG, || async {
        let entries = trail(&app.api, &own).await;
        entries.into_iter().find(|entry| entry["action"] == "change")
    })
    .await;
    assert_eq!((&disabled["by"], &disabled["id"]), (&json!({"kind": "program"}), &json!(hook)));
    patch(&app.api, &hook, json!({"name": "new name"})).await;

    let all = trail(&app.api, "").await;
    assert!(all.iter().map(|entry| entry["timestamp"].as_u64().unwrap()).is_sorted_by(|a, b| a >= b));
    assert_eq!(actions(&trail(&app.api, &format!("&account_id={other}")).await), [("account", "create")]);
    let oldest_first = trail(&app.api, "&ascending=true").await;
    assert!(oldest_first.iter().rev().eq(all.iter()), "the same, the other way round");
    assert_eq!(trail(&app.api, "&created_to=63000000000").await, [] as [Value; 0]);
    assert_eq!(trail(&app.api, "&created_from=63000000000").await.len(), all.len());
    assert_eq!(app.api.call("GET", "/admin/audit?account_id=x", None).await.status, 400);
    app.stop().await;
}

#[tokio::test]
async fn the_trail_names_the_caller_of_a_replay() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/")})).await;
    app.api.publish(&events_of("one", 0..1)).await;
    let begun = app
        .api
        .own("POST", &format!("/webhooks/{hook}/replay"), Some(json!({"data": {"from_offset": 0}})))
        .await;
    assert_eq!(begun.status, 201, "{begun:?}");
    let entries = trail(&app.api, "&filter_kind=replay&filter_action=create").await;
    assert_eq!(entries[0]["by"]["request_id"], begun.body["request_id"], "{entries:?}");
    app.stop().await;
}

#[tokio::test]
async fn the_configuration_in_force_is_shown_to_the_operator_without_secrets() {
    let app = TestApp::with(&["metrics.token=a-scrape-token", "http.page_size=25"]).await;
    let told = app.api.call("GET", "/admin/config", None).await;
    let of = |key: &str| told.data().as_array().unwrap().iter().find(|row| row["key"] == key).unwrap();
    assert_eq!(
        (&of("http.page_size")["value"], &of("http.page_size")["changed"]),
        (&json!(25), &json!(true))
    );
    assert_eq!(of("metrics.token")["value"], "***");
    let text = told.body.to_string();
    assert!(!text.contains("a-scrape-token") && !text.contains(crate::support::app::MASTER_KEY));
    let tenant = app.api.tenant("acme").await;
    assert_eq!(tenant.call("GET", "/admin/config", None).await.status, 403);
}
