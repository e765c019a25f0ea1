//! The built-in receiver: a hook can be tried without a receiver of one's own.

use serde_json::{Value, json};

use crate::support::app::{Api, TestApp, call_event};
use crate::support::look::{attempts_when, events_of, queue_when, settled};

const URI: &str = "http://inbox.switchhook.invalid/";

async fn inbox(api: &Api, hook: &str) -> Vec<Value> {
    let answer = api.own("GET", &format!("/webhooks/{hook}/inbox"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.data().as_array().unwrap().clone()
}

#[tokio::test]
async fn a_hook_without_a_receiver_of_its_own_delivers_to_the_built_in_one() {
    let mut app = TestApp::start().await;
    let tenant = app.api.tenant("tenant").await;
    let document = json!({
        "uri": URI, "format": "json", "secret": "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3", "headers": {"X-Own": "k"},
    });
    let hook = tenant.hook(document).await;
    assert_eq!(inbox(&tenant, &hook).await, [] as [Value; 0]);
    tenant.publish(&[call_event("CHANNEL_CREATE", "call-1", 1)]).await;
    settled(&tenant, &hook).await;
    let got = inbox(&tenant, &hook).await.remove(0);
    assert_eq!((&got["method"], &got["uri"], &got["status"]), (&json!("POST"), &json!(URI), &json!(200)));
    let body: Value = serde_json::from_str(got["body"].as_str().unwrap()).unwrap();
    assert_eq!(body["call_id"], "call-1");
    assert_eq!(got["body_bytes"], got["body"].as_str().unwrap().len());
    let row = attempts_when(&tenant, &hook, 1).await.remove(0);
    assert_eq!(got["headers"]["webhook-id"], row["delivery_id"]);
    assert_eq!(got["headers"]["x-own"], "k");
    assert!(got["headers"]["webhook-signature"].as_str().unwrap().starts_with("v1,"));
    assert_eq!((&row["result"], &row["resp_status_code"]), (&json!("success"), &json!("200")));
    let tested = tenant.own("POST", &format!("/webhooks/{hook}/test"), None).await;
    assert_eq!(tested.data()["response"]["status"], 200, "{tested:?}");
    let newest = inbox(&tenant, &hook).await.remove(0);
    assert_eq!(newest["headers"]["x-test"], "true");
    for n in 0..25 {
        tenant.publish(&events_of(&format!("call-{n}"), 0..1)).await;
    }
    settled(&tenant, &hook).await;
    assert_eq!(inbox(&tenant, &hook).await.len(), 20, "as many as are kept of a hook");
    app.stop().await;
}

#[tokio::test]
async fn the_built_in_receiver_answers_with_the_status_in_its_address() {
    let mut app = TestApp::with(&["disable.probe_initial_ms=0"]).await;
    let retry = json!({"max_attempts": 20});
    let hook = app.api.hook(json!({"uri": format!("{URI}503"), "retry": retry})).await;
    app.api.publish(&events_of("call", 0..1)).await;
    queue_when(&app.api, &hook, "it is disabled", |q| q["status"] == "auto_disabled").await;
    assert_eq!(inbox(&app.api, &hook).await[0]["status"], 503);
    app.stop().await;
}

#[tokio::test]
async fn the_built_in_receiver_reaches_nothing_else_and_only_its_account_can_read_it() {
    // No special address is allowed here, because the guard has no exception for the built-in receiver.
    let mut app = TestApp::with(&["delivery.allow_addresses=[]"]).await;
    let (tenant, other) = (app.api.tenant("tenant").await, app.api.tenant("other").await);
    let hook = tenant.hook(json!({"uri": URI, "name": "inbox"})).await;
    let own = format!("http://{}/", app.address());
    for uri in [
        own.as_str(),
        "http://127.0.0.1/inbox.switchhook.invalid",
        "http://inbox.switchhook.invalid:8000/",
        "http://x.inbox.switchhook.invalid/",
        "http://inbox.switchhook.invalid@127.0.0.1/",
    ] {
        let document =
            json!({"name": "h", "hook": "channel_create", "http_verb": "post", "uri": uri, "retries": 1});
        let made = tenant.own("PUT", "/webhooks", Some(json!({"data": document}))).await;
        if made.status == 400 {
            continue; // The address is forbidden already where the hook is made.
        }
        let other_hook = made.data()["id"].as_str().unwrap().to_owned();
        let tested = tenant.own("POST", &format!("/webhooks/{other_hook}/test"), None).await;
        let error = tested.data()["client_error"].as_str().unwrap_or_default().to_owned();
        assert!(error == "forbidden_address" || error.starts_with("failed_connect"), "{uri}: {tested:?}");
        assert!(inbox(&tenant, &other_hook).await.is_empty(), "{uri}");
    }
    tenant.publish(&[call_event("CHANNEL_CREATE", "call-1", 1)]).await;
    settled(&tenant, &hook).await;
    assert_eq!(inbox(&tenant, &hook).await.len(), 1);
    let path = format!("/v2/accounts/{}/webhooks/{hook}/inbox", tenant.account);
    assert_eq!(other.call("GET", &path, None).await.status, 403);
    assert_eq!(other.own("GET", &format!("/webhooks/{hook}/inbox"), None).await.status, 404);
    assert_eq!(app.user_of(&tenant, "user").await.call("GET", &path, None).await.status, 403);
    assert_eq!(app.anonymous().call("GET", &path, None).await.status, 401);
    app.stop().await;
}

#[tokio::test]
async fn the_name_of_a_disabled_built_in_receiver_does_not_exist() {
    let mut app = TestApp::with(&["delivery.inbox=false"]).await;
    let hook = app.api.hook(json!({"uri": URI})).await;
    let tested = app.api.own("POST", &format!("/webhooks/{hook}/test"), None).await;
    assert!(tested.data()["client_error"].as_str().unwrap().starts_with("failed_connect"), "{tested:?}");
    assert!(inbox(&app.api, &hook).await.is_empty());
    app.stop().await;
}
