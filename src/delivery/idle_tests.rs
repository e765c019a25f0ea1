//! Tests with real sockets: which connection a request uses, and what happens to the connection afterwards.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

use super::super::client::{Address, Client, Outgoing};
use super::super::guard::Guard;
use super::super::headers::Headers;
use super::super::idle::IdleLimits;
use super::super::names::Names;
use super::super::send::{Caps, send};
use super::super::transport::TransportLimits;
use crate::model::{AttemptResult, TransportError};
use crate::tasks::Tasks;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A receiver that hands over each connection after `answers` answers.
struct Receiver {
    url: String,
    connections: mpsc::Receiver<TcpStream>,
}

impl Receiver {
    async fn start(answer: &'static [u8], answers: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let (sender, connections) = mpsc::channel(16);
        drop(Tasks::new().spawn("receiver", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                for _ in 0..answers {
                    let read = stream.read(&mut [0; 4096]).await;
                    if read.is_err() || stream.write_all(answer).await.is_err() {
                        break;
                    }
                }
                if sender.send(stream).await.is_err() {
                    return;
                }
            }
        }));
        Self { url, connections }
    }
}

fn client(per_origin: usize, timeout: Duration) -> Client {
    let idle = IdleLimits { total: 100, per_origin, timeout, max_age: Duration::from_secs(600) };
    let limits = TransportLimits {
        connect_timeout: Duration::from_secs(10),
        request_timeout: Duration::from_secs(10),
        response_read_bytes: 1024,
        response_keep_bytes: 1024,
        success_keep_bytes: 0,
        idle,
    };
    Client::new(
        &limits,
        &Guard::new(
            &["127.0.0.0/8".parse().unwrap()],
            Names::new(&[], 1, std::sync::Arc::new(|account| account)),
        ),
    )
    .unwrap()
}

async fn get(client: &Client, url: &str) -> AttemptResult {
    let request = Outgoing {
        method: http::Method::GET,
        hook: crate::model::HookId::default(),
        account: crate::model::AccountId::default(),
        address: Arc::new(Address::new(url.parse().unwrap()).unwrap()),
        headers: Headers::Map(http::HeaderMap::new()),
        body: bytes::Bytes::new(),
        timeout: None,
        span_id: None,
    };
    send(client, request, Caps { read: 1024, keep: 0, keep_success: 0, always: false }, 0).await.result
}

fn is_delivered(result: &AttemptResult) -> bool {
    matches!(result, AttemptResult::Answered(response) if response.status == 200)
}

/// Whether the client closes this connection within ten seconds.
async fn is_closed(stream: &mut TcpStream) -> bool {
    let read = tokio::time::timeout(Duration::from_secs(10), stream.read(&mut [0; 16])).await;
    matches!(read, Ok(Ok(0) | Err(_)))
}

#[tokio::test]
async fn consecutive_requests_use_the_same_connection() {
    let mut receiver = Receiver::start(OK, 3).await;
    let client = client(4, Duration::from_secs(60));
    for _ in 0..3 {
        assert!(is_delivered(&get(&client, &receiver.url).await));
    }
    receiver.connections.recv().await.unwrap();
    assert!(receiver.connections.try_recv().is_err(), "there was one connection");
}

#[tokio::test]
async fn a_connection_closed_by_its_receiver_does_not_fail_a_request() {
    let mut receiver = Receiver::start(OK, 1).await;
    let client = client(4, Duration::from_secs(60));
    for _ in 0..20 {
        assert!(is_delivered(&get(&client, &receiver.url).await));
        assert!(client.idle().any());
        drop(receiver.connections.recv().await.unwrap());
        // Wait until the runtime has noticed. A request sent earlier would fail, as with any client.
        tokio::time::timeout(Duration::from_secs(10), async {
            while client.idle().any() {
                tokio::task::yield_now().await;
            }
        })
        .await
        .unwrap();
    }
}

#[tokio::test]
async fn a_connection_is_closed_when_its_answer_is_not_read_completely() {
    let long: &[u8] = Box::leak(
        [b"HTTP/1.1 200 OK\r\ncontent-length: 9000\r\n\r\n".as_slice(), &[b'x'; 2000]].concat().into(),
    );
    let mut receiver = Receiver::start(long, 1).await;
    let client = client(4, Duration::from_secs(60));
    assert!(is_delivered(&get(&client, &receiver.url).await));
    assert!(is_closed(&mut receiver.connections.recv().await.unwrap()).await);
}

#[tokio::test]
async fn surplus_connections_and_those_idle_for_too_long_are_closed() {
    for (per_host, timeout) in [(0, Duration::from_secs(60)), (4, Duration::ZERO)] {
        let mut receiver = Receiver::start(OK, 1).await;
        let client = client(per_host, timeout);
        assert!(is_delivered(&get(&client, &receiver.url).await));
        client.sweep();
        assert!(is_closed(&mut receiver.connections.recv().await.unwrap()).await, "{per_host} {timeout:?}");
    }
}

#[tokio::test]
async fn a_connection_that_breaks_during_an_answer_fails_the_attempt_and_is_not_reused() {
    let mut receiver = Receiver::start(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhalf", 1).await;
    let client = client(4, Duration::from_secs(60));
    for _ in 0..2 {
        let (result, ended) = tokio::join!(get(&client, &receiver.url), async {
            drop(receiver.connections.recv().await.unwrap());
        });
        assert_eq!((result, ended), (AttemptResult::failed(TransportError::Closed), ()));
    }
}
