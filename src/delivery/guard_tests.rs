//! Names with changing answers: connections go only to the addresses that were checked.

use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::client::{Address, Client, Outgoing};
use super::super::headers::Headers;
use super::super::idle::IdleLimits;
use super::super::send::{Caps, send};
use super::super::transport::TransportLimits;
use super::*;
use crate::model::{AttemptResult, HookId, TransportError};
use crate::tasks::Tasks;

/// A resolver that gives these answers in order and counts its calls.
fn answering(answers: &[&[&str]], allow: &[IpNet]) -> (Guard, Arc<AtomicUsize>) {
    let parse = |ips: &&[&str]| ips.iter().map(|ip| ip.parse().expect("an address")).collect();
    let answers: Vec<Vec<IpAddr>> = answers.iter().map(parse).collect();
    let asked = Arc::new(AtomicUsize::new(0));
    let (counted, answers) = (asked.clone(), Mutex::new(answers.into_iter()));
    let resolve = move |_, _, _| -> BoxFuture<'static, _> {
        counted.fetch_add(1, Ordering::Relaxed);
        let next = answers.lock().expect("not poisoned").next().unwrap_or_default();
        Box::pin(std::future::ready(Ok(next.into())))
    };
    (Guard { allow: allow.into(), resolve: Arc::new(resolve) }, asked)
}

/// Answers every connection to an address with an empty 200, and counts the connections.
async fn counting(address: (&str, u16)) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind(address).await.expect("binds");
    let (port, count) = (listener.local_addr().expect("bound").port(), Arc::new(AtomicUsize::new(0)));
    let counted = count.clone();
    drop(Tasks::new().spawn("listener", async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::Relaxed);
            drop(stream.read(&mut [0; 4096]).await);
            drop(
                stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n").await,
            );
        }
    }));
    (port, count)
}

async fn get(guard: &Guard, port: u16) -> AttemptResult {
    let limits = TransportLimits {
        connect_timeout: Duration::from_secs(10),
        request_timeout: Duration::from_secs(10),
        response_read_bytes: 1024,
        response_keep_bytes: 1024,
        success_keep_bytes: 0,
        idle: IdleLimits { total: 0, per_origin: 0, timeout: Duration::ZERO, max_age: Duration::ZERO },
    };
    let client = Client::new(&limits, guard).expect("a client");
    let url = format!("http://rebound.example:{port}/").parse().expect("a URL");
    let request = Outgoing {
        method: http::Method::GET,
        hook: HookId::default(),
        account: AccountId::default(),
        address: Arc::new(Address::new(url).expect("an address")),
        headers: Headers::Map(http::HeaderMap::new()),
        body: bytes::Bytes::new(),
        timeout: None,
        span_id: None,
    };
    send(&client, request, Caps { read: 1024, keep: 0, keep_success: 0, always: false }, 0).await.result
}

fn is_delivered(result: &AttemptResult) -> bool {
    matches!(result, AttemptResult::Answered(response) if response.status == 200)
}

#[tokio::test]
async fn a_name_that_moves_to_a_forbidden_address_gets_no_connection_there() {
    let (port, allowed) = counting(("127.0.0.1", 0)).await;
    // The same port of another loopback address stands for an internal service.
    let (_, inside) = counting(("127.0.0.2", port)).await;
    let allow: Vec<IpNet> = vec!["127.0.0.1/32".parse().unwrap()];
    let first = ["127.0.0.1"];
    let (guard, asked) = answering(&[&first, &["127.0.0.2"], &["127.0.0.2", "::1"], &first], &allow);
    for reaches in [true, false, false, true] {
        let result = get(&guard, port).await;
        assert_eq!(is_delivered(&result), reaches, "{result:?}");
        if !reaches {
            assert_eq!(result, AttemptResult::failed(TransportError::ForbiddenAddress));
        }
    }
    let counts = [&asked, &allowed, &inside].map(|count| count.load(Ordering::Relaxed));
    assert_eq!(counts, [4, 2, 0], "lookups, connections outside, connections inside");
}

#[tokio::test]
async fn only_the_allowed_addresses_of_a_mixed_answer_are_tried() {
    let (port, inside) = counting(("127.0.0.2", 0)).await;
    let allow: Vec<IpNet> = vec!["127.0.0.1/32".parse().unwrap()];
    // Nothing listens at the allowed address. The client must not fall back to the other one.
    let (guard, _) = answering(&[&["127.0.0.2", "127.0.0.1", "::ffff:127.0.0.2"]], &allow);
    let result = get(&guard, port).await;
    assert_eq!(result, AttemptResult::failed(TransportError::Refused));
    assert_eq!(inside.load(Ordering::Relaxed), 0);
}

#[tokio::test]
async fn a_name_without_addresses_and_a_forbidden_one_are_different_errors() {
    let (guard, _) = answering(&[&[]], &[]);
    let result = get(&guard, 9).await;
    let AttemptResult::Failed(failure) = &result else { panic!("{result:?}") };
    assert_eq!(failure.error, TransportError::NameNotFound);
}
