//! One tenant's share of the listener: slow readers and senders, streamed lists, tests of hooks, sessions. Other
//! tenants are still answered.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::app::{Api, TestApp, call_event};
use crate::support::broker::Broker;
use crate::support::look::LONG;
use crate::support::receiver::{Mood, Receiver};
use crate::support::switch::{self, Switch};
use crate::support::wait::eventually;
use crate::support::websocket::Client;

/// Sends a request and reads only the status of the response.
async fn asked(address: SocketAddr, request: &str) -> (u16, TcpStream) {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut line = [0; 12];
    timeout(LONG, stream.read_exact(&mut line)).await.expect("an answer in time").unwrap();
    let status = std::str::from_utf8(&line[9..]).unwrap().parse().unwrap();
    (status, stream)
}

fn get(api: &Api, path: &str) -> String {
    let (account, token) = (&api.account, api.token());
    format!("GET /v2/accounts/{account}{path} HTTP/1.1\r\nhost: x\r\nx-auth-token: {token}\r\n\r\n")
}

/// Submits an event of three megabytes; returns the path that shows it.
async fn large_event(api: &Api) -> String {
    let mut event = call_event("CHANNEL_CREATE", "c", 1);
    event["Custom-Channel-Vars"] = json!({"Filling": "x".repeat(3 << 20)});
    let taken = api.own("PUT", "/events", Some(json!({"data": [event]}))).await;
    assert_eq!(taken.status, 201, "{taken:?}");
    format!("/events/{}", taken.data()["event_ids"][0].as_str().unwrap())
}

#[tokio::test]
async fn responses_that_a_tenant_does_not_read_use_a_bounded_part_of_the_memory() {
    let mut app = TestApp::with(&["http.body_memory_bytes=48000000"]).await;
    let (noisy, victim) = (app.api.tenant("noisy").await, app.api.tenant("victim").await);
    let (noisys, victims) = (large_event(&noisy).await, large_event(&victim).await);
    let (mut held, mut refused) = (Vec::new(), 0);
    for _ in 0..8 {
        match asked(app.address(), &get(&noisy, &noisys)).await {
            (200, stream) => held.push(stream),
            (status, _) => {
                assert_eq!(status, 429);
                refused += 1;
            }
        }
    }
    assert!((1..=3).contains(&held.len()) && refused >= 5, "{} held, {refused} refused", held.len());
    assert_eq!(victim.own("GET", &victims, None).await.status, 200);
    drop(held);
    eventually("they are given back", LONG, || async {
        (noisy.own("GET", &noisys, None).await.status == 200).then_some(())
    })
    .await;
    app.stop().await;
}

#[tokio::test]
async fn lists_that_a_tenant_reads_slowly_leave_connections_for_others() {
    let mut app = TestApp::with(&["http.max_connections=48"]).await;
    let (noisy, victim) = (app.api.tenant("noisy").await, app.api.tenant("victim").await);
    let uri = format!("http://127.0.0.1:9/{}", "x".repeat(6000));
    for _ in 0..150 {
        noisy.hook(json!({"uri": uri, "enabled": false})).await;
    }
    let list = get(&noisy, "/webhooks?is_chunked=true&chunk_size=5");
    let mut held = Vec::new();
    let mut refused = 0;
    for _ in 0..40 {
        match asked(app.address(), &list).await {
            (200, stream) => held.push(stream),
            (status, _) => {
                assert_eq!(status, 429);
                refused += 1;
            }
        }
    }
    assert!(held.len() == 32 && refused == 8, "{} held, {refused} refused", held.len());
    assert_eq!(victim.own("GET", "/webhooks", None).await.status, 200);
    drop(held);
    app.stop().await;
}

#[tokio::test]
async fn large_bodies_that_a_tenant_sends_slowly_delay_no_other_tenant() {
    let mut app = TestApp::with(&["http.body_memory_bytes=192000000"]).await;
    let (noisy, victim) = (app.api.tenant("noisy").await, app.api.tenant("victim").await);
    let (account, token) = (&noisy.account, noisy.token());
    let head = format!(
        "PUT /v2/accounts/{account}/events HTTP/1.1\r\nhost: x\r\nx-auth-token: {token}\r\n\
         content-length: 8000000\r\n\r\n{{\"data\":["
    );
    let mut slow = Vec::new();
    for _ in 0..8 {
        let mut stream = TcpStream::connect(app.address()).await.unwrap();
        stream.write_all(head.as_bytes()).await.unwrap();
        slow.push(stream);
    }
    // Wait until the bodies occupy the room, so that they would delay a body of the victim.
    assert_eq!(noisy.own("GET", "/webhooks", None).await.status, 200);
    for _ in 0..3 {
        let handed_in = timeout(Duration::from_secs(15), large_event(&victim)).await;
        assert!(handed_in.is_ok(), "the victim's event waited for the noisy tenant's bodies");
    }
    drop(slow);
    app.stop().await;
}

#[tokio::test]
async fn hanging_tests_of_one_tenant_leave_room_for_those_of_another() {
    let receiver = Receiver::start().await;
    receiver.mood_at("/silent", Mood::Hang);
    let mut app = TestApp::with(&["delivery.max_tests=2", "delivery.request_timeout_ms=60000"]).await;
    let (noisy, victim) = (app.api.tenant("noisy").await, app.api.tenant("victim").await);
    let silent = noisy.hook(json!({"uri": receiver.uri("/silent")})).await;
    let honest = victim.hook(json!({"uri": receiver.uri("/")})).await;
    let path = format!("/webhooks/{silent}/test");
    let test = async { while noisy.own("POST", &path, None).await.status == 429 {} };
    tokio::select! {
        () = test => panic!("a silent receiver answers nothing"),
        () = async {
            receiver.wait_for(1, LONG).await;
            assert_eq!(noisy.own("POST", &path, None).await.status, 429, "one of two is a tenant's");
            let tested = victim.own("POST", &format!("/webhooks/{honest}/test"), None).await;
            assert_eq!((tested.status, tested.data()["result"].as_str()), (200, Some("success")));
        } => {}
    }
    app.stop().await;
}

#[tokio::test]
async fn sessions_of_one_tenant_and_the_accounts_below_leave_room_for_others() {
    let mut app = TestApp::with(&["websocket.max_sessions=8"]).await;
    let (noisy, victim) = (app.api.tenant("noisy").await, app.api.tenant("victim").await);
    let below = app.api.account_below(&noisy.account, "below").await;
    let keys = format!("/v2/accounts/{below}/api_keys");
    let made = app.api.call("PUT", &keys, Some(json!({"data": {"name": "k"}}))).await;
    let below = Api::log_in_with(app.address(), made.data()["api_key"].as_str().unwrap()).await;
    let (mut held, mut refused) = (Vec::new(), 0);
    for token in [noisy.token(), below.token()].into_iter().cycle().take(8) {
        let mut client = Client::try_connect(app.websocket(), &[]).await.unwrap().with_token(token);
        match client.ask(json!({"action": "ping"})).await["status"].as_str() {
            Some("success") => held.push(client),
            _ => refused += 1,
        }
    }
    assert_eq!((held.len(), refused), (6, 2), "three quarters are a tenant's");
    let mut client = Client::try_connect(app.websocket(), &[]).await.unwrap().with_token(victim.token());
    assert_eq!(client.ask(json!({"action": "ping"})).await["status"], "success");
    drop(held);
    app.stop().await;
}

#[tokio::test]
async fn broker_questions_of_one_tenant_leave_room_for_those_of_another() {
    let broker = Broker::shared().await;
    let switch = Switch::start(&broker.uri(), "s1").await;
    let mut app =
        crate::commands::app(&broker, &["commands.max_in_flight=4", "commands.timeout_ms=3000"]).await;
    let (noisy, victim) = (app.api.tenant("noisy").await, app.api.tenant("victim").await);
    let below = noisy.tenant("below").await;
    *switch.mood.lock().unwrap() = switch::Mood::Silent;
    // The tenant and an account below it, together.
    let ask = |number: usize| {
        let api = if number.is_multiple_of(2) { &noisy } else { &below };
        api.own("GET", "/channels", None)
    };
    let mut asked: FuturesUnordered<_> = (0..12).map(ask).collect();
    for _ in 0..8 {
        let refused = asked.next().await.unwrap();
        assert_eq!(refused.status, 429, "{refused:?}");
    }
    // Its questions hang now, and occupy its share: three of four places.
    let (answered, rest) = tokio::join!(victim.own("GET", "/channels", None), asked.collect::<Vec<_>>());
    assert_eq!(answered.status, 504, "no switch answers, but it was asked: {answered:?}");
    assert_eq!(rest.iter().filter(|answer| answer.status == 504).count(), 3, "{rest:?}");
    app.stop().await;
}
