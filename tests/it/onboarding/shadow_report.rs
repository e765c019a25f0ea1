//! `switchhook shadow report`: compares this program's shadow deliveries with the lists of a KAZOO over HTTP, with each
//! class of difference.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use switchhook::model::GREGORIAN_OFFSET_S;
use tempfile::TempDir;

use crate::support::app::{MASTER_KEY, TestApp};
use crate::support::look::{LONG, attempts, events_of, settled};
use crate::support::process::{Ended, run};
use crate::support::receiver::{Mood, Receiver, Request};
use crate::support::wait::eventually;

const KAZOO_KEY: &str = "fedcba9876543210";
/// The number of rows on a page of the stand-in.
const PAGE: usize = 3;

/// The part of a KAZOO's API that lists attempts: a log-in, and pages of rows, newest first.
struct Crossbar {
    receiver: Receiver,
    rows: Arc<Mutex<Vec<Value>>>,
}

impl Crossbar {
    async fn start() -> Self {
        let receiver = Receiver::start().await;
        let rows: Arc<Mutex<Vec<Value>>> = Arc::default();
        let of = Arc::clone(&rows);
        receiver.mood(Mood::by(move |request| answer(request, &of.lock().unwrap())));
        Self { receiver, rows }
    }

    fn lists(&self, rows: Vec<Value>) {
        *self.rows.lock().unwrap() = rows;
    }
}

fn answer(request: &Request, rows: &[Value]) -> Mood {
    let json = |status: u16, body: Value| {
        Mood::answer(status, &[("content-type", "application/json")], &body.to_string())
    };
    if request.path == "/v2/api_auth" {
        let body: Value = serde_json::from_slice(&request.body).unwrap();
        if request.method != "PUT" || body["data"]["api_key"] != KAZOO_KEY {
            return json(401, json!({"status": "error", "message": "invalid_credentials", "data": {}}));
        }
        let data = json!({"account_id": "0a7be1c24d9f4e35b86c1f20d3947a5e"});
        return json(201, json!({"auth_token": "token", "data": data}));
    }
    // The first requests are answered with "busy".
    if request.number_at_path == 1 {
        return json(429, json!({"message": "too many requests"}));
    }
    if request.header("x-auth-token") != Some("token") {
        return json(401, json!({}));
    }
    let account = request.path.split('/').nth(3).unwrap();
    let query: Vec<(String, String)> =
        url::form_urlencoded::parse(request.query.as_bytes()).into_owned().collect();
    let get = |name: &str| query.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str());
    let (from, to): (u64, u64) =
        (get("created_from").unwrap().parse().unwrap(), get("created_to").unwrap().parse().unwrap());
    let rows: Vec<&Value> = rows
        .iter()
        .filter(|row| row["req_headers"]["x-account-id"] == account)
        .filter(|row| (from..=to).contains(&row["timestamp"].as_u64().unwrap()))
        .collect();
    let start: usize = get("start_key").map_or(0, |key| key.parse().unwrap());
    let page: Vec<&&Value> = rows.iter().skip(start).take(PAGE).collect();
    let mut body = json!({"data": page, "status": "success", "page_size": page.len()});
    if start + PAGE < rows.len() {
        body["next_start_key"] = (start + PAGE).to_string().into();
    }
    json(200, body)
}

/// The row of an attempt here as a KAZOO lists the same delivery.
fn at_kazoo(row: &Value, n: usize) -> Value {
    let form = row["req_headers"]["content-type"] == "application/x-www-form-urlencoded";
    let text = row["req_body"].as_str().unwrap();
    // KAZOO stores a form as it was encoded.
    let body = if form {
        let (first, rest) = text.split_once('&').unwrap();
        json!([[first], "&", [[rest]]])
    } else {
        json!(text)
    };
    json!({
        "hook_id": row["hook_id"], "hook_event": "CHANNEL_CREATE", "event_id": format!("{n:010x}"), "method": "post",
        "uri": row["uri"], "req_body": body, "result": "success", "timestamp": row["timestamp"].as_u64().unwrap() + 1,
        "req_headers": {"x-hook-id": row["hook_id"], "x-account-id": row["req_headers"]["x-account-id"],
            "content-type": row["req_headers"]["content-type"]},
        "resp_status_code": "200",
    })
}

/// The same row with another text in its body.
fn with(mut row: Value, from: &str, to: &str) -> Value {
    let body = row["req_body"].to_string().replace(from, to);
    row["req_body"] = serde_json::from_str(&body).unwrap();
    row
}

struct Beside {
    app: TestApp,
    crossbar: Crossbar,
    keys: TempDir,
}

impl Beside {
    async fn start(settings: &[&str]) -> Self {
        let keys = tempfile::tempdir().unwrap();
        std::fs::write(keys.path().join("kazoo"), format!("{KAZOO_KEY}\n")).unwrap();
        std::fs::write(keys.path().join("ours"), MASTER_KEY).unwrap();
        Self { app: TestApp::with(settings).await, crossbar: Crossbar::start().await, keys }
    }

    fn key(&self, name: &str) -> PathBuf {
        self.keys.path().join(name)
    }

    /// An hour that ends in a minute, in seconds since 1970.
    async fn hour_around_now(&self) -> (String, String) {
        let status = self.app.api.call("GET", "/admin/status", None).await;
        let number = |name: &str| status.data()[name].as_u64().unwrap();
        let now = number("started") - GREGORIAN_OFFSET_S + number("uptime_s");
        ((now - 3600).to_string(), (now + 60).to_string())
    }

    async fn report(&self, more: &[&str]) -> Ended {
        let mut words: Vec<String> = ["shadow", "report", "--crossbar"].map(str::to_owned).to_vec();
        words.push(self.crossbar.receiver.uri(""));
        words.extend(["--url".to_owned(), format!("http://{}", self.app.address())]);
        for (option, file) in [("--api-key-file", "kazoo"), ("--key-file", "ours")] {
            words.extend([option.to_owned(), self.key(file).display().to_string()]);
        }
        // Deliveries of this moment are compared too.
        let (from, to) = self.hour_around_now().await;
        words.extend(["--from".to_owned(), from, "--to".to_owned(), to]);
        words.extend(more.iter().map(|word| (*word).to_owned()));
        run(&words).await
    }
}

#[tokio::test]
async fn a_report_names_every_difference_between_the_two_systems() {
    let beside = Beside::start(&["kazoo.mode=shadow"]).await;
    let api = &beside.app.api;
    let json_hook = api.hook(json!({"uri": "http://127.0.0.1:9/a", "format": "json"})).await;
    let form_hook = api.hook(json!({"uri": "http://127.0.0.1:9/b"})).await;
    for call in 0..5 {
        api.publish(&events_of(&format!("call-{call}"), 0..1)).await;
    }
    let shown = async |hook: &str| {
        eventually("five are listed", LONG, || async {
            let rows = attempts(api, hook).await;
            (rows.len() == 5).then_some(rows)
        })
        .await
    };
    // Newest first: the calls 4 to 0.
    let (json_rows, form_rows) = (shown(&json_hook).await, shown(&form_hook).await);
    let mut rows: Vec<Value> =
        json_rows.iter().chain(&form_rows).enumerate().map(|(n, row)| at_kazoo(row, n)).collect();
    beside.crossbar.lists(rows.clone());
    let same = beside.report(&[]).await;
    assert_eq!(same.code, Some(0), "{same:?}");
    let text = same.stdout.join("\n");
    assert!(text.lines().any(|line| line.starts_with("same  ") && line.ends_with(" 10")), "{text}");

    // One delivery is missing in KAZOO, one exists only there, one has another caller, one was tried twice, and one
    // belongs to a hook that only KAZOO has.
    rows.remove(9);
    rows.push(with(at_kazoo(&json_rows[0], 20), "call-4", "call-x"));
    rows[1] =
        with(rows[1].clone(), "\\\"caller_id_number\\\":\\\"0\\\"", "\\\"caller_id_number\\\":\\\"7\\\"");
    let mut failed = rows[2].clone();
    failed["result"] = "failure".into();
    rows.push(failed);
    let mut strange = rows[3].clone();
    (strange["hook_id"], strange["event_id"]) = ("f".repeat(32).into(), "e".into());
    rows.push(strange);
    beside.crossbar.lists(rows.clone());
    let differs = beside.report(&["--json"]).await;
    assert_eq!(differs.code, Some(2), "{differs:?}");
    let report: Value = serde_json::from_str(&differs.stdout.join("\n")).unwrap();
    let counts = ["same", "different_body", "missing_there", "missing_here", "of_unknown_hooks"];
    assert_eq!(counts.map(|name| report[name].as_u64().unwrap()), [8, 1, 1, 1, 1], "{report:#}");
    assert_eq!(report["fields"]["caller_id_number"]["count"], 1, "{report:#}");
    assert_eq!(report["fields"]["caller_id_number"]["there"], "\"7\"");
    let example = |class: &str| report["examples"][class][0].clone();
    assert_eq!(example("missing_there")["subject"], "call-0");
    assert_eq!(example("missing_there")["hook_id"], form_hook);
    assert_eq!(example("missing_here")["subject"], "call-x");
    assert_eq!(example("different_body")["fields"], json!(["caller_id_number"]));
    assert!(example("different_body")["here"].is_string() && example("different_body")["there"].is_string());

    // A field can be left out. Without successes in KAZOO's list, deliveries missing there mean nothing.
    rows.truncate(9);
    for row in &mut rows {
        row["result"] = "failure".into();
    }
    beside.crossbar.lists(rows);
    let ignoring = beside.report(&["--ignore", "caller_id_number"]).await;
    let text = ignoring.stdout.join("\n");
    assert_eq!(ignoring.code, Some(0), "{ignoring:?}");
    assert!(text.contains("log_successful_attempts"), "{text}");
    beside.crossbar.lists(Vec::new());
    let nothing = beside.report(&[]).await;
    assert_eq!(nothing.code, Some(1), "{nothing:?}");
    assert!(nothing.stderr.contains("nothing to compare"), "{nothing:?}");
}

#[tokio::test]
async fn a_failed_report_names_the_system_at_fault_and_shows_no_key() {
    let mut beside = Beside::start(&["kazoo.mode=shadow"]).await;
    beside.app.api.hook(json!({"uri": "http://127.0.0.1:9/a"})).await;
    std::fs::write(beside.key("kazoo"), "not-this-one").unwrap();
    let refused = beside.report(&[]).await;
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("KAZOO") && refused.stderr.contains("401"), "{refused:?}");
    assert!(!refused.stderr.contains("not-this-one"), "{refused:?}");
    std::fs::write(beside.key("kazoo"), KAZOO_KEY).unwrap();
    beside.crossbar.receiver.mood(Mood::answer(200, &[], "<html>"));
    let strange = beside.report(&[]).await;
    assert!(strange.code == Some(1) && strange.stderr.contains("not JSON"), "{strange:?}");
    let with_password = beside.crossbar.receiver.uri("").replace("http://", "http://me:pa55@");
    let refused = run(&["shadow", "report", "--crossbar", &with_password]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("SWITCHHOOK_KAZOO_API_KEY"), "{refused:?}");
    let key = beside.key("kazoo").display().to_string();
    let refused = run(&["shadow", "report", "--crossbar", &with_password, "--api-key-file", &key]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("holds credentials"), "{refused:?}");
    assert!(!refused.stderr.contains("pa55"), "{refused:?}");
    beside.crossbar.receiver.refuse().await;
    let gone = beside.report(&[]).await;
    assert!(gone.code == Some(1) && gone.stderr.contains("refused"), "{gone:?}");
    for words in [&["--from", "yesterday"][..], &["--tolerance", "-1"], &["--colour"]] {
        assert_eq!(beside.report(words).await.code, Some(64), "{words:?}");
    }
}

#[tokio::test]
async fn the_mode_is_shown_and_changed_from_the_command_line() {
    let beside = Beside::start(&["kazoo.mode=shadow"]).await;
    let run = async |words: &[&str]| {
        let url = format!("http://{}", beside.app.address());
        let key = beside.key("ours").display().to_string();
        let words = [&["shadow", "mode"], words, &["--url", &url, "--key-file", &key]].concat();
        run(&words).await
    };
    let shown = run(&[]).await;
    let status: Value = serde_json::from_str(&shown.stdout.join("\n")).unwrap();
    assert_eq!((shown.code, &status["mode"]), (Some(0), &json!("shadow")), "{shown:?}");
    let refused = run(&["live", "--from", "2026-01-01T00:00:00Z"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("change to 'handover' first"), "{refused:?}");
    let changed = run(&["live"]).await;
    assert_eq!(changed.code, Some(0), "{changed:?}");
    let status = beside.app.api.call("GET", "/admin/mode", None).await;
    assert_eq!(status.data()["mode"], "live");
    assert_eq!(run(&["quiet"]).await.code, Some(64));
}

#[tokio::test]
async fn a_replay_counts_and_then_closes_a_gap_between_the_two_systems_for_every_hook() {
    let beside = Beside::start(&["kazoo.mode=shadow"]).await;
    let (api, receiver) = (&beside.app.api, Receiver::start().await);
    let child = api.tenant("child").await;
    let hook = api.hook(json!({"uri": receiver.uri("/a"), "format": "json"})).await;
    let other = child.hook(json!({"uri": receiver.uri("/b"), "format": "json"})).await;
    child.hook(json!({"uri": receiver.uri("/none"), "hook": "parking"})).await;
    api.publish(&events_of("one", 0..3)).await;
    child.publish(&events_of("two", 0..2)).await;
    for (api, hook) in [(api, &hook), (&child, &other)] {
        settled(api, hook).await;
    }
    let replay = async |more: &[&str]| {
        let url = format!("http://{}", beside.app.address());
        let key = beside.key("ours").display().to_string();
        let (from, to) = beside.hour_around_now().await;
        let time = ["--from", &from, "--to", &to, "--url", &url, "--key-file", &key];
        run(&[&["shadow", "replay"], &time[..], more].concat()).await
    };
    let refused = replay(&["--yes"]).await;
    assert!(refused.code == Some(1) && refused.stderr.contains("mode is shadow"), "{refused:?}");
    let live = json!({"data": {"mode": "live"}});
    assert_eq!(api.call("POST", "/admin/mode", Some(live)).await.status, 200);
    let counted = replay(&[]).await;
    let last = counted.stdout.last().unwrap();
    assert!(last.starts_with("5 deliveries of 2 hooks") && last.ends_with("add --yes"), "{counted:?}");
    assert_eq!((counted.code, receiver.count()), (Some(0), 0));
    assert_eq!(replay(&["--yes"]).await.code, Some(0));
    receiver.wait_for(5, LONG).await;
    assert_eq!((receiver.requests_at("/a").len(), receiver.requests_at("/b").len()), (3, 2));
}
