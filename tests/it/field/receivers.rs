//! Real receivers: an error is reported so that a person can correct it, and common behaviour is not a failure.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::{CertificateParams, KeyPair, date_time_ymd};
use serde_json::{Value, json};
use switchhook::tasks::{Stop, Tasks};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

use crate::support::app::{Api, TestApp, call_event};
use crate::support::dns::{NameServer, Says};
use crate::support::look::{attempts_when, settled};
use crate::support::process::Process;

/// Serves connections on a free port until it is dropped.
pub(super) struct Listening(
    pub(super) SocketAddr,
    #[expect(dead_code, reason = "ends the listener")] tokio_util::sync::DropGuard,
);

pub(super) async fn listening<F>(serve: impl Fn(TcpStream) -> F + Send + 'static) -> Listening
where
    F: Future<Output = ()> + Send + 'static,
{
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (address, stop) = (listener.local_addr().unwrap(), Stop::new());
    let stopped = stop.clone();
    let serving = async move {
        let mut open = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            open.spawn(serve(stream));
        }
    };
    drop(Tasks::new().spawn("raw", async move { stopped.run_until_cancelled_owned(serving).await }));
    Listening(address, stop.drop_guard())
}

/// Answers the first bytes of every connection with `bytes`, and closes it.
pub(super) async fn saying(answer: &'static [u8]) -> Listening {
    listening(move |mut stream| async move {
        drop(stream.read(&mut [0; 4096]).await);
        drop(stream.write_all(answer).await);
        drop(stream.shutdown().await);
    })
    .await
}

/// The row of the only attempt of a hook with this URI.
async fn client_error(api: &Api, uri: &str) -> String {
    let hook = api.hook(json!({"uri": uri, "retries": 1})).await;
    api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    let row = attempts_when(api, &hook, 1).await.remove(0);
    let deleted = api.own("DELETE", &format!("/webhooks/{hook}"), None).await;
    assert_eq!(deleted.status, 200, "{deleted:?}");
    format!("{}: {}", row["client_error"].as_str().unwrap(), row["client_error_detail"])
}

fn assert_says(said: &str, parts: &[&str]) {
    for part in parts {
        assert!(said.contains(part), "{part:?} is missing in {said:?}");
    }
}

#[tokio::test]
async fn the_beginning_of_a_response_that_is_not_http_is_shown() {
    let app = TestApp::start().await;
    let php = saying(b"PHP Warning:  Undefined \"x\"\r\nHTTP/1.1 200 OK\r\n\r\n").await;
    let said = client_error(&app.api, &format!("http://{}/", php.0)).await;
    assert_says(&said, &["not_http", "answer is not HTTP: ", "PHP Warning:  Undefined"]);
    let tls_alert = saying(&[0x15, 3, 3, 0, 2, 2, 22]).await;
    let said = client_error(&app.api, &format!("http://{}/", tls_alert.0)).await;
    assert_says(&said, &["https_expected", "use https://"]);
    let plain = saying(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
    let said = client_error(&app.api, &format!("https://{}/", plain.0)).await;
    assert_says(&said, &["failed_connect: not_tls", "does not speak TLS"]);
    let chunks = saying(b"HTTP/1.1 500 No\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n").await;
    let said = client_error(&app.api, &format!("http://{}/", chunks.0)).await;
    assert_says(&said, &["not_http", "body is malformed"]);
}

#[tokio::test]
async fn failures_of_a_name_lookup_are_distinguished() {
    let names = NameServer::start(|name| match name {
        "none.example" => Says::Code(3),
        "failing.example" => Says::Code(2),
        "silent.example" => Says::Nothing,
        _ => Says::Addresses(vec![Ipv4Addr::LOCALHOST], 60),
    })
    .await;
    let app = TestApp::with(&[&names.setting(), "delivery.connect_timeout_ms=1000"]).await;
    for (name, parts) in [
        ("none.example", ["failed_connect: nxdomain", "does not exist"]),
        ("failing.example", ["failed_connect: name_server_failed", "name server failed"]),
        ("silent.example", ["failed_connect: name_server_timeout", "no answer from the name server"]),
    ] {
        assert_says(&client_error(&app.api, &format!("http://{name}/")).await, &parts);
    }
}

#[tokio::test]
async fn an_expired_certificate_is_reported_with_the_time_of_expiry() {
    let mut params = CertificateParams::new(["localhost".to_owned()]).unwrap();
    (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 2, 3));
    let key = KeyPair::generate().unwrap();
    let certificate = params.self_signed(&key).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(
            vec![certificate.der().clone()],
            PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
        )
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let tls = listening(move |stream| {
        let accepting = acceptor.accept(stream);
        async move { drop(accepting.await) }
    })
    .await;
    let dir = tempfile::tempdir().unwrap();
    let trusted = dir.path().join("trusted.pem");
    std::fs::write(&trusted, certificate.pem()).unwrap();
    let trust = [("SSL_CERT_FILE", trusted.to_str().unwrap().to_owned())];
    let process = Process::serve_in(&trust, &dir.path().join("data"), &[]).await;
    let said = client_error(&process.api().await, &format!("https://localhost:{}/", tls.0.port())).await;
    assert_says(&said, &["certificate_expired", "certificate expired on", "03 Feb 2021"]);
}

/// Answers one request on each connection, and closes it when the next one arrives, with or without reading it.
async fn closing_under_requests(reads: bool, met: Arc<AtomicUsize>) -> Listening {
    listening(move |mut stream| {
        let met = Arc::clone(&met);
        async move {
            drop(stream.read(&mut [0; 8192]).await);
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await);
            if stream.peek(&mut [0; 1]).await.is_ok_and(|came| came > 0) {
                met.fetch_add(1, Ordering::Relaxed);
                if reads {
                    drop(stream.read(&mut [0; 8192]).await);
                }
            }
        }
    })
    .await
}

#[tokio::test]
async fn closing_a_kept_connection_under_a_request_is_not_a_failure() {
    let app = TestApp::with(&["disable.failure_count=1"]).await;
    for reads in [false, true] {
        let met = Arc::new(AtomicUsize::new(0));
        let receiver = closing_under_requests(reads, Arc::clone(&met)).await;
        let uri = format!("http://{}/", receiver.0);
        let hook = app.api.hook(json!({"uri": uri, "ordering": "hook"})).await;
        for n in 0..12 {
            app.api.publish(&[call_event("CHANNEL_CREATE", "c", n)]).await;
            settled(&app.api, &hook).await;
        }
        let rows = attempts_when(&app.api, &hook, 12).await;
        let failed: Vec<&Value> = rows.iter().filter(|row| row["result"] != "success").collect();
        assert!(failed.is_empty(), "{failed:?}");
        // After three of these, each request gets a new connection.
        let met = met.load(Ordering::Relaxed);
        assert!((1..=3).contains(&met), "{met} requests met a closing connection");
        app.api.own("DELETE", &format!("/webhooks/{hook}"), None).await;
    }
}

/// A receiver with TLS and its own certificate, which answers each request with `answer` and closes the TCP connection
/// without ending TLS (no `close_notify`). Returns its port and certificate.
async fn ending_without_a_word(answer: &'static [u8]) -> (Listening, String) {
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
    let der = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let config = config.with_single_cert(vec![certificate.der().clone()], der).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listening = listening(move |stream| {
        let accepting = acceptor.accept(stream);
        async move {
            let Ok(mut inside) = accepting.await else { return };
            drop(inside.read(&mut [0; 16384]).await);
            drop(inside.write_all(answer).await);
            drop(inside.flush().await);
            // The TCP stream is closed without closing TLS.
            let (mut tcp, _) = inside.into_inner();
            drop(tcp.shutdown().await);
        }
    })
    .await;
    (listening, certificate.pem())
}

#[tokio::test]
async fn a_complete_response_counts_without_close_notify_and_half_a_response_does_not() {
    let whole = ending_without_a_word(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let until_close = ending_without_a_word(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nok").await;
    let half = ending_without_a_word(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok").await;
    let dir = tempfile::tempdir().unwrap();
    let trusted = dir.path().join("trusted.pem");
    std::fs::write(&trusted, [&*whole.1, &*until_close.1, &*half.1].concat()).unwrap();
    let trust = [("SSL_CERT_FILE", trusted.to_str().unwrap().to_owned())];
    let process = Process::serve_in(&trust, &dir.path().join("data"), &[]).await;
    let api = process.api().await;
    for (receiver, result) in [(&whole, "success"), (&until_close, "success"), (&half, "failure")] {
        let uri = format!("https://localhost:{}/", receiver.0.0.port());
        let hook = api.hook(json!({"uri": uri, "retries": 1})).await;
        api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
        let row = attempts_when(&api, &hook, 1).await.remove(0);
        assert_eq!(row["result"], result, "{row}");
        api.own("DELETE", &format!("/webhooks/{hook}"), None).await;
    }
}

#[tokio::test]
async fn a_response_with_too_many_headers_is_reported_as_such() {
    let app = TestApp::start().await;
    let mut answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n".to_vec();
    for number in 0..150 {
        answer.extend(format!("x-{number}: y\r\n").into_bytes());
    }
    answer.extend(b"\r\n");
    let many = saying(answer.leak()).await;
    let said = client_error(&app.api, &format!("http://{}/", many.0)).await;
    assert_says(&said, &["response_too_long", "more than 100 headers"]);
}
