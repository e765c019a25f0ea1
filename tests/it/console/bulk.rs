//! One action on many hooks, a probe on request, and the audit trail of an account.

use serde_json::{Value, json};

use crate::support::app::{Api, TestApp};
use crate::support::look::{LONG, events_of, queue_when, settled};
use crate::support::receiver::{Mood, Receiver};

async fn bulk(api: &Api, data: Value) -> Value {
    let answer = api.own("POST", "/webhooks/bulk", Some(json!({"data": data}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.data().clone()
}

#[tokio::test]
async fn a_dry_run_predicts_the_action_and_changes_nothing() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(404));
    let mut app = TestApp::with(&["disable.failure_count=0"]).await;
    let api = &app.api;
    let mut hooks = Vec::new();
    for name in ["a", "b"] {
        hooks.push(api.hook(json!({"name": name, "uri": receiver.uri("/"), "retries": 1})).await);
    }
    let untouched = api.hook(json!({"name": "c", "uri": receiver.uri("/c"), "enabled": false})).await;
    api.publish(&events_of("one", 0..5)).await;
    for hook in &hooks {
        queue_when(api, hook, "all are dead", |q| q["dead"] == 5).await;
    }
    receiver.mood(Mood::Ok);
    let before = receiver.wait_for(10, LONG).await.len();
    let ask = json!({"action": "replay", "ids": hooks, "only": "failed", "dry_run": true});
    let told = bulk(api, ask.clone()).await;
    assert_eq!((&told["matched"], &told["changed"], &told["dry_run"]), (&json!(10), &json!(2), &json!(true)));
    let mut order = ask;
    order["dry_run"] = false.into();
    let done = bulk(api, order).await;
    assert_eq!(done["matched"], told["matched"]);
    let got = receiver.wait_for(before + 10, LONG).await;
    for hook in &hooks {
        settled(api, hook).await;
        queue_when(api, hook, "nothing more comes", |q| q["in_flight"] == 0).await;
    }
    assert_eq!(got.len() - before, 10, "as many as the dry run said");

    let ids = json!([hooks[0], hooks[1], untouched, "0".repeat(32)]);
    let told = bulk(api, json!({"action": "pause", "ids": ids, "dry_run": true})).await;
    assert_eq!((&told["changed"], &told["refused"]), (&json!(3), &json!(1)), "{told}");
    assert_eq!(api.queue(&hooks[0]).await["paused"], false, "nothing is done yet");
    let done = bulk(api, json!({"action": "pause", "ids": ids})).await;
    assert_eq!((&done["changed"], &done["hooks"][3]["status"]), (&json!(3), &json!(404)), "{done}");
    assert_eq!(api.queue(&hooks[0]).await["paused"], true);
    assert_eq!(bulk(api, json!({"action": "pause", "ids": ids})).await["unchanged"], 3);
    assert_eq!(bulk(api, json!({"action": "resume", "ids": ids})).await["changed"], 3);
    assert_eq!(bulk(api, json!({"action": "enable", "ids": ids})).await["changed"], 1);
    assert_eq!(bulk(api, json!({"action": "disable", "ids": ids})).await["changed"], 3);
    assert_eq!(api.queue(&hooks[0]).await["status"], "disabled");
    for wrong in [json!({"action": "erase", "ids": ids}), json!({"ids": ids}), json!({"action": "pause"})] {
        assert_eq!(api.own("POST", "/webhooks/bulk", Some(json!({"data": wrong}))).await.status, 400);
    }
    app.stop().await;
}

#[tokio::test]
async fn a_requested_probe_is_made_at_once_enables_the_hook_and_is_in_the_audit_trail() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(500));
    let mut app = TestApp::with(&["disable.probe_initial_ms=3600000", "disable.probe_max_ms=3600000"]).await;
    let tenant = app.api.tenant("tenant").await;
    let hook = tenant.hook(json!({"uri": receiver.uri("/"), "retry": {"max_attempts": 20}})).await;
    let path = format!("/webhooks/{hook}/probe");
    assert_eq!(tenant.own("POST", &path, None).await.status, 409, "it is not disabled");
    tenant.publish(&events_of("one", 0..7)).await;
    // The queue stops at once; the document with the time is written a moment later.
    let is_disabled = |q: &Value| q["status"] == "auto_disabled" && q["disabled_at"].as_u64() > Some(0);
    queue_when(&tenant, &hook, "the hook is disabled", is_disabled).await;
    receiver.mood(Mood::Ok);
    assert_eq!(tenant.own("POST", &path, None).await.status, 200);
    settled(&tenant, &hook).await;
    assert_eq!(tenant.queue(&hook).await["disabled_at"], Value::Null);
    let user = app.user_of(&tenant, "user").await;
    let other = app.api.tenant("other").await;
    for (api, status) in [(&user, 403), (&other, 404)] {
        assert_eq!(api.own("POST", &path, None).await.status, status);
        let ask = json!({"data": {"action": "disable", "ids": [hook]}});
        let answer = api.own("POST", "/webhooks/bulk", Some(ask)).await;
        assert!(answer.status == 403 || answer.data()["refused"] == 1, "{answer:?}");
    }

    let trail = tenant.own("GET", "/audit", None).await;
    assert_eq!(trail.status, 200, "{trail:?}");
    let rows = trail.data().as_array().unwrap().clone();
    let of_hook: Vec<_> = rows.iter().filter(|row| row["id"] == json!(hook)).collect();
    let kinds: Vec<_> = of_hook.iter().map(|row| row["by"]["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["program", "program", "api"], "enabled, disabled, created: {rows:#?}");
    assert!(rows.iter().all(|row| row["account_id"] == json!(tenant.account)), "{rows:#?}");
    // A caller of an account above is named by account, without address and request id.
    let from_above = rows.iter().find(|row| row["by"]["account_id"] == json!(app.api.account)).unwrap();
    assert!(from_above["by"].get("remote").is_none() && from_above["by"].get("request_id").is_none());
    assert!(of_hook[2]["by"]["remote"].is_string(), "{:#?}", of_hook[2]);
    assert_eq!(user.own("GET", "/audit", None).await.status, 403);
    let foreign = format!("/v2/accounts/{}/audit", tenant.account);
    assert_eq!(other.call("GET", &foreign, None).await.status, 403);
    app.stop().await;
}
