//! Clients that hold connections open are disconnected in time, and exclude nobody until then.

use std::net::SocketAddr;

use reqwest::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::timeout;

use crate::support::app::{Api, TestApp};
use crate::support::look::{LONG, events_of, settled};
use crate::support::receiver::Receiver;
use crate::support::wait::{eventually, eventually_true};
use crate::support::websocket::Client;

/// A connection that has sent these bytes.
pub(super) async fn connection(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// Everything that arrives until the other side ends the connection.
pub(super) async fn rest_of(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    // It may also end with a reset.
    drop(timeout(LONG, stream.read_to_end(&mut bytes)).await.expect("the connection is ended"));
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Whether the other side has ended a connection that it has never answered.
fn is_ended(stream: &TcpStream) -> bool {
    !matches!(stream.try_read(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock)
}

/// The status of a request over a new connection; `None` when the connection was refused.
async fn asks(api: &Api) -> Option<StatusCode> {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let answer = client.get(format!("{}/v2/webhooks", api.base())).send().await.ok()?;
    Some(answer.status())
}

#[tokio::test]
async fn a_request_head_that_arrives_byte_by_byte_times_out() {
    let mut app = TestApp::with(&["http.idle_timeout_ms=300"]).await;
    for address in [app.address(), app.websocket()] {
        let silent = connection(address, b"").await;
        let (reading, mut writing) = connection(address, b"GET / HTTP/1.1\r\n").await.into_split();
        let dripping = async {
            while writing.write_all(b"x: y\r\n").await.is_ok() {
                tokio::time::sleep(std::time::Duration::from_millis(50)).await;
            }
        };
        timeout(LONG, dripping).await.expect("what drips is ended");
        drop(reading);
        assert_eq!(rest_of(silent).await, "");
    }
    // A connection that has got a response has the full time again.
    let answered = connection(app.address(), b"GET /health/live HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert!(rest_of(answered).await.starts_with("HTTP/1.1 200"));
    app.stop().await;
}

#[tokio::test]
async fn idle_connections_make_room_for_requests() {
    let mut app = TestApp::with(&["http.max_connections=20"]).await;
    for address in [app.address(), app.websocket()] {
        let mut crowd = Vec::new();
        for round in 0..20 {
            for head in ["", "GET / HT", "POST /v2/webhooks HTTP/1.1\r\ncontent-length: 9\r\n\r\n{"] {
                crowd.push(connection(address, head.as_bytes()).await);
            }
            if address == app.address() {
                assert_eq!(asks(&app.api).await, Some(StatusCode::OK), "round {round}");
            } else {
                app.connect().await.ask(json!({"action": "ping"})).await;
            }
        }
        eventually_true("most of the crowd is gone", LONG, || {
            crowd.iter().filter(|stream| is_ended(stream)).count() >= 40
        })
        .await;
    }
    app.stop().await;
}

#[tokio::test]
async fn a_websocket_session_does_not_count_as_a_connection_of_the_listener() {
    let mut app = TestApp::with(&["http.max_connections=2"]).await;
    let mut sessions: Vec<Client> = Vec::new();
    for _ in 0..10 {
        sessions.push(app.connect().await);
    }
    for session in &mut sessions {
        session.ask(json!({"action": "ping"})).await;
    }
    app.stop().await;
}

#[tokio::test]
async fn a_client_that_never_reads_its_response_is_disconnected() {
    let mut app = TestApp::with(&["http.max_connections=1", "http.write_timeout_ms=1000"]).await;
    let receiver = Receiver::start().await;
    // Each row of its attempts shows the whole request, so the list has several megabytes.
    let document = json!({"uri": receiver.uri("/"), "custom_data": {"x": "x".repeat(50_000)}});
    let hook = app.api.hook(document).await;
    app.api.publish(&events_of("call", 0..64)).await;
    settled(&app.api, &hook).await;
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut never_reads = socket.connect(app.address()).await.unwrap();
    let (account, token) = (&app.api.account, app.api.token());
    let head = format!(
        "GET /v2/accounts/{account}/webhooks/{hook}/attempts?is_chunked=true HTTP/1.1\r\nhost: x\r\n\
         x-auth-token: {token}\r\n\r\n"
    );
    never_reads.write_all(head.as_bytes()).await.unwrap();
    never_reads.readable().await.unwrap();
    assert_eq!(asks(&app.api).await, None, "the only connection is busy");
    eventually("the connection is free again", LONG, || async { asks(&app.api).await }).await;
    let got = rest_of(never_reads).await;
    assert!(
        got.starts_with("HTTP/1.1 200") && !got.contains("\"status\":\"success\""),
        "{} bytes",
        got.len()
    );
    app.stop().await;
}
