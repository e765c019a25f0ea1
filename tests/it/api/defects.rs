//! Defects of KAZOO (`docs/kazoo/webhooks.md#defects-that-clients-find-mended`) that Switchhook does not have.

use serde_json::{Value, json};

use crate::support::app::{TestApp, call_event};
use crate::support::look::{LONG, document, patch, queue_when, settled};
use crate::support::raw::send_as;
use crate::support::receiver::{Mood, Receiver};

#[tokio::test]
async fn another_accounts_hook_is_unknown_to_every_method() {
    let mut app = TestApp::start().await;
    let api = app.api.clone();
    let child = api.account_below(&api.account, "child").await;
    let foreign = api.hook_of(&child, json!({"uri": "https://receiver.example/"})).await;
    for (verb, rest) in [
        ("GET", ""),
        ("POST", ""),
        ("PATCH", ""),
        ("DELETE", ""),
        ("GET", "/queue"),
        ("GET", "/replay"),
        ("POST", "/replay"),
    ] {
        let data =
            json!({"name": "mine now", "uri": "https://evil.example/", "hook": "all", "from_offset": 0});
        let body = (verb != "GET").then(|| json!({ "data": data }));
        let answer = api.own(verb, &format!("/webhooks/{foreign}{rest}"), body).await;
        assert_eq!(
            (answer.status, &answer.body["message"]),
            (404, &json!("bad_identifier")),
            "{verb} {rest}"
        );
    }
    let kept = api.call("GET", &format!("/v2/accounts/{child}/webhooks/{foreign}"), None).await;
    assert_eq!(kept.data()["uri"], "https://receiver.example/");
    app.stop().await;
}

#[tokio::test]
async fn a_body_that_is_too_large_is_answered_with_413() {
    let mut app = TestApp::with(&["http.max_body_bytes=1024"]).await;
    let hooks = format!("/v2/accounts/{}/webhooks", app.api.account);
    let body = json!({"data": {"name": "x".repeat(2000)}}).to_string();
    let refused = send_as(&app.api, "PUT", &hooks, &[], &body).await;
    let expected =
        json!({"file": {"maxSize": {"message": "at most 1024 bytes are allowed", "target": 1024}}});
    assert_eq!((refused.status, &refused.body()["data"]), (413, &expected));
    app.stop().await;
}

#[tokio::test]
async fn the_reason_of_a_disabled_hook_is_in_every_answer_and_never_stored() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(500));
    let set = ["disable.failure_count=1", "disable.probe_initial_ms=600000", "disable.probe_max_ms=600000"];
    let mut app = TestApp::with(&set).await;
    let api = app.api.clone();
    let hook = api.hook(json!({"uri": receiver.uri("/"), "retries": 1})).await;
    api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    queue_when(&api, &hook, "the hook is disabled", |q| q["state"] == "auto_disabled").await;
    let reason = json!("too many failed attempts");
    let shown = async || {
        let list = api.own("GET", "/webhooks", None).await.data()[0]["disable_reason"].clone();
        (list, document(&api, &hook).await["disable_reason"].clone())
    };
    crate::support::wait::eventually("the document says it too", LONG, || async {
        (shown().await == (reason.clone(), reason.clone())).then_some(())
    })
    .await;
    // KAZOO stores the reason with the next patch, and shows it for ever.
    assert_eq!(patch(&api, &hook, json!({"name": "renamed"})).await["disable_reason"], reason);
    // Waiting deliveries follow as soon as the hook is enabled, and must not disable it again.
    receiver.mood(Mood::Ok);
    let mut posted = document(&api, &hook).await;
    posted["enabled"] = true.into();
    let answer = api.own("POST", &format!("/webhooks/{hook}"), Some(json!({ "data": posted }))).await;
    assert_eq!((answer.status, answer.data().get("disable_reason")), (200, None));
    assert_eq!(shown().await, (Value::Null, Value::Null));
    app.stop().await;
}

#[tokio::test]
async fn a_hook_that_is_created_disabled_gets_nothing() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let api = app.api.clone();
    let off = api.hook(json!({"uri": receiver.uri("/off"), "enabled": false})).await;
    let on = api.hook(json!({"uri": receiver.uri("/on"), "enabled": "true"})).await;
    assert_eq!(document(&api, &off).await["enabled"], false);
    api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    receiver.wait_for(1, LONG).await;
    settled(&api, &on).await;
    assert!(receiver.requests_at("/off").is_empty());
    app.stop().await;
}

#[tokio::test]
async fn no_spelling_of_an_address_passes_the_guard() {
    let mut app = TestApp::with(&["delivery.allow_addresses=[]"]).await;
    let api = app.api.clone();
    for uri in [
        "http://user:pw@127.0.0.1/",
        "http://user@127.0.0.1/",
        "http://example.com@127.0.0.1/",
        "http://example.com:80@localhost/",
        "http://127.0.0.2/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://127.1/",
        "http://[::1]/",
        "http://[::ffff:127.0.0.1]/",
        "http://10.0.0.1/",
        "http://169.254.169.254/latest",
        "http://LOCALHOST./",
        "ftp://example.com/",
        "HTTP://example.com/",
        "",
    ] {
        let data = json!({"name": "n", "hook": "sms", "uri": uri});
        let answer = api.own("PUT", "/webhooks", Some(json!({ "data": data }))).await;
        let error = &answer.data()["uri"]["error"];
        // Credentials are not shown again.
        let shown =
            uri.split_once('@').map_or_else(|| uri.to_owned(), |(_, host)| format!("http://***@{host}"));
        let said = (answer.status, &error["message"], &error["value"]);
        assert_eq!(said, (400, &json!("invalid client URL"), &json!(shown)), "{uri}");
        // The URI is correct, so the refusal must name the reason.
        let cause = error["cause"].as_str().unwrap_or_default();
        assert_eq!(cause.contains("delivery.allow_addresses"), uri.starts_with("http://"), "{uri}: {cause}");
    }
    let number = json!({"data": {"name": "n", "hook": "sms", "uri": 5}});
    let answer = api.own("PUT", "/webhooks", Some(number)).await;
    assert_eq!(
        (answer.status, &answer.data()["uri"]["type"]["target"]),
        (400, &json!("string")),
        "500 in KAZOO"
    );
    app.stop().await;
}
