//! Changes of our own accounts, hooks and users are events: subscribers and object hooks get them in KAZOO's form,
//! once each, however the program ends.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use switchhook::disk::OsDisk;
use switchhook::model::Clock;
use switchhook::state::{self, Kind, OpenedState, State};
use switchhook::tasks::{Stop, Tasks};

use super::support::app::{Api, TestApp, call_event};
use super::support::look::{LONG, body, patch};
use super::support::process::Process;
use super::support::receiver::{Mood, Receiver};
use super::support::websocket::Client;

/// The change, document and revision in an object event.
fn shown(frame: &Value) -> [String; 4] {
    let data = &frame["data"];
    [&frame["name"], &data["type"], &data["id"], &data["rev"]].map(|text| text.as_str().unwrap().to_owned())
}

async fn subscribed(app: &TestApp, account: &str, binding: &str) -> Client {
    let mut client = app.connect().await;
    client.subscribe(account, binding, Value::Null).await;
    client
}

#[tokio::test]
async fn a_subscriber_sees_changes_of_hooks_users_and_accounts_in_kazoos_form() {
    let mut app = TestApp::start().await;
    let account = app.api.account_below(&app.api.account, "below").await;
    let mut client = app.connect().await;
    client.subscribe(&account, "object.*.*", json!({"since": 63_927_219_200_u64})).await;
    assert_eq!(shown(&client.event().await)[..3], ["doc_created", "account", &account]);
    let document =
        json!({"uri": "http://me:s3cret@127.0.0.1:9/", "secret": format!("whsec_{}", "A".repeat(40))});
    let hook = app.api.hook_of(&account, document).await;
    let path = format!("/v2/accounts/{account}/webhooks/{hook}");
    let edited = app.api.call("PATCH", &path, Some(json!({"data": {"name": "other"}}))).await;
    let event = client.event().await;
    assert_eq!(event["subscribed_key"], "object.*.*");
    assert_eq!(event["routing_key"], format!("doc_created.webhooks.webhook.{hook}"));
    assert!(!event.to_string().contains("s3cret") && !event.to_string().contains("whsec"), "{event}");
    let second = client.event().await;
    let rev = edited.body["revision"].as_str().unwrap();
    assert_eq!(shown(&second), ["doc_edited", "webhook", &hook, rev]);
    let data = &second["data"];
    assert_eq!((&data["account_id"], &data["database"]), (&json!(account), &json!("webhooks")));
    assert_eq!((&data["event_category"], &data["is_soft_deleted"]), (&json!("configuration"), &json!(false)));
    assert!(data["date_created"].as_u64() <= data["date_modified"].as_u64(), "{data}");

    // A user, in the account's database; then all documents of the account.
    let user = json!({"data": {"username": "alice", "first_name": "A", "last_name": "B", "password": "correct horse"}});
    let user = app.api.call("PUT", &format!("/v2/accounts/{account}/users"), Some(user)).await;
    let (user, rev) = (user.data()["id"].as_str().unwrap(), user.body["revision"].as_str().unwrap());
    let event = client.event().await;
    assert_eq!(shown(&event), ["doc_created", "user", user, rev]);
    let db = format!("account%2F{}%2F{}%2F{}", &account[..2], &account[2..4], &account[4..]);
    assert_eq!(event["routing_key"], format!("doc_created.{db}.user.{user}"));
    assert_eq!(event["subscription_key"], format!("*.{db}.*.*"));
    assert_eq!(app.api.call("DELETE", &format!("/v2/accounts/{account}"), None).await.status, 200);
    let mut gone = client.events(3).await.iter().map(shown).collect::<Vec<_>>();
    gone.sort();
    let what: Vec<_> = gone.iter().map(|row| [row[0].as_str(), row[1].as_str(), row[2].as_str()]).collect();
    let expected = [
        ["doc_deleted", "account", &account],
        ["doc_deleted", "user", user],
        ["doc_deleted", "webhook", &hook],
    ];
    assert_eq!(what, expected);
    app.stop().await;
}

#[tokio::test]
async fn object_hooks_get_changes_of_accounts_and_users_but_not_of_webhooks() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    for (path, document) in [
        ("/object", json!({"hook": "object", "custom_data": {"type": "all", "action": "all"}})),
        ("/user", json!({"hook": "object", "custom_data": {"type": "user", "action": "doc_edited"}})),
        ("/all", json!({"hook": "all"})),
    ] {
        let mut document = document;
        (document["uri"], document["format"]) = (receiver.uri(path).into(), "json".into());
        document["include_subaccounts"] = true.into();
        app.api.hook(document).await;
    }
    let below = app.api.account_below(&app.api.account, "below").await;
    let user = json!({"data": {"username": "alice", "first_name": "A", "last_name": "B", "password": "correct horse"}});
    let user = app.api.call("PUT", &format!("/v2/accounts/{below}/users"), Some(user)).await;
    let user = user.data()["id"].as_str().unwrap().to_owned();
    let path = format!("/v2/accounts/{below}/users/{user}");
    let hook = app.api.hook_of(&below, json!({"uri": "http://127.0.0.1:9/"})).await;
    assert_eq!(
        app.api.call("DELETE", &format!("/v2/accounts/{below}/webhooks/{hook}"), None).await.status,
        200
    );
    assert_eq!(
        app.api.call("PATCH", &path, Some(json!({"data": {"email": "a@b.example"}}))).await.status,
        200
    );
    receiver.wait_for(7, LONG).await;
    let got = |path: &str| {
        let rows = receiver.requests_at(path);
        let mut rows: Vec<[String; 3]> = rows
            .iter()
            .map(|r| ["action", "type", "id"].map(|field| body(r)[field].as_str().unwrap().to_owned()))
            .collect();
        rows.sort();
        rows
    };
    let row = |action: &str, type_: &str, id: &str| [action, type_, id].map(str::to_owned);
    let edited = row("doc_edited", "user", &user);
    let all = vec![row("doc_created", "account", &below), row("doc_created", "user", &user), edited.clone()];
    assert_eq!((got("/object"), got("/all"), got("/user")), (all.clone(), all, vec![edited]));
    app.stop().await;
}

#[tokio::test]
async fn changes_by_the_program_itself_are_published_too() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&["disable.probe_initial_ms=300"]).await;
    let mut client = subscribed(&app, &app.api.account, "object.doc_edited.webhook").await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "retry": {"max_attempts": 20}})).await;
    receiver.mood(Mood::status(500));
    app.api.publish(&[call_event("CHANNEL_CREATE", "c", 0)]).await;
    receiver.wait_for(6, LONG).await;
    let disabled = shown(&client.event().await);
    receiver.mood(Mood::Ok);
    let enabled = shown(&client.event().await);
    assert_eq!([&disabled[2], &enabled[2]], [&hook, &hook]);
    assert!(disabled[3].starts_with("2-") && enabled[3].starts_with("3-"), "{disabled:?} {enabled:?}");
    app.stop().await;
}

/// Changes a document behind the program's back, as if it had been killed right after the change.
async fn change_unseen(dir: &Path, hook: &str, name: &'static str) {
    let (tasks, stop) = (Tasks::new(), Stop::new());
    let opened = State::open(Arc::new(OsDisk), state::StateOptions::new(dir), Clock::system(), &tasks).await;
    let OpenedState { state, task, mut changes, .. } = opened.unwrap();
    drop(tasks.spawn("changes", async move { while changes.recv().await.is_some() {} }));
    let running = tasks.spawn("state", task.run(stop.clone()));
    let edit = move |doc: &mut serde_json::Map<String, Value>| drop(doc.insert("name".into(), name.into()));
    state.update(Kind::Hook, hook, edit).await.unwrap();
    stop.cancel();
    running.await.unwrap();
    drop(state);
    tasks.all_ended().await;
}

#[tokio::test]
async fn an_unpublished_change_is_published_after_the_start_and_none_twice() {
    let mut app = TestApp::start().await;
    let since_the_beginning = json!({"since": 63_927_219_200_u64});
    let hook = app.api.hook(json!({"uri": "http://127.0.0.1:9/"})).await;
    patch(&app.api, &hook, json!({"name": "b"})).await;
    subscribed_since(&app, &since_the_beginning).await.events(2).await;
    app.stop().await;
    change_unseen(app.dir(), &hook, "c").await;
    app.restart(None).await;
    let mut client = subscribed_since(&app, &since_the_beginning).await;
    let told: Vec<_> = client.events(3).await.iter().map(shown).collect();
    assert!((1..).zip(&told).all(|(n, row)| row[3].starts_with(&format!("{n}-"))), "{told:?}");

    // Set the position back: repeated events are recognised by their ids.
    app.stop().await;
    std::fs::write(app.dir().join("notices"), "0\n").unwrap();
    app.restart(None).await;
    patch(&app.api, &hook, json!({"name": "d"})).await;
    let mut client = subscribed_since(&app, &since_the_beginning).await;
    let again: Vec<_> = client.events(4).await.iter().map(shown).collect();
    assert_eq!(again[..3], told);
    assert!(again[3][3].starts_with("4-"), "{again:?}");
    client.has_no_more().await;
    app.stop().await;
}

async fn subscribed_since(app: &TestApp, since: &Value) -> Client {
    let mut client = app.connect().await;
    client.subscribe(&app.api.account, "object.*.webhook", since.clone()).await;
    client
}

/// Edits a hook this number of times; returns the acknowledged revisions.
async fn edit(api: &Api, hook: &str, edits: usize) -> Vec<String> {
    let mut revisions = Vec::new();
    for n in 0..edits {
        let document = Some(json!({"data": {"name": format!("edit {n}")}}));
        let answer = api.own("PATCH", &format!("/webhooks/{hook}"), document).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        revisions.push(answer.body["revision"].as_str().unwrap().to_owned());
    }
    revisions
}

#[tokio::test]
async fn kills_right_after_answers_neither_lose_nor_repeat_the_event_of_a_change() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::serve(dir.path(), &[]).await;
    let hook = process.api().await.hook(json!({"uri": "http://127.0.0.1:9/"})).await;
    let mut revisions = Vec::new();
    for life in 0..12 {
        revisions.extend(edit(&process.api().await, &hook, 1 + life % 4).await);
        process.kill();
        process = Process::serve(dir.path(), &[]).await;
    }
    let api = process.api().await;
    revisions.extend(edit(&api, &hook, 1).await);
    let mut client = Client::connect(process.websocket(), api.token()).await;
    client.subscribe(&api.account, "object.*.webhook", json!({"since": 63_927_219_200_u64})).await;
    let events = client.events(revisions.len() + 1).await;
    let told: Vec<String> = events.iter().map(|event| shown(event)[3].clone()).collect();
    assert_eq!(told[1..], revisions);
    client.has_no_more().await;
}
