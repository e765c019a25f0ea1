//! The program as operators use it: signals, exit codes, refusals, and offline inspection of a data directory.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use super::support;
use super::support::app::call_event;
use super::support::process::{Ended, Process, run};
use super::support::receiver::{Mood, Receiver, Request};
use super::support::wait::eventually_true;

const SOON: Duration = Duration::from_secs(60);

fn settings(settings: &[&str]) -> Vec<String> {
    settings.iter().map(|s| (*s).to_owned()).collect()
}

fn calls(requests: &[Request], call: &str) -> Vec<(String, String)> {
    let mut found: Vec<(String, String)> = Vec::new();
    for request in requests {
        let body: Value = serde_json::from_str(request.text()).unwrap();
        if body["call_id"] == call {
            let number = body["caller_id_number"].as_str().unwrap().to_owned();
            found.push((number, request.header("webhook-id").unwrap().to_owned()));
        }
    }
    found
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[tokio::test]
async fn sigterm_while_attempts_hang_ends_in_time_with_code_0_and_loses_nothing() {
    let (dir, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    receiver.mood(Mood::Hang);
    let settings = settings(&["shutdown_grace_ms=500", "delivery.request_timeout_ms=60000"]);
    let process = Process::serve(dir.path(), &settings).await;
    let api = process.api().await;
    api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    let events: Vec<Value> =
        (0..12).map(|n| call_event("CHANNEL_CREATE", &format!("call-{}", n % 3), n)).collect();
    api.publish(&events).await;
    let hung = receiver.wait_for(3, SOON).await;
    process.terminate();
    // The grace period is half a second; the rest is for a busy machine. An attempt would hang for 60 s.
    let ended = process.ended(Duration::from_secs(30)).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");

    receiver.mood(Mood::Ok);
    receiver.forget();
    let process = Process::serve(dir.path(), &settings).await;
    let all = receiver.wait_for(12, SOON).await;
    for call in 0..3_u64 {
        let name = format!("call-{call}");
        let arrived = calls(&all, &name);
        let numbers: Vec<String> = arrived.iter().map(|(number, _)| number.clone()).collect();
        let expected: Vec<String> = (0..4).map(|n| (n * 3 + call).to_string()).collect();
        assert_eq!(numbers, expected);
        assert_eq!(calls(&hung, &name)[0], arrived[0], "the repeat has the same id");
    }
    process.terminate();
    let ended = process.ended(SOON).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(receiver.count(), 12, "nothing came twice after a proper end");
}

#[tokio::test]
async fn a_second_sigterm_ends_the_program_at_once_and_loses_nothing() {
    let (dir, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    receiver.mood(Mood::Hang);
    let settings = settings(&["shutdown_grace_ms=300000", "delivery.request_timeout_ms=300000"]);
    let process = Process::serve(dir.path(), &settings).await;
    let api = process.api().await;
    api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    api.publish(&[call_event("CHANNEL_CREATE", "call-1", 1)]).await;
    receiver.wait_for(1, SOON).await;
    process.terminate();
    eventually_true("it is stopping", SOON, || process.stderr().contains("stopping")).await;
    process.terminate();
    let ended = process.ended(Duration::from_secs(30)).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("second signal"), "{ended:?}");

    receiver.mood(Mood::Ok);
    let _again = Process::serve(dir.path(), &settings).await;
    receiver.wait_for(2, SOON).await;
}

async fn refused(args: &[&str], named: &[&str]) {
    let ended = run(args).await;
    assert_eq!(ended.code, Some(64), "{args:?}: {ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{args:?}: {ended:?}");
    assert!(ended.stdout.is_empty(), "{args:?}: {ended:?}");
    for name in named {
        assert!(ended.stderr.contains(name), "{args:?} does not name {name}: {ended:?}");
    }
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_is_refused_in_one_line_with_code_64() {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &[u8]| {
        let path = dir.path().join(name);
        std::fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    refused(&["serve", "--set", "delivery.max_inflight=3"], &["unknown key 'delivery.max_inflight'"]).await;
    refused(&["serve", "--set", "delivery.max_in_flight=many"], &["delivery.max_in_flight"]).await;
    refused(&["serve", "--set", "delivery.max_in_flight=0"], &["delivery.max_in_flight = 0", "between 1"])
        .await;
    refused(&["serve", "--set", "http.listen=nowhere"], &["http.listen"]).await;
    refused(&["serve", "--set", "delivery.allow_addresses=[\"10.0.0.0/99\"]"], &["delivery.allow_addresses"])
        .await;
    refused(&["serve", "--set", "amqp.uri=http://broker"], &["amqp.uri", "amqp://"]).await;
    refused(&["serve", "--set", "amqp.uri=amqp://me:secret@host:99999"], &["amqp.uri", "port"]).await;
    refused(&["serve", "--set", "data_dir="], &["data_dir", "empty"]).await;
    refused(&["serve", "--set", "telemetry.filter=a=b=c"], &["telemetry.filter"]).await;
    refused(&["serve", "--set", "telemetry.filter=a\n=b"], &["telemetry.filter"]).await;
    refused(&["serve", "--set", "retry"], &["--set retry", "section.key=value"]).await;
    let missing = dir.path().join("missing.toml");
    refused(&["serve", "--config", missing.to_str().unwrap()], &["missing.toml", "No such file"]).await;
    let text = file("text.toml", b"[delivery\nmax_in_flight = ");
    refused(&["serve", "--config", &text], &["text.toml", "line 1"]).await;
    let bytes = file("bytes.toml", b"\xff\xfe\x00");
    refused(&["serve", "--config", &bytes], &["bytes.toml", "UTF-8"]).await;
    let unknown = file("unknown.toml", b"[retry]\ninitial = 3\n");
    refused(&["serve", "--config", &unknown], &["unknown.toml", "unknown key 'retry.initial'"]).await;
    let wrong = file("wrong.toml", b"delivery = 5\n");
    refused(&["serve", "--config", &wrong], &["delivery"]).await;
}

#[tokio::test]
async fn a_bad_command_line_is_refused_with_code_64() {
    for args in [&["sreve"][..], &["serve", "--sett", "a=b"], &["log"], &["log", "stat", "evnets"], &[]] {
        let ended = run(args).await;
        assert_eq!(ended.code, Some(64), "{args:?}: {ended:?}");
        assert!(!ended.stderr.is_empty(), "{args:?}");
    }
    for args in [["--help"], ["--version"]] {
        let ended = run(&args).await;
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{args:?}");
        assert!(ended.stdout.iter().any(|line| line.contains("switchhook")), "{args:?}: {ended:?}");
    }
}

#[tokio::test]
async fn a_data_directory_in_use_is_refused_with_code_1_and_a_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    let first = Process::serve(dir.path(), &[]).await;
    let ended = Process::spawn_serve(dir.path(), &[]).ended(SOON).await;
    assert_eq!(ended.code, Some(1), "{ended:?}");
    let last = ended.stderr.lines().last().unwrap();
    assert!(last.contains(dir.path().to_str().unwrap()) && last.contains("in use"), "{ended:?}");
    assert!(ended.stdout.is_empty(), "{ended:?}");
    // The first program is not affected.
    first.api().await.publish(&[call_event("CHANNEL_CREATE", "call-1", 1)]).await;
}

/// Creates a stopped data directory with closed segments and an open one; returns the number of events in it.
async fn stopped(dir: &Path) -> u64 {
    let process = Process::serve(dir, &settings(&["log.segment_bytes=65536"])).await;
    let api = process.api().await;
    let count = 20;
    for n in 0..count {
        let mut event = call_event("CHANNEL_CREATE", &format!("call-{n}-"), n);
        event["Padding"] = json!("x".repeat(10_000));
        assert_eq!(api.publish(&[event]).await, [n]);
    }
    process.terminate();
    let ended = process.ended(SOON).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    count
}

async fn log(verb: &str, dir: &Path, more: &[&str]) -> (Option<i32>, Vec<Value>) {
    let mut args = vec!["log", verb, "--data-dir", dir.to_str().unwrap()];
    args.extend_from_slice(more);
    let Ended { code, stdout, stderr } = run(&args).await;
    assert_eq!(stderr, "", "{args:?}");
    (code, lines(&stdout.join("\n")))
}

#[tokio::test]
async fn log_stat_cat_and_verify_describe_a_stopped_data_directory() {
    let dir = tempfile::tempdir().unwrap();
    let count = stopped(dir.path()).await;
    let (code, stat) = log("stat", dir.path(), &[]).await;
    let (segments, sum) = (&stat[..stat.len() - 1], stat.last().unwrap());
    assert!(code == Some(0) && segments.len() > 2 && sum["segments"] == segments.len(), "{stat:?}");
    for pair in segments.windows(2) {
        assert_eq!((&pair[0]["end"], &pair[0]["indexed"]), (&pair[1]["first"], &json!(true)), "{stat:?}");
    }
    let (code, records) = log("cat", dir.path(), &["--from", "3", "--limit", "9"]).await;
    let offsets: Vec<u64> = records.iter().map(|r| r["offset"].as_u64().unwrap()).collect();
    assert_eq!((code, offsets), (Some(0), (3..12).collect()));
    assert_eq!(records[0]["record"]["name"], "CHANNEL_CREATE", "{}", records[0]);
    for name in ["events", "ledger", "journal"] {
        let (code, report) = log("verify", dir.path(), &[name]).await;
        assert_eq!((code, &report[0]["damaged"], &report[0]["torn_bytes"]), (Some(0), &json!(0), &json!(0)));
        if name == "events" {
            assert_eq!(report[0]["records"], count, "{report:?}");
        }
    }
}

#[tokio::test]
async fn log_says_in_one_line_that_there_is_no_data_directory() {
    let missing = tempfile::tempdir().unwrap().path().join("missing");
    for verb in ["stat", "cat", "verify"] {
        let ended = run(&["log", verb, "--data-dir", missing.to_str().unwrap()]).await;
        assert_eq!((ended.code, ended.stderr.lines().count()), (Some(1), 1), "{ended:?}");
        assert!(ended.stderr.contains(missing.to_str().unwrap()), "{ended:?}");
        assert_eq!(ended.stderr.matches("No such file").count(), 1, "{ended:?}");
    }
}

/// Flips a bit of the event with this number; returns the event's file.
fn damage(dir: &Path, number: u64) -> PathBuf {
    let marker = format!("call-{number}-").into_bytes();
    for entry in std::fs::read_dir(dir.join("events")).unwrap() {
        let path = entry.unwrap().path();
        let mut bytes = std::fs::read(&path).unwrap();
        if let Some(at) = bytes.windows(marker.len()).position(|w| w == marker) {
            bytes[at] ^= 1;
            std::fs::write(&path, bytes).unwrap();
            return path;
        }
    }
    panic!("event {number} is in no file");
}

#[tokio::test]
async fn log_verify_names_file_and_offset_of_a_flipped_bit_and_exits_with_1() {
    let dir = tempfile::tempdir().unwrap();
    let count = stopped(dir.path()).await;
    let (_, stat) = log("stat", dir.path(), &[]).await;
    let open = stat[stat.len() - 2]["first"].as_u64().unwrap();
    assert!(open < count - 1, "the open segment has a record that is not its last: {stat:?}");
    // In the middle and at the end of a closed segment, and before the end of the open one.
    let first_end = stat[0]["end"].as_u64().unwrap();
    let broken = [2, first_end - 1, open];
    for (done, offset) in broken.into_iter().enumerate() {
        let file = damage(dir.path(), offset);
        let (code, report) = log("verify", dir.path(), &[]).await;
        let named = report.iter().filter_map(|line| line["damage"].as_str()).any(|line| {
            line.contains(file.to_str().unwrap()) && line.contains(&format!("offsets {offset} to {offset}"))
        });
        assert!(code == Some(1) && named, "{offset}: {report:?}");
        let sum = report.last().unwrap();
        assert_eq!((&sum["damaged"], &sum["records"]), (&json!(done + 1), &json!(count - 1 - done as u64)));
    }
    let (code, records) = log("cat", dir.path(), &[]).await;
    let offsets: Vec<u64> = records.iter().filter_map(|r| r["offset"].as_u64()).collect();
    let sound: Vec<u64> = (0..count).filter(|n| !broken.contains(n)).collect();
    assert_eq!((code, offsets), (Some(1), sound));
}

/// The arguments of `serve` with the settings of tests, except the master account's key, so that the program creates one.
fn args_without_a_key(dir: &Path) -> Vec<String> {
    let mut args = vec!["serve".to_owned()];
    let settings = support::app::settings(dir, &[]);
    for setting in settings.into_iter().filter(|setting| !setting.starts_with("auth.master_api_key")) {
        args.extend(["--set".to_owned(), setting]);
    }
    args
}

#[tokio::test]
async fn a_log_names_the_file_of_the_master_accounts_key_and_never_the_key() {
    let dir = tempfile::tempdir().unwrap();
    let args = args_without_a_key(dir.path());
    let mut process = Process::spawn(&args);
    process.ready().await;
    let key = std::fs::read_to_string(dir.path().join("master.key")).unwrap();
    let api = process.api_with(key.trim()).await;
    assert_eq!(api.own("GET", "", None).await.data()["name"], "master");
    process.terminate();
    let first = process.ended(SOON).await;
    assert!(first.stderr.contains("master.key"), "{first:?}");
    assert!(![first.stderr.as_str(), &first.stdout.concat()].concat().contains(key.trim()), "{first:?}");

    let mut process = Process::spawn(&args);
    process.ready().await;
    process.api_with(key.trim()).await;
    process.terminate();
    let second = process.ended(SOON).await;
    assert!(!second.stderr.contains(key.trim()), "{second:?}");
}

/// Runs `serve` with a terminal for all of its output until it is ready, then stops it; returns the output.
fn serve_on_a_terminal(args: &[String]) -> String {
    let quoted: Vec<String> = args.iter().map(|arg| format!("'{arg}'")).collect();
    let serve =
        format!("exec setpriv --pdeathsig KILL -- {} {}", env!("CARGO_BIN_EXE_switchhook"), quoted.join(" "));
    let mut script = Command::new("setpriv")
        .args(["--pdeathsig", "KILL", "--", "script", "-q", "-e", "-c", &serve, "/dev/null"])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = String::new();
    for line in BufReader::new(script.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        if let Some(at) = line.find("{\"ready\"") {
            let ready: Value = serde_json::from_str(line[at..].trim_end()).unwrap();
            assert!(
                Command::new("kill").args(["-TERM", &ready["pid"].to_string()]).status().unwrap().success()
            );
        }
        output.push_str(&line);
    }
    assert!(script.wait().unwrap().success(), "{output}");
    output
}

#[test]
fn a_terminal_shows_the_master_accounts_key_at_the_first_start_and_never_again() {
    let dir = tempfile::tempdir().unwrap();
    let args = args_without_a_key(dir.path());
    let first = serve_on_a_terminal(&args);
    let key = std::fs::read_to_string(dir.path().join("master.key")).unwrap();
    assert_eq!(first.matches(&format!("shown only once: {}", key.trim())).count(), 1, "{first}");
    let second = serve_on_a_terminal(&args);
    assert!(second.contains("\"ready\"") && !second.contains(key.trim()), "{second}");
}

#[tokio::test]
async fn the_environment_for_libraries_is_set_unless_the_operator_has_set_it() {
    let dir = tempfile::tempdir().unwrap();
    let own = [("_RJEM_MALLOC_CONF", "narenas:1".to_owned())];
    let process = Process::serve_in(&own, dir.path(), &[]).await;
    let environment = std::fs::read_to_string(format!("/proc/{}/environ", process.pid())).unwrap();
    let found =
        |name: &str| environment.split('\0').find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    assert_eq!((found("RUST_MIN_STACK"), found("_RJEM_MALLOC_CONF")), (Some("67108864"), Some("narenas:1")));
    process.terminate();
    assert_eq!(process.ended(SOON).await.code, Some(0));
}
