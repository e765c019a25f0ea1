//! The page of an event that many hooks get.

use serde_json::json;

use super::browser::Browser;
use crate::support::app::{TestApp, call_event};
use crate::support::look::LONG;
use crate::support::wait::eventually;

#[tokio::test]
async fn an_event_of_many_hooks_is_shown_page_by_page_and_by_what_became_of_it() {
    let app = TestApp::start().await;
    let uri = |n: usize| format!("http://inbox.switchhook.invalid/{}", if n < 2 { 503 } else { 200 });
    for n in 0..53 {
        let retry = json!({"max_attempts": 1});
        app.api.hook(json!({"name": format!("hook {n}"), "uri": uri(n), "retry": retry})).await;
    }
    app.api.publish(&[call_event("CHANNEL_CREATE", "many", 1)]).await;
    let events = app.api.own("GET", "/events", None).await;
    let event = events.data()[0]["id"].as_str().unwrap().to_owned();
    let browser = Browser::operator(app.address()).await;
    let path = format!("/console/accounts/{}/events/{event}", app.api.account);
    let first = eventually("all are delivered but two", LONG, async || {
        let page = browser.get(&path).await;
        page.says("</span> delivered</span> <strong>51</strong>").then_some(page)
    })
    .await;
    assert_eq!(first.text.matches("data-row").count(), 50);
    let next = first.text.split(r#"rel="next" href=""#).nth(1).unwrap().split('"').next().unwrap();
    let second = browser.get(&next.replace("&amp;", "&")).await;
    assert_eq!((second.status, second.text.matches("data-row").count()), (200, 3));
    let failed = browser.get(&format!("{path}?state=retrying,dead")).await;
    assert_eq!(failed.text.matches("data-row").count(), 2);
    assert!(failed.says("status 503") && !failed.says("status 200") && !failed.says(r#"rel="next""#));
    assert_eq!(browser.get(&format!("{path}?state=lost")).await.status, 400);
}
