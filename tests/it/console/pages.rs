//! What the pages show, and to whom.

use serde_json::json;

use super::browser::Browser;
use crate::support::app::TestApp;

#[tokio::test]
async fn scripts_in_names_and_addresses_are_shown_as_text() {
    let app = TestApp::start().await;
    let script = "<script>alert(1)</script>";
    let uri = "http://127.0.0.1:9/?<img src=x onerror=alert(1)>";
    let hook = app.api.hook(json!({"name": script, "uri": uri})).await;
    let browser = Browser::operator(app.address()).await;
    let account = &app.api.account;
    let hooks = format!("/console/accounts/{account}/hooks");
    let search = format!("{hooks}?q=%22%3E%3Cscript%3Ealert(1)%3C/script%3E");
    for path in [hooks.clone(), format!("{hooks}/{hook}"), format!("{hooks}/{hook}?tab=settings"), search] {
        let page = browser.get(&path).await;
        assert_eq!(page.status, 200, "{path}");
        assert!(!page.says("<script>") && !page.says("<img src=x"), "{path}");
        assert!(page.says("&lt;script&gt;alert(1)"), "{path}");
    }
}

#[tokio::test]
async fn another_tenants_pages_are_not_shown() {
    let app = TestApp::start().await;
    let (one, other) = (app.api.tenant("one").await, app.api.tenant("other").await);
    let hook = one.hook(json!({"name": "of one", "uri": "http://127.0.0.1:9/"})).await;
    let mut browser = Browser::new(app.address());
    browser.cookie = format!("switchhook_console={}", other.token());
    for path in ["hooks", &format!("hooks/{hook}"), &format!("hooks/{hook}?tab=settings")] {
        let page = browser.get(&format!("/console/accounts/{}/{path}", one.account)).await;
        assert_eq!(page.status, 403, "{path}");
        assert!(!page.says("of one"), "{path}");
    }
    let page = browser.get(&format!("/console/accounts/{}/hooks/{hook}", other.account)).await;
    assert_eq!(page.status, 404, "below their own account the hook of another is unknown");
    let form = browser.get("/console/").await.form_token();
    let action = format!("/console/accounts/{}/hooks/{hook}/disable", one.account);
    assert_eq!(browser.post(&action, &[("form", &form)]).await.status, 403);
    assert_eq!(one.own("GET", &format!("/webhooks/{hook}"), None).await.data()["enabled"], true);
}

#[tokio::test]
async fn a_plain_user_sees_hooks_and_may_change_nothing() {
    let app = TestApp::start().await;
    let tenant = app.api.tenant("acme").await;
    let hook = tenant.hook(json!({"name": "theirs", "uri": "http://127.0.0.1:9/"})).await;
    let user = json!({"data": {"username": "paul", "first_name": "P", "last_name": "P",
        "password": "correct horse"}});
    assert_eq!(tenant.own("PUT", "/users", Some(user)).await.status, 201);
    let mut browser = Browser::new(app.address());
    let fields = [("account", "acme"), ("username", "paul"), ("password", "correct horse")];
    assert_eq!(browser.log_in(&fields).await.status, 303);
    let hooks = format!("/console/accounts/{}/hooks", tenant.account);
    let list = browser.get(&hooks).await;
    assert!(list.status == 200 && list.says("theirs") && !list.says("New hook"));
    let page = browser.get(&format!("{hooks}/{hook}")).await;
    assert!(page.status == 200 && !page.says("Disable</button>"));
    let token = page.form_token();
    let got = browser.post(&format!("{hooks}/{hook}/disable"), &[("form", &token)]).await;
    assert_eq!(got.status, 403);
    assert_eq!(tenant.own("GET", &format!("/webhooks/{hook}"), None).await.data()["enabled"], true);
}
