//! What clients, browsers and terminals expect of a response in addition to its data.

use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::look::{LONG, events_of, settled};
use crate::support::process::{Process, run};
use crate::support::raw::{send, send_as};
use crate::support::receiver::{Mood, Receiver};

#[tokio::test]
async fn a_browser_may_send_the_headers_that_the_api_reads() {
    let mut app = TestApp::start().await;
    let asked = [("origin", "https://ui.example"), ("access-control-request-method", "PUT")];
    let answer = send(&app.anonymous(), "OPTIONS", "/v2/accounts/x/webhooks", &asked, "").await;
    let allowed = answer.header("access-control-allow-headers").unwrap().to_ascii_lowercase();
    let allowed: Vec<&str> = allowed.split(',').map(str::trim).collect();
    for header in [
        "authorization",
        "traceparent",
        "tracestate",
        "if-none-match",
        "if-match",
        "idempotency-key",
        "x-auth-token",
    ] {
        assert!(allowed.contains(&header), "{header} is not in {allowed:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_request_with_the_current_etag_gets_304_until_something_changes() {
    let mut app = TestApp::start().await;
    let api = &app.api;
    let hook = api.hook(json!({"uri": "http://127.0.0.1:9/"})).await;
    let one = format!("/v2/accounts/{}/webhooks/{hook}", api.account);
    let list = format!("/v2/accounts/{}/webhooks", api.account);
    for path in [&one, &list] {
        let first = send_as(api, "GET", path, &[], "").await;
        let etag = first.header("etag").unwrap().to_owned();
        for tag in [etag.clone(), format!("W/{etag}"), format!("\"other\", {etag}"), "*".to_owned()] {
            let again = send_as(api, "GET", path, &[("if-none-match", &tag)], "").await;
            assert_eq!((again.status, again.text.as_str()), (304, ""), "{path} {tag}");
            assert_eq!(again.header("etag"), Some(etag.as_str()), "{path} {tag}");
        }
        let other = send_as(api, "GET", path, &[("if-none-match", "\"other\"")], "").await;
        assert_eq!(other.status, 200, "{path}");
        let name = json!({"data": {"name": format!("renamed for {path}")}}).to_string();
        let json = [("content-type", "application/json"), ("if-none-match", etag.as_str())];
        let changed = send_as(api, "PATCH", &one, &json, &name).await;
        assert_eq!(changed.status, 200, "a change is no reading: {changed:?}");
        let after = send_as(api, "GET", path, &[("if-none-match", &etag)], "").await;
        assert_eq!(after.status, 200, "{path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_page_with_more_rows_behind_it_has_another_etag() {
    let mut app = TestApp::start().await;
    let api = &app.api;
    api.hook(json!({"uri": "http://127.0.0.1:9/"})).await;
    let path = format!("/v2/accounts/{}/webhooks?page_size=1&ascending=true", api.account);
    let etag = send_as(api, "GET", &path, &[], "").await.header("etag").unwrap().to_owned();
    // Ids are random, so one of these is listed after the first sooner or later.
    let mut after = send_as(api, "GET", &path, &[("if-none-match", &etag)], "").await;
    assert_eq!(after.status, 304);
    api.hook(json!({"uri": "http://127.0.0.1:9/"})).await;
    after = send_as(api, "GET", &path, &[("if-none-match", &etag)], "").await;
    assert_eq!(after.status, 200, "{after:?}");
    assert!(after.body()["next_start_key"].is_string(), "{after:?}");
    app.stop().await;
}

#[tokio::test]
async fn a_rate_limit_refusal_says_when_to_retry() {
    let mut app = TestApp::with(&["rate_limit.burst=40", "rate_limit.per_second=1"]).await;
    let path = format!("/v2/accounts/{}/webhooks", app.api.account);
    let mut refused = send_as(&app.api, "GET", &path, &[], "").await;
    for _ in 0..200 {
        if refused.status == 429 {
            break;
        }
        refused = send_as(&app.api, "GET", &path, &[], "").await;
    }
    assert_eq!(refused.status, 429);
    let seconds: u64 = refused.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds), "{seconds}");
    app.stop().await;
}

#[tokio::test]
async fn a_pretty_answer_ends_with_a_newline() {
    let mut app = TestApp::start().await;
    let pretty = send_as(&app.api, "GET", "/v2/webhooks?pretty_print=true", &[], "").await;
    assert!(pretty.text.ends_with("}\n"), "{:?}", pretty.text);
    let plain = send_as(&app.api, "GET", "/v2/webhooks", &[], "").await;
    assert!(plain.text.ends_with('}'), "{:?}", plain.text);
    app.stop().await;
}

#[tokio::test]
async fn ledger_records_are_printed_as_data() {
    let dir = tempfile::tempdir().unwrap();
    let receiver = Receiver::start().await;
    receiver.mood_at("/bad", Mood::status(500));
    let mut process = Process::serve(dir.path(), &["disable.failure_count=0".to_owned()]).await;
    let api = process.api().await;
    let fine = api.hook(json!({"uri": receiver.uri("/fine")})).await;
    let bad = api.hook(json!({"uri": receiver.uri("/bad"), "retries": 2})).await;
    api.publish(&events_of("c", 0..1)).await;
    settled(&api, &fine).await;
    settled(&api, &bad).await;
    process.terminate();
    process.gone(LONG).await;
    let printed = run(&["log", "cat", "ledger", "--data-dir", dir.path().to_str().unwrap()]).await;
    assert_eq!(printed.code, Some(0), "{printed:?}");
    let records: Vec<Value> = printed.stdout.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let attempts_of = |hook: &str| {
        let is_of =
            |record: &&Value| record["record"]["type"] == "attempt" && record["record"]["queue"] == hook;
        records.iter().filter(is_of).map(|record| record["record"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(attempts_of(&fine)[0]["outcome"], "delivered", "{records:?}");
    let of_bad = attempts_of(&bad);
    assert_eq!((of_bad.len(), &of_bad[1]["outcome"]), (2, &json!("dead")), "{records:?}");
    assert_eq!(of_bad[0]["ending"]["answered"]["status"], 500, "{records:?}");
    assert!(records.iter().all(|record| record["record"]["type"].is_string()), "{records:?}");
}

/// The output of a failing start on a terminal.
fn on_a_terminal(dir: &Path, environment: &[(&str, &str)]) -> String {
    let data = dir.join("no-directory");
    std::fs::write(&data, "a file").unwrap();
    let serve = format!("{} serve --set data_dir={}", env!("CARGO_BIN_EXE_switchhook"), data.display());
    let mut script = Command::new("script");
    script.args(["-q", "-c", &serve, "/dev/null"]).env_remove("NO_COLOR");
    let printed = script.envs(environment.iter().copied()).output().unwrap();
    String::from_utf8_lossy(&printed.stdout).into_owned()
}

#[test]
fn a_terminal_gets_colours_unless_no_color_is_set() {
    let dir = tempfile::tempdir().unwrap();
    for (environment, coloured) in
        [(&[][..], true), (&[("NO_COLOR", "")], true), (&[("NO_COLOR", "1")], false)]
    {
        let printed = on_a_terminal(dir.path(), environment);
        assert!(printed.contains("starting"), "{printed:?}");
        assert_eq!(printed.contains('\u{1b}'), coloured, "{environment:?}: {printed:?}");
    }
}
