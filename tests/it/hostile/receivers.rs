//! Receivers that answer without end, byte by byte, or with too much: each attempt still ends in time.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::json;
use switchhook::tasks::{Stop, Tasks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use crate::support::app::{TestApp, call_event};
use crate::support::look::{LONG, attempts_when};
use crate::support::receiver::{Mood, Receiver};

/// What a receiver writes after it has seen a request.
#[derive(Debug, Clone, Copy)]
pub(super) enum Answer {
    /// A beginning, then the same bytes again and again, as fast as they are read.
    Flood(&'static str, &'static str),
    /// The same, byte by byte.
    Drip(&'static str, &'static str),
    /// One header of a megabyte.
    LongHeader,
}

/// Every response without an end.
pub(super) const ANSWERS: &[Answer] = &[
    Answer::Flood("HTTP/1.1 200 OK\r\ncontent-length: 10737418240\r\n\r\n", "0123456789abcdef"),
    Answer::Flood("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n", "10\r\n0123456789abcdef\r\n"),
    Answer::Flood("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1;", "a=b;"),
    Answer::Flood("HTTP/1.1 200 OK\r\n", "a: b\r\n"),
    Answer::Flood("HTTP/1.1 200 ", "OK"),
    Answer::Flood("", "no protocol at all "),
    Answer::LongHeader,
    Answer::Drip("HTTP/1.1 200 OK\r\ncontent-length: 100000\r\n\r\n", "x"),
    Answer::Drip("HTTP/1.1 200 OK\r\na: ", "b"),
    Answer::Drip("", " "),
];

/// Interim responses as fast as they are read.
pub(super) const INTERIM: Answer = Answer::Flood("", "HTTP/1.1 100 Continue\r\n\r\n");

/// Gives every request this response, until dropped.
pub(super) async fn receiver(answer: Answer) -> (SocketAddr, impl Drop) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), Stop::new());
    let stopped = stop.clone();
    let serving = async move {
        let mut connections = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            connections.spawn(give(stream, answer));
        }
    };
    drop(Tasks::new().spawn("receiver", async move { stopped.run_until_cancelled_owned(serving).await }));
    (address, stop.drop_guard())
}

async fn give(mut stream: TcpStream, answer: Answer) {
    drop(stream.read(&mut [0; 16 << 10]).await);
    let (start, again, pause) = match answer {
        Answer::Flood(start, again) => (start.to_owned(), again.repeat(4096), None),
        Answer::Drip(start, again) => (start.to_owned(), again.to_owned(), Some(Duration::from_millis(50))),
        Answer::LongHeader => {
            (format!("HTTP/1.1 200 OK\r\na: {}\r\n\r\n", "b".repeat(1 << 20)), String::new(), None)
        }
    };
    let mut alive = stream.write_all(start.as_bytes()).await.is_ok();
    while alive && !again.is_empty() {
        alive = stream.write_all(again.as_bytes()).await.is_ok();
        if let Some(pause) = pause {
            tokio::time::sleep(pause).await;
        }
    }
    // Until the client disconnects.
    drop(stream.read(&mut [0]).await);
}

#[tokio::test]
async fn an_attempt_ends_whatever_its_receiver_sends_and_other_hooks_get_their_deliveries() {
    let healthy = Receiver::start().await;
    let mut app = TestApp::with(&["disable.failure_count=0", "delivery.request_timeout_ms=4000"]).await;
    let good = app.api.hook(json!({"uri": healthy.uri("/")})).await;
    let (mut hooks, mut receivers) = (Vec::new(), Vec::new());
    for answer in ANSWERS {
        let (address, running) = receiver(*answer).await;
        receivers.push(running);
        hooks.push((answer, app.api.hook(json!({"uri": format!("http://{address}/"), "retries": 1})).await));
    }
    app.api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    healthy.wait_for(1, LONG).await;
    for (answer, hook) in &hooks {
        let row = attempts_when(&app.api, hook, 1).await.remove(0);
        // A body is read up to its bound. A response without a valid head is a failure.
        let is_body =
            matches!(answer, Answer::Flood(start, _) if start.contains("\r\n\r\n") && !start.ends_with(';'));
        assert_eq!(row["result"], if is_body { "success" } else { "failure" }, "{answer:?}: {row}");
    }
    assert_eq!(attempts_when(&app.api, &good, 1).await[0]["result"], "success");
    app.stop().await;
}

#[tokio::test]
async fn endless_interim_responses_are_cut_off_by_size_and_not_only_by_time() {
    let healthy = Receiver::start().await;
    let mut app = TestApp::with(&["delivery.request_timeout_ms=600000"]).await;
    let good = app.api.hook(json!({"uri": healthy.uri("/")})).await;
    let (address, _running) = receiver(INTERIM).await;
    let bad = app.api.hook(json!({"uri": format!("http://{address}/"), "retries": 1})).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    let row = attempts_when(&app.api, &bad, 1).await.remove(0);
    assert_eq!((&row["result"], &row["client_error"]), (&"failure".into(), &"response_too_long".into()));
    assert_eq!(attempts_when(&app.api, &good, 1).await[0]["result"], "success");
    app.stop().await;
}

#[tokio::test]
async fn large_events_for_a_hanging_receiver_use_an_eighth_of_the_memory_and_small_ones_continue() {
    let (mut hanging, healthy) = (Receiver::start().await, Receiver::start().await);
    hanging.mood(Mood::Hang);
    let mut app =
        TestApp::with(&["delivery.body_memory_bytes=8388608", "delivery.request_timeout_ms=600000"]).await;
    for receiver in [&hanging, &healthy] {
        app.api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    }
    let large = |n| {
        let mut event = call_event("CHANNEL_CREATE", &format!("large-{n}"), n);
        event["Caller-ID-Name"] = "x".repeat(200_000).into();
        event
    };
    app.api.publish(&(0..5).map(large).collect::<Vec<_>>()).await;
    healthy.wait_for(5, LONG).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "small", 9)]).await;
    // Only one large event is under way at a time, and the small ones pass the others.
    hanging.wait_for(2, LONG).await;
    healthy.wait_for(6, LONG).await;
    assert_eq!((hanging.count(), hanging.most_in_flight()), (2, 2));
    hanging.mood(Mood::Ok);
    hanging.refuse().await;
    hanging.accept_again();
    hanging.wait_for(2 + 6, LONG).await;
    app.stop().await;
}
