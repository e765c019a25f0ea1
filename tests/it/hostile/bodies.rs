//! Requests whose bodies or heads are too slow, too large, too deep or too many are refused without affecting others.

use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;

use super::connections::{connection, rest_of};
use crate::support::app::{TestApp, call_event};
use crate::support::look::{LONG, settled};
use crate::support::raw::{send, send_as};
use crate::support::receiver::Receiver;
use crate::support::websocket::Client;

/// Deep enough for any stack.
const DEEP: usize = 30_000;

fn small() -> Value {
    json!({"data": {"name": "n", "hook": "all", "uri": "http://receiver.example/"}})
}

#[tokio::test]
async fn a_body_that_arrives_byte_by_byte_is_refused_in_time() {
    let mut app = TestApp::with(&["http.request_timeout_ms=300"]).await;
    let head = b"PUT /v2/api_auth HTTP/1.1\r\nhost: x\r\ncontent-length: 10000\r\nconnection: close\r\n\r\n";
    let mut stream = connection(app.address(), head).await;
    for _ in 0..20 {
        // The connection may have been closed already.
        drop(stream.write_all(b" ").await);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    let answer = rest_of(stream).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    app.stop().await;
}

#[tokio::test]
async fn unfinished_bodies_do_not_delay_other_requests() {
    let mut app = TestApp::start().await;
    let head = b"PUT /v2/api_auth HTTP/1.1\r\nhost: x\r\ncontent-length: 60000\r\n\r\n{\"data\":";
    let mut crowd = Vec::new();
    for _ in 0..300 {
        crowd.push(connection(app.address(), head).await);
    }
    for _ in 0..5 {
        let answer = app.api.own("PUT", "/webhooks", Some(small())).await;
        assert_eq!(answer.status, 201, "{answer:?}");
    }
    drop(crowd);
    app.stop().await;
}

#[tokio::test]
async fn large_bodies_that_never_arrive_delay_no_request_without_a_body() {
    let mut app = TestApp::with(&["http.request_timeout_ms=20000"]).await;
    // Together more than the room for large bodies: 64 MiB of 384.
    let head = format!(
        "PUT /v2/accounts/{}/webhooks HTTP/1.1\r\nhost: x\r\nx-auth-token: {}\r\ncontent-length: 8000000\r\n\r\n{{",
        app.api.account,
        app.api.token()
    );
    let mut crowd = Vec::new();
    for _ in 0..12 {
        crowd.push(connection(app.address(), head.as_bytes()).await);
    }
    for _ in 0..5 {
        let answer = app.api.own("GET", "/webhooks", None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    drop(crowd);
    app.stop().await;
}

#[tokio::test]
async fn large_bodies_are_accepted_only_with_a_token() {
    let mut app = TestApp::start().await;
    let account = app.api.account.clone();
    let large = json!({"data": {"Event-Category": "call_event", "Event-Name": "CHANNEL_CREATE", "x": "x".repeat(100_000)}});
    let (path, body) = (format!("/v2/accounts/{account}/events"), large.to_string());
    let json = [("content-type", "application/json")];
    assert_eq!(send_as(&app.api, "PUT", &path, &json, &body).await.status, 201);
    let bearer = format!("Bearer {}", app.api.token());
    for (token, status) in
        [("", 401), ("x-auth-token: nobody's", 401), (&*format!("authorization: {bearer}"), 201)]
    {
        let (name, value) = token.split_once(": ").unwrap_or(("accept", "*/*"));
        let answer = send(&app.api, "PUT", &path, &[json[0], (name, value)], &body).await;
        assert_eq!(answer.status, status, "{token}: {}", answer.text);
    }
    let in_envelope = json!({"auth_token": app.api.token(), "data": small()["data"]}).to_string();
    let hooks = format!("/v2/accounts/{account}/webhooks");
    assert_eq!(send(&app.api, "PUT", &hooks, &json, &in_envelope).await.status, 201);
    app.stop().await;
}

#[tokio::test]
async fn a_body_of_a_million_values_is_refused_before_it_is_parsed() {
    let mut app = TestApp::start().await;
    let zeros = format!("{{\"data\":[{}0]}}", "0,".repeat(3_900_000));
    let path = format!("/v2/accounts/{}/webhooks", app.api.account);
    for (content_type, body) in [
        ("application/json", zeros.clone()),
        ("application/json", zeros.replace("0,", "[],").chars().take(7_900_000).collect()),
        ("application/x-www-form-urlencoded", "ab&".repeat(2_600_000)),
    ] {
        let answer = send_as(&app.api, "PUT", &path, &[("content-type", content_type)], &body).await;
        assert_eq!(answer.status, 413, "{}", answer.text);
        assert!(answer.text.contains("values are allowed"), "{}", answer.text);
    }
    app.stop().await;
}

#[tokio::test]
async fn deeply_nested_json_is_refused_everywhere() {
    let mut app = TestApp::start().await;
    let account = app.api.account.clone();
    let json = [("content-type", "application/json")];
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        let deep = format!("{}0{}", open.repeat(DEEP), close.repeat(DEEP));
        for path in [format!("/v2/accounts/{account}/webhooks"), format!("/v2/accounts/{account}/events")] {
            for body in [deep.clone(), format!("{{\"data\":{deep}}}"), format!("{{\"data\":[{deep}]}}")] {
                let answer = send_as(&app.api, "PUT", &path, &json, &body).await;
                assert_eq!(answer.status, 400, "{path}: {}", answer.text);
            }
        }
        let mut client = Client::connect(app.websocket(), app.api.token()).await;
        for frame in [open.repeat(20_000 / open.len()), format!("{{\"action\":{}", open.repeat(4000))] {
            client.send(frame).await;
            let reply = client.frame().await.unwrap();
            assert_eq!(reply["data"]["errors"], json!(["invalid JSON"]));
        }
        client.ask(json!({"action": "ping"})).await;
    }
    app.stop().await;
}

#[tokio::test]
async fn events_that_grow_when_encoded_do_not_delay_others() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    // One event with many equal names, and one whose long name is repeated for every text below it.
    let many =
        |count: usize| (0..count).map(|n| (n.to_string(), json!(n))).collect::<serde_json::Map<_, _>>();
    let mut wide = call_event("CHANNEL_CREATE", "wide", 1);
    wide["Custom-Channel-Vars"] = many(250_000).into();
    let mut long = call_event("CHANNEL_CREATE", "long", 2);
    long["Custom-Channel-Vars"] = json!({"n".repeat(1_000_000): many(200_000)});
    let hook = app.api.hook(json!({"uri": receiver.uri("/")})).await;
    for event in [wide, long, call_event("CHANNEL_CREATE", "plain", 3)] {
        app.api.publish(&[event]).await;
    }
    receiver.wait_for(2, LONG).await;
    let queue = settled(&app.api, &hook).await;
    assert_eq!(queue["dead"], 1, "it is dead with its reason: {queue}");
    assert_eq!(receiver.count(), 2, "what would take gigabytes is not sent");
    app.stop().await;
}

#[tokio::test]
async fn heads_with_too_many_or_too_long_headers_are_refused() {
    let mut app = TestApp::start().await;
    for address in [app.address(), app.websocket()] {
        for bomb in [
            format!("GET / HTTP/1.1\r\n{}", "a: b\r\n".repeat(200)),
            format!("GET / HTTP/1.1\r\na: {}\r\n", "b".repeat(1 << 20)),
            format!("GET /{} HTTP/1.1\r\n", "a".repeat(1 << 20)),
        ] {
            let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
            // The response may arrive before the whole head is sent.
            drop(stream.write_all(format!("{bomb}host: x\r\n\r\n").as_bytes()).await);
            let answer = rest_of(stream).await;
            let status = answer.split(' ').nth(1).unwrap_or("reset").to_owned();
            assert!(["431", "414", "400", "reset"].contains(&&*status), "{answer}");
        }
    }
    assert_eq!(send(&app.api, "GET", "/health/live", &[], "").await.status, StatusCode::OK.as_u16());
    app.stop().await;
}

#[tokio::test]
async fn a_session_keeps_only_a_little_of_an_unfinished_message() {
    let mut app = TestApp::start().await;
    let mut client = app.connect().await;
    for name in ["name", "metadata"] {
        let reply = client.ask(json!({"action": "ping", name: "x".repeat(5000)})).await;
        assert_eq!(reply["data"]["errors"], json!([format!("{name} is too large : at most 4096 bytes")]));
        let reply = client.ask(json!({"action": "ping", name: "x".repeat(4000)})).await;
        assert_eq!(reply["status"], "success");
    }
    app.stop().await;
}
