//! Monster UI on a KAZOO of which only the webhooks app's `api_url` points here: a real browser logs in at KAZOO's
//! API and brings KAZOO's token to another origin, with the requests that the app makes.

use std::time::Duration;

use serde_json::{Value, json};

use super::tokens::{API_KEY, Crossbar, Key, LATER};
use crate::support::app::call_event;
use crate::support::browser::Browser;
use crate::support::kazoo::{Kazoo, Version};
use crate::support::process::Process;
use crate::support::receiver::{Mood, Receiver, Request};
use crate::support::wait::eventually;

const PAGE: &str = include_str!("../../clients/webhooks_app.html");
/// The first start of the browser takes some seconds, and minutes on a busy machine.
const WITHIN: Duration = Duration::from_secs(180);

/// The page with its settings, and the paths that it requests.
fn serve_page(server: &Receiver, settings: &Value) {
    let page = PAGE.replace("/*SETTINGS*/ {}", &settings.to_string());
    assert_ne!(page, PAGE);
    server.mood_at("/page", Mood::answer(200, &[("content-type", "text/html; charset=utf-8")], &page));
    server.mood_at("/ready", Mood::Ok);
    server.mood_at("/result", Mood::Ok);
    server.mood_at("/delivered", Mood::status(503));
}

#[tokio::test]
async fn monster_uis_webhooks_app_works_here_with_kazoos_token_while_all_other_apps_use_kazoo() {
    let (kazoo, receiver) = (Kazoo::start(Version::V50).await, Receiver::start().await);
    let account = kazoo.with(|data| data.account(&data.master.clone(), "Lindenhof"));
    let key = Key::new();
    let crossbar = Crossbar::start(&key).await;
    let dir = tempfile::tempdir().unwrap();
    let api_key = dir.path().join("kazoo.key");
    std::fs::write(&api_key, API_KEY).unwrap();
    let settings = [
        format!("auth.kazoo_crossbar={}", crossbar.server.uri("")),
        format!("auth.kazoo_api_key_file={}", api_key.display()),
        format!("kazoo.sync.couch={}", kazoo.uri()),
        "kazoo.sync.hooks=once".to_owned(),
        format!("accounts.master_id={}", kazoo.with(|data| data.master.clone())),
    ];
    let process = Process::serve(&dir.path().join("data"), &settings).await;
    let api = process.api().await;
    eventually("the account is here", WITHIN, async || {
        let shown = api.call("GET", &format!("/v2/accounts/{account}"), None).await;
        (shown.status == 200).then_some(())
    })
    .await;
    let token = key.token(&json!({
        "iss": "kazoo", "account_id": account, "owner_id": "admin", "method": "cb_user_auth", "exp": LATER,
    }));
    let log_in = json!({"auth_token": token, "data": {"account_id": account, "owner_id": "admin"}, "status": "success"});
    crossbar.server.mood_at("/v2/user_auth", Mood::answer(201, &[], &log_in.to_string()));
    let document = kazoo.with(|data| {
        let mut doc = data.doc("accounts", &account).unwrap().clone();
        doc.retain(|name, _| !name.starts_with('_') && !name.starts_with("pvt_"));
        doc.insert("id".into(), json!(account));
        doc.insert("enabled".into(), json!(true));
        doc
    });
    let settings = json!({
        "hooks": format!("http://{}", process.address()), "account": account, "document": document,
        "receiver": receiver.uri("/in"),
    });
    serve_page(&crossbar.server, &settings);
    let _browser = Browser::open(&crossbar.server.uri("/page"));

    let is_told = |told: &[Request], path: &str| told.iter().any(|request| request.path == path);
    let told =
        crossbar.server.wait_until(WITHIN, |seen| is_told(seen, "/ready") || is_told(seen, "/result")).await;
    if is_told(&told, "/ready") {
        api.below(account.clone()).publish(&[call_event("CHANNEL_CREATE", "c@1", 1)]).await;
        let delivered = receiver.wait_for(1, WITHIN).await;
        assert_eq!(delivered[0].header("x-from-form"), Some("yes"), "{delivered:?}");
        crossbar.server.mood_at("/delivered", Mood::Ok);
    }
    let told = crossbar.server.wait_until(WITHIN, |seen| is_told(seen, "/result")).await;
    let result = told.iter().rfind(|request| request.path == "/result");
    let result: Value = serde_json::from_str(result.unwrap().text()).unwrap();
    assert_eq!(result["error"], Value::Null, "{result}");
    assert!(result["steps"].as_array().unwrap().iter().all(|step| step["holds"] == true), "{result}");
    let kept = api.call("GET", &format!("/v2/accounts/{account}"), None).await;
    assert_eq!(kept.data()["ui_flags"]["webhooks"]["groups"], json!({"shop": 1}), "{kept:?}");
    assert_eq!(kept.data()["name"], "Lindenhof");
}
