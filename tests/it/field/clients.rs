//! What KAZOO's own clients send: Monster UI of 4.0 to 5.4 and the SDKs, request by request.

use serde_json::{Value, json};

use crate::support::app::{Api, TestApp, call_event};
use crate::support::look::LONG;
use crate::support::raw::send;
use crate::support::receiver::Receiver;

/// MD5 of `alice:correct horse`.
const MD5: &str = "23faea553e61d105a779b78a1f289030";
const JSON: (&str, &str) = ("content-type", "application/json");

/// Creates an account with this realm and a user Alice; returns the ids of both.
async fn alice(app: &TestApp, realm: &str, priv_level: &str) -> (String, String) {
    let account = app.api.account_below(&app.api.account, realm).await;
    let path = format!("/v2/accounts/{account}");
    let answer = app.api.call("PATCH", &path, Some(json!({"data": {"realm": realm}}))).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let user = json!({"username": "alice", "password": "correct horse", "priv_level": priv_level,
        "first_name": "Alice", "last_name": "Bell"});
    let answer = app.api.call("PUT", &format!("{path}/users"), Some(json!({"data": user}))).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    (account, answer.data()["id"].as_str().unwrap().to_owned())
}

/// Logs in as Alice, with further members in `data`.
async fn log_in(app: &TestApp, account: Value) -> (u16, Value) {
    let mut data = json!({"credentials": MD5});
    data.as_object_mut().unwrap().extend(account.as_object().cloned().unwrap());
    let answer = app.anonymous().call("PUT", "/v2/user_auth", Some(json!({"data": data}))).await;
    (answer.status, answer.body)
}

async fn as_alice(app: &TestApp, realm: &str) -> Api {
    let (status, body) = log_in(app, json!({"account_realm": realm})).await;
    assert_eq!(status, 201, "{body}");
    app.anonymous().with_token(body["auth_token"].as_str().unwrap())
}

#[tokio::test]
async fn an_invalid_token_does_not_prevent_a_log_in() {
    let mut app = TestApp::start().await;
    alice(&app, "a.example.com", "admin").await;
    let credentials = json!({"data": {"credentials": MD5, "account_realm": "a.example.com"}}).to_string();
    for token in ["undefined", "null", "NaN", "[object Object]", "a.b", "Bearer x"] {
        let headers = [JSON, ("x-auth-token", token)];
        let answer = send(&app.anonymous(), "PUT", "/v2/user_auth", &headers, &credentials).await;
        assert_eq!(answer.status, 201, "{token}: {answer:?}");
        assert_eq!(send(&app.anonymous(), "GET", "/v2/webhooks", &headers, "").await.status, 200, "{token}");
        assert_eq!(send(&app.anonymous(), "GET", "/v2/account", &headers, "").await.status, 401, "{token}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_user_reads_and_changes_their_own_document_and_not_their_role() {
    let mut app = TestApp::start().await;
    let (account, id) = alice(&app, "a.example.com", "user").await;
    let other = json!({"data": {"username": "bob", "password": "correct horse", "first_name": "B", "last_name": "B"}});
    let other = app.api.call("PUT", &format!("/v2/accounts/{account}/users"), Some(other)).await;
    let user = as_alice(&app, "a.example.com").await;
    let own = format!("/v2/accounts/{account}/users/{id}");
    let read = user.call("GET", &own, None).await;
    assert_eq!((read.status, &read.data()["first_name"]), (200, &json!("Alice")));
    let patch =
        async |path: &str, data: Value| user.call("PATCH", path, Some(json!({"data": data}))).await.status;
    assert_eq!(patch(&own, json!({"first_name": "Alicia", "language": "de-DE"})).await, 200);
    assert_eq!(patch(&own, json!({"priv_level": "user"})).await, 200, "this says what is so");
    assert_eq!(patch(&own, json!({"priv_level": "admin"})).await, 403);
    assert_eq!(patch(&own, json!({"enabled": false})).await, 403);
    let theirs = format!("/v2/accounts/{account}/users/{}", other.data()["id"].as_str().unwrap());
    assert_eq!(
        (patch(&theirs, json!({"first_name": "C"})).await, user.call("GET", &theirs, None).await.status),
        (403, 403)
    );
    assert_eq!(user.call("DELETE", &own, None).await.status, 403);
    assert_eq!(user.call("GET", &format!("/v2/accounts/{account}/users"), None).await.status, 403);
    let read = app.api.call("GET", &own, None).await;
    assert_eq!((&read.data()["first_name"], &read.data()["priv_level"]), (&json!("Alicia"), &json!("user")));
    app.stop().await;
}

#[tokio::test]
async fn children_and_siblings_are_listed_with_their_descendants_and_flags() {
    let mut app = TestApp::start().await;
    let api = &app.api;
    let a = api.account_below(&api.account, "a").await;
    let b = api.account_below(&api.account, "b").await;
    let child = api.account_below(&a, "child").await;
    api.account_below(&child, "grandchild").await;
    let flags = json!({"data": {"flags": ["gold"]}});
    assert_eq!(api.call("PATCH", &format!("/v2/accounts/{a}"), Some(flags)).await.status, 200);
    for path in [format!("/v2/accounts/{}/children", api.account), format!("/v2/accounts/{b}/siblings")] {
        let listed = api.call("GET", &format!("{path}?ascending=true"), None).await;
        let rows = listed.data().as_array().unwrap().iter();
        let rows =
            rows.map(|row| json!([row["id"], row["descendants_count"], row["flags"]])).collect::<Value>();
        assert_eq!(rows, json!([[a, 2, ["gold"]], [b, 0, []]]), "{path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_user_has_a_first_and_a_last_name() {
    let mut app = TestApp::start().await;
    let user = json!({"data": {"username": "bob", "password": "correct horse"}});
    let refused = app.api.own("PUT", "/users", Some(user)).await;
    assert_eq!(refused.status, 400);
    for name in ["first_name", "last_name"] {
        assert!(refused.data()[name]["required"].is_object(), "{refused:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_log_in_names_its_account_by_realm_too_and_a_disabled_one_is_423() {
    let mut app = TestApp::start().await;
    let (account, _) = alice(&app, "a.example.com", "admin").await;
    let key = json!({"data": {"name": "k"}});
    let key = app.api.call("PUT", &format!("/v2/accounts/{account}/api_keys"), Some(key)).await;
    let key = json!({"data": {"api_key": key.data()["api_key"]}});
    assert_eq!(log_in(&app, json!({"realm": "a.example.com"})).await.0, 201);
    let off = json!({"data": {"enabled": false}});
    assert_eq!(app.api.call("PATCH", &format!("/v2/accounts/{account}"), Some(off)).await.status, 200);
    let (status, body) = log_in(&app, json!({"realm": "a.example.com"})).await;
    assert_eq!((status, &body["message"]), (423, &json!("locked")));
    assert!(body["data"]["account"]["disabled"].is_object(), "{body}");
    let (status, _) = log_in(&app, json!({"realm": "a.example.com", "credentials": "0".repeat(32)})).await;
    assert_eq!(status, 401, "only who knows the password learns it");
    assert_eq!(app.anonymous().call("PUT", "/v2/api_auth", Some(key)).await.status, 423);
    app.stop().await;
}

#[tokio::test]
async fn a_log_in_costs_one_token_by_default_or_as_many_as_configured() {
    for (settings, cost) in
        [(vec![], 1), (vec!["rate_limit.log_in_cost=35", "rate_limit.request_cost=2"], 35)]
    {
        let settings = [vec!["rate_limit.burst=100"], settings].concat();
        let mut app = TestApp::with(&settings).await;
        let bad = json!({"data": {"credentials": MD5, "realm": "nobody.example.com"}});
        let answer = app.anonymous().call("PUT", "/v2/user_auth", Some(bad)).await;
        assert_eq!(answer.body["tokens"]["consumed"], cost);
        let answer = app.api.own("GET", "", None).await;
        assert_eq!(answer.body["tokens"]["consumed"], if cost == 1 { 1 } else { 2 });
        app.stop().await;
    }
}

#[tokio::test]
async fn the_headers_of_kazoo_s_form_are_sent_and_checked_like_ours() {
    let mut app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let uri = receiver.uri("/");
    let hook = json!({"uri": uri, "custom_request_headers": {"X-Tenant": "blue", "X-Both": "theirs"},
        "headers": {"x-both": "ours"}});
    app.api.hook(hook).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "c1", 1)]).await;
    let requests = receiver.wait_for(1, LONG).await;
    assert_eq!((requests[0].header("x-tenant"), requests[0].header("x-both")), (Some("blue"), Some("ours")));
    for (name, value) in [("X-Hook-ID", "x"), ("Host", "x"), ("a b", "x"), ("X-Ok", "a\r\nX-Evil: b")] {
        let hook = json!({"data": {"name": "n", "hook": "all", "uri": uri, "custom_request_headers": {name: value}}});
        let refused = app.api.own("PUT", "/webhooks", Some(hook)).await;
        assert_eq!(refused.status, 400, "{name}: {refused:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn the_headers_of_a_callflow_s_webhook_action_are_sent() {
    let mut app = TestApp::start().await;
    let receiver = Receiver::start().await;
    let event = json!({"App-Name": "callflow", "App-Version": "5", "Event-Category": "notification",
        "Event-Name": "webhook", "Msg-ID": "m1", "Account-ID": app.api.account,
        "Hook": {"_id": "1", "uri": receiver.uri("/"), "http_verb": "post", "hook": "callflow", "retries": 2,
            "pvt_account_id": app.api.account,
            "custom_request_headers": {"X-Menu": "3", "Content-Length": "9", "x-hook-id": "forged"}},
        "Data": {"call_id": "c1"}});
    app.api.publish(&[event]).await;
    let requests = receiver.wait_for(1, LONG).await;
    assert_eq!(requests[0].header("x-menu"), Some("3"));
    assert_ne!(requests[0].header("x-hook-id"), Some("forged"));
    app.stop().await;
}

#[tokio::test]
async fn a_post_of_kazoo_s_form_keeps_the_fields_that_the_form_does_not_know() {
    let mut app = TestApp::start().await;
    let own = json!({"ordering": "hook", "success": "2xx", "resume": "held", "timeout_ms": 900, "max_in_flight": 3,
        "rate_limit_per_s": 7, "headers": {"X-A": "b"}, "retry": {"max_attempts": 9}, "secret_overlap_s": 60});
    let mut hook = own.clone();
    hook["uri"] = "http://127.0.0.1:9/".into();
    hook["group"] = "theirs".into();
    hook["secret"] = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIz".into();
    let id = app.api.hook(hook).await;
    let form = json!({"name": "renamed", "hook": "channel_create", "uri": "http://127.0.0.1:9/", "http_verb": "get",
        "retries": "3", "enabled": true});
    let post = async |form: &Value| {
        let answer = app.api.own("POST", &format!("/webhooks/{id}"), Some(json!({"data": form}))).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.data().clone()
    };
    let after = post(&form).await;
    for (field, value) in own.as_object().unwrap() {
        assert_eq!(&after[field], value, "{field}");
    }
    assert!(after["secret"].is_string() && after["group"].is_null(), "{after}");
    let mut named = form.clone();
    named["ordering"] = "none".into();
    named["retry"] = Value::Null;
    let after = post(&named).await;
    assert_eq!(
        (&after["ordering"], &after["retry"], &after["timeout_ms"]),
        (&json!("none"), &Value::Null, &json!(900))
    );
    app.stop().await;
}

#[tokio::test]
async fn after_a_reload_the_user_interface_finds_the_holder_of_its_token() {
    let mut app = TestApp::start().await;
    let (account, id) = alice(&app, "a.example.com", "user").await;
    let user = as_alice(&app, "a.example.com").await;
    let token = user.token().to_owned();
    let anonymous = app.anonymous();
    let post = async |token: &str| {
        anonymous.call("POST", "/v2/auth/tokeninfo", Some(json!({"data": {"token": token}}))).await
    };
    let get = anonymous.call("GET", &format!("/v2/auth/tokeninfo?token={token}"), None).await;
    for answer in [post(&token).await, get] {
        assert_eq!(answer.status, 200, "{answer:?}");
        let data = answer.data();
        assert_eq!((&data["account_id"], &data["owner_id"]), (&json!(account), &json!(id)));
        assert_eq!(
            (&data["account_name"], &data["is_master_account"]),
            (&json!("a.example.com"), &json!(false))
        );
    }
    assert_eq!((post("undefined").await.status, post(&format!("{token}x")).await.status), (401, 401));
    assert_eq!(anonymous.call("GET", "/v2/auth/tokeninfo", None).await.status, 400);
    assert_eq!(user.call("DELETE", "/v2/token_auth", None).await.status, 200);
    assert_eq!(post(&token).await.status, 401, "a revoked token is nobody's");
    app.stop().await;
}

#[tokio::test]
async fn the_user_interface_finds_the_apps_that_run_without_a_kazoo() {
    let mut app = TestApp::start().await;
    let (account, _) = alice(&app, "a.example.com", "user").await;
    let user = as_alice(&app, "a.example.com").await;
    let path = format!("/v2/accounts/{account}/apps_store");
    let apps = user.call("GET", &path, None).await;
    let names: Vec<_> = apps.data().as_array().unwrap().iter().map(|app| app["name"].clone()).collect();
    assert_eq!(names, ["webhooks", "accounts"]);
    for app in apps.data().as_array().unwrap() {
        let id = app["id"].as_str().unwrap();
        assert!(id.len() == 32 && id.chars().all(|digit| digit.is_ascii_hexdigit()), "{app}");
    }
    assert_eq!(app.anonymous().call("GET", &path, None).await.status, 401);
    app.stop().await;
}

#[tokio::test]
async fn every_request_of_the_user_interface_for_an_account_is_answered_without_a_kazoo() {
    let mut app = TestApp::start().await;
    let (account, _) = alice(&app, "a.example.com", "user").await;
    let user = as_alice(&app, "a.example.com").await;
    let path = |below: &str| format!("/v2/accounts/{account}/{below}");
    for (below, data) in [
        ("alerts", json!([])),
        ("apps_store/blacklist", json!({"blacklist": []})),
        ("ledgers/total", json!({"amount": 0})),
        ("limits", json!({})),
        ("multi_factor", json!({"configured": [], "multi_factor_providers": []})),
        ("phone_numbers", json!({"numbers": {}})),
        ("phone_numbers/classifiers", json!({})),
        ("security", json!({"account": {}, "inherited_config": {}})),
    ] {
        let answer = user.call("GET", &path(below), None).await;
        assert_eq!((answer.status, answer.data()), (200, &data), "{below}");
        assert_eq!(app.anonymous().call("GET", &path(below), None).await.status, 401, "{below}");
        let elsewhere = format!("/v2/accounts/{}/{below}", app.api.account);
        assert_eq!(user.call("GET", &elsewhere, None).await.status, 403, "{below}");
    }
    // The accounts app opens no account without a call flow for unassigned numbers.
    let flows = user.call("GET", &path("callflows?filter_numbers=no_match"), None).await;
    assert_eq!(flows.data()[0]["numbers"], json!(["no_match"]));
    let flow = path(&format!("callflows/{}", flows.data()[0]["id"].as_str().unwrap()));
    let flow = user.call("GET", &flow, None).await;
    assert_eq!((flow.status, &flow.data()["flow"]["module"]), (200, &json!("none")));
    assert_eq!(user.call("GET", &path("callflows/other"), None).await.status, 404);
    // Its wizard creates that flow, and then finds it; no other flow can be created.
    let made = |numbers: Value| Some(json!({"data": {"numbers": numbers, "flow": {"module": "offnet"}}}));
    let flow = app.api.call("PUT", &path("callflows"), made(json!(["no_match"]))).await;
    assert_eq!((flow.status, &flow.data()["flow"]["module"]), (201, &json!("none")), "{flow:?}");
    assert_eq!(app.api.call("PUT", &path("callflows"), made(json!(["no_match", "1234"]))).await.status, 403);
    app.stop().await;
}

#[tokio::test]
async fn documents_that_only_a_kazoo_stores_are_refused_explicitly() {
    let mut app = TestApp::start().await;
    for (method, below) in
        [("PUT", "callflows"), ("POST", "callflows/c"), ("POST", "limits"), ("POST", "apps_store/blacklist")]
    {
        let refused = app.api.own(method, &format!("/{below}"), Some(json!({"data": {}}))).await;
        assert_eq!(refused.status, 403, "{below}: {refused:?}");
        assert!(refused.data()["message"].as_str().unwrap().contains("does not route calls"), "{refused:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn a_log_in_page_that_requests_its_branding_gets_404() {
    let mut app = TestApp::start().await;
    for below in ["", "/icon", "/logo", "/welcome"] {
        let answer = app.anonymous().call("GET", &format!("/v2/whitelabel/127.0.0.1{below}"), None).await;
        assert_eq!(answer.status, 404, "a 401 would be taken for a log-in that has ended: {answer:?}");
    }
    app.stop().await;
}
