//! The operators' endpoints: who may use them and what they show.

use std::sync::Arc;

use serde_json::{Value, json};

use super::{ApiOptions, TestApi};
use crate::model::{AccountId, EventOffset, Hook, HookId, QueueState, QueueStatus, Trigger};
use crate::queues::{Survey, SurveyedHook};
use crate::state::key_hash;

const PATHS: [(&str, &str); 5] =
    [("GET", "status"), ("GET", "log"), ("GET", "hooks"), ("GET", "audit"), ("POST", "retention")];

fn surveyed(id: u128, waiting: u64, disable_reason: Option<&str>) -> SurveyedHook {
    let hook = Hook::new(HookId(id), AccountId(9), Trigger::All, "https://example.com".to_owned());
    let status = QueueStatus {
        state: QueueState::Active,
        paused: false,
        cursor: EventOffset(0),
        log_end: EventOffset(100),
        waiting,
        waiting_exact: true,
        in_flight: 0,
        dead: 0,
        had_dead: false,
        recent_failures: 0,
        oldest_waiting_age_ms: Some(waiting * 10),
        next_try_at_us: None,
        disable_reason: disable_reason.map(str::to_owned),
        gap: None,
    };
    SurveyedHook { hook: Arc::new(hook), status, oldest: Some(EventOffset(0)) }
}

#[tokio::test]
async fn only_the_master_account_sees_them() {
    let test = TestApi::start().await;
    let (_, reseller) = test.account("reseller").await;
    for (method, path) in PATHS {
        let path = format!("/admin/{path}");
        assert_eq!(test.call(method, &path, Value::Null).await.status, 200, "{path}");
        assert_eq!(test.call_as(&reseller, method, &path, Value::Null).await.status, 403, "{path}");
        assert_eq!(test.raw(method, &path, "", &[]).await.status, 401, "{path}");
        assert_eq!(test.call("DELETE", &path, Value::Null).await.status, 405, "{path}");
    }
    for path in ["/admin", "/admin/nothing", "/admin/log/x", "/v2/admin/status"] {
        assert_eq!(test.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn hooks_come_failing_first_and_then_by_what_waits_page_by_page() {
    let test = TestApi::start().await;
    let hooks = [
        surveyed(1, 5, None),
        surveyed(2, 900, None),
        surveyed(3, 2, Some("too many")),
        surveyed(4, 0, None),
    ];
    *test.recorded.survey.lock().unwrap() = Survey { hooks: hooks.to_vec(), ..Survey::default() };
    let mut seen = Vec::new();
    let mut path = "/admin/hooks?page_size=3".to_owned();
    while !path.is_empty() {
        let page = test.get(&path).await.body;
        seen.extend(page["data"].as_array().unwrap().iter().map(|row| row["waiting"].as_u64().unwrap()));
        let next = page["next_start_key"].as_str();
        path = next.map_or_else(String::new, |key| format!("/admin/hooks?page_size=3&start_key={key}"));
    }
    assert_eq!(seen, [2, 900, 5, 0]);
    let first = test.get("/admin/hooks").await.body["data"][0].clone();
    assert_eq!((&first["failing"], &first["disable_reason"]), (&json!(true), &json!("too many")));
    let queues = test.get("/admin/status").await.body["data"]["queues"].clone();
    assert_eq!((&queues["waiting"], &queues["oldest_waiting_age_ms"]), (&json!(907), &json!(9000)));
}

#[tokio::test]
async fn the_status_has_the_uptime_and_the_faults() {
    let test = TestApi::start().await;
    let data = test.get("/admin/status").await.body["data"].clone();
    assert_eq!(
        (&data["uptime_s"], &data["ready"], &data["disk"]["free_bytes"]),
        (&json!(5), &json!(true), &json!(7))
    );
    let fault = crate::http::Fault { what: "ledger".into(), reason: "gone".into() };
    test.recorded.faults.lock().unwrap().push(fault);
    let data = test.get("/admin/status").await.body["data"].clone();
    assert_eq!((&data["ready"], &data["faults"][0]["what"]), (&json!(false), &json!("ledger")));
}

#[tokio::test]
async fn the_segments_of_the_named_log_are_listed() {
    let test = TestApi::start().await;
    let listed = test.get("/admin/log?page_size=2&ascending=true").await.body;
    assert_eq!(listed["data"][0]["first_offset"], 0);
    assert_eq!(listed["data"][1]["first_offset"], 10);
    let newest = test.get("/admin/log?log=events").await.body;
    assert_eq!(
        (&newest["data"][0]["first_offset"], &newest["data"][0]["closed"]),
        (&json!(20), &json!(false))
    );
    assert_eq!(test.get("/admin/log?log=nothing").await.status, 404);
}

#[tokio::test]
async fn a_request_for_retention_answers_what_was_removed_and_what_failed() {
    let test = TestApi::start().await;
    let data = test.call("POST", "/admin/retention", Value::Null).await.body["data"].clone();
    assert_eq!(data, json!({"events": {"first_offset": 10, "dropped": 7}, "ledger": {"error": "closed"}}));
}

#[tokio::test]
async fn metrics_need_the_token_once_it_is_configured() {
    let open = TestApi::start().await;
    let page = open.raw("GET", "/metrics", "", &[]).await;
    assert_eq!(
        (
            page.status,
            page.header("content-type").is_some_and(|t| t.starts_with("application/openmetrics-text"))
        ),
        (200, true)
    );
    let options = ApiOptions { metrics_token_hash: Some(key_hash("s3cret")), ..ApiOptions::default() };
    let guarded = TestApi::start_with(options).await;
    for (headers, status) in [
        (&[][..], 401),
        (&[("authorization", "Bearer wrong")], 401),
        (&[("authorization", "Basic s3cret")], 401),
        (&[("authorization", "Bearer s3cret")], 200),
    ] {
        assert_eq!(guarded.raw("GET", "/metrics", "", headers).await.status, status, "{headers:?}");
    }
}
