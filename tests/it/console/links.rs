//! Links that open the console without a password: once, for a short time, and never with more rights than those
//! of their creator.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};
use switchhook::model::Clock;

use super::browser::Browser;
use crate::support::app::{Answer, Api, TestApp};

async fn link(api: &Api, account: &str, data: Value) -> Value {
    let path = format!("/v2/accounts/{account}/console_links");
    let made = api.call("POST", &path, Some(json!({"data": data}))).await;
    assert_eq!(made.status, 201, "{made:?}");
    made.data().clone()
}

async fn redeem(app: &TestApp, code: &Value) -> Answer {
    app.anonymous().call("PUT", "/v2/console_auth", Some(json!({"data": {"code": code}}))).await
}

/// A client with the token of an opened link.
async fn opened(app: &TestApp, tenant: &Api, code: &Value) -> Api {
    let answer = redeem(app, code).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    assert_eq!(answer.data()["account_id"], json!(tenant.account));
    tenant.clone().with_token(answer.body["auth_token"].as_str().unwrap())
}

async fn sees(api: &Api) -> u16 {
    api.own("GET", "/webhooks/status", None).await.status
}

#[tokio::test]
async fn a_link_can_be_opened_once_and_only_for_a_limited_time() {
    let now_us = Arc::new(AtomicU64::new(1_800_000_000_000_000));
    let shown = Arc::clone(&now_us);
    let clock = Clock::new(move || shown.load(Ordering::Relaxed));
    let mut app = TestApp::with_clock(&[], clock).await;
    let tenant = app.api.tenant("tenant").await;
    let one = link(&app.api, &tenant.account, json!({})).await;
    assert_eq!(one["path"], format!("/console/link/{}", one["code"].as_str().unwrap()));
    assert_eq!(redeem(&app, &json!("0".repeat(96))).await.status, 401);
    let mut wrong = one["code"].as_str().unwrap().to_owned();
    wrong.replace_range(95..96, if wrong.ends_with('0') { "1" } else { "0" });
    assert_eq!(redeem(&app, &json!(wrong)).await.status, 401);
    let guest = opened(&app, &tenant, &one["code"]).await;
    assert_eq!(sees(&guest).await, 200);
    assert_eq!(redeem(&app, &one["code"]).await.status, 401, "it was used");
    let late = link(&app.api, &tenant.account, json!({"expires_in_s": 5})).await;
    now_us.fetch_add(5_000_000, Ordering::Relaxed);
    assert_eq!(redeem(&app, &late["code"]).await.status, 401, "its time is over");
    app.restart(None).await;
    let again = app.anonymous().with_token(guest.token()).below(tenant.account.clone());
    assert_eq!(sees(&again).await, 200, "what it opened stays over a restart");
    for data in [
        json!({"expires_in_s": 0}),
        json!({"expires_in_s": 3601}),
        json!({"role": "god"}),
        json!({"user_id": "x"}),
    ] {
        let path = format!("/v2/accounts/{}/console_links", tenant.account);
        let refused = app.api.call("POST", &path, Some(json!({"data": data}))).await;
        assert_eq!(refused.status, 400, "{data}: {refused:?}");
    }
    app.stop().await;
}

#[tokio::test]
async fn an_account_has_a_limited_number_of_links_that_can_be_used_and_expired_ones_do_not_count() {
    let now_us = Arc::new(AtomicU64::new(1_800_000_000_000_000));
    let shown = Arc::clone(&now_us);
    let mut app =
        TestApp::with_clock(&["rate_limit.burst=0"], Clock::new(move || shown.load(Ordering::Relaxed))).await;
    let tenant = app.api.tenant("tenant").await;
    let first = link(&app.api, &tenant.account, json!({})).await;
    let guest = opened(&app, &tenant, &first["code"]).await;
    for _ in 0..100 {
        link(&app.api, &tenant.account, json!({"expires_in_s": 30})).await;
    }
    let path = format!("/v2/accounts/{}/console_links", tenant.account);
    let refused = app.api.call("POST", &path, Some(json!({"data": {}}))).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    now_us.fetch_add(31_000_000, Ordering::Relaxed);
    let made = link(&app.api, &tenant.account, json!({})).await;
    let left = app.api.call("GET", &path, None).await;
    assert_eq!(left.data().as_array().unwrap().len(), 2, "the used one and the new one: {left:?}");
    let listed = left.data().as_array().unwrap().iter().find(|row| row["id"] == made["id"]).unwrap().clone();
    let revoked = app.api.call("DELETE", &format!("{path}/{}", made["id"].as_str().unwrap()), None).await;
    assert_eq!(revoked.data()["expires"], listed["expires"]);
    assert_eq!(sees(&guest).await, 200, "the session of the used one goes on");
    app.stop().await;
}

#[tokio::test]
async fn a_link_gives_no_more_rights_than_its_scope_and_ends_with_those_of_its_creator() {
    let mut app = TestApp::start().await;
    let (tenant, key) = app.api.tenant_and_key("tenant").await;
    let other = app.api.tenant("other").await;
    let below = tenant.account_below(&tenant.account, "below").await;
    // A plain guest can read and change nothing.
    let guest = opened(&app, &tenant, &link(&tenant, &tenant.account, json!({})).await["code"]).await;
    let hook = tenant.hook(json!({"uri": "http://127.0.0.1:9/?k=s3cret"})).await;
    let shown = guest.own("GET", &format!("/webhooks/{hook}"), None).await;
    assert!(shown.status == 200 && !shown.body.to_string().contains("s3cret"), "{shown:?}");
    for (verb, path) in [("DELETE", format!("/webhooks/{hook}")), ("POST", "/console_links".to_owned())] {
        assert_eq!(guest.own(verb, &path, Some(json!({"data": {}}))).await.status, 403, "{verb} {path}");
    }
    let admin = link(&tenant, &tenant.account, json!({"role": "admin"})).await;
    let admin = opened(&app, &tenant, &admin["code"]).await;
    assert_eq!(admin.own("POST", &format!("/webhooks/{hook}/pause"), None).await.status, 200);
    let chain = admin.own("POST", "/console_links", Some(json!({"data": {}}))).await;
    assert_eq!(chain.status, 403, "a link makes no links: {chain:?}");
    for account in [&other.account, &app.api.account] {
        let path = format!("/v2/accounts/{account}/webhooks/status");
        assert_eq!(admin.call("GET", &path, None).await.status, 403);
        let path = format!("/v2/accounts/{account}/console_links");
        assert_eq!(tenant.call("POST", &path, Some(json!({"data": {}}))).await.status, 403);
    }
    // The link of a user has the user's rights and ends with the user.
    let user = json!({"username": "u", "password": "correct horse", "priv_level": "user", "first_name": "A", "last_name": "B"});
    let made = tenant.own("PUT", "/users", Some(json!({"data": user}))).await;
    let id = made.data()["id"].clone();
    let as_user = link(&tenant, &tenant.account, json!({"user_id": id, "role": "admin"})).await;
    let as_user = opened(&app, &tenant, &as_user["code"]).await;
    assert_eq!(as_user.own("POST", &format!("/webhooks/{hook}/resume"), None).await.status, 403);
    assert_eq!(sees(&as_user).await, 200);
    let gone = tenant.own("DELETE", &format!("/users/{}", id.as_str().unwrap()), None).await;
    assert_eq!((gone.status, sees(&as_user).await), (200, 401));
    // A revoked link ends, used or not.
    let revoked = link(&tenant, &tenant.account, json!({})).await;
    let session = opened(&app, &tenant, &revoked["code"]).await;
    let path = format!("/console_links/{}", revoked["id"].as_str().unwrap());
    assert_eq!(other.own("DELETE", &path, None).await.status, 404);
    assert_eq!(tenant.own("DELETE", &path, None).await.status, 200);
    assert_eq!(sees(&session).await, 401);
    let listed = tenant.own("GET", "/console_links", None).await;
    assert_eq!(listed.data().as_array().unwrap().len(), 3, "{listed:?}");
    assert!(!listed.body.to_string().contains("hash"), "{listed:?}");
    // The audit trail has the links without their codes.
    let trail = tenant.own("GET", "/audit?filter_kind=link", None).await.body.to_string();
    assert!(trail.contains("link") && !trail.contains(revoked["code"].as_str().unwrap()), "{trail}");
    // All links that were created with a key end with it, and no others.
    let of_below = link(&app.api, &below, json!({})).await;
    assert_eq!(app.api.call("POST", &format!("{key}/rotate"), Some(json!({"data": {}}))).await.status, 200);
    assert_eq!((sees(&guest).await, sees(&admin).await), (401, 401));
    let below = tenant.below(below);
    assert_eq!(sees(&opened(&app, &below, &of_below["code"]).await).await, 200);
    app.stop().await;
}

#[tokio::test]
async fn the_link_of_a_disabled_account_is_not_used_up() {
    let mut app = TestApp::start().await;
    let tenant = app.api.tenant("tenant").await;
    let made = link(&app.api, &tenant.account, json!({})).await;
    let path = format!("/v2/accounts/{}", tenant.account);
    let set = async |enabled: bool| {
        let data = json!({"data": {"enabled": enabled}});
        assert_eq!(app.api.call("PATCH", &path, Some(data)).await.status, 200);
    };
    set(false).await;
    assert_eq!(redeem(&app, &made["code"]).await.status, 423);
    let browser = Browser::new(app.address());
    let page = browser.post(made["path"].as_str().unwrap(), &[]).await;
    assert!(page.status == 423 && page.set_cookie.is_empty() && page.says("disabled"), "{page:?}");
    let wrong = format!("{}{}", made["id"].as_str().unwrap(), "0".repeat(64));
    assert_eq!(redeem(&app, &json!(wrong)).await.status, 401, "a guess learns nothing about the account");
    set(true).await;
    assert_eq!(sees(&opened(&app, &tenant, &made["code"]).await).await, 200);
    app.stop().await;
}

#[tokio::test]
async fn who_came_by_a_plain_link_leaves_nothing_behind() {
    let mut app = TestApp::start().await;
    let tenant = app.api.tenant("tenant").await;
    let user = app.user_of(&tenant, "paul").await;
    let users = tenant.own("GET", "/users", None).await;
    let id = users.data()[0]["id"].clone();
    let made = link(&tenant, &tenant.account, json!({"user_id": id})).await;
    let guest = opened(&app, &tenant, &made["code"]).await;
    let path = format!("/users/{}", id.as_str().unwrap());
    assert_eq!(guest.own("GET", &path, None).await.status, 200);
    // With a password of their own they could come back when the link has ended.
    for verb in ["PATCH", "POST"] {
        let data =
            json!({"username": "paul", "password": "another horse", "first_name": "A", "last_name": "B"});
        assert_eq!(guest.own(verb, &path, Some(json!({"data": data}))).await.status, 403, "{verb}");
    }
    let data = json!({"data": {"email": "paul@example.com"}});
    assert_eq!(user.own("PATCH", &path, Some(data)).await.status, 200, "the user themselves may");
    app.stop().await;
}
