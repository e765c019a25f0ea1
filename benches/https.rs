//! Deliveries over HTTPS to a receiver with a certificate of a private authority: over kept connections, and over a
//! new connection for each delivery. In turn with a bare loop of reqwest that posts the same bodies with the same
//! number in flight. The program and the receiver are separate processes; the CPU figure is that of the program or of
//! the bare loop.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::api::Api;
use crate::drain::cpu;
use crate::figures::{line, median};
use crate::process::Process;
use crate::receiver::{ANSWER, Apart, complete};

const ROUNDS: usize = 3;
const IN_FLIGHT: u64 = 64;
const HOOKS: u64 = 10;
/// The number of events in one request.
const BATCH: u64 = 500;
const LAST_ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";

/// Whether connections are kept after a response, and the number of requests in a run.
#[derive(Clone, Copy)]
enum Connections {
    Kept,
    New,
}

impl Connections {
    fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::New => "new",
        }
    }

    fn requests(self) -> u64 {
        match self {
            Self::Kept => 50_000,
            Self::New => 10_000,
        }
    }
}

/// Requests per second, and microseconds of CPU per request.
struct Run {
    rate: f64,
    cpu_us: f64,
}

pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for connections in [Connections::Kept, Connections::New] {
        let (dir, mut runs) = (tempfile::tempdir().unwrap(), Vec::new());
        certify(dir.path());
        for _ in 0..ROUNDS {
            let receiver =
                Apart::start(&["https-receiver".as_ref(), connections.name().as_ref(), dir.path().as_ref()]);
            let bare = bare(dir.path(), receiver.port, connections.requests());
            let ours = runtime.block_on(delivered(dir.path(), receiver.port, connections.requests()));
            runs.push((bare, ours));
        }
        let of = |of: &dyn Fn(&(Run, Run)) -> f64| median(runs.iter().map(of).collect());
        let name = connections.name();
        let figure =
            format!("{:>7.0} requests/s, {:>6.1} µs of CPU each", of(&|r| r.0.rate), of(&|r| r.0.cpu_us));
        line("https", &format!("bare loop, connections {name}"), &figure);
        let figure = format!(
            "{:>7.0} deliveries/s ({:.2} of bare), {:>6.1} µs of CPU each ({:.2} times bare)",
            of(&|r| r.1.rate),
            of(&|r| r.1.rate / r.0.rate),
            of(&|r| r.1.cpu_us),
            of(&|r| r.1.cpu_us / r.0.cpu_us),
        );
        line("https", &format!("{HOOKS} hooks, connections {name}"), &figure);
    }
}

/// Writes an authority (`ca.pem`), and a certificate for `localhost` that the authority has signed, with its key.
fn certify(dir: &Path) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let own = CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    std::fs::write(dir.join("ca.pem"), issuer.pem()).unwrap();
    std::fs::write(dir.join("own.pem"), own.pem()).unwrap();
    std::fs::write(dir.join("key.pem"), key.serialize_pem()).unwrap();
}

/// The receiver: prints its port, then serves until standard input ends.
pub(crate) fn serve(arguments: &[String]) {
    let (keeps, dir) = (arguments[0] == Connections::Kept.name(), Path::new(&arguments[1]));
    let chain = vec![CertificateDer::from_pem_file(dir.join("own.pem")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(dir.join("key.pem")).unwrap();
    let config = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    std::thread::spawn(|| {
        drop(std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        println!("{}", listener.local_addr().unwrap().port());
        std::io::stdout().flush().unwrap();
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            tokio::spawn(connection(acceptor.clone(), stream, keeps));
        }
    });
}

async fn connection(acceptor: TlsAcceptor, stream: TcpStream, keeps: bool) {
    drop(stream.set_nodelay(true));
    let Ok(mut stream) = acceptor.accept(stream).await else { return };
    let mut buffer = Vec::with_capacity(16 << 10);
    while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        while let Some(length) = complete(&buffer) {
            buffer.drain(..length);
            if stream.write_all(if keeps { ANSWER } else { LAST_ANSWER }).await.is_err() {
                return;
            }
            if !keeps {
                drop(stream.shutdown().await);
                return;
            }
        }
    }
}

/// One thread, with which the client is fastest.
fn bare(dir: &Path, port: u16, requests: u64) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let authority = reqwest::Certificate::from_pem(&std::fs::read(dir.join("ca.pem")).unwrap()).unwrap();
    let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).tls_certs_only([authority]);
    let client = client.build().unwrap();
    let (url, body) = (format!("https://localhost:{port}/bare"), crate::drain::body());
    let left = Arc::new(AtomicU64::new(requests));
    let (began, before) = (Instant::now(), cpu());
    runtime.block_on(async {
        let mut loops = Vec::new();
        for _ in 0..IN_FLIGHT {
            let (client, url, body, left) = (client.clone(), url.clone(), body.clone(), left.clone());
            loops.push(tokio::spawn(async move {
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                    let request = client.post(&url).header("content-type", "application/json");
                    request.body(body.clone()).send().await.unwrap().bytes().await.unwrap();
                }
            }));
        }
        for each in loops {
            each.await.unwrap();
        }
    });
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), cpu() - before);
    Run { rate: requests as f64 / seconds, cpu_us: cpu / requests as f64 * 1e6 }
}

/// Fills the log while all hooks are paused, each with its part of the calls; then resumes the hooks.
async fn delivered(dir: &Path, port: u16, requests: u64) -> Run {
    let data = tempfile::tempdir().unwrap();
    let more = [
        format!("delivery.per_host_in_flight={IN_FLIGHT}"),
        "ingest.http_burst_bytes=1099511627776".to_owned(),
    ];
    let trust = ("SSL_CERT_FILE", dir.join("ca.pem"));
    let program = Process::start_in(data.path(), &more, Some(trust));
    let api = Api::log_in(program.http).await;
    let mut hooks = Vec::new();
    for number in 0..HOOKS {
        let path = format!("accounts/{}", api.account);
        let account = api.call(Method::PUT, &path, json!({"data": {"name": format!("a{number}")}})).await;
        let account = account["data"]["id"].as_str().unwrap().to_owned();
        let hook = json!({
            "name": "https", "uri": format!("https://localhost:{port}/{number}"), "hook": "channel_create", "format": "json",
            "max_in_flight": IN_FLIGHT,
        });
        let path = format!("accounts/{account}/webhooks");
        let hook = api.call(Method::PUT, &path, json!({"data": hook})).await;
        let hook = format!("{path}/{}", hook["data"]["id"].as_str().unwrap());
        api.call(Method::POST, &format!("{hook}/pause"), json!({"data": {}})).await;
        hooks.push((account, hook));
    }
    let each = requests / HOOKS;
    for (number, (account, _)) in (0..).zip(&hooks) {
        for from in (0..each).step_by(BATCH as usize) {
            let number = |n| number * each + n;
            let events = (from..from + BATCH).map(|n| crate::call_event(account, number(n) / 20, number(n)));
            api.publish(account, &events.collect::<Vec<_>>()).await;
        }
    }
    let (began, before) = (Instant::now(), program.cpu());
    for (_, hook) in &hooks {
        api.call(Method::POST, &format!("{hook}/resume"), json!({"data": {}})).await;
    }
    for (_, hook) in &hooks {
        while api.call(Method::GET, &format!("{hook}/queue"), json!({})).await["data"]["waiting"] != 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let (seconds, cpu) = (began.elapsed().as_secs_f64(), program.cpu() - before);
    Run { rate: requests as f64 / seconds, cpu_us: cpu / requests as f64 * 1e6 }
}
