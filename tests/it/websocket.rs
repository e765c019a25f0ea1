//! Websocket sessions as clients see them: admission, limits, keepalive, closing. The answers to single frames are
//! tested in `src/live/tests/`.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::support::app::{Answer, TestApp, call_event};
use super::support::look::{LONG, events_of};
use super::support::wait::eventually;
use super::support::websocket::{Client, End, number};

#[tokio::test]
async fn a_subscriber_gets_its_accounts_events_on_either_port_and_no_other_accounts() {
    let mut app = TestApp::start().await;
    let other = app.api.account_below(&app.api.account, "other").await;
    for address in [app.websocket(), app.address()] {
        let mut client = Client::connect(address, app.api.token()).await;
        let data = client.subscribe(&other, "call.CHANNEL_CREATE.*", Value::Null).await;
        assert_eq!(data["subscribed"], json!(["call.CHANNEL_CREATE.*"]));
        app.api.publish(&events_of("own-call", 0..3)).await;
        let mut events = events_of("call@1.2", 0..3);
        events[1]["Event-Name"] = "CHANNEL_ANSWER".into();
        let path = format!("/v2/accounts/{other}/events");
        let answer = app.api.call("PUT", &path, Some(json!({"data": events}))).await;
        let event = client.event().await;
        let key = format!("call.{other}.CHANNEL_CREATE.call%401%2E2");
        let expected = json!({
            "action": "event", "subscribed_key": "call.CHANNEL_CREATE.*", "name": "CHANNEL_CREATE",
            "subscription_key": format!("call.{other}.CHANNEL_CREATE.*"), "routing_key": key,
            "event_id": answer.data()["event_ids"][0],
            "data": {
                "app_name": "switch", "app_version": "1", "msg_id": "call@1.2-CHANNEL_CREATE-0",
                "event_category": "call_event", "event_name": "CHANNEL_CREATE", "call_id": "call@1.2",
                "call_direction": "inbound", "caller_id_number": "0", "timestamp": 63_927_219_201_u64,
            },
        });
        assert_eq!(event, expected);
        assert_eq!(number(&client.event().await), 2);
        client.has_no_more().await;
    }
    app.stop().await;
}

#[tokio::test]
async fn monster_uis_sequence_of_messages_is_understood() {
    let mut app = TestApp::start().await;
    let account = &app.api.account;
    let mut client = app.connect().await;
    let frame = |action: &str, binding: &str| json!({"action": action, "data": {"account_id": account, "binding": binding}});
    let viewer = "conference.event.*.conf.*";
    // After a reconnect, Monster UI sends a frame for each listener of a binding.
    for binding in ["call.CHANNEL_CREATE.*", "call.CHANNEL_CREATE.*", "call.CHANNEL_DESTROY.*", viewer] {
        let reply = client.ask(frame("subscribe", binding)).await;
        assert_eq!(reply["status"], "success", "{reply}");
        assert!(reply["data"]["subscribed"].as_array().unwrap().contains(&binding.into()), "{reply}");
    }
    let member = json!({
        "Event-Category": "conference", "Event-Name": "event", "Event": "add-member", "Conference-ID": "conf",
        "Call-ID": "c", "Participant-ID": 3, "Msg-ID": "m",
    });
    app.api
        .publish(&[call_event("CHANNEL_CREATE", "c", 1), member, call_event("CHANNEL_DESTROY", "c", 2)])
        .await;
    let events = client.events(3).await;
    let keys: Vec<&Value> = events.iter().map(|event| &event["subscribed_key"]).collect();
    assert_eq!(keys, ["call.CHANNEL_CREATE.*", viewer, "call.CHANNEL_DESTROY.*"]);
    assert_eq!((&events[1]["data"]["event"], &events[1]["name"]), (&json!("add-member"), &json!("event")));
    let reply = client.ask(frame("unsubscribe", "call.CHANNEL_CREATE.*")).await;
    let expected = json!({
        "unsubscribed": ["call.CHANNEL_CREATE.*"], "subscribed": ["call.CHANNEL_DESTROY.*", viewer],
    });
    assert_eq!((&reply["status"], &reply["data"]), (&json!("success"), &expected));
    app.api.publish(&[call_event("CHANNEL_CREATE", "d", 3), call_event("CHANNEL_DESTROY", "d", 4)]).await;
    assert_eq!(number(&client.event().await), 4);
    client.has_no_more().await;
    app.stop().await;
}

/// The raw answer to a request, up to the end of its headers.
async fn raw(app: &TestApp, request: &str) -> String {
    let mut stream = TcpStream::connect(app.websocket()).await.unwrap();
    stream.write_all(request.replace('\n', "\r\n").as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await.unwrap());
    }
    String::from_utf8(answer).unwrap().to_ascii_lowercase()
}

#[tokio::test]
async fn requests_that_are_not_upgrades_are_refused_as_in_kazoo() {
    let mut app = TestApp::start().await;
    for address in [app.websocket(), app.address()] {
        let protocol = Client::try_connect(address, &[("sec-websocket-protocol", "x")]).await;
        assert_eq!(protocol.err(), Some(400));
        for version in ["7", "8"] {
            assert!(Client::try_connect(address, &[("sec-websocket-version", version)]).await.is_ok());
        }
        let version = Client::try_connect(address, &[("sec-websocket-version", "5")]).await;
        assert_eq!(version.err(), Some(400));
    }
    let plain = raw(&app, "GET /any HTTP/1.1\nhost: x\n\n").await;
    assert!(plain.starts_with("http/1.1 426 "), "{plain}");
    assert!(plain.contains("connection: upgrade\r\n") && plain.contains("upgrade: websocket\r\n"), "{plain}");
    let upgrade = "GET / HTTP/1.1\nhost: x\nconnection: keep-alive, Upgrade\nupgrade: WebSocket\n";
    let no_key = raw(&app, &format!("{upgrade}sec-websocket-version: 13\n\n")).await;
    assert!(no_key.starts_with("http/1.1 400 "), "{no_key}");
    let key = "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\n";
    let good = raw(&app, &format!("{upgrade}sec-websocket-version: 13\n{key}\n")).await;
    // The example of RFC 6455, 1.3.
    assert!(good.starts_with("http/1.1 101 "), "{good}");
    assert!(good.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo="), "{good}");
    app.stop().await;
}

#[tokio::test]
async fn sessions_are_limited_by_address_and_by_account_and_in_all() {
    let mut app =
        TestApp::with(&["websocket.max_sessions_per_ip=1", "websocket.max_sessions_per_account=1"]).await;
    let client = app.connect().await;
    assert_eq!(Client::try_connect(app.websocket(), &[]).await.err(), Some(429));
    drop(client);
    eventually("the place is free again", LONG, || async {
        Client::try_connect(app.websocket(), &[]).await.ok()
    })
    .await;
    app.stop().await;

    let mut app = TestApp::with(&["websocket.max_sessions=3", "websocket.max_sessions_per_account=1"]).await;
    let (mut first, mut second) = (app.connect().await, app.connect().await);
    assert_eq!(first.ask(json!({"action": "ping"})).await["status"], "success");
    let reply = second.ask(json!({"action": "ping"})).await;
    assert_eq!(reply["data"]["errors"], json!(["too many sessions of this account : at most 1"]));
    let _third = app.connect().await;
    let _fourth = app.connect().await;
    assert_eq!(second.ended().await, End::Lost, "the oldest without a good token makes room");
    assert_eq!(first.ask(json!({"action": "ping"})).await["status"], "success");
    app.stop().await;
}

#[tokio::test]
async fn strange_frames_end_at_most_their_own_session() {
    let mut app = TestApp::start().await;
    let mut witness = app.connect().await;
    let mut client = app.connect().await;
    client.send_message(Message::Binary(vec![0; 100].into())).await;
    client.send_message(Message::Ping(b"hi".to_vec().into())).await;
    client.send_message(Message::text("{")).await;
    let reply = client.frame().await.unwrap();
    assert_eq!(reply["data"]["errors"], json!(["invalid JSON"]), "binary frames and pings have no reply");
    client.send_message(Message::text(" ".repeat(70_000))).await;
    assert_eq!(client.ended().await, End::Code(1009));

    let mut client = app.connect().await;
    let text = tokio_tungstenite::tungstenite::protocol::frame::Frame::message(
        vec![0xff, 0xfe],
        tokio_tungstenite::tungstenite::protocol::frame::coding::OpCode::Data(
            tokio_tungstenite::tungstenite::protocol::frame::coding::Data::Text,
        ),
        true,
    );
    client.send_message(Message::Frame(text)).await;
    assert_eq!(client.ended().await, End::Code(1007));
    assert_eq!(witness.ask(json!({"action": "ping"})).await["status"], "success");
    app.stop().await;
}

#[tokio::test]
async fn a_client_that_is_silent_too_long_is_closed_and_a_lost_one_is_removed() {
    let mut app = TestApp::with(&["websocket.idle_timeout_ms=300", "websocket.ping_interval_ms=100"]).await;
    // Pongs do not count as activity.
    assert_eq!(app.connect().await.ended().await, End::Code(1000));
    app.stop().await;

    let mut app = TestApp::with(&["websocket.ping_interval_ms=100"]).await;
    let mut gone = app.connect().await;
    gone.ask(json!({"action": "ping"})).await;
    assert_eq!(sessions(&app).await.data().as_array().unwrap().len(), 1);
    // The client does not read any more, so pings are not answered.
    eventually("the session is gone", LONG, || async {
        sessions(&app).await.data().as_array().unwrap().is_empty().then_some(())
    })
    .await;
    app.stop().await;
}

async fn sessions(app: &TestApp) -> Answer {
    app.api.own("GET", "/websockets", None).await
}

#[tokio::test]
async fn a_stop_closes_sessions_so_that_clients_go_elsewhere() {
    let mut app = TestApp::start().await;
    let mut client = app.connect().await;
    client.subscribe(&app.api.account, "call.*.*", Value::Null).await;
    app.stop().await;
    assert_eq!(client.ended().await, End::Code(1001));
}

#[tokio::test]
async fn an_expired_token_closes_its_session_if_so_configured() {
    let settings =
        ["auth.token_expiry_s=1", "websocket.token_expiry=close", "websocket.ping_interval_ms=100"];
    let mut app = TestApp::with(&settings).await;
    let mut client = app.connect().await;
    client.ask(json!({"action": "ping"})).await;
    assert_eq!(tokio::time::timeout(Duration::from_secs(60), client.ended()).await.unwrap(), End::Code(1008));
    app.stop().await;
}
