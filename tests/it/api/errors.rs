//! Every refusal that KAZOO's clients know, with its status, name and details (`docs/kazoo/webhooks.md#refusals`):
//! the rows of `tests/fixtures/api_errors.json`, and the order in which refusals come.

use serde_json::{Value, json};

use crate::support::app::{Api, MASTER_KEY, TestApp};
use crate::support::look::LONG;
use crate::support::raw::{send, send_as};
use crate::support::wait::eventually;

const JSON: &[(&str, &str)] = &[("content-type", "application/json")];

/// A text of the table, with the ids of this run.
fn filled(text: &str, ids: &[(&str, String)]) -> String {
    ids.iter().fold(text.to_owned(), |text, (name, id)| text.replace(&format!("{{{name}}}"), id))
}

/// One row of the table: the request and the expected response.
async fn check(api: &Api, row: &Value, ids: &[(&str, String)]) {
    let (verb, path) = (row["verb"].as_str().unwrap(), filled(row["path"].as_str().unwrap(), ids));
    let given = row["headers"].as_object().cloned().unwrap_or_default();
    let headers: Vec<_> =
        given.iter().map(|(name, value)| (name.as_str(), value.as_str().unwrap())).collect();
    let body = match &row["body"] {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        json => filled(&json.to_string(), ids),
    };
    let answer = send_as(api, verb, &path, &headers, &body).await;
    assert_eq!(answer.status, row["status"], "{verb} {path}: {answer:?}");
    if row["message"].is_null() {
        assert_eq!(answer.text, "", "{verb} {path}");
        return;
    }
    let found = answer.body();
    let data: Value = serde_json::from_str(&filled(&row["data"].to_string(), ids)).unwrap();
    assert_eq!((&found["message"], &found["data"]), (&row["message"], &data), "{verb} {path}");
    assert_eq!((&found["status"], &found["error"]), (&json!("error"), &json!(row["status"].to_string())));
    assert_eq!(found["request_id"].as_str(), answer.header("x-request-id"), "{verb} {path}");
    assert!(found["node"].is_string() && found["timestamp"].is_string(), "{verb} {path}");
    assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{verb} {path}");
}

#[tokio::test]
async fn every_refusal_is_kazoos_and_names_the_error() {
    let settings = ["http.max_body_bytes=2000", "http.max_page_size=2", "http.page_size=2"];
    let mut app = TestApp::with(&settings).await;
    let api = app.api.clone();
    let receiver = || json!({"uri": "https://receiver.example/"});
    let (hook, gone) = (api.hook(receiver()).await, api.hook(receiver()).await);
    assert_eq!(api.own("DELETE", &format!("/webhooks/{gone}"), None).await.status, 200);
    for _ in 0..2 {
        api.hook(receiver()).await;
    }
    let child = api.account_below(&api.account, "child").await;
    let foreign = api.hook_of(&child, receiver()).await;
    let hooks = format!("/v2/accounts/{}/webhooks", api.account);
    let ids = [("hooks", hooks), ("hook", hook), ("gone", gone), ("foreign", foreign)];
    let table: Vec<Value> = serde_json::from_str(include_str!("../../fixtures/api_errors.json")).unwrap();
    for row in &table {
        check(&api, row, &ids).await;
    }
    app.stop().await;
}

#[tokio::test]
async fn the_caller_is_refused_before_the_request_is_examined() {
    let mut app = TestApp::start().await;
    let api = app.api.clone();
    let hooks = format!("/v2/accounts/{}/webhooks", api.account);
    let unknown = (401, json!("invalid_credentials"), json!({"message": "invalid credentials"}));
    for (headers, path, expected) in [
        (&[][..], &hooks, &unknown),
        (&[("x-auth-token", "nonsense")], &hooks, &unknown),
        (&[("authorization", "Bearer nonsense")], &hooks, &unknown),
        (&[("x-auth-token", "nonsense")], &"/v2/nothing".to_owned(), &unknown),
        (&[], &"/v1/accounts".to_owned(), &(410, json!("gone"), Value::Null)),
        (&[], &"/v2/nothing".to_owned(), &(404, json!("not_found"), json!({"message": "not found"}))),
    ] {
        let answer = send(&api, "GET", path, headers, "").await;
        let mut body = answer.body();
        if expected.2.is_null() {
            body["data"] = Value::Null;
        }
        assert_eq!(
            &(answer.status, body["message"].clone(), body["data"].clone()),
            expected,
            "{path} {headers:?}"
        );
        assert!(body.get("version").is_none() && body.get("auth_token").is_none(), "{body}");
    }
    let malformed = send(&api, "PUT", &hooks, JSON, "{\"data\":").await;
    let reason = malformed.body()["data"]["json"]["invalid"].clone();
    assert_eq!(
        (malformed.status, &reason["target"]),
        (400, &json!("body")),
        "the body comes before the token"
    );
    assert!(reason["message"].as_str().unwrap().contains(" around "), "{reason}");
    app.stop().await;
}

#[tokio::test]
async fn an_expired_token_is_distinguished_from_a_wrong_one() {
    let mut app = TestApp::with(&["auth.token_expiry_s=1"]).await;
    let path = format!("/v2/accounts/{}", app.api.account);
    let refused = eventually("the token expires", LONG, || async {
        let answer = app.api.call("GET", &path, None).await;
        (answer.status == 401).then_some(answer)
    })
    .await;
    assert_eq!((&refused.body["message"], refused.data()), (&json!("invalid credentials"), &json!({})));
    let fresh = app.client_with(MASTER_KEY).await;
    assert_ne!(fresh.token(), app.api.token());
    app.stop().await;
}
