//! A real browser as the client: the requests of a web interface for KAZOO, from another origin, against the built
//! program. Headers that a browser adds, preflights that it makes and answers that it withholds are all real.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::{call_event, credentials};
use crate::support::browser::Browser;
use crate::support::process::Process;
use crate::support::receiver::{Mood, Receiver, Request};

/// The page with the steps of the browser; its comments explain each step.
const PAGE: &str = include_str!("../../clients/browser.html");
/// The first start of the browser takes some seconds, and minutes on a busy machine.
const WITHIN: Duration = Duration::from_secs(180);

#[tokio::test]
async fn a_browser_client_of_kazoo_runs_on_switchhook_alone() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::serve(dir.path(), &["rate_limit.burst=100".to_owned()]).await;
    let api = process.api().await;
    let account = api.account_below(&api.account, "Lindenhof Bakery").await;
    let api = api.below(account.clone());
    for (name, level) in [("clerk", "user"), ("admin", "admin")] {
        let user = json!({"data": {
            "username": name, "first_name": "A", "last_name": "B", "password": "correct horse", "priv_level": level,
        }});
        let made = api.own("PUT", "/users", Some(user)).await;
        assert_eq!(made.status, 201, "{made:?}");
    }
    let receiver = Receiver::start().await;
    let settings = json!({
        "api": format!("http://{}", process.address()),
        "socket": format!("ws://{}/", process.websocket()),
        "receiver": receiver.uri("/hook"),
        "account_name": "Lindenhof Bakery",
        "credentials": {
            "clerk": credentials("clerk", "correct horse"), "admin": credentials("admin", "correct horse"),
        },
    });
    let page = PAGE.replace("/*SETTINGS*/ {}", &settings.to_string());
    assert_ne!(page, PAGE);
    receiver.mood_at("/page", Mood::answer(200, &[("content-type", "text/html; charset=utf-8")], &page));
    let _browser = Browser::open(&receiver.uri("/page"));

    // The page is ready, or the browser ended before.
    let told = receiver.wait_until(WITHIN, |seen| is_told(seen, "/ready") || is_told(seen, "/result")).await;
    assert!(is_told(&told, "/ready"), "{}", result(&told));
    let voicemail = json!({
        "App-Name": "voicemail", "App-Version": "5.0.0", "Msg-ID": "vm-1", "Event-Category": "notification",
        "Event-Name": "voicemail_new", "Account-ID": account, "Voicemail-Box": "box", "Call-ID": "c@1",
    });
    api.publish(&[call_event("CHANNEL_CREATE", "c@1", 1), voicemail]).await;
    let told = receiver.wait_until(WITHIN, |seen| is_told(seen, "/result")).await;
    let result = result(&told);
    assert_eq!(result["error"], Value::Null, "{result}");
    assert!(result["steps"].as_array().unwrap().iter().all(|step| step["holds"] == true), "{result}");
    let delivered = receiver.requests_at("/hook");
    assert_eq!(delivered[0].header("x-from-form"), Some("yes"), "{delivered:?}");
}

fn is_told(told: &[Request], path: &str) -> bool {
    told.iter().any(|request| request.path == path)
}

/// The result on the page.
fn result(told: &[Request]) -> Value {
    let last = told.iter().rfind(|request| request.path == "/result");
    last.map(|request| serde_json::from_str(request.text()).unwrap()).unwrap_or_default()
}
