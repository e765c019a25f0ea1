//! The envelope around answers and requests, over the wire (`docs/kazoo/webhooks.md#the-envelope`,
//! `docs/kazoo/webhooks.md#requests`, `docs/kazoo/webhooks.md#logging-in`).

use serde_json::{Value, json};

use crate::support::app::TestApp;
use crate::support::raw::{Raw, send, send_as};

const JSON: (&str, &str) = ("content-type", "application/json");

fn hook() -> Value {
    json!({"name": "n", "uri": "https://receiver.example/", "hook": "sms"})
}

fn keys(answer: &Raw) -> Vec<String> {
    answer.body().as_object().unwrap().keys().cloned().collect()
}

#[tokio::test]
async fn every_step_in_a_hooks_life_has_kazoos_statuses_headers_and_members() {
    let mut app = TestApp::start().await;
    let api = app.api.clone();
    let hooks = format!("/v2/accounts/{}/webhooks", api.account);
    let id = [("x-request-id", "mine"), JSON];
    let created = send_as(&api, "PUT", &hooks, &id, &json!({"data": hook()}).to_string()).await;
    let one = format!("{hooks}/{}", created.body()["data"]["id"].as_str().unwrap());
    assert_eq!((created.status, created.header("location")), (201, Some(one.as_str())));
    assert_eq!(
        (created.header("x-request-id"), &created.body()["request_id"]),
        (Some("mine"), &json!("mine"))
    );
    for (verb, body) in [
        ("GET", String::new()),
        ("POST", json!({"data": hook()}).to_string()),
        ("PATCH", json!({"data": {"name": "m"}}).to_string()),
        ("DELETE", String::new()),
    ] {
        let answer = send_as(&api, verb, &one, &[JSON], &body).await;
        assert_eq!(answer.status, 200, "{verb} {answer:?}");
        let expected =
            ["data", "revision", "status", "auth_token", "request_id", "node", "version", "timestamp"];
        let found = keys(&answer);
        assert!(expected.iter().all(|key| found.iter().any(|k| k == key)), "{verb} {found:?}");
        let revision = format!("\"{}\"", answer.body()["revision"].as_str().unwrap());
        assert_eq!(answer.header("etag"), Some(revision.as_str()), "{verb}");
        assert_eq!(answer.header("content-type"), Some("application/json"), "{verb}");
        assert!(answer.header("expires").unwrap().contains("1999"), "{verb}");
        let deleted = answer.body()["data"].get("_read_only").cloned();
        assert_eq!(deleted, (verb == "DELETE").then(|| json!({"deleted": true})), "{verb}");
    }
    app.stop().await;
}

#[tokio::test]
async fn the_version_is_shown_only_to_authenticated_clients() {
    let mut app = TestApp::start().await;
    let anonymous = send(&app.api, "GET", "/v2/webhooks", &[], "").await;
    let known = send_as(&app.api, "GET", "/v2/webhooks", &[], "").await;
    assert!(!keys(&anonymous).iter().any(|key| key == "version" || key == "auth_token"));
    assert_eq!(known.body()["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(known.body()["auth_token"], app.api.token());
    app.stop().await;
}

#[tokio::test]
async fn a_post_may_stand_for_any_method_of_the_route() {
    let mut app = TestApp::start().await;
    let api = app.api.clone();
    let hooks = format!("/v2/accounts/{}/webhooks", api.account);
    let tunnel =
        async |path: &str, body: Value| send_as(&api, "POST", path, &[JSON], &body.to_string()).await;
    let created = tunnel(&hooks, json!({"Data": hook(), "VERB": "put"})).await;
    assert_eq!(created.status, 201, "{created:?}");
    let one = format!("{hooks}/{}", created.body()["data"]["id"].as_str().unwrap());
    let listed = tunnel(&hooks, json!({"data": {}, "verb": "get"})).await;
    assert_eq!(listed.body()["page_size"], 1);
    let patched = tunnel(&format!("{one}?verb=patch"), json!({"data": {"name": "m", "group": null}})).await;
    assert_eq!((patched.status, &patched.body()["data"]["name"]), (200, &json!("m")));
    assert_eq!(tunnel(&format!("{one}?verb=DELETE"), json!({"data": {}})).await.status, 200);
    assert_eq!(send_as(&api, "GET", &one, &[], "").await.status, 404);
    let header = [JSON, ("x-http-method-override", "PUT")];
    let ignored = send_as(&api, "POST", &hooks, &header, &json!({"data": hook()}).to_string()).await;
    assert_eq!(ignored.status, 405, "the header is listed and not honoured, as in KAZOO");
    app.stop().await;
}

#[tokio::test]
async fn a_body_declared_as_a_form_may_be_json_or_empty() {
    let mut app = TestApp::start().await;
    let api = app.api.clone();
    let hooks = format!("/v2/accounts/{}/webhooks", api.account);
    let body = json!({"data": hook()}).to_string();
    for content_type in [
        "application/json",
        "application/json; charset=utf-8",
        "APPLICATION/X-JSON",
        "application/x-www-form-urlencoded",
        "application/octet-stream",
    ] {
        let answer = send_as(&api, "PUT", &hooks, &[("content-type", content_type)], &body).await;
        assert_eq!(answer.status, 201, "{content_type}: {answer:?}");
    }
    assert_eq!(send_as(&api, "PUT", &hooks, &[], &body).await.status, 201, "JSON unless it says otherwise");
    let empty = send_as(&api, "PUT", &hooks, &[], "").await;
    assert_eq!(empty.body()["data"].as_object().unwrap().len(), 3, "as empty data: {empty:?}");
    app.stop().await;
}

#[tokio::test]
async fn options_needs_no_token_and_head_sends_no_body() {
    let mut app = TestApp::start().await;
    let api = app.api.clone();
    let hooks = format!("/v2/accounts/{}/webhooks", api.account);
    let asks = [("origin", "https://ui.example"), ("access-control-request-method", "PUT")];
    let options = send(&api, "OPTIONS", &hooks, &asks, "").await;
    assert_eq!((options.status, options.text.as_str()), (200, ""));
    assert_eq!(options.header("access-control-allow-methods"), Some("OPTIONS, GET, PUT, PATCH"));
    assert!(options.header("access-control-allow-headers").unwrap().contains("x-auth-token"));
    assert!(options.header("access-control-expose-headers").unwrap().contains("etag"));
    assert_eq!(options.header("access-control-max-age"), Some("86400"));
    let head = send_as(&api, "HEAD", &hooks, &[], "").await;
    assert_eq!((head.status, head.text.as_str()), (200, ""));
    let across = send_as(&api, "GET", &hooks, &asks[..1], "").await;
    assert_eq!(across.header("access-control-allow-origin"), Some("*"));
    assert_eq!(send_as(&api, "GET", &hooks, &[], "").await.header("access-control-allow-origin"), None);
    app.stop().await;
}

#[tokio::test]
async fn responses_are_indented_or_wrapped_on_request() {
    let mut app = TestApp::start().await;
    let api = app.api.clone();
    for (path, headers) in
        [("/v2/webhooks", &[("x-pretty-print", "true")][..]), ("/v2/webhooks?pretty_print=true", &[])]
    {
        let pretty = send(&api, "GET", path, headers, "").await;
        assert!(pretty.text.starts_with("{\n  \"data\": ["), "{path}: {}", pretty.text);
    }
    let wrapped = send(&api, "GET", "/v2/webhooks?jsonp=show", &[], "").await;
    assert!(wrapped.text.starts_with("show({") && wrapped.text.ends_with(");"), "{wrapped:?}");
    assert_eq!(wrapped.header("content-type"), Some("application/javascript"));
    app.stop().await;
}
