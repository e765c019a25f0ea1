//! What people of limited rights see and may send: no secret that a receiver repeats, no form that would be refused,
//! and nothing of accounts above.

use serde_json::{Value, json};

use super::browser::Browser;
use crate::support::app::{Api, TestApp, call_event};
use crate::support::look::LONG;
use crate::support::receiver::{Mood, Receiver, Request};
use crate::support::wait::eventually;

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
