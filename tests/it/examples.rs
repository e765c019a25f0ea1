//! Runs the examples, and the commands on pages of the book, as a reader would.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use switchhook::model::Clock;

use super::support::app::{MASTER_KEY, TestApp, call_event};
use super::support::broker::free_port;
use super::support::look::{LONG, settled};
use super::support::process::Process;
use super::support::receiver::Receiver;
use super::support::wait::eventually;

/// A program that ends with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}

/// The lines of a program's stdout.
fn lines(running: &mut Running) -> impl Iterator<Item = String> + Send + use<> {
    BufReader::new(running.0.stdout.take().unwrap()).lines().map(Result::unwrap)
}

/// The next line, without blocking the test's runtime.
async fn next<L: Iterator<Item = String> + Send + 'static>(mut lines: L) -> (L, String) {
    let read = tokio::task::spawn_blocking(move || {
        let line = lines.next().expect("the program goes on");
        (lines, line)
    });
    tokio::time::timeout(LONG, read).await.expect("a line comes").unwrap()
}

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples").join(name)
}

/// The path of a Rust example, which cargo puts beside the program.
fn built(name: &str) -> PathBuf {
    Path::new(env!("CARGO_BIN_EXE_switchhook")).parent().unwrap().join("examples").join(name)
}

/// The secret of the receivers' hooks.
const SECRET: &str = "whsec_c2VjcmV0IG9mIGEgdGVzdCwgbG9uZyBlbm91Z2g=";

/// Starts a receiver, which listens on `port`, and checks that it accepts exactly the genuine and new requests.
async fn verifies(mut command: Command, port: u16) {
    let started = command.env("WEBHOOK_SECRET", SECRET).stdout(Stdio::piped()).spawn();
    let mut receiver = Running(started.unwrap());
    let lines = lines(&mut receiver);
    let address = format!("127.0.0.1:{port}");
    eventually("the receiver listens", LONG, async || std::net::TcpStream::connect(&address).ok()).await;
    let uri = format!("http://{address}/");
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": uri, "format": "json", "secret": SECRET})).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "call-1", 1)]).await;
    let (lines, line) = next(lines).await;
    assert!(line.ends_with(&format!("_{hook} channel_create")), "{line}");

    // A repeated delivery is answered but not processed again; the next line belongs to the next event.
    settled(&app.api, &hook).await;
    let again = json!({"data": {"from_offset": 0}});
    assert_eq!(app.api.own("POST", &format!("/webhooks/{hook}/replay"), Some(again)).await.status, 201);
    app.api.publish(&[call_event("CHANNEL_CREATE", "call-2", 2)]).await;
    let (_lines, other) = next(lines).await;
    assert_ne!(line, other);

    // A forged request is refused, and so is one with a timestamp of 2023, whatever its signature. Headers that a stranger
    // makes up must not make the receiver fail: an answer of 500 would look like a fault of the receiver.
    let (now, long) = (unix_s().to_string(), "9".repeat(5000));
    let signature = "v1,AAAA".as_bytes();
    for (timestamp, signature) in [
        (now.as_bytes(), signature),
        (b"1700000000", signature),
        (b"\xb2", signature),
        (long.as_bytes(), signature),
        (b"-1", signature),
        (b"NaN", signature),
        (b"", signature),
        (now.as_bytes(), b"v1,\xe9"),
        (now.as_bytes(), b"v1, v1,, ,"),
        (now.as_bytes(), b""),
    ] {
        let forged = reqwest::Client::new()
            .post(&uri)
            .header("webhook-id", "dlv_1")
            .header("webhook-timestamp", timestamp)
            .header("webhook-signature", signature)
            .body("{}");
        let answer = forged.send().await.unwrap();
        assert_eq!(answer.status(), 401, "{timestamp:?} {signature:?}");
    }
    app.stop().await;
}

fn unix_s() -> u64 {
    Clock::system().now_us() / 1_000_000
}

#[tokio::test]
async fn the_receiver_in_python_accepts_only_genuine_and_new_requests() {
    let port = free_port();
    let mut command = Command::new("python3");
    command.arg(example("receivers/python/receiver.py")).arg(port.to_string());
    // No cache beside the sources.
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    verifies(command, port).await;
}

#[tokio::test]
async fn the_receiver_in_javascript_accepts_only_genuine_and_new_requests() {
    let port = free_port();
    let mut command = Command::new("node");
    command.arg(example("receivers/javascript/receiver.mjs")).arg(port.to_string());
    verifies(command, port).await;
}

#[tokio::test]
async fn the_receiver_in_php_accepts_only_genuine_and_new_requests() {
    let (port, seen) = (free_port(), tempfile::tempdir().unwrap());
    let mut command = Command::new("php");
    command.args(["-S", &format!("127.0.0.1:{port}")]).arg(example("receivers/php/receiver.php"));
    command.env("SEEN", seen.path()).stderr(Stdio::null());
    verifies(command, port).await;
}

#[tokio::test]
async fn the_receiver_in_go_accepts_only_genuine_and_new_requests() {
    let (port, dir) = (free_port(), tempfile::tempdir().unwrap());
    let program = dir.path().join("receiver");
    let mut build = Command::new("go");
    build.args(["build", "-o"]).arg(&program).current_dir(example("receivers/go"));
    // Kept beside cargo's files, because compiling the standard library takes a while.
    build.env("GOCACHE", Path::new(env!("CARGO_TARGET_TMPDIR")).join("go")).env("GOFLAGS", "-buildvcs=false");
    let built = tokio::task::spawn_blocking(move || build.output().unwrap()).await.unwrap();
    assert!(built.status.success(), "{built:?}");
    let mut command = Command::new(program);
    command.arg(port.to_string());
    verifies(command, port).await;
}

#[tokio::test]
async fn the_receiver_in_rust_accepts_only_genuine_and_new_requests() {
    let port = free_port();
    let mut command = Command::new(built("receiver"));
    command.arg(port.to_string());
    verifies(command, port).await;
}

#[tokio::test]
async fn events_submitted_by_the_script_are_stored_once_however_often_it_runs() {
    let mut app = TestApp::start().await;
    let hand_in = |key: &str| {
        let mut script = Command::new("sh")
            .arg(example("hand_in.sh"))
            .arg(key)
            .env("API", format!("{}/v2", app.api.base()))
            .env("API_KEY", MASTER_KEY)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let event = call_event("CHANNEL_CREATE", "call-1", 1).to_string();
        script.stdin.take().unwrap().write_all(event.as_bytes()).unwrap();
        tokio::task::spawn_blocking(move || {
            let output = script.wait_with_output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
            answer["data"]["offsets"].clone()
        })
    };
    let first = hand_in("one").await.unwrap();
    assert!(first[0].is_u64(), "{first}");
    assert_eq!(hand_in("one").await.unwrap(), first);
    assert_ne!(hand_in("two").await.unwrap(), first);
    app.stop().await;
}

#[tokio::test]
async fn the_websocket_client_resumes_where_it_stopped() {
    let mut app = TestApp::start().await;
    let kept = app.dir().join("last-event-id");
    let account = app.api.own("GET", "", None).await.data()["id"].as_str().unwrap().to_owned();
    let start = || {
        let command = Command::new(built("resume"))
            .args([&format!("ws://{}/", app.websocket()), account.as_str(), "call.CHANNEL_CREATE.*"])
            .arg(&kept)
            .env("TOKEN", app.api.token())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        Running(command)
    };
    // An earlier event, so that there is a position to start from.
    app.api.publish(&[call_event("CHANNEL_CREATE", "before", 0)]).await;
    let mut client = start();
    let client_lines = lines(&mut client);
    eventually("the client has subscribed", LONG, async || kept.exists().then_some(())).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "first", 1)]).await;
    let (client_lines, line) = next(client_lines).await;
    assert!(line.contains("\"first\""), "{line}");
    eventually("the place is kept", LONG, async || {
        let last = app.api.own("GET", "/events", None).await.data()[0]["id"].clone();
        (std::fs::read_to_string(&kept).unwrap() == last.as_str().unwrap()).then_some(())
    })
    .await;
    drop((client, client_lines));

    app.api.publish(&[call_event("CHANNEL_CREATE", "missed", 2)]).await;
    let mut client = start();
    let (client_lines, line) = next(lines(&mut client)).await;
    assert!(line.contains("\"missed\""), "{line}");
    app.api.publish(&[call_event("CHANNEL_CREATE", "next", 3)]).await;
    let (_client_lines, line) = next(client_lines).await;
    assert!(line.contains("\"next\""), "{line}");
    app.stop().await;
}

/// The shell commands of a page, block by block. A block below an HTML comment (`<!-- needs … -->`) is left out.
fn shell_blocks(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(page)).unwrap();
    let parts: Vec<&str> = text.split("```sh\n").collect();
    let blocks = parts.windows(2).filter(|pair| !pair[0].ends_with("-->\n"));
    blocks.map(|pair| pair[1].split("```").next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_command_on_the_pages_of_the_api_and_of_the_operator_succeeds() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/")})).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "call-1", 1)]).await;
    settled(&app.api, &hook).await;
    let blocks = [shell_blocks("docs/reference/api.md"), shell_blocks("docs/operating/admin.md")].concat();
    assert!(blocks.len() >= 10, "{blocks:?}");
    let commands = blocks.join("\n").replace("http://127.0.0.1:8000", app.api.base());
    // A status of 400 or above fails the script.
    let script = format!(
        "curl() {{ echo \"$@\" >&2; command curl --fail-with-body --show-error \"$@\"; }}\n{commands}"
    );
    let run = tokio::task::spawn_blocking(move || {
        let mut bash = Command::new("bash");
        bash.args(["-euo", "pipefail", "-c", &script]).env("API_KEY", MASTER_KEY).env("HOOK", hook);
        bash.output().unwrap()
    });
    let run = run.await.unwrap();
    let shown = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    assert!(run.status.success(), "{shown}");
    assert_eq!(
        shown.matches("\"status\":\"success\"").count(),
        shown.matches("x-auth-token").count(),
        "{shown}"
    );
    app.stop().await;
}

#[tokio::test]
async fn the_page_on_a_first_hook_works_as_it_is_written() {
    let blocks = shell_blocks("docs/guide/first-hook.md");
    let [start, receiver, make, look, verifying, signed, customer] = blocks.as_slice() else {
        panic!("{blocks:?}")
    };

    // The program with the page's settings, on its own ports and data directory.
    let dir = tempfile::tempdir().unwrap();
    let data = format!("data_dir={}", dir.path().join("data").display());
    let named = start.lines().last().unwrap().split_whitespace().skip(1);
    let free = ["--set", &data, "--set", "http.listen=127.0.0.1:0", "--set", "websocket.listen=127.0.0.1:0"];
    let words: Vec<&str> = named.chain(free).collect();
    assert_eq!(words[0], "serve");
    let mut process = Process::spawn(&words);
    let ready = process.ready().await;
    let http = ready["http"].as_str().unwrap().to_owned();

    let [port, verifying_port] = [free_port().to_string(), free_port().to_string()];
    let examples = format!("{}/", example("").display());
    let on_free_ports = |block: &str| {
        let block = block.replace("127.0.0.1:8000", &http).replace("9000", &port);
        block.replace("9001", &verifying_port).replace("examples/", &examples)
    };
    let shell = |script: &str| {
        let mut command = Command::new("bash");
        command.current_dir(dir.path()).args(["-euo", "pipefail", "-c", script]).stdout(Stdio::piped());
        command
    };
    let mut running = Running(shell(&format!("exec {}", on_free_ports(receiver))).spawn().unwrap());
    let received = lines(&mut running);
    let address = format!("127.0.0.1:{port}");
    eventually("the receiver listens", LONG, async || std::net::TcpStream::connect(&address).ok()).await;

    // Replaces the shell, so that the receiver ends with the test.
    let verifying = verifying.replace("python3 ", "exec python3 ");
    let mut verifier = Running(shell(&on_free_ports(&verifying)).spawn().unwrap());
    let verified = lines(&mut verifier);
    let address = format!("127.0.0.1:{verifying_port}");
    eventually("the verifying receiver listens", LONG, async || std::net::TcpStream::connect(&address).ok())
        .await;

    let script = on_free_ports(&format!("{make}\necho\n{look}\necho\n{signed}\necho\n{customer}"));
    let output = tokio::task::spawn_blocking({
        let mut command = shell(&script);
        move || command.output().unwrap()
    });
    let (_received, line) = next(received).await;
    assert!(line.starts_with("dlv_") && line.contains("\"call-1\""), "{line}");
    let (_verified, line) = next(verified).await;
    assert!(line.starts_with("dlv_") && line.ends_with(" channel_create"), "{line}");
    let output = output.await.unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{shown}");
    // The created hook, then the attempts, then the queue, then the hook of the customer's account.
    assert!(shown.contains("\"event_ids\"") && shown.contains("\"cursor\""), "{shown}");
    let last: Value = serde_json::from_str(shown.lines().last().unwrap()).unwrap();
    assert_eq!(last["data"]["name"], "first", "{shown}");
    process.kill();
}
