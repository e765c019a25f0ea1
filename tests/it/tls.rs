//! Receivers with TLS, with trusted and untrusted certificates.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rcgen::CertifiedKey;
use serde_json::json;
use switchhook::tasks::{Stop, Tasks};
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use crate::support::app::call_event;
use crate::support::look::{LONG, attempts_when};
use crate::support::process::Process;
use crate::support::receiver::Receiver;

/// Terminates TLS for a receiver, with a certificate for `localhost`; counts the connections.
struct Terminator {
    address: SocketAddr,
    certificate: String,
    connections: Arc<AtomicUsize>,
    _running: tokio_util::sync::DropGuard,
}

async fn terminator(receiver: SocketAddr) -> Terminator {
    terminator_for(receiver, false).await
}

/// `asks`: whether to require a client certificate, which the program does not have.
async fn terminator_for(receiver: SocketAddr, asks: bool) -> Terminator {
    let CertifiedKey { cert, signing_key } =
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
    let config = if asks {
        let mut trusted = RootCertStore::empty();
        trusted.add(cert.der().clone()).unwrap();
        let verifier = WebPkiClientVerifier::builder(Arc::new(trusted)).build().unwrap();
        ServerConfig::builder().with_client_cert_verifier(verifier)
    } else {
        ServerConfig::builder().with_no_client_auth()
    };
    let config = config.with_single_cert(vec![cert.der().clone()], key).unwrap();
    let (acceptor, stop) = (TlsAcceptor::from(Arc::new(config)), Stop::new());
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let (address, connections) = (listener.local_addr().unwrap(), Arc::new(AtomicUsize::new(0)));
    let (stopped, counted) = (stop.clone(), Arc::clone(&connections));
    let serving = async move {
        let mut open = JoinSet::new();
        while let Ok((stream, _)) = listener.accept().await {
            let (acceptor, counted) = (acceptor.clone(), Arc::clone(&counted));
            open.spawn(async move {
                // A client that does not trust the certificate disconnects.
                let Ok(mut inside) = acceptor.accept(stream).await else { return };
                counted.fetch_add(1, Ordering::Relaxed);
                let mut outside = TcpStream::connect(receiver).await.unwrap();
                let _either_closed = copy_bidirectional(&mut inside, &mut outside).await;
            });
        }
    };
    drop(Tasks::new().spawn("tls", async move { stopped.run_until_cancelled_owned(serving).await }));
    Terminator { address, certificate: cert.pem(), connections, _running: stop.drop_guard() }
}

/// The program on a system that trusts only this certificate.
async fn trusting(tls: &Terminator) -> (tempfile::TempDir, Process) {
    let dir = tempfile::tempdir().unwrap();
    let trusted = dir.path().join("trusted.pem");
    std::fs::write(&trusted, &tls.certificate).unwrap();
    let trust = [("SSL_CERT_FILE", trusted.to_str().unwrap().to_owned())];
    let process = Process::serve_in(&trust, &dir.path().join("data"), &[]).await;
    (dir, process)
}

#[tokio::test]
async fn a_receiver_with_a_trusted_certificate_gets_its_events_over_one_connection() {
    let receiver = Receiver::start().await;
    let tls = terminator(receiver.address()).await;
    let (_dir, process) = trusting(&tls).await;
    let api = process.api().await;
    let hook = api.hook(json!({"uri": format!("https://localhost:{}/", tls.address.port())})).await;
    for n in 1..=5 {
        api.publish(&[call_event("CHANNEL_CREATE", "c", n)]).await;
        attempts_when(&api, &hook, n.try_into().unwrap()).await;
    }
    let requests = receiver.wait_for(5, LONG).await;
    assert_eq!(requests[0].header("host"), Some(&*format!("localhost:{}", tls.address.port())));
    assert_eq!((requests.len(), tls.connections.load(Ordering::Relaxed)), (5, 1));
}

#[tokio::test]
async fn an_untrusted_certificate_or_one_of_another_name_fails_the_attempt() {
    let receiver = Receiver::start().await;
    let (known, unknown) = (terminator(receiver.address()).await, terminator(receiver.address()).await);
    let (_dir, process) = trusting(&known).await;
    let api = process.api().await;
    let mut hooks = Vec::new();
    for uri in [
        format!("https://localhost:{}/", unknown.address.port()),
        format!("https://127.0.0.1:{}/", known.address.port()),
    ] {
        hooks.push(api.hook(json!({"uri": uri, "retries": 1})).await);
    }
    api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    let errors = ["failed_connect: certificate_self_signed", "failed_connect: certificate_name"];
    for (hook, error) in hooks.iter().zip(errors) {
        let row = attempts_when(&api, hook, 1).await.remove(0);
        assert_eq!(row["client_error"], error, "{row}");
    }
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn a_receiver_that_requires_a_client_certificate_is_reported_as_such() {
    let receiver = Receiver::start().await;
    let tls = terminator_for(receiver.address(), true).await;
    let (_dir, process) = trusting(&tls).await;
    let api = process.api().await;
    let hook = api.hook(json!({"uri": format!("https://localhost:{}/", tls.address.port())})).await;
    api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    let rows = attempts_when(&api, &hook, 1).await;
    let row = rows.last().unwrap();
    let said = (&row["client_error"], &row["client_error_detail"]);
    assert_eq!(said, (&json!("failed_connect: tls"), &json!("receiver asks for a client certificate")));
}
