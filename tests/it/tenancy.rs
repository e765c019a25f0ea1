//! Separation of tenants: an account reaches its own tree and nothing beside or above it.

use serde_json::json;

use crate::support::app::{Api, TestApp, call_event};
use crate::support::look::LONG;
use crate::support::receiver::Receiver;

/// A client with a key of the account.
async fn client_of(app: &TestApp, account: &str) -> Api {
    let body = json!({"data": {"name": "test"}});
    let answer = app.api.call("PUT", &format!("/v2/accounts/{account}/api_keys"), Some(body)).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let client = app.client_with(answer.data()["api_key"].as_str().unwrap()).await;
    assert_eq!(client.account, account);
    client
}

#[tokio::test]
async fn a_token_reaches_its_own_tree_only() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let master = app.api.account.clone();
    let one = app.api.account_below(&master, "one").await;
    let two = app.api.account_below(&master, "two").await;
    let below = app.api.account_below(&one, "below").await;
    let api = client_of(&app, &one).await;
    let hook = |path: &str| json!({"uri": receiver.uri(path), "hook": "all"});
    let own = api.hook(hook("/own")).await;
    api.hook_of(&below, hook("/below")).await;
    let foreign = app.api.hook_of(&two, hook("/foreign")).await;
    let event = json!({"data": call_event("CHANNEL_CREATE", "c", 1)});
    for account in [&two, &master] {
        for (verb, path) in [
            ("GET", "/webhooks".to_owned()),
            ("PUT", "/webhooks".to_owned()),
            ("PATCH", "/webhooks".to_owned()),
            ("GET", format!("/webhooks/{foreign}")),
            ("DELETE", format!("/webhooks/{foreign}")),
            ("GET", format!("/webhooks/{foreign}/queue")),
            ("POST", format!("/webhooks/{foreign}/replay")),
            ("GET", "/webhooks/attempts".to_owned()),
            ("PUT", "/events".to_owned()),
            ("PUT", "/api_keys".to_owned()),
        ] {
            let body = (verb != "GET").then(|| json!({"data": {"name": "n"}}));
            let answer = api.call(verb, &format!("/v2/accounts/{account}{path}"), body).await;
            assert_eq!(answer.status, 403, "{verb} {account}{path}: {answer:?}");
        }
    }
    // Under the own account, another account's hook looks like one that never existed.
    for path in ["", "/queue", "/replay"] {
        let answer = api.own("GET", &format!("/webhooks/{foreign}{path}"), None).await;
        assert_eq!(answer.status, 404, "{path}: {answer:?}");
    }
    // As in KAZOO, a hook that does not exist has an empty list of attempts.
    app.api.call("PUT", &format!("/v2/accounts/{two}/events"), Some(event)).await;
    receiver.wait_for(1, LONG).await;
    let answer = api.own("GET", &format!("/webhooks/{foreign}/attempts"), None).await;
    assert_eq!((answer.status, answer.data()), (200, &json!([])), "{answer:?}");
    let answer = app.api.own("GET", &format!("/webhooks/{own}"), None).await;
    assert_eq!(answer.status, 404, "not under the parent's path either: {answer:?}");
    app.stop().await;
}

#[tokio::test]
async fn events_for_a_foreign_account_are_refused_and_none_is_stored() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::start().await;
    let master = app.api.account.clone();
    let one = app.api.account_below(&master, "one").await;
    let two = app.api.account_below(&master, "two").await;
    let api = client_of(&app, &one).await;
    app.api.hook_of(&two, json!({"uri": receiver.uri("/two"), "hook": "channel_create"})).await;
    // Not `all`: the event that announces the new account may come after the hook is created.
    api.hook(json!({"uri": receiver.uri("/one"), "hook": "channel_create"})).await;
    let mut foreign = call_event("CHANNEL_CREATE", "c", 1);
    foreign["Custom-Channel-Vars"] = json!({"Account-ID": two});
    let own = call_event("CHANNEL_CREATE", "c", 2);
    let answer = api.own("PUT", "/events", Some(json!({"data": [own, foreign]}))).await;
    assert_eq!(answer.status, 403, "{answer:?}");
    api.publish(&[call_event("CHANNEL_CREATE", "c", 3)]).await;
    let got = receiver.wait_for(1, LONG).await;
    assert!(got[0].path == "/one" && got[0].text().contains("caller_id_number=3"), "{}", got[0].text());
    assert_eq!(receiver.count(), 1);
    app.stop().await;
}
