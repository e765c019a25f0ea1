//! Many hostile clients, receivers and publishers at once against the real program: its memory stays bounded, and
//! other requests and deliveries continue. Prints the measurements.
#![expect(clippy::print_stdout, reason = "the table is what the campaign is run for")]

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use switchhook::tasks::{Stop, Tasks};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use super::broker::bombs;
use super::receivers::{ANSWERS, Answer, INTERIM, receiver};
use crate::support::app::{Api, call_event};
use crate::support::broker::Broker;
use crate::support::look::{LONG, events_of, settled};
use crate::support::process::Process;
use crate::support::publisher::Publisher;
use crate::support::receiver::Receiver;
use crate::support::wait::eventually;
use crate::support::websocket::Client;

/// How long each attack lasts.
const WHILE: Duration = Duration::from_secs(8);
/// The memory that the process may never exceed, in MiB.
const MOST: u64 = 1024;

/// The program under attack, and an honest client.
struct Attacked {
    process: Process,
    api: Api,
    receiver: Receiver,
    hook: String,
}

impl Attacked {
    /// Resident memory now, and its peak since the last call, in MiB.
    fn memory(&self) -> (u64, u64) {
        let pid = self.process.pid();
        let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.split_whitespace().next().unwrap().parse::<u64>().unwrap() / 1024
        };
        std::fs::write(format!("/proc/{pid}/clear_refs"), "5").unwrap();
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// Works for a while: every request succeeds, every event arrives. Returns the number of requests and the slowest
    /// one.
    async fn works(&self) -> (usize, Duration) {
        let (began, before) = (Instant::now(), self.receiver.count());
        let (mut requests, mut slowest) = (0, Duration::ZERO);
        while began.elapsed() < WHILE {
            let asked = Instant::now();
            self.api.publish(&[call_event("CHANNEL_CREATE", &format!("c{requests}"), 1)]).await;
            let read = self.api.own("GET", &format!("/webhooks/{}", self.hook), None).await;
            assert_eq!(read.status, 200, "{read:?}");
            (requests, slowest) = (requests + 1, slowest.max(asked.elapsed() / 2));
            sleep(Duration::from_millis(20)).await;
        }
        self.receiver.wait_for(before + requests, LONG).await;
        (requests, slowest)
    }

    /// Works during an attack. Returns a line of the table.
    async fn during<T>(&self, what: &str, attack: impl Future<Output = T>) -> T {
        let _ = self.memory();
        let attackers = attack.await;
        let (requests, slowest) = self.works().await;
        let (now, most) = self.memory();
        println!("| {what} | {requests} | {} ms | {most} MiB | {now} MiB |", slowest.as_millis());
        assert!(most < MOST, "{what} took {most} MiB");
        attackers
    }
}

/// Connections that send these bytes at first, and `drip` from time to time.
async fn crowd(address: SocketAddr, number: usize, bytes: Vec<u8>, drip: &'static [u8]) -> impl Drop {
    let stop = Stop::new();
    for _ in 0..number {
        // The program may refuse connections.
        let Ok(mut stream) = TcpStream::connect(address).await else { continue };
        let _sent = stream.write_all(&bytes).await;
        let stop = stop.clone();
        drop(Tasks::new().spawn("crowd", async move {
            while !stop.is_cancelled() {
                tokio::select! { () = stop.cancelled() => return, () = sleep(Duration::from_millis(200)) => {} }
                if !drip.is_empty() && stream.write_all(drip).await.is_err() {
                    stop.cancelled().await;
                }
            }
        }));
    }
    stop.drop_guard()
}

/// Repeats a request, `at_once` at a time.
fn flood(number: usize, request: impl Fn() -> reqwest::RequestBuilder) -> impl Drop {
    let stop = Stop::new();
    for _ in 0..number {
        let (stopped, request) = (stop.clone(), request());
        drop(Tasks::new().spawn("flood", async move {
            let again = async {
                loop {
                    let answered = request.try_clone().unwrap().send().await;
                    // The response may arrive before all is sent; then the rest is refused.
                    drop(
                        answered.map(|answer| assert!(answer.status().as_u16() < 500, "{}", answer.status())),
                    );
                }
            };
            stopped.run_until_cancelled(again).await;
        }));
    }
    stop.drop_guard()
}

/// Clients that request a long list and read nothing.
async fn never_read(address: SocketAddr, number: usize, path: &str, token: &str) -> Vec<TcpStream> {
    let head = format!("GET {path} HTTP/1.1\r\nhost: x\r\nx-auth-token: {token}\r\n\r\n");
    let mut streams = Vec::new();
    for _ in 0..number {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(4096).unwrap();
        let mut stream = socket.connect(address).await.unwrap();
        let _sent = stream.write_all(head.as_bytes()).await;
        streams.push(stream);
    }
    streams
}

async fn start(broker: &Broker) -> Attacked {
    let dir = Box::leak(Box::new(tempfile::tempdir().unwrap()));
    let more = [
        format!("amqp.uri={}", broker.uri()),
        "disable.failure_count=0".to_owned(),
        "retry.max_ms=1000".to_owned(),
        "http.idle_timeout_ms=60000".to_owned(),
    ];
    let process = Process::serve(dir.path(), &more).await;
    let (api, receiver) = (process.api().await, Receiver::start().await);
    let hook = api.hook(json!({"uri": receiver.uri("/"), "custom_data": {"x": "x".repeat(20_000)}})).await;
    api.publish(&events_of("list", 0..200)).await;
    settled(&api, &hook).await;
    Attacked { process, api, receiver, hook }
}

async fn connections(attacked: &Attacked) {
    let (http, websocket) = (attacked.process.address(), attacked.process.websocket());
    attacked.during("nothing", async {}).await;
    let silent =
        async { (crowd(http, 4000, Vec::new(), b"").await, crowd(websocket, 4000, Vec::new(), b"").await) };
    drop(attacked.during("4,000 silent connections to each listener", silent).await);
    let head = b"GET /v2/webhooks HTTP/1.1\r\nhost: x\r\n".to_vec();
    drop(attacked.during("3,000 heads, a header every 0.2 s", crowd(http, 3000, head, b"a: b\r\n")).await);
    let half =
        [b"PUT /v2/api_auth HTTP/1.1\r\ncontent-length: 65536\r\n\r\n".to_vec(), vec![b' '; 60_000]].concat();
    drop(attacked.during("2,000 bodies of 60 KB, a byte every 0.2 s", crowd(http, 2000, half, b" ")).await);
    let long = [b"GET / HTTP/1.1\r\na: ".to_vec(), vec![b'b'; 65_000]].concat();
    drop(attacked.during("2,000 heads of 64 KB without an end", crowd(http, 2000, long, b"")).await);
    let path =
        format!("/v2/accounts/{}/webhooks/{}/attempts?is_chunked=true", attacked.api.account, attacked.hook);
    let lists = never_read(http, 500, &path, attacked.api.token());
    drop(attacked.during("500 lists of 4 MB that nobody reads", lists).await);
}

async fn bodies(attacked: &Attacked) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let (base, token) = (attacked.api.base().to_owned(), attacked.api.token().to_owned());
    let url = format!("{base}/v2/accounts/{}/webhooks", attacked.api.account);
    let put = |body: String, token: &str| {
        let request =
            client.put(&url).header("content-type", "application/json").header("x-auth-token", token);
        request.body(body)
    };
    let zeros = |bytes: usize| format!("{{\"data\":[{}0]}}", "0,".repeat(bytes / 2));
    let text = format!("{{\"data\":{{\"name\":\"{}\"}}}}", "x".repeat(7_900_000));
    let deep = format!("{{\"data\":{}", "[".repeat(7_900_000));
    for (what, body, token) in [
        ("64 at a time: 64 KB of zeros, no token", zeros(65_000), "nobody's"),
        ("64 at a time: 8 MB of zeros", zeros(7_900_000), &*token),
        ("64 at a time: 1.5 MB of zeros", zeros(1_500_000), &*token),
        ("64 at a time: a text of 8 MB", text, &*token),
        ("64 at a time: 8 MB of brackets", deep, &*token),
    ] {
        drop(attacked.during(what, async { flood(64, || put(body.clone(), token)) }).await);
    }
}

async fn sessions(attacked: &Attacked) {
    let (address, api) = (attacked.process.websocket(), &attacked.api);
    let never_read = async {
        let mut clients = JoinSet::new();
        for _ in 0..500 {
            let (token, account) = (api.token().to_owned(), api.account.clone());
            clients.spawn(async move {
                let mut client = Client::connect_narrow(address, &token).await;
                client.subscribe(&account, "call.*.*", Value::Null).await;
                client
            });
        }
        let clients = clients.join_all().await;
        for batch in 0..20 {
            let events: Vec<_> = (0..50).map(|n| padded(&format!("w{batch}-{n}"), 10_000)).collect();
            api.publish(&events).await;
        }
        clients
    };
    drop(attacked.during("500 sessions that read nothing of 10 MB", never_read).await);
}

/// An event that only the sessions receive.
fn padded(call: &str, bytes: usize) -> Value {
    let mut event = call_event("CHANNEL_HOLD", call, 1);
    event["Padding"] = "x".repeat(bytes).into();
    event
}

async fn receivers(attacked: &Attacked, what: &str, answers: &[Answer]) {
    let api = &attacked.api;
    let (mut running, mut hooks) = (Vec::new(), Vec::new());
    for answer in answers {
        let (address, guard) = receiver(*answer).await;
        running.push(guard);
        for _ in 0..4 {
            let document =
                json!({"uri": format!("http://{address}/"), "retries": 4, "hook": "channel_answer"});
            hooks.push(api.hook(document).await);
        }
    }
    let attack = async {
        for batch in 0..10 {
            let call = |n| call_event("CHANNEL_ANSWER", &format!("{batch}-{n}"), n);
            api.publish(&(0..50).map(call).collect::<Vec<_>>()).await;
        }
    };
    attacked.during(what, attack).await;
    for hook in hooks {
        api.own("DELETE", &format!("/webhooks/{hook}"), None).await;
    }
}

async fn messages(attacked: &Attacked, broker: &Broker) {
    let publisher = Publisher::connect(&broker.uri()).await;
    publisher.declare("callevt").await;
    let attack = async {
        for (_, properties, body) in std::iter::repeat_n(bombs(4), 10).flatten() {
            publisher.publish_with("callevt", "call.CHANNEL_CREATE.c", &body, properties).await;
        }
    };
    attacked.during("90 bombs over AMQP (gzip to 64 MB, nesting to 4 million)", attack).await;
    publisher.close().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "some minutes; prints a table: cargo test --release --test it -- --ignored --nocapture others_work_on"]
async fn hostile_clients_receivers_and_publishers_delay_nobody_and_use_bounded_memory() {
    let broker = Broker::start().await;
    let attacked = start(&broker).await;
    eventually("the broker's queue is bound", LONG, || async {
        let health = attacked.api.call("GET", "/health/ready", None).await;
        (health.status == 200).then_some(())
    })
    .await;
    println!(
        "| Attack | Requests meanwhile | Slowest | Memory at most | After |\n| --- | --- | --- | --- | --- |"
    );
    connections(&attacked).await;
    bodies(&attacked).await;
    sessions(&attacked).await;
    messages(&attacked, &broker).await;
    receivers(&attacked, "40 hooks whose receivers flood, drip or answer 10 GB", ANSWERS).await;
    receivers(&attacked, "4 hooks whose receivers flood with interim answers", &[INTERIM]).await;
    attacked.during("nothing any more", async {}).await;
}
