//! Unread pipes, pipes without a reader, and clients that never finish: none of them blocks the program.

use std::collections::HashSet;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::support::app::{Api, settings};
use crate::support::look::{LONG, events_of, settled};
use crate::support::process::Process;
use crate::support::receiver::Receiver;
use crate::support::wait::{eventually, eventually_true};

/// The program with a stderr that only the test reads.
struct Piped(Child);

impl Piped {
    fn serve(dir: &Path, more: &[String]) -> Self {
        let set = settings(dir, more).into_iter().flat_map(|setting| ["--set".to_owned(), setting]);
        let program = [env!("CARGO_BIN_EXE_switchhook").to_owned(), "serve".to_owned()];
        let child = Command::new("setpriv")
            .args(["--pdeathsig", "KILL", "--"])
            .args(program.into_iter().chain(set))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self(child)
    }

    fn ready(&mut self) -> SocketAddr {
        let mut line = String::new();
        BufReader::new(self.0.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let ready: Value = serde_json::from_str(&line).unwrap();
        ready["http"].as_str().unwrap().parse().unwrap()
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(Command::new("kill").args([&format!("-{name}"), &pid]).status().unwrap().success());
    }

    async fn ended(&mut self) -> Option<i32> {
        let ended = || std::future::ready(self.0.try_wait().unwrap());
        eventually("the program ends", LONG, ended).await.code()
    }

    /// The ports that it listens on.
    fn ports(&self) -> Vec<u16> {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.0.id())).unwrap();
        let sockets: HashSet<String> = files
            .filter_map(|file| std::fs::read_link(file.ok()?.path()).ok()?.to_str().map(str::to_owned))
            .filter_map(|link| Some(link.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect();
        let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
        let listening = |line: &str| {
            let words: Vec<&str> = line.split_whitespace().collect();
            let is_ours = words.get(3) == Some(&"0A") && sockets.contains(*words.get(9)?);
            u16::from_str_radix(words[1].split(':').nth(1)?, 16).ok().filter(|_| is_ours)
        };
        table.lines().filter_map(listening).collect()
    }
}

impl Drop for Piped {
    fn drop(&mut self) {
        if let Ok(None) = self.0.try_wait() {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }
}

/// Enough log lines to fill every pipe.
fn talkative() -> Vec<String> {
    vec!["telemetry.filter=trace".to_owned()]
}

async fn works(api: &Api, receiver: &Receiver, hooks: u64, events: u64) {
    let hook = api.hook(json!({"uri": receiver.uri("/")})).await;
    for _ in 1..hooks {
        api.hook(json!({"uri": receiver.uri("/")})).await;
    }
    for n in 0..events / 100 {
        api.publish(&events_of(&format!("c{n}"), 0..100)).await;
    }
    receiver.wait_for(usize::try_from(hooks * events).unwrap(), LONG).await;
    settled(api, &hook).await;
    assert_eq!(api.call("GET", "/admin/status", None).await.status, 200);
    assert_eq!(api.call("GET", "/health/ready", None).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn deliveries_continue_and_a_stop_ends_while_stderr_is_not_read() {
    let (dir, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut program = Piped::serve(dir.path(), &talkative());
    let api = Api::log_in(program.ready()).await;
    works(&api, &receiver, 1, 500).await;
    program.signal("TERM");
    assert_eq!(program.ended().await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_the_program_at_once_while_stderr_is_not_read() {
    let dir = tempfile::tempdir().unwrap();
    let more = [talkative(), vec!["shutdown_grace_ms=600000".to_owned()]].concat();
    let mut program = Piped::serve(dir.path(), &more);
    let address = program.ready();
    let mut client = half_a_body(address).await;
    program.signal("TERM");
    // The first signal has taken effect: the listener is closed, and the program waits for the half request.
    eventually("the listener is closed", LONG, async || TcpStream::connect(address).await.err()).await;
    program.signal("TERM");
    assert_eq!(program.ended().await, Some(1));
    drop(client.shutdown().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_lines_are_reported_once_stderr_is_read_again() {
    let (dir, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut program = Piped::serve(dir.path(), &talkative());
    let api = Api::log_in(program.ready()).await;
    works(&api, &receiver, 5, 2500).await;
    let metrics = api.text("/metrics").await;
    let lost = metrics.lines().find_map(|line| line.strip_prefix("switchhook_log_lines_lost_total "));
    assert!(lost.unwrap().parse::<u64>().unwrap() > 0, "{lost:?}");
    let mut stderr = program.0.stderr.take().unwrap();
    let reading = std::thread::spawn(move || {
        let (mut text, mut bytes) = (String::new(), [0; 8192]);
        while let Ok(read @ 1..) = stderr.read(&mut bytes) {
            text.push_str(&String::from_utf8_lossy(&bytes[..read]));
        }
        text
    });
    program.signal("TERM");
    assert_eq!(program.ended().await, Some(0));
    let text = reading.join().unwrap();
    assert!(text.contains("log lines were lost here"), "{} bytes were read", text.len());
    assert!(text.trim_end().ends_with("stopped"), "the last line is there: {:?}", text.lines().last());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closed_stdout_does_not_prevent_a_start() {
    let dir = tempfile::tempdir().unwrap();
    let mut program = Piped::serve(dir.path(), &[]);
    drop(program.0.stdout.take());
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let ready = eventually("it answers", LONG, async || {
        for port in program.ports() {
            let asked = client.get(format!("http://127.0.0.1:{port}/health/ready")).send().await;
            if let Some(answer) = asked.ok().filter(|answer| answer.status() == 200) {
                return Some(answer);
            }
        }
        None
    });
    assert_eq!(ready.await.status(), 200);
    program.signal("TERM");
    assert_eq!(program.ended().await, Some(0));
}

/// A client that has sent half of a request.
async fn half_a_body(address: SocketAddr) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    let head = "PUT /v2/api_auth HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
        content-length: 1000\r\nexpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    // After this response the program waits for the body.
    let mut answer = [0; 12];
    client.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 100");
    client.write_all(b"{\"data\":").await.unwrap();
    client
}

#[tokio::test]
async fn a_stop_takes_no_longer_than_its_grace_period_whatever_hangs() {
    let dir = tempfile::tempdir().unwrap();
    let grace = Duration::from_secs(10);
    let more = [format!("shutdown_grace_ms={}", grace.as_millis())];
    let mut process = Process::serve(dir.path(), &more).await;
    let _client = half_a_body(process.address()).await;
    let begun = Instant::now();
    process.terminate();
    eventually_true("it has ended", LONG, || process.has_ended()).await;
    // Steps that each use the whole grace period would take at least twice as long.
    assert!(begun.elapsed() < grace + Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(process.ended(LONG).await.code, Some(0));
}
