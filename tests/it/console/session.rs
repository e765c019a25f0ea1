//! Who can enter the console, how a session ends, and which forms are accepted.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::json;
use switchhook::model::Clock;

use super::browser::Browser;
use crate::support::app::TestApp;

#[tokio::test]
async fn browsers_are_redirected_to_the_console_and_other_clients_get_the_former_answer() {
    let app = TestApp::start().await;
    let browser = Browser::new(app.address());
    let root = browser.get("/").await;
    assert_eq!((root.status, root.location.as_str()), (302, "/console/"));
    let other = browser.send("GET", "/", None, &[("accept", "*/*")]).await;
    assert_eq!(other.status, 404);
    assert!(other.says("not_found"), "{other:?}");
    let page = browser.get("/console/").await;
    assert_eq!((page.status, page.location.as_str()), (303, "/console/login?next=%2Fconsole%2F"));
    let form = browser.get("/console/login").await;
    assert!(form.status == 200 && form.says("With an API key"));
}

#[tokio::test]
async fn a_disabled_console_has_no_pages() {
    let app = TestApp::with(&["console.enabled=false"]).await;
    let browser = Browser::new(app.address());
    for path in ["/", "/console", "/console/", "/console/login", "/console/assets/console.css"] {
        assert_eq!(browser.get(path).await.status, 404, "{path}");
    }
}

#[tokio::test]
async fn scripts_and_other_sites_cannot_use_the_session() {
    let app = TestApp::start().await;
    let mut browser = Browser::new(app.address());
    let got = browser.log_in(&[("api_key", crate::support::app::MASTER_KEY)]).await;
    for part in ["; HttpOnly", "; SameSite=Strict", "; Path=/console"] {
        assert!(got.set_cookie.contains(part), "{part}: {}", got.set_cookie);
    }
    let page = browser.get("/console/").await;
    let policy = page.headers["content-security-policy"].to_str().unwrap();
    for part in [
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.contains(part), "{part} in {policy}");
    }
    assert!(!policy.contains("unsafe"));
    for (verb, path, status) in [("GET", "/console/assets/none", 404), ("PUT", "/console/", 405)] {
        let short = browser.send(verb, path, None, &[]).await;
        assert_eq!(short.status, status, "{verb} {path}");
        assert!(short.headers["content-security-policy"].to_str().unwrap().contains("default-src 'none'"));
        assert_eq!(short.headers.get("allow").is_some(), status == 405);
    }
    assert!(!page.says("<style") && !page.says(" style=") && !page.says(" onclick"), "nothing inline");
    assert_eq!(page.headers["cache-control"], "no-store");
    let https = [("origin", "https://console.example"), ("sec-fetch-site", "same-origin")];
    let fields = [("api_key", crate::support::app::MASTER_KEY)];
    let secure = browser.send("POST", "/console/login", Some(&fields), &https).await;
    assert!(secure.set_cookie.contains("; Secure"), "{}", secure.set_cookie);
}

#[tokio::test]
async fn a_user_logs_in_with_a_plain_password() {
    let app = TestApp::start().await;
    let tenant = app.api.tenant("acme").await;
    let user = json!({"data": {"username": "Anna", "first_name": "Anna", "last_name": "A",
        "password": "correct horse", "priv_level": "admin"}});
    assert_eq!(tenant.own("PUT", "/users", Some(user)).await.status, 201);
    let mut browser = Browser::new(app.address());
    let fields = |password| [("account", "acme"), ("username", "ANNA"), ("password", password)];
    let wrong = browser.log_in(&fields("wrong horse")).await;
    assert_eq!(wrong.status, 401);
    assert!(wrong.says("Nobody is known by these credentials") && wrong.set_cookie.is_empty());
    assert!(!wrong.says("wrong horse"), "a password is never shown again");
    assert_eq!(browser.log_in(&fields("correct horse")).await.status, 303);
    assert!(browser.get("/console/").await.says("acme"));
}

#[tokio::test]
async fn password_guesses_are_limited_as_in_the_api() {
    let app = TestApp::with(&["auth.wrong_credentials_burst=3", "auth.wrong_credentials_per_minute=1"]).await;
    let mut browser = Browser::new(app.address());
    let key = "x".repeat(64);
    for _ in 0..3 {
        assert_eq!(browser.log_in(&[("api_key", &key)]).await.status, 404);
    }
    let got = browser.log_in(&[("api_key", &key)]).await;
    assert_eq!(got.status, 429);
    assert!(got.says("Too many attempts"));
}

#[tokio::test]
async fn a_session_ends_when_its_rights_end() {
    let app = TestApp::start().await;
    let (tenant, key) = app.api.tenant_and_key("acme").await;
    let mut browser = Browser::new(app.address());
    browser.cookie = format!("switchhook_console={}", tenant.token());
    assert_eq!(browser.get("/console/").await.status, 200);
    assert_eq!(app.api.call("DELETE", &key, None).await.status, 200);
    let got = browser.get("/console/").await;
    assert_eq!(got.status, 303);
    assert!(got.location.starts_with("/console/login") && got.set_cookie.contains("Max-Age=0"));
}

#[tokio::test]
async fn logging_out_revokes_the_token() {
    let app = TestApp::start().await;
    let browser = Browser::operator(app.address()).await;
    let got = browser.submit("/console/", "/console/logout", &[]).await;
    assert_eq!((got.status, got.location.as_str()), (303, "/console/login"));
    // A browser may show a stored page again as long as its cookie is the same.
    assert!(
        got.set_cookie.starts_with("switchhook_console=; ") && got.set_cookie.contains("Max-Age=0"),
        "{got:?}"
    );
    assert_eq!(browser.get("/console/").await.status, 303, "the same cookie lets nobody in any more");
}

#[tokio::test]
async fn a_used_session_outlives_its_token_but_not_the_configured_hours() {
    let now_us = Arc::new(AtomicU64::new(Clock::system().now_us()));
    let clock = Clock::new({
        let now_us = now_us.clone();
        move || now_us.load(Ordering::Relaxed)
    });
    let pass = |minutes: u64| now_us.fetch_add(minutes * 60_000_000, Ordering::Relaxed);
    let app = TestApp::with_clock(&["auth.token_expiry_s=3600", "console.session_hours=2"], clock).await;
    let mut browser = Browser::operator(app.address()).await;
    let first = browser.cookie.clone();
    pass(20);
    assert_eq!(browser.get("/console/").await.set_cookie, "", "most of its time is left");
    pass(20);
    let renewed = browser.get("/console/").await.set_cookie;
    assert!(renewed.contains("; HttpOnly"), "{renewed}");
    renewed.split(';').next().unwrap().clone_into(&mut browser.cookie);
    pass(55);
    let renewed = browser.get("/console/").await;
    assert_eq!(renewed.status, 200, "the first token would be over");
    let last = renewed.set_cookie;
    assert_eq!(last, "", "only 25 of the 120 minutes are left");
    pass(10);
    assert_eq!(browser.get("/console/").await.status, 303, "the second hour is over");

    let mut browser = Browser::operator(app.address()).await;
    let old = browser.cookie.clone();
    pass(40);
    let renewed = browser.get("/console/").await.set_cookie;
    renewed.split(';').next().unwrap().clone_into(&mut browser.cookie);
    assert!(browser.cookie != first && browser.cookie != old);
    let got = browser.submit("/console/", "/console/logout", &[]).await;
    assert_eq!(got.status, 303);
    browser.cookie = old;
    assert_eq!(browser.get("/console/").await.status, 303, "what was prolonged ends with it");
}

#[tokio::test]
async fn forms_of_other_sites_and_forms_that_were_sent_before_change_nothing() {
    let app = TestApp::start().await;
    let hook = app.api.hook(json!({"uri": "http://127.0.0.1:9/"})).await;
    let browser = Browser::operator(app.address()).await;
    let page = format!("/console/accounts/{}/hooks/{hook}", app.api.account);
    let disable = format!("{page}/disable");
    let is_enabled = async || {
        let answer = app.api.own("GET", &format!("/webhooks/{hook}"), None).await;
        answer.data()["enabled"] == true
    };
    let token = browser.get(&page).await.form_token();
    let fields = [("form", token.as_str())];
    let own = format!("http://{}", app.address());
    for headers in [
        vec![],
        vec![("origin", "https://evil.example")],
        vec![("origin", "null")],
        vec![("sec-fetch-site", "cross-site"), ("origin", own.as_str())],
        vec![("sec-fetch-site", "same-site")],
    ] {
        let got = browser.send("POST", &disable, Some(&fields), &headers).await;
        assert_eq!(got.status, 403, "{headers:?}");
    }
    for wrong in ["", "x", "1.2.3", &format!("{token}A")] {
        assert_eq!(browser.post(&disable, &[("form", wrong)]).await.status, 403, "{wrong}");
    }
    let other = Browser::operator(app.address()).await;
    assert_eq!(other.post(&disable, &fields).await.status, 403, "the form of another session");
    assert!(is_enabled().await);
    assert_eq!(browser.send("GET", &disable, None, &[]).await.status, 404, "nothing changes by GET");
    assert!(is_enabled().await);

    assert_eq!(browser.post(&disable, &fields).await.status, 303);
    assert!(!is_enabled().await);
    let enable = format!("{page}/enable");
    let again = browser.post(&enable, &fields).await;
    assert_eq!(again.status, 403);
    assert!(again.says("Already sent") && !is_enabled().await);
    assert_eq!(browser.submit(&page, &enable, &[]).await.status, 303);
    assert!(is_enabled().await);
}

#[tokio::test]
async fn a_link_opens_the_console_once_and_only_with_its_button() {
    let app = TestApp::start().await;
    let tenant = app.api.tenant("acme").await;
    let made = app
        .api
        .call("POST", &format!("/v2/accounts/{}/console_links", tenant.account), Some(json!({"data": {}})))
        .await;
    let path = made.data()["path"].as_str().unwrap().to_owned();
    let mut browser = Browser::new(app.address());
    for _ in 0..2 {
        let page = browser.get(&path).await;
        assert!(
            page.status == 200 && page.set_cookie.is_empty(),
            "looking at a link does not use it: {page:?}"
        );
    }
    let forged = browser.send("POST", &path, Some(&[]), &[("origin", "https://evil.example")]).await;
    assert_eq!(forged.status, 403);
    let opened = browser.post(&path, &[]).await;
    assert_eq!((opened.status, opened.location.as_str()), (303, "/console/"));
    opened.set_cookie.split(';').next().unwrap().clone_into(&mut browser.cookie);
    assert!(browser.get("/console/").await.says("acme"));
    let again = Browser::new(app.address()).post(&path, &[]).await;
    assert!(again.status == 404 && again.set_cookie.is_empty() && again.says("used already"), "{again:?}");
}
