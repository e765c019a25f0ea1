//! The operator's view of a running program: the page of metrics and the endpoints below `/admin`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use crate::support::app::TestApp;
use crate::support::look::{LONG, events_of, queue_when, settled};
use crate::support::process::Process;
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::eventually;

/// The samples of a page by name and labels.
fn samples(page: &str) -> BTreeMap<String, String> {
    let lines = page.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| line.rsplit_once(' ').unwrap())
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

async fn scrape(app: &TestApp) -> BTreeMap<String, String> {
    samples(&app.api.text("/metrics").await)
}

#[tokio::test]
async fn a_scrape_counts_events_and_their_outcomes() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&["ingest.max_event_bytes=2048"]).await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "retries": 1})).await;
    receiver.mood(Mood::by(|request| if request.number == 2 { Mood::status(500) } else { Mood::Ok }));
    app.api.publish(&events_of("one", 0..5)).await;
    settled(&app.api, &hook).await;
    let mut large = events_of("one", 5..6);
    large[0]["Padding"] = "x".repeat(2048).into();
    let refused = app.api.own("PUT", "/events", Some(json!({"data": large}))).await;
    assert_eq!(refused.status, 413, "{refused:?}");
    let told = "switchhook_ingest_events_total{source=\"internal\",result=\"taken\"}";
    let seen = eventually("the new hook is told", LONG, async || {
        let seen = scrape(&app).await;
        (seen.get(told).is_some_and(|count| count == "1")).then_some(seen)
    })
    .await;
    let of = |name: &str| seen.get(&format!("switchhook_{name}")).map(String::as_str);
    assert_eq!(of("ingest_events_total{source=\"http\",result=\"taken\"}"), Some("5"));
    assert_eq!(of("ingest_events_total{source=\"http\",result=\"refused\"}"), Some("1"));
    assert_eq!(of("deliveries_total{outcome=\"delivered\"}"), Some("4"));
    assert_eq!(of("deliveries_total{outcome=\"dead\"}"), Some("1"));
    assert_eq!(of("attempts_total{result=\"2xx\"}"), Some("4"));
    assert_eq!(of("attempts_total{result=\"5xx\"}"), Some("1"));
    assert_eq!(of("attempt_duration_seconds_count"), Some("5"));
    assert_eq!(of("log_end_offset{log=\"events\"}"), Some("6"));
    assert!(matches!(of("log_sync_seconds_count{log=\"events\"}"), Some("1" | "2")));
    assert_eq!((of("waiting_deliveries"), of("oldest_waiting_seconds")), (Some("0"), Some("0.0")));
    app.stop().await;
}

#[tokio::test]
async fn a_scrape_shows_how_far_a_disabled_hook_is_behind() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&["disable.probe_initial_ms=0"]).await;
    receiver.mood(Mood::status(500));
    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "retry": {"max_attempts": 20}})).await;
    app.api.publish(&events_of("one", 0..7)).await;
    queue_when(&app.api, &hook, "the hook is disabled", |q| q["state"] == "auto_disabled").await;
    let labels = format!("{{account_id=\"{}\",hook_id=\"{hook}\"}}", app.api.account);
    eventually("the hook's age shows", LONG, || async {
        let seen = scrape(&app).await;
        assert_eq!(seen["switchhook_hooks{state=\"auto_disabled\"}"], "1");
        assert_eq!(seen[&format!("switchhook_hook_waiting_deliveries{labels}")], "7");
        let age = &seen[&format!("switchhook_hook_oldest_waiting_seconds{labels}")];
        assert_eq!(*age, seen["switchhook_oldest_waiting_seconds"]);
        (age != "0.0").then_some(())
    })
    .await;
    let first = app.api.call("GET", "/admin/hooks", None).await.data()[0].clone();
    assert_eq!((&first["id"], &first["name"], &first["waiting"]), (&json!(hook), &json!("test"), &json!(7)));
    app.restart(Some(&["disable.probe_initial_ms=0", "metrics.hook_series=0"])).await;
    let seen = scrape(&app).await;
    assert!(!seen.keys().any(|name| name.contains(&hook)), "totals only: {seen:?}");
    assert_eq!(seen["switchhook_waiting_deliveries"], "7");
    app.stop().await;
}

/// The words in backticks on docs/reference/metrics.md.
fn words_of_the_page() -> BTreeSet<String> {
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/reference/metrics.md")).unwrap();
    text.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

/// The values of labels on a page of metrics, apart from ids, versions and bounds.
fn label_values(page: &str) -> BTreeSet<String> {
    let labels =
        page.lines().filter_map(|line| line.split_once('{')?.1.split_once('}')).map(|(labels, _)| labels);
    let labels = labels.flat_map(|labels| labels.split(',')).filter_map(|label| label.split_once('='));
    let open = ["account_id", "hook_id", "replay_id", "version", "le"];
    let listed = labels.filter(|(name, _)| !open.contains(name));
    listed.map(|(_, value)| value.trim_matches('"').to_owned()).collect()
}

/// The names that docs/reference/metrics.md lists.
fn documented() -> BTreeSet<String> {
    let names = words_of_the_page().into_iter().filter(|word| word.starts_with("switchhook_"));
    names.map(|name| name.split('{').next().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_name_and_label_of_a_scrape_is_documented_and_every_documented_name_is_shown() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/")})).await;
    app.api.publish(&events_of("one", 0..3)).await;
    settled(&app.api, &hook).await;
    // The attempt is still under way while the page is read.
    receiver.mood(Mood::Hang);
    let replay = json!({"data": {"from_offset": 0}});
    let begun = app.api.own("POST", &format!("/webhooks/{hook}/replay"), Some(replay)).await;
    assert_eq!(begun.status, 201, "{begun:?}");
    let page = app.api.text("/metrics").await;
    assert!(page.ends_with("# EOF\n"));
    let types = page.lines().filter_map(|line| line.strip_prefix("# TYPE "));
    let mut shown: BTreeSet<String> = types
        .map(|line| line.split_once(' ').unwrap())
        .map(|(name, kind)| if kind == "counter" { format!("{name}_total") } else { name.to_owned() })
        .collect();
    // Shown with a broker only.
    for name in [
        "broker_connected",
        "broker_queue_messages",
        "broker_event_age_seconds",
        "broker_blocked",
        "broker_bindings_missing",
    ] {
        shown.insert(format!("switchhook_{name}"));
    }
    // Shown while a KAZOO is followed.
    for name in ["current", "last_full_reading_seconds", "pending", "changes_total", "failures_total"] {
        shown.insert(format!("switchhook_kazoo_sync_{name}"));
    }
    assert_eq!(shown, documented());
    let values = label_values(&page);
    assert!(values.contains("audit-kept") && values.contains("name_not_found"), "{values:?}");
    let words = words_of_the_page();
    let missing: Vec<&String> = values.difference(&words).collect();
    assert!(missing.is_empty(), "docs/reference/metrics.md lacks values of labels: {missing:?}");
    app.stop().await;
}

#[tokio::test]
async fn the_status_and_the_segments_are_those_of_the_data_directory() {
    let mut app = TestApp::start().await;
    app.api.publish(&events_of("one", 0..3)).await;
    let status = app.api.call("GET", "/admin/status", None).await;
    let data = status.data();
    assert_eq!(data["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(data["logs"]["events"]["end_offset"], 3, "{data}");
    assert_eq!((&data["broker"]["state"], &data["ready"]), (&json!("disabled"), &json!(true)));
    assert!(data["disk"]["free_bytes"].as_u64() > Some(0), "{data}");
    let segments = app.api.call("GET", "/admin/log?log=events", None).await;
    let file = app.dir().join("events/00000000000000000000.log");
    assert_eq!(segments.data()[0]["bytes"], std::fs::metadata(file).unwrap().len());
    assert_eq!(
        (&segments.data()[0]["end_offset"], &segments.data()[0]["closed"]),
        (&json!(3), &json!(false))
    );
    app.stop().await;
}

#[tokio::test]
async fn json_log_lines_are_objects_with_fields_and_without_secrets() {
    let dir = tempfile::tempdir().unwrap();
    let settings = ["telemetry.format=json", "disable.failure_count=1"].map(str::to_owned);
    let process = Process::serve(dir.path(), &settings).await;
    let api = process.api().await;
    let uri = "http://me:s3cret@127.0.0.1:9/";
    let hook = api.hook(json!({"uri": uri, "headers": {"authorization": "s3cret"}})).await;
    api.publish(&events_of("one", 0..1)).await;
    queue_when(&api, &hook, "the hook is disabled", |q| q["state"] == "auto_disabled").await;
    process.terminate();
    let ended = process.ended(LONG).await;
    let lines: Vec<Value> =
        ended.stderr.lines().map(|line| serde_json::from_str(line).expect("a line is an object")).collect();
    let disabled = lines.iter().find(|line| line["fields"]["hook_id"] == hook && line["level"] == "WARN");
    assert!(disabled.is_some_and(|line| line["timestamp"].is_string()), "{}", ended.stderr);
    assert!(!ended.stderr.contains("s3cret"), "{}", ended.stderr);
}

#[tokio::test]
async fn text_log_lines_have_no_colours_without_a_terminal() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::serve(dir.path(), &[]).await;
    process.terminate();
    let ended = process.ended(LONG).await;
    assert!(ended.stderr.contains("INFO"), "{}", ended.stderr);
    assert!(!ended.stderr.contains('\u{1b}'), "{}", ended.stderr);
}

#[tokio::test]
async fn retention_on_request_removes_the_excess() {
    let mut app = TestApp::with(&["log.segment_bytes=65536"]).await;
    let padded = |n: u64| {
        let mut event = events_of("one", n..n + 1).remove(0);
        event["Padding"] = "x".repeat(60_000).into();
        event
    };
    for n in 0..20 {
        app.api.publish(&[padded(n)]).await;
    }
    // One megabyte is the smallest possible limit; 20 segments are larger.
    app.restart(Some(&["log.segment_bytes=65536", "retention.max_bytes=1048576"])).await;
    eventually("old segments are gone", LONG, || async {
        let answer = app.api.call("POST", "/admin/retention", None).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        (answer.data()["events"]["first_offset"].as_u64() > Some(0)).then_some(())
    })
    .await;
    let status = app.api.call("GET", "/admin/status", None).await;
    assert!(status.data()["logs"]["events"]["bytes"].as_u64() <= Some(1 << 20), "{status:?}");
    app.stop().await;
}

#[tokio::test]
async fn an_event_that_comes_alone_waits_for_others_as_long_as_the_configuration_says() {
    let mut app = TestApp::with(&["log.gather_us=200000"]).await;
    let mut longest = Duration::ZERO;
    for event in &events_of("one", 0..5) {
        let began = Instant::now();
        app.api.publish(std::slice::from_ref(event)).await;
        longest = longest.max(began.elapsed());
    }
    // Not each of them finds the log idle. No upper bound: the machine may be busy.
    assert!(longest >= Duration::from_millis(200), "{longest:?}");
    app.stop().await;
}
