//! SIGHUP: a running program reads its configuration again, applies the keys that may change, and names those that
//! wait for the next start. An invalid configuration changes nothing.

use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::app::{Api, call_event};
use crate::support::config_file::ConfigFile;
use crate::support::look::{LONG, attempts_when, body, document, events_of, number, queue_when};
use crate::support::process::Process;
use crate::support::receiver::{Mood, Receiver, Request};
use crate::support::wait::{eventually, eventually_true};

const RELOADED: &str = "configuration reloaded";
const REFUSED: &str = "configuration cannot be used; nothing has changed";
const NEXT_START: &str = "these keys take effect at the next start";
const UNCHANGED: &str = "configuration read again; nothing has changed";

/// A program that is configured only by a file.
struct Program {
    process: Process,
    file: ConfigFile,
    api: Api,
    dir: TempDir,
}

impl Program {
    async fn start(settings: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let file = file_in(&dir, settings);
        let process = Process::serve_by(&file).await;
        let api = process.api().await;
        Self { process, file, api, dir }
    }

    /// Sends SIGHUP and waits for another log line with this text.
    async fn hang_up(&self, until: &str) {
        let before = self.process.said(until);
        self.process.signal("HUP");
        eventually_true(until, LONG, || self.process.said(until) > before).await;
    }

    /// Writes other settings into the file and reloads it.
    async fn reload(&mut self, settings: &[&str]) {
        self.file.set(settings);
        self.hang_up(RELOADED).await;
    }

    /// The last log line with this text.
    fn line(&self, text: &str) -> String {
        self.process.stderr().lines().rfind(|line| line.contains(text)).unwrap().to_owned()
    }
}

fn file_in(dir: &TempDir, settings: &[&str]) -> ConfigFile {
    let settings: Vec<String> = settings.iter().map(|s| (*s).to_owned()).collect();
    ConfigFile::new(dir.path().join("switchhook.toml"), &dir.path().join("data"), &settings)
}

/// Creates a hook with many tries; returns its id.
async fn hook(api: &Api, receiver: &Receiver) -> String {
    let uri = receiver.uri("/");
    api.hook(json!({"uri": uri, "format": "json", "retry": {"max_attempts": 100}})).await
}

fn is_of(request: &Request, call: &str) -> bool {
    body(request)["call_id"] == call
}

/// A receiver that never answers the call `stuck`.
async fn half_stuck() -> Receiver {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::by(|request| if is_of(request, "stuck") { Mood::Hang } else { Mood::Ok }));
    receiver
}

async fn is_enabled(api: &Api, hook: &str, enabled: bool) -> Value {
    eventually(&format!("the hook's enabled is {enabled}"), LONG, || async {
        let found = document(api, hook).await;
        (found["enabled"] == enabled).then_some(found)
    })
    .await
}

#[tokio::test]
async fn a_lowered_number_of_failures_disables_a_hook_at_work_and_leaves_an_account_its_own_limit() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(500));
    let mut program = Program::start(&["disable.failure_count=0", "disable.probe_initial_ms=0"]).await;
    let tolerant = program.api.account_below(&program.api.account, "tolerant").await;
    let limit = json!({"data": {"webhooks": {"attempt_failure_count": 200}}});
    let answer = program.api.call("PATCH", &format!("/v2/accounts/{tolerant}"), Some(limit)).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let (own, below) = (hook(&program.api, &receiver).await, program.api.below(tolerant));
    let others = hook(&below, &receiver).await;
    program.api.publish(&events_of("one", 0..1)).await;
    below.publish(&events_of("two", 0..1)).await;
    receiver.wait_for(8, LONG).await;
    program.reload(&["disable.failure_count=3"]).await;
    assert!(program.line(RELOADED).ends_with("keys=\"disable.failure_count\""), "{}", program.line(RELOADED));
    is_enabled(&program.api, &own, false).await;
    let tried = attempts_when(&below, &others, 1).await.len();
    attempts_when(&below, &others, tried + 3).await;
    assert_eq!(document(&below, &others).await["enabled"], true);
}

/// A delivery waits for a permit that another one holds for ever. Only the reload can start it.
async fn a_raised_limit_starts_waiting_attempts(key: &str, before: u32) {
    let receiver = half_stuck().await;
    let setting = format!("{key}={before}");
    let mut program = Program::start(&[&setting, "delivery.request_timeout_ms=600000"]).await;
    let hook = hook(&program.api, &receiver).await;
    program.api.publish(&events_of("stuck", 0..1)).await;
    receiver.wait_for(1, LONG).await;
    program.api.publish(&events_of("free", 1..2)).await;
    let waits = |q: &Value| q["waiting"] == 2 && q["in_flight"] == 1;
    queue_when(&program.api, &hook, "the other call waits", waits).await;
    assert_eq!(receiver.count(), 1);
    program.reload(&[&format!("{key}=100")]).await;
    let got = receiver.wait_for(2, LONG).await;
    assert!(is_of(&got[1], "free") && number(&got[1]) == 1, "{got:?}");
    // The attempt under way was not affected.
    queue_when(&program.api, &hook, "the stuck call is under way", |q| q["in_flight"] == 1).await;
    assert_eq!(receiver.count(), 2);
}

#[tokio::test]
async fn a_raised_limit_of_a_hook_starts_waiting_attempts() {
    a_raised_limit_starts_waiting_attempts("delivery.per_hook_in_flight", 1).await;
}

#[tokio::test]
async fn a_raised_limit_of_a_host_starts_waiting_attempts() {
    a_raised_limit_starts_waiting_attempts("delivery.per_host_in_flight", 1).await;
}

#[tokio::test]
async fn a_raised_total_starts_waiting_attempts() {
    a_raised_limit_starts_waiting_attempts("delivery.max_in_flight", 1).await;
}

#[tokio::test]
async fn a_raised_total_starts_attempts_that_wait_for_their_hooks_share() {
    a_raised_limit_starts_waiting_attempts("delivery.max_in_flight", 2).await;
}

#[tokio::test]
async fn under_a_lowered_limit_nothing_starts_before_enough_attempts_have_ended() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::Hang);
    let mut program = Program::start(&["delivery.request_timeout_ms=600000"]).await;
    let calls: Vec<_> = (0..6).map(|n| call_event("CHANNEL_CREATE", &format!("call-{n}"), n)).collect();
    let hook = hook(&program.api, &receiver).await;
    program.api.publish(&calls[..4]).await;
    receiver.wait_for(4, LONG).await;
    program.reload(&["delivery.per_hook_in_flight=1"]).await;
    program.api.publish(&calls[4..]).await;
    let waits = |q: &Value| q["waiting"] == 6 && q["in_flight"] == 4;
    queue_when(&program.api, &hook, "more calls wait", waits).await;
    assert_eq!(receiver.count(), 4, "all of them still hang, and no other has come");
    assert_eq!(receiver.most_in_flight(), 4);
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_changes_nothing_and_is_named_in_one_line() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(500));
    let mut program = Program::start(&["disable.failure_count=0"]).await;
    let hook = hook(&program.api, &receiver).await;
    program.api.publish(&events_of("one", 0..1)).await;
    let good = ["disable.failure_count=1"];
    program.file.set(&good);
    for (more, named) in [
        ("retry.initial = 876543\n", "unknown key 'retry.initial'"),
        ("queues.max_replays = 876543\n", "queues.max_replays: must be between 1 and 1000"),
        ("delivery.max_tests = \"876543\"\n", "delivery.max_tests: must be a whole number"),
        ("telemetry.filter = \"876543=b=c\"\n", "telemetry.filter: "),
        ("metrics.token = \"876543\n", "line "),
    ] {
        program.file.write(more);
        program.hang_up(REFUSED).await;
        let line = program.line(REFUSED);
        assert!(line.contains(named) && line.contains("ERROR"), "{line}");
    }
    std::fs::remove_file(program.file.path()).unwrap();
    program.hang_up(REFUSED).await;
    assert!(program.line(REFUSED).contains("No such file"), "{}", program.line(REFUSED));
    assert_eq!((program.process.said(REFUSED), program.process.said("ERROR")), (6, 6));
    assert!(!program.process.stderr().contains("876543"), "{}", program.process.stderr());
    // The valid keys of these files were not applied either: the hook continues to fail.
    let tried = attempts_when(&program.api, &hook, 1).await.len();
    attempts_when(&program.api, &hook, tried + 2).await;
    assert_eq!(document(&program.api, &hook).await["enabled"], true);
    program.reload(&good).await;
    is_enabled(&program.api, &hook, false).await;
}

#[tokio::test]
async fn keys_that_wait_for_the_next_start_are_named_each_time_without_their_values() {
    let mut program = Program::start(&[]).await;
    program.hang_up(UNCHANGED).await;
    let all = ["queues.window=77", "metrics.token=t876543", "retry.initial_ms=77", "http.page_size=7"];
    program.reload(&all).await;
    let line = program.line(RELOADED);
    assert!(line.ends_with("keys=\"retry.initial_ms\"") && line.contains("INFO"), "{line}");
    let later = "keys=\"http.page_size, queues.window, metrics.token\"";
    eventually_true("a warning comes", LONG, || program.process.said(NEXT_START) == 1).await;
    let line = program.line(NEXT_START);
    assert!(line.ends_with(later) && line.contains("WARN"), "{line}");
    program.hang_up(NEXT_START).await;
    assert!(program.line(NEXT_START).ends_with(later), "{}", program.line(NEXT_START));
    assert_eq!((program.process.said(RELOADED), program.process.said(UNCHANGED)), (1, 1));
    assert!(!program.process.stderr().contains("876543"), "{}", program.process.stderr());
    program.reload(&["queues.window=512", "http.page_size=50", "retry.initial_ms=20"]).await;
    eventually_true("a warning comes", LONG, || program.process.said(NEXT_START) == 3).await;
    assert!(program.line(NEXT_START).ends_with("keys=\"metrics.token\""), "{}", program.line(NEXT_START));
}

#[tokio::test]
async fn a_lowered_timeout_applies_only_to_attempts_and_tests_that_start_afterwards() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::Hang);
    let mut program = Program::start(&["delivery.request_timeout_ms=600000"]).await;
    let hook = hook(&program.api, &receiver).await;
    program.api.publish(&events_of("before", 0..1)).await;
    receiver.wait_for(1, LONG).await;
    program.reload(&["delivery.request_timeout_ms=200"]).await;
    program.api.publish(&events_of("after", 1..2)).await;
    for attempt in attempts_when(&program.api, &hook, 2).await {
        let (error, body) = (&attempt["client_error"], attempt["req_body"].as_str().unwrap());
        assert!(error == "timeout" && body.contains("after"), "{attempt}");
    }
    let tested = program.api.own("POST", &format!("/webhooks/{hook}/test"), Some(json!({"data": {}}))).await;
    assert!(tested.status == 200 && tested.body.to_string().contains("timeout"), "{tested:?}");
    let before = receiver.requests().iter().filter(|request| is_of(request, "before")).count();
    assert_eq!(before, 1, "it still has the time that it began with");
}

#[tokio::test]
async fn a_raised_number_of_replays_lets_one_more_begin() {
    let receiver = half_stuck().await;
    let mut program = Program::start(&["queues.max_replays=1", "delivery.request_timeout_ms=600000"]).await;
    let hook = hook(&program.api, &receiver).await;
    program.api.publish(&events_of("stuck", 0..1)).await;
    receiver.wait_for(1, LONG).await;
    let (replay, all) = (format!("/webhooks/{hook}/replay"), json!({"data": {"from_offset": 0}}));
    let begin = async |api: &Api| api.own("POST", &replay, Some(all.clone())).await.status;
    assert_eq!(begin(&program.api).await, 201);
    assert_eq!(begin(&program.api).await, 429);
    program.reload(&["queues.max_replays=2"]).await;
    assert_eq!(begin(&program.api).await, 201);
    assert_eq!(begin(&program.api).await, 429);
}

#[tokio::test]
async fn switching_probes_on_reaches_hooks_already_disabled_and_switching_off_ends_them() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(500));
    let mut program = Program::start(&["disable.failure_count=1", "disable.probe_initial_ms=0"]).await;
    let hook = hook(&program.api, &receiver).await;
    program.api.publish(&events_of("one", 0..1)).await;
    is_enabled(&program.api, &hook, false).await;
    assert_eq!(program.api.queue(&hook).await["next_try_at"], Value::Null);
    program.reload(&["disable.probe_initial_ms=600000"]).await;
    assert!(program.api.queue(&hook).await["next_try_at"].is_u64());
    program.reload(&["disable.probe_initial_ms=0"]).await;
    assert_eq!(program.api.queue(&hook).await["next_try_at"], Value::Null);
    receiver.mood(Mood::Ok);
    program.reload(&["disable.probe_initial_ms=20"]).await;
    is_enabled(&program.api, &hook, true).await;
}

#[tokio::test]
async fn retention_uses_a_lowered_size_of_the_log() {
    let mut program = Program::start(&["log.segment_bytes=65536"]).await;
    for n in 0..20 {
        let mut event = call_event("CHANNEL_CREATE", "call", n);
        event["Padding"] = json!("x".repeat(60_000));
        program.api.publish(&[event]).await;
    }
    let retained = async |api: &Api| {
        let answer = api.call("POST", "/admin/retention", None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.data()["events"]["first_offset"].as_u64().unwrap()
    };
    assert_eq!(retained(&program.api).await, 0);
    program.reload(&["retention.max_bytes=1048576"]).await;
    assert!(retained(&program.api).await > 0);
}

#[tokio::test]
async fn a_hangup_before_the_program_is_ready_is_remembered() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::spawn_by_file(&file_in(&dir, &[]));
    process.handles_hangups().await;
    process.signal("HUP");
    process.ready().await;
    eventually_true("the configuration is read again", LONG, || process.said(UNCHANGED) == 1).await;
}

#[tokio::test]
async fn a_hangup_during_shutdown_is_ignored() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::Hang);
    let settings = ["shutdown_grace_ms=2000", "delivery.request_timeout_ms=600000"];
    let Program { process, api, dir: _dir, mut file } = Program::start(&settings).await;
    hook(&api, &receiver).await;
    api.publish(&events_of("one", 0..1)).await;
    receiver.wait_for(1, LONG).await;
    process.terminate();
    eventually_true("it is stopping", LONG, || process.said("stopping") == 1).await;
    file.set(&["retry.initial_ms=77"]);
    process.signal("HUP");
    let ended = process.ended(LONG).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(!ended.stderr.contains(RELOADED), "{ended:?}");
}

#[tokio::test]
async fn a_hangup_ends_the_demo_in_order() {
    let process = Process::spawn(&["demo"]);
    process.handles_hangups().await;
    process.signal("HUP");
    let ended = process.ended(Duration::from_secs(120)).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.stdout.iter().any(|line| line.contains("nothing is left on disk")), "{ended:?}");
}

#[tokio::test]
async fn a_hangup_while_the_configuration_is_being_read_does_not_end_the_start() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    // A file whose reading lasts until the test lets it end.
    let slow = dir.path().join("slow.toml");
    assert!(std::process::Command::new("mkfifo").arg(&slow).status().unwrap().success());
    let mut args = vec!["serve".to_owned(), "--config".to_owned(), slow.display().to_string()];
    for setting in super::support::app::settings(&data, &[]) {
        args.extend(["--set".to_owned(), setting]);
    }
    let mut process = Process::spawn(&args);
    process.handles_hangups().await;
    assert!(!data.exists(), "it has not begun to open anything");
    for _ in 0..3 {
        process.signal("HUP");
    }
    std::fs::write(&slow, "shutdown_grace_ms = 1000\n").unwrap();
    process.ready().await;
    assert!(!process.has_ended());
}
