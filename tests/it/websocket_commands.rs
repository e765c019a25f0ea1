//! Commands as a websocket action: over a real broker to a simulated switch, with the API's checks and without
//! delaying the session's events.

use serde_json::{Value, json};

use super::commands::{app, call_is_known};
use super::support::app::{Api, TestApp, call_event};
use super::support::broker::Broker;
use super::support::publisher::Publisher;
use super::support::switch::{Mood, Switch};
use super::support::websocket::{Client, End};

async fn client(app: &TestApp, api: &Api) -> Client {
    Client::connect(app.websocket(), api.token()).await
}

fn command(api: &Api, call: &str, more: &Value) -> Value {
    let mut data = json!({"account_id": api.account, "call_id": call});
    data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"action": "command", "data": data})
}

/// The one error of a reply.
fn error(reply: &Value) -> &str {
    assert_eq!((&reply["action"], &reply["status"]), (&json!("reply"), &json!("error")), "{reply}");
    reply["data"]["errors"][0].as_str().unwrap()
}

#[tokio::test]
async fn broker_carries_a_websocket_clients_commands_to_channels_of_its_own_tree_only() {
    let broker = Broker::shared().await;
    let switch = Switch::start(&broker.uri(), "s1").await;
    let mut app = app(&broker, &["commands.timeout_ms=500"]).await;
    let publisher = Publisher::connect(&broker.uri()).await;
    let (owner, other) = (app.api.tenant("owner").await, app.api.tenant("other").await);
    call_is_known(&publisher, &owner, "leg.7@x").await;
    switch.call("asked", &owner.account, "");
    let (mut client_of_owner, mut client_of_other) = (client(&app, &owner).await, client(&app, &other).await);

    for (call, key) in [("leg.7@x", "leg%2E7%40x"), ("asked", "asked")] {
        let reply = client_of_owner.ask(command(&owner, call, &json!({"action": "hangup"}))).await;
        assert_eq!(reply["data"], json!({"response": "hangup initiated"}), "{reply}");
        let (sent_to, body) = switch.command().await;
        assert_eq!(sent_to, format!("metaflow.action.{key}.hangup"));
        assert_eq!((&body["Action"], &body["Call-ID"]), (&json!("hangup"), &json!(call)));
        for (account, words) in [(&owner, "unauthorized account id"), (&other, "bad identifier")] {
            let reply = client_of_other.ask(command(account, call, &json!({"action": "hangup"}))).await;
            assert_eq!(error(&reply), words, "{call}");
        }
    }
    // The account above reaches the channel under its own id and under the owner's.
    let mut above = client(&app, &app.api).await;
    for api in [&app.api, &owner] {
        let flow = json!({"action": "metaflow", "data": {"module": "hangup"}});
        let reply = above.ask(command(api, "leg.7@x", &flow)).await;
        assert_eq!(reply["data"], json!({"response": "metaflow sent"}), "{reply}");
        assert_eq!(switch.command().await.0, "metaflow.flow.leg%2E7%40x");
        assert_eq!(switch.command().await.0, "metaflow.action.leg%2E7%40x.hangup");
    }
    let unbridged = command(&owner, "asked", &json!({"action": "transfer", "target": "1"}));
    assert_eq!(error(&client_of_owner.ask(unbridged).await), "Channel is not bridged");

    // A revoked key gives no more commands, and its session ends.
    let keys = format!("/v2/accounts/{}/api_keys", owner.account);
    let key = app.api.call("GET", &keys, None).await.data()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(app.api.call("DELETE", &format!("{keys}/{key}"), None).await.status, 200);
    assert_eq!(client_of_owner.ended().await, End::Code(1008));
    assert!(!switch.has_command());
    app.stop().await;
}

#[tokio::test]
async fn broker_questions_for_a_command_delay_neither_events_nor_replies() {
    let broker = Broker::shared().await;
    // Waits for the switch as long as possible.
    let mut app = app(&broker, &["commands.timeout_ms=60000", "websocket.max_commands=2"]).await;
    let switch = Switch::start(&broker.uri(), "s1").await;
    *switch.mood.lock().unwrap() = Mood::Silent;
    let owner = app.api.tenant("owner").await;
    switch.call("c", &owner.account, "");
    let mut client = client(&app, &owner).await;
    client.subscribe(&owner.account, "call.*.*", Value::Null).await;
    for id in ["first", "second"] {
        let mut frame = command(&owner, "c", &json!({"action": "hangup"}));
        frame["request_id"] = id.into();
        client.send(frame.to_string()).await;
    }
    let third = client.ask(command(&owner, "c", &json!({"action": "hangup"}))).await;
    assert_eq!(error(&third), "too many commands under way : at most 2");
    owner.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    assert_eq!(client.event().await["name"], "CHANNEL_CREATE");
    assert_eq!(client.ask(json!({"action": "ping"})).await["status"], "success");
    assert!(!switch.has_command());
    app.stop().await;
}

#[tokio::test]
async fn commands_take_from_the_bucket_of_the_accounts_requests() {
    let mut app = TestApp::with(&["rate_limit.burst=60", "rate_limit.per_second=1"]).await;
    let mut client = app.connect().await;
    let frame = command(&app.api, "c", &json!({"action": "hangup"}));
    for _ in 0..30 {
        assert_eq!(app.api.own("GET", "/webhooks", None).await.status, 200);
    }
    let mut replies = Vec::new();
    while !replies.contains(&"too many requests".to_owned()) {
        let reply = client.ask(frame.clone()).await;
        replies.push(error(&reply).to_owned());
    }
    let (refused, let_through) = replies.split_last().unwrap();
    assert_eq!(refused, "too many requests");
    assert!(let_through.iter().all(|words| words == "no broker is configured (amqp.uri)"), "{replies:?}");
    assert!((1..60).contains(&let_through.len()), "30 were taken before: {replies:?}");
    assert_eq!(client.ask(json!({"action": "ping"})).await["status"], "success");
    app.stop().await;
}

#[tokio::test]
async fn a_user_who_is_not_an_admin_reaches_only_their_own_account_and_gives_no_commands() {
    let mut app = TestApp::start().await;
    let below = app.api.account_below(&app.api.account, "below").await;
    let user = json!({"data": {"username": "alice", "first_name": "A", "last_name": "B", "password": "correct horse"}});
    assert_eq!(app.api.own("PUT", "/users", Some(user)).await.status, 201);
    // MD5 of `alice:correct horse`.
    let credentials = json!({"credentials": "23faea553e61d105a779b78a1f289030", "account_name": "master"});
    let logged_in = app.anonymous().call("PUT", "/v2/user_auth", Some(json!({"data": credentials}))).await;
    let mut client = Client::connect(app.websocket(), logged_in.body["auth_token"].as_str().unwrap()).await;
    for (account, words) in [
        (app.api.account.as_str(), None),
        (below.as_str(), Some("unauthorized account id")),
        ("*", Some("unauthorized wildcard account id")),
    ] {
        let data = json!({"account_id": account, "binding": "call.*.*"});
        let reply = client.ask(json!({"action": "subscribe", "data": data})).await;
        assert_eq!(reply["data"]["errors"][0].as_str(), words, "{account}");
    }
    let reply = client.ask(command(&app.api, "c", &json!({"action": "hangup"}))).await;
    assert_eq!(error(&reply), "forbidden");
    app.stop().await;
}
