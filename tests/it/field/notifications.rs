//! Notifications, messages and parking events reach websockets in KAZOO's frames.

use serde_json::{Value, json};

use crate::support::app::{TestApp, call_event};
use crate::support::broker::Broker;
use crate::support::look::LONG;
use crate::support::process::Process;
use crate::support::publisher::Publisher;
use crate::support::receiver::Receiver;
use crate::support::wait::eventually;
use crate::support::websocket::Client;

fn voicemail(account: &str, number: u64) -> Value {
    json!({"App-Name": "callflow", "App-Version": "5", "Event-Category": "notification", "Event-Name": "voicemail_new",
        "Msg-ID": format!("v{number}"), "Account-ID": account, "Account-DB": "x", "Voicemail-ID": "202611-1",
        "Voicemail-Box": number.to_string(), "Server-ID": "secret"})
}

fn alert(account: &str, subject: &str) -> Value {
    json!({"App-Name": "ecallmgr", "App-Version": "5", "Event-Category": "notification", "Event-Name": "system_alert",
        "Msg-ID": format!("alert-{subject}"), "Account-ID": account, "Subject": subject, "Message": "a node is gone"})
}

fn message(account: &str, category: &str) -> Value {
    json!({"App-Name": "sms", "App-Version": "5", "Event-Category": category, "Event-Name": "inbound",
        "Msg-ID": category, "Message-ID": format!("{category}.1"), "Account-ID": account, "Body": "hello"})
}

#[tokio::test]
async fn a_voicemail_a_message_and_a_parked_call_reach_their_account_and_no_other() {
    let mut app = TestApp::start().await;
    let own = app.api.account_below(&app.api.account, "own").await;
    let other = app.api.account_below(&app.api.account, "other").await;
    let (mut client, mut stranger) = (app.connect().await, app.connect().await);
    let bindings = ["notification.voicemail_new", "sms.inbound.*", "mms.*.*", "parking.*.*"];
    for binding in bindings {
        client.subscribe(&own, binding, json!({})).await;
        stranger.subscribe(&other, binding, json!({})).await;
    }
    let api = app.api.below(own.clone());
    let mut events = vec![voicemail(&own, 7), message(&own, "sms"), message(&own, "mms")];
    events.extend([call_event("CHANNEL_CREATE", "c1", 1), call_event("PARK_PARKED", "c1", 2)]);
    api.publish(&events).await;
    let frames = client.events(4).await;
    let seen: Vec<_> = frames.iter().map(|f| (f["subscribed_key"].clone(), f["name"].clone())).collect();
    let expected = bindings.into_iter().zip(["voicemail_new", "inbound", "inbound", "PARK_PARKED"]);
    assert_eq!(seen, expected.map(|(key, name)| (json!(key), json!(name))).collect::<Vec<_>>());
    assert_eq!(
        (&frames[0]["data"]["voicemail_box"], &frames[0]["data"]["server_id"]),
        (&json!("7"), &Value::Null)
    );
    assert_eq!(frames[0]["subscription_key"], format!("notification.{own}.voicemail_new"));
    client.has_no_more().await;
    stranger.has_no_more().await;
    app.stop().await;
}

#[tokio::test]
async fn notifications_resume_after_the_last_seen_event() {
    let mut app = TestApp::start().await;
    let account = app.api.account.clone();
    let mut client = app.connect().await;
    client.subscribe(&account, "notification.*", json!({})).await;
    app.api.publish(&[voicemail(&account, 1), voicemail(&account, 2)]).await;
    let seen = client.event().await;
    drop(client);
    let mut client = app.connect().await;
    client.subscribe(&account, "notification.*", json!({"after": seen["event_id"]})).await;
    assert_eq!(client.event().await["data"]["voicemail_box"], "2");
    app.stop().await;
}

#[tokio::test]
async fn every_listed_type_can_be_subscribed_to_and_an_unknown_one_is_refused() {
    let mut app = TestApp::start().await;
    let listed = app.anonymous().call("GET", "/v2/websockets", None).await;
    let listed = listed.data()["notification"].as_array().unwrap().clone();
    assert_eq!(listed.len(), 39, "38 types, and all of them");
    let mut client = app.connect().await;
    let account = app.api.account.clone();
    for row in &listed {
        let binding = row.as_str().or(row["binding"].as_str()).unwrap();
        client.subscribe(&account, binding, json!({})).await;
    }
    for binding in
        ["notification.nothing", "notification", "sms.inbound", "mms.x.*", "parking.CHANNEL_CREATE.*"]
    {
        let data = json!({"account_id": account, "binding": binding});
        let reply = client.ask(json!({"action": "subscribe", "data": data})).await;
        assert_eq!(reply["status"], "error", "{binding}: {reply}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_voicemail_and_a_system_alert_reach_a_websocket_and_are_resumed_by_event_id() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::serve(dir.path(), &[]).await;
    let api = process.api().await;
    let account = api.account.clone();
    let mut client = Client::connect(process.websocket(), api.token()).await;
    client.subscribe(&account, "notification.voicemail_new", json!({})).await;
    client.subscribe(&account, "notification.*", json!({})).await;
    api.publish(&[voicemail(&account, 142)]).await;
    let frames = client.events(2).await;
    assert_eq!(frames[0]["subscribed_key"], "notification.voicemail_new", "{frames:?}");
    assert_eq!(frames[1]["subscribed_key"], "notification.*");
    assert_eq!(frames[0]["subscription_key"], format!("notification.{account}.voicemail_new"));
    assert_eq!(frames[0]["routing_key"], "notifications.voicemail.new");
    assert_eq!((&frames[0]["name"], &frames[0]["action"]), (&json!("voicemail_new"), &json!("event")));
    assert_eq!(frames[0]["data"]["voicemail_box"], "142");
    assert_eq!(frames[0]["data"]["event_name"], "voicemail_new", "what Monster UI reads");
    assert!(frames[0]["data"].get("server_id").is_none(), "{}", frames[0]);
    let seen = frames[1]["event_id"].clone();
    drop(client);

    // Events during the client's absence, and a kill of the program.
    api.publish(&[alert(&account, "disk"), voicemail(&account, 177)]).await;
    process.kill();
    let process = Process::serve(dir.path(), &[]).await;
    let api = process.api().await;
    let mut client = Client::connect(process.websocket(), api.token()).await;
    client.subscribe(&account, "notification.*", json!({"after": seen})).await;
    let missed = client.events(2).await;
    let told: Vec<_> = missed.iter().map(|frame| (&frame["name"], &frame["replayed"])).collect();
    let (alert_name, voicemail_name) = (json!("system_alert"), json!("voicemail_new"));
    assert_eq!(told, [(&alert_name, &json!(true)), (&voicemail_name, &json!(true))]);
    assert_eq!(missed[0]["data"]["subject"], "disk");
    client.has_no_more().await;
    api.publish(&[alert(&account, "again")]).await;
    let live = client.event().await;
    assert_eq!((&live["data"]["subject"], live.get("replayed")), (&json!("again"), None));
}

#[tokio::test]
async fn only_administrators_of_an_account_get_its_notifications() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::serve(dir.path(), &[]).await;
    let api = process.api().await;
    let (one, other) =
        (api.account_below(&api.account, "one").await, api.account_below(&api.account, "other").await);
    let key = api.below(one.clone()).own("PUT", "/api_keys", Some(json!({"data": {}}))).await;
    let tenant = process.api_with(key.data()["api_key"].as_str().unwrap()).await;
    let mut client = Client::connect(process.websocket(), tenant.token()).await;
    client.subscribe(&one, "notification.*", json!({})).await;
    for account in [other.as_str(), "*", api.account.as_str()] {
        let data = json!({"account_id": account, "binding": "notification.*"});
        let refused = client.ask(json!({"action": "subscribe", "data": data})).await;
        assert_eq!(refused["status"], "error", "{account}: {refused}");
    }
    api.below(other.clone()).publish(&[voicemail(&other, 1)]).await;
    api.publish(&[alert(&api.account, "for the operator")]).await;
    api.below(one.clone()).publish(&[voicemail(&one, 2)]).await;
    assert_eq!(client.event().await["data"]["voicemail_box"], "2", "the first that this session sees");
    client.has_no_more().await;

    // A link for a new password must not reach a user who can only read.
    let user = json!({"data": {
        "username": "alice", "first_name": "Alice", "last_name": "Ash", "password": "correct horse",
    }});
    assert_eq!(tenant.own("PUT", "/users", Some(user)).await.status, 201);
    // MD5 of `alice:correct horse`.
    let credentials = json!({"credentials": "23faea553e61d105a779b78a1f289030", "account_name": "one"});
    let user = tenant.call("PUT", "/v2/user_auth", Some(json!({"data": credentials}))).await;
    assert_eq!(user.status, 201, "{user:?}");
    let token = user.body["auth_token"].as_str().unwrap();
    let mut client = Client::connect(process.websocket(), token).await;
    client.subscribe(&one, "call.*.*", json!({})).await;
    for binding in ["notification.password_recovery", "notification.*", "sms.inbound.*", "mms.*.*"] {
        let data = json!({"account_id": one, "binding": binding});
        let refused = client.ask(json!({"action": "subscribe", "data": data})).await;
        let error = format!("binding {binding} is for admins of the account only");
        assert_eq!(refused["data"]["errors"][0], error, "{refused}");
    }
}

#[tokio::test]
async fn messages_of_every_route_come_from_the_broker_to_websockets_and_only_those_from_outside_to_hooks() {
    let broker = Broker::shared().await;
    let receiver = Receiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::serve(dir.path(), &[format!("amqp.uri={}", broker.uri())]).await;
    let api = process.api().await;
    eventually("the broker is consumed from", LONG, async || {
        (api.call("GET", "/health/ready", None).await.status == 200).then_some(())
    })
    .await;
    api.hook(json!({"uri": receiver.uri("/"), "hook": "sms", "format": "json"})).await;
    let mut client = Client::connect(process.websocket(), api.token()).await;
    client.subscribe(&api.account, "sms.*.*", json!({})).await;

    let publisher = Publisher::connect(&broker.uri()).await;
    for (number, (event, key, route)) in [
        ("outbound", "sms.outbound.m1", ""),
        ("outbound", "sms.outbound.carrier.m2", ""),
        ("inbound", "sms.inbound.onnet.m3", "onnet"),
        ("inbound", "sms.inbound.offnet.m4", "offnet"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut message = message(&api.account, "sms");
        message["Event-Name"] = event.into();
        message["Msg-ID"] = number.to_string().into();
        message["Message-ID"] = key.rsplit('.').next().into();
        message["Route-Type"] = route.into();
        publisher.publish("im", key, message.to_string().as_bytes()).await;
    }
    let frames = client.events(4).await;
    let seen: Vec<_> = frames.iter().map(|frame| frame["data"]["message_id"].as_str().unwrap()).collect();
    assert_eq!(seen, ["m1", "m2", "m3", "m4"]);
    let delivered = receiver.wait_for(1, LONG).await;
    assert!(delivered[0].text().contains("\"m4\""), "{}", delivered[0].text());
    assert_eq!(receiver.count(), 1);
    publisher.close().await;
    process.kill();
}
