//! The bindings `webhook.attempt.*` and `webhook.queue.*`: what hooks do, as it happens, for clients with the right
//! to see it.

use serde_json::{Value, json};

use crate::support::app::{Api, TestApp, call_event};
use crate::support::look::events_of;
use crate::support::receiver::{Mood, Receiver};
use crate::support::websocket::{Client, End};

/// Reads frames until one matches; returns all of them.
async fn until(client: &mut Client, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
    let mut seen = Vec::new();
    loop {
        seen.push(client.event().await);
        if seen.last().is_some_and(&fits) {
            return seen;
        }
    }
}

async fn answer(client: &mut Client, account: &str, binding: &str) -> Value {
    let data = json!({"account_id": account, "binding": binding});
    client.ask(json!({"action": "subscribe", "data": data})).await
}

async fn refusal(client: &mut Client, account: &str, binding: &str) -> Value {
    let mut reply = answer(client, account, binding).await;
    assert_eq!(reply["status"], "error", "{binding}: {reply}");
    reply["data"]["errors"][0].take()
}

#[tokio::test]
async fn a_client_is_notified_of_every_attempt_and_of_why_a_hook_was_disabled() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::answer(503, &[], "not for the frame"));
    let mut app = TestApp::with(&["disable.probe_initial_ms=0"]).await;
    let tenant = app.api.tenant("tenant").await;
    let retry = json!({"max_attempts": 20});
    let hook =
        tenant.hook(json!({"name": "fails", "uri": receiver.uri("/x?key=s3cret"), "retry": retry})).await;
    let mut client = Client::connect(app.websocket(), tenant.token()).await;
    client.subscribe(&tenant.account, "webhook.attempt.*", Value::Null).await;
    let subscribed = client.subscribe(&tenant.account, &format!("webhook.queue.{hook}"), Value::Null).await;
    let both = json!(["webhook.attempt.*", format!("webhook.queue.{hook}")]);
    assert_eq!(subscribed["subscribed"], both);
    tenant.publish(&events_of("call-1", 0..1)).await;
    let frames = until(&mut client, |frame| frame["data"]["state"] == "auto_disabled").await;
    let off = frames.last().unwrap();
    assert_eq!(off["subscribed_key"], format!("webhook.queue.{hook}"));
    assert_eq!(off["subscription_key"], format!("webhook.queue.{}.{hook}", tenant.account));
    assert_eq!(off["routing_key"], format!("webhook.queue.{}.{hook}", tenant.account));
    let data = &off["data"];
    assert_eq!((&data["id"], &data["account_id"]), (&json!(hook), &json!(tenant.account)));
    assert_eq!(data["disable_reason"], "too many failed attempts");
    assert_eq!((&data["waiting"], &data["last_attempt"]["status"]), (&json!(1), &json!(503)));
    let mut attempts: Vec<Value> =
        frames.iter().filter(|frame| frame["name"] == "attempt").cloned().collect();
    let listed = tenant.own("GET", &format!("/webhooks/{hook}/attempts"), None).await.data().clone();
    while attempts.len() < listed.as_array().unwrap().len() {
        attempts.extend(until(&mut client, |frame| frame["name"] == "attempt").await.pop());
    }
    let first = &attempts[0];
    assert_eq!(first["subscription_key"], format!("webhook.attempt.{}.*", tenant.account));
    let numbers: Vec<&Value> = attempts.iter().map(|attempt| &attempt["data"]["attempt"]).collect();
    let expected: Vec<Value> = (1..=numbers.len()).map(Value::from).collect();
    assert_eq!(numbers, expected.iter().collect::<Vec<_>>(), "each once and in order");
    let row = listed.as_array().unwrap().last().unwrap();
    for field in ["hook_id", "event_id", "delivery_id", "result", "reason", "resp_status_code", "timestamp"] {
        assert_eq!(first["data"][field], row[field], "{field}: {first}");
    }
    let told = json!([frames, attempts]).to_string();
    assert!(!told.contains("s3cret") && !told.contains("not for the frame"), "{told}");
    app.stop().await;
}

#[tokio::test]
async fn new_changed_and_deleted_hooks_are_announced_with_their_state() {
    let mut app = TestApp::start().await;
    let tenant = app.api.tenant("tenant").await;
    let mut client = Client::connect(app.websocket(), tenant.token()).await;
    client.subscribe(&tenant.account, "webhook.queue.*", Value::Null).await;
    let hook = tenant.hook(json!({"name": "new", "uri": "http://127.0.0.1:9/"})).await;
    let new = until(&mut client, |frame| frame["data"]["id"] == json!(hook)).await.remove(0);
    assert_eq!((&new["data"]["state"], &new["data"]["name"]), (&json!("idle"), &json!("new")));
    assert_eq!(tenant.own("POST", &format!("/webhooks/{hook}/pause"), None).await.status, 200);
    until(&mut client, |frame| frame["data"]["state"] == "paused").await;
    tenant.publish(&events_of("call-1", 0..3)).await;
    until(&mut client, |frame| frame["data"]["waiting"] == 3).await;
    assert_eq!(tenant.own("DELETE", &format!("/webhooks/{hook}"), None).await.status, 200);
    until(&mut client, |frame| frame["data"]["state"] == "deleted").await;
    let leave = json!({"account_id": tenant.account, "binding": "webhook.queue.*"});
    let left = client.ask(json!({"action": "unsubscribe", "data": leave})).await;
    assert_eq!(left["data"], json!({"unsubscribed": ["webhook.queue.*"], "subscribed": []}));
    app.stop().await;
}

/// Makes a delivery to a hook of each account; returns the hooks.
async fn delivered(api: &Api, receiver: &Receiver, name: &str) -> String {
    let hook = api.hook(json!({"name": name, "uri": receiver.uri("/")})).await;
    api.publish(&[call_event("CHANNEL_CREATE", name, 1)]).await;
    hook
}

#[tokio::test]
async fn nobody_is_notified_of_foreign_hooks() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let tenant = app.api.tenant("tenant").await;
    let other = app.api.tenant("other").await;
    let foreign = other.hook(json!({"name": "foreign", "uri": receiver.uri("/")})).await;
    let mut client = Client::connect(app.websocket(), tenant.token()).await;
    let mut master = Client::connect(app.websocket(), app.api.token()).await;
    for binding in ["webhook.attempt.*", "webhook.queue.*"] {
        assert_eq!(refusal(&mut client, &other.account, binding).await, "unauthorized account id");
        assert_eq!(refusal(&mut client, "*", binding).await, "unauthorized wildcard account id");
        client.subscribe(&tenant.account, binding, Value::Null).await;
        // A hook of another account, named below the client's own account.
        let named = binding.replace('*', &foreign);
        client.subscribe(&tenant.account, &named, Value::Null).await;
        master.subscribe("*", binding, Value::Null).await;
    }
    let nobody = Client::try_connect(app.websocket(), &[]).await.unwrap();
    let mut nobody = nobody.with_token("");
    assert_eq!(
        refusal(&mut nobody, &tenant.account, "webhook.queue.*").await,
        "authentication token required"
    );
    other.publish(&[call_event("CHANNEL_CREATE", "foreign", 1)]).await;
    let other_hook = delivered(&other, &receiver, "other").await;
    let own = delivered(&tenant, &receiver, "own").await;
    // The master account is notified of everything. After its last notification the tenant has got all of its own.
    let seen =
        until(&mut master, |frame| frame["name"] == "attempt" && frame["data"]["hook_id"] == json!(own))
            .await;
    assert!(seen.iter().any(|frame| frame["data"]["hook_id"] == json!(other_hook)), "{seen:?}");
    let seen = until(&mut client, |frame| frame["name"] == "attempt").await;
    let accounts: Vec<&Value> = seen.iter().map(|frame| &frame["data"]["account_id"]).collect();
    assert!(accounts.iter().all(|account| **account == json!(tenant.account)), "{seen:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_user_watches_only_their_own_account_and_only_while_their_rights_last() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let tenant = app.api.tenant("tenant").await;
    let below = tenant.account_below(&tenant.account, "below").await;
    let user = app.user_of(&tenant, "user").await;
    let mut client = Client::connect(app.websocket(), user.token()).await;
    assert_eq!(refusal(&mut client, &below, "webhook.queue.*").await, "unauthorized account id");
    client.subscribe(&tenant.account, "webhook.attempt.*", Value::Null).await;
    let hook = delivered(&tenant, &receiver, "own").await;
    let told = client.event().await;
    assert_eq!((&told["data"]["hook_id"], &told["data"]["result"]), (&json!(hook), &json!("success")));
    let users = tenant.own("GET", "/users", None).await.data().clone();
    let id = users[0]["id"].as_str().unwrap();
    assert_eq!(tenant.own("DELETE", &format!("/users/{id}"), None).await.status, 200);
    assert_eq!(client.ended().await, End::Code(1008));
    app.stop().await;
}

#[tokio::test]
async fn these_bindings_are_distinct_from_kazoos_own_and_share_their_limits() {
    let mut app = TestApp::with(&["websocket.max_bindings=3"]).await;
    let account = app.api.account.clone();
    let mut client = app.connect().await;
    for (binding, error) in [
        ("webhook.queue", "invalid format for webhook subscription : queue"),
        ("webhook.dead.*", "event dead not supported"),
        ("webhooks.queue.*", "no available subscriptions to requested binding"),
    ] {
        assert_eq!(refusal(&mut client, &account, binding).await, error);
    }
    // KAZOO's own binding for changes of documents of that type.
    for binding in ["object.doc_created.webhook", "webhook.queue.*", "webhook.attempt.*"] {
        client.subscribe(&account, binding, Value::Null).await;
    }
    assert_eq!(refusal(&mut client, &account, "call.*.*").await, "too many bindings : at most 3");
    let hook = app.api.hook(json!({"name": "made", "uri": "http://127.0.0.1:9/"})).await;
    let names = [client.event().await, client.event().await];
    let mut names: Vec<&str> = names.iter().map(|frame| frame["name"].as_str().unwrap()).collect();
    names.sort_unstable();
    assert_eq!(names, ["doc_created", "queue"], "of {hook}");
    app.stop().await;
}

#[tokio::test]
async fn admins_are_told_of_every_event_of_their_account_when_it_is_logged() {
    let mut app = TestApp::start().await;
    let tenant = app.api.tenant("tenant").await;
    let other = app.api.tenant("other").await;
    let user = app.user_of(&tenant, "user").await;
    let mut looker = Client::connect(app.websocket(), user.token()).await;
    let refused = refusal(&mut looker, &tenant.account, "webhook.event.*").await;
    assert_eq!(refused, "binding webhook.event.* is for admins of the account only");
    let mut client = Client::connect(app.websocket(), tenant.token()).await;
    assert_eq!(
        refusal(&mut client, &tenant.account, "webhook.event.call").await,
        "invalid format for webhook subscription : event, call"
    );
    assert_eq!(refusal(&mut client, &other.account, "webhook.event.*").await, "unauthorized account id");
    client.subscribe(&tenant.account, "webhook.event.*", Value::Null).await;
    other.publish(&[call_event("CHANNEL_CREATE", "foreign", 1)]).await;
    // No binding of a KAZOO is for this one.
    let rare = json!({"Event-Category": "rare", "Event-Name": "thing", "Msg-ID": "rare-1"});
    tenant.publish(&[call_event("CHANNEL_CREATE", "own", 1), rare]).await;
    let told = client.events(2).await;
    // The account's own documents have events, too.
    let rows = tenant.own("GET", "/events?msg_ids=own-CHANNEL_CREATE-1", None).await.data().clone();
    let rare = tenant.own("GET", "/events?msg_ids=rare-1", None).await.data().clone();
    for (frame, row) in told.iter().zip([&rows[0], &rare[0]]) {
        assert_eq!((&frame["name"], &frame["data"]), (&json!("event"), row));
        let key = format!("webhook.event.{}.{}", tenant.account, row["id"].as_str().unwrap());
        assert_eq!(frame["routing_key"], key);
    }
    assert_eq!(told[1]["data"]["event_name"], "thing");
    app.stop().await;
}

#[tokio::test]
async fn an_admin_who_becomes_a_user_loses_the_bindings_for_admins_and_keeps_the_others() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let tenant = app.api.tenant("tenant").await;
    let user = app.user_of(&tenant, "user").await;
    let users = tenant.own("GET", "/users", None).await.data().clone();
    let path = format!("/users/{}", users[0]["id"].as_str().unwrap());
    let rank = async |level: &str| {
        let data = json!({"data": {"priv_level": level}});
        assert_eq!(tenant.own("PATCH", &path, Some(data)).await.status, 200, "{level}");
    };
    rank("admin").await;
    let mut client = Client::connect(app.websocket(), user.token()).await;
    for binding in ["webhook.event.*", "notification.*", "webhook.attempt.*"] {
        client.subscribe(&tenant.account, binding, Value::Null).await;
    }
    rank("user").await;
    let hook = delivered(&tenant, &receiver, "own").await;
    let seen = until(&mut client, |frame| frame["name"] == "attempt").await;
    assert_eq!(seen.last().unwrap()["data"]["hook_id"], json!(hook));
    assert!(seen.iter().all(|frame| frame["data"]["subject"] != "own"), "{seen:?}");
    let pong = client.subscribe(&tenant.account, "webhook.attempt.*", Value::Null).await;
    assert_eq!(pong["subscribed"], json!(["webhook.attempt.*"]));
    app.stop().await;
}
