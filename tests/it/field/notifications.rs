//! What the platform notifies of reaches websockets: notifications, messages and parking, in KAZOO's frames.

use serde_json::{Value, json};

use crate::support::app::{TestApp, call_event};

fn voicemail(account: &str, number: u64) -> Value {
    json!({"App-Name": "callflow", "App-Version": "5", "Event-Category": "notification", "Event-Name": "voicemail_new",
        "Msg-ID": format!("v{number}"), "Account-ID": account, "Account-DB": "x", "Voicemail-ID": "202611-1",
        "Voicemail-Box": number.to_string(), "Server-ID": "secret"})
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
async fn notifications_are_resumed_after_the_event_that_was_seen_last() {
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
