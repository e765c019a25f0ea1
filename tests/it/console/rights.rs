//! What people of limited rights see and may send: no secret that a receiver repeats, no form that would be refused,
//! and nothing of accounts above.

use std::net::SocketAddr;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::browser::Browser;
use crate::support::app::{Api, TestApp, call_event};
use crate::support::look::LONG;
use crate::support::receiver::{Mood, Receiver, Request};
use crate::support::wait::eventually;
use crate::support::websocket::Client;

/// A browser with the token of an API client.
fn browser_of(app: &TestApp, api: &Api) -> Browser {
    let mut browser = Browser::new(app.address());
    browser.cookie = format!("switchhook_console={}", api.token());
    browser
}

/// A page for debugging, as many frameworks show it when they fail.
fn echo(request: &Request) -> Mood {
    let headers: Vec<String> =
        request.headers.iter().map(|(name, value)| format!("{name}: {value}")).collect();
    let (path, query) = (&request.path, &request.query);
    let body = format!("failed at {path}?{query}\n{}\n{}", headers.join("\n"), request.text());
    Mood::answer(500, &[("server", "for s3cret-header")], &body)
}

async fn attempts_when(api: &Api, hook: &str, count: usize) -> Vec<Value> {
    eventually("the attempts are listed", LONG, || async {
        let answer = api.own("GET", &format!("/webhooks/{hook}/attempts"), None).await;
        let rows = answer.data().as_array().unwrap().clone();
        (rows.len() == count).then_some(rows)
    })
    .await
}

#[tokio::test]
async fn a_plain_user_sees_no_secret_that_a_receiver_repeats() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::by(echo));
    let mut app = TestApp::with(&["disable.failure_count=0"]).await;
    let tenant = app.api.tenant("acme").await;
    let uri = receiver.uri("/calls?key=s3cret-query").replace("http://", "http://mary:s3cret-pass@");
    for (format, verb) in [("json", "post"), ("form-data", "post"), ("form-data", "get")] {
        let hook = tenant
            .hook(json!({
                "uri": uri, "format": format, "http_verb": verb, "retries": 1, "secret": null,
                "headers": {"x-one": "Bearer s3cret-header", "x-two": "s3cret two"},
                "custom_data": {
                    "password": "s3cret-data", "back": "https://me:s3cret-back@x.example/?k=s3cret-back", "plain": "visible",
                },
            }))
            .await;
        tenant.publish(&[call_event("CHANNEL_CREATE", "call-1", 1)]).await;
        let row = attempts_when(&tenant, &hook, 1).await.remove(0);
        let repeated = row["resp_body"].as_str().unwrap();
        assert!(repeated.contains("s3cret-query") && repeated.contains("s3cret-header"), "{repeated}");
        let user = app.user_of(&tenant, &format!("{format}{verb}")).await;
        let (browser, delivery) = (browser_of(&app, &user), row["delivery_id"].as_str().unwrap());
        let page = format!("/console/accounts/{}/hooks/{hook}", tenant.account);
        for path in [page.clone(), format!("{page}?tab=settings"), format!("{page}/attempts/{delivery}")] {
            let shown = browser.get(&path).await;
            assert_eq!(shown.status, 200, "{path}");
            assert!(!shown.says("s3cret"), "{format} {verb} {path}: {}", shown.text);
        }
        for path in ["attempts".to_owned(), format!("{hook}/attempts"), format!("{hook}/attempts/{delivery}")]
        {
            let shown = user.own("GET", &format!("/webhooks/{path}"), None).await;
            let text = shown.body.to_string();
            assert!(shown.status == 200 && !text.contains("s3cret"), "{format} {verb} {path}: {text}");
            assert!(text.contains("failed at /calls?key=***"), "the rest is shown: {text}");
        }
        let sought =
            user.own("GET", "/webhooks/attempts?filter_resp_headers.server=for%20s3cret-header", None).await;
        assert_eq!(sought.data(), &json!([]), "a filter sees no more");
        assert_eq!(tenant.own("DELETE", &format!("/webhooks/{hook}"), None).await.status, 200);
    }
    app.stop().await;
}

/// A server that is none, and sends back what it gets.
async fn parrot() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    #[expect(clippy::disallowed_methods, reason = "it ends with the test's runtime")]
    tokio::spawn(async move {
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut buffer = [0; 4096];
            let got = socket.read(&mut buffer).await.unwrap_or(0);
            let _sent = socket.write_all(&buffer[..got]).await;
        }
    });
    address
}

#[tokio::test]
async fn a_plain_user_sees_no_secret_in_what_was_no_answer() {
    let mut app = TestApp::with(&["disable.failure_count=0"]).await;
    let tenant = app.api.tenant("acme").await;
    let user = app.user_of(&tenant, "paul").await;
    let address = parrot().await;
    // The excerpt of the second one ends within the secret.
    for key in ["s3cret-query", &format!("s3cret-{}", "x".repeat(100))] {
        let hook = tenant.hook(json!({"uri": format!("http://{address}/?key={key}"), "retries": 1})).await;
        let mut client = Client::connect(app.websocket(), user.token()).await;
        client.subscribe(&tenant.account, "webhook.attempt.*", Value::Null).await;
        tenant.publish(&[call_event("CHANNEL_CREATE", "call-1", 1)]).await;
        let told = client.event().await;
        let listed = attempts_when(&tenant, &hook, 1).await.remove(0);
        assert!(listed["client_error_detail"].as_str().unwrap().contains("/?key=s3cret"), "{listed}");
        let seen = attempts_when(&user, &hook, 1).await.remove(0);
        for shown in [&told["data"], &seen] {
            assert_eq!(shown["client_error"], "not_http", "{shown}");
            let text = shown.to_string();
            assert!(text.contains("/?key=***") && !text.contains("s3cret"), "{text}");
        }
        assert_eq!(tenant.own("DELETE", &format!("/webhooks/{hook}"), None).await.status, 200);
    }
    app.stop().await;
}

#[tokio::test]
async fn no_form_that_would_be_refused_is_shown_or_counted() {
    let app = TestApp::start().await;
    let tenant = app.api.tenant("acme").await;
    let hook = tenant.hook(json!({"name": "theirs", "uri": "http://127.0.0.1:9/"})).await;
    let browser = browser_of(&app, &app.user_of(&tenant, "paul").await);
    let account = format!("/console/accounts/{}", tenant.account);
    let marked = format!("{}/{hook}", tenant.account);
    for (path, fields) in [
        (format!("{account}/hooks/new"), vec![("do", "preview"), ("hook", "all")]),
        (format!("{account}/hooks/{hook}/edit"), vec![("do", "preview")]),
        (format!("{account}/hooks/{hook}/replay"), vec![("only", "all")]),
        (format!("{account}/bulk"), vec![("action", "pause"), ("hook", marked.as_str())]),
        (format!("{account}/bulk"), vec![("action", "pause"), ("which", "all")]),
        (format!("{account}/bulk"), vec![("action", "pause"), ("hook", marked.as_str()), ("do", "apply")]),
    ] {
        let got = browser.submit("/console/", &path, &fields).await;
        assert_eq!(got.status, 403, "{path} {fields:?}");
        assert!(!got.says("theirs"), "{path} {fields:?}");
    }
    // Nor is there a form of a hook that is not theirs, even if nothing of the hook is on it.
    let other = app.api.tenant("other").await;
    let edit = format!("/console/accounts/{}/hooks/{hook}/edit", other.account);
    let got = browser_of(&app, &other).submit("/console/", &edit, &[("do", "preview")]).await;
    assert_eq!(got.status, 404);
    let page = browser.get(&format!("{account}/account")).await;
    assert!(page.status == 200 && !page.says("Name and realm") && !page.says("/below"), "{}", page.text);
}

#[tokio::test]
async fn a_plain_user_changes_their_password_and_not_their_rights() {
    let app = TestApp::start().await;
    let tenant = app.api.tenant("acme").await;
    let user = app.user_of(&tenant, "paul").await;
    let users = tenant.own("GET", "/users", None).await;
    let id = users.data()[0]["id"].as_str().unwrap().to_owned();
    let browser = browser_of(&app, &user);
    let page = format!("/console/accounts/{}/users/{id}", tenant.account);
    let shown = browser.get(&page).await;
    assert!(shown.status == 200 && !shown.says("Delete this user") && !shown.says("Disable</button>"));
    assert!(!shown.says("<select"), "the rights are not theirs to choose");
    let names = [("username", "paul"), ("first_name", "P"), ("last_name", "Q")];
    let with = |more: [(&'static str, &'static str); 2]| [&names[..], &more].concat();
    let save = format!("{page}/save");
    let risen = browser.submit(&page, &save, &with([("priv_level", "admin"), ("password", "")])).await;
    assert_eq!(risen.status, 403);
    let saved =
        browser.submit(&page, &save, &with([("priv_level", "user"), ("password", "another horse")])).await;
    assert_eq!(saved.status, 303);
    assert_eq!(browser.get("/console/").await.status, 303, "a new password ends the sessions");
    let fields = [("account", "acme"), ("username", "paul"), ("password", "another horse")];
    assert_eq!(Browser::new(app.address()).log_in(&fields).await.status, 303);
}

#[tokio::test]
async fn a_plain_user_of_the_operators_account_is_led_to_no_page_of_operators() {
    let app = TestApp::start().await;
    app.api.hook(json!({"name": "of the operator", "uri": "http://127.0.0.1:9/"})).await;
    let browser = browser_of(&app, &app.user_of(&app.api, "paul").await);
    for path in ["/console/".to_owned(), format!("/console/accounts/{}/hooks", app.api.account)] {
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.says("/console/admin/") && !page.says("Installation"), "{path}: {}", page.text);
        assert!(!page.says("data-watch=\"*/"), "nobody but an operator watches all accounts");
    }
    assert!(Browser::operator(app.address()).await.get("/console/").await.says("/console/admin/config"));
}

#[tokio::test]
async fn the_audit_page_of_a_tenant_names_only_the_account_of_somebody_above() {
    let app = TestApp::start().await;
    let reseller = app.api.tenant("reseller").await;
    let account = reseller.account_below(&reseller.account, "customer").await;
    let customer = reseller.below(account.clone());
    let owner = app.user_of(&reseller, "owner").await;
    let users = reseller.own("GET", "/users", None).await;
    let id = users.data()[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(
        reseller
            .own("PATCH", &format!("/users/{id}"), Some(json!({"data": {"priv_level": "admin"}})))
            .await
            .status,
        200
    );
    let path = format!("/v2/accounts/{account}/console_links");
    let made = owner.call("POST", &path, Some(json!({"data": {"role": "admin"}}))).await;
    assert_eq!(made.status, 201, "{made:?}");
    let mut theirs = Browser::new(app.address());
    let opened = theirs.post(made.data()["path"].as_str().unwrap(), &[]).await;
    opened.set_cookie.split(';').next().unwrap().clone_into(&mut theirs.cookie);
    let page = format!("/console/accounts/{account}/audit");
    let (seen, by_reseller) = (theirs.get(&page).await, browser_of(&app, &owner).get(&page).await);
    for shown in [&seen, &by_reseller] {
        assert!(shown.status == 200 && shown.says("pvt_maker_account"), "{}", shown.text);
    }
    assert!(by_reseller.says(&id) && by_reseller.says("pvt_maker_identity"));
    for hidden in [&id, "pvt_maker_id", "pvt_maker_kind", "pvt_request_id"] {
        assert!(!seen.says(hidden), "{hidden}: {}", seen.text);
    }
    assert_eq!(customer.own("GET", "/webhooks", None).await.status, 200);
}
