//! Rights that are revoked while a websocket session is open.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::{Api, TestApp, call_event, credentials};
use crate::support::look::{LONG, queue_when};
use crate::support::receiver::{Mood, Receiver};
use crate::support::wait::eventually;
use crate::support::websocket::{Client, End, number};

const POLICIES: [&str; 3] = ["ignore", "refuse", "close"];
fn done(answer: crate::support::app::Answer) -> Value {
    assert!(matches!(answer.status, 200 | 201), "{answer:?}");
    answer.body
}

/// The body of a change; `None` for a deletion.
fn body(data: &Value) -> Option<Value> {
    (!data.is_null()).then(|| json!({"data": data}))
}

/// Logs in as an admin of an account, by name and password; also returns the user's path.
async fn admin(app: &TestApp, tenant: &Api, name: &str) -> (Api, String) {
    let users = format!("/v2/accounts/{}/users", tenant.account);
    let user = json!({
        "username": name, "password": "correct horse", "priv_level": "admin", "first_name": "A", "last_name": "B",
    });
    let made = done(tenant.call("PUT", &users, Some(json!({"data": user}))).await);
    let account = done(tenant.own("GET", "", None).await);
    let data =
        json!({"credentials": credentials(name, "correct horse"), "account_name": account["data"]["name"]});
    let logged_in = done(app.anonymous().call("PUT", "/v2/user_auth", Some(json!({"data": data}))).await);
    let api = tenant.clone().with_token(logged_in["auth_token"].as_str().unwrap());
    (api, format!("{users}/{}", made["data"]["id"].as_str().unwrap()))
}

async fn listening(app: &TestApp, api: &Api) -> Client {
    let mut client = Client::connect(app.websocket(), api.token()).await;
    client.subscribe(&api.account, "call.*.*", json!({})).await;
    client
}

#[tokio::test]
async fn a_session_ends_when_its_right_is_revoked_whatever_the_policy_for_expiry() {
    for policy in POLICIES {
        let mut app = TestApp::with(&[&format!("websocket.token_expiry={policy}")]).await;
        let mut witness = listening(&app, &app.api).await;
        let master = app.api.clone();
        for (name, verb, below, data) in
            [("rotated", "POST", "/rotate", json!({})), ("deleted", "DELETE", "", Value::Null)]
        {
            let (api, key) = app.api.tenant_and_key(&format!("key {name}")).await;
            let mut client = listening(&app, &api).await;
            let path = format!("{key}{below}");
            done(master.call(verb, &path, body(&data)).await);
            assert_eq!(client.ended().await, End::Code(1008), "{policy}: key {name}");
        }
        for (name, verb, data) in [
            ("disabled", "PATCH", json!({"enabled": false})),
            ("renewed", "PATCH", json!({"username": "renewed", "password": "another horse"})),
            ("deleted", "DELETE", Value::Null),
        ] {
            let (own, _) = app.api.tenant_and_key(&format!("user {name}")).await;
            let (api, user) = admin(&app, &own, name).await;
            let mut client = listening(&app, &api).await;
            done(own.call(verb, &user, body(&data)).await);
            assert_eq!(client.ended().await, End::Code(1008), "{policy}: user {name}");
        }
        for (name, verb, data) in
            [("disabled", "PATCH", json!({"enabled": false})), ("deleted", "DELETE", Value::Null)]
        {
            let (api, _) = app.api.tenant_and_key(&format!("account {name}")).await;
            let mut client = listening(&app, &api).await;
            let path = format!("/v2/accounts/{}", api.account);
            done(master.call(verb, &path, body(&data)).await);
            assert_eq!(client.ended().await, End::Code(1008), "{policy}: account {name}");
        }
        let (api, _) = app.api.tenant_and_key("token revoked").await;
        let mut client = listening(&app, &api).await;
        done(api.call("DELETE", "/v2/token_auth", None).await);
        // Faster than any regular check: no right is left.
        let subscribe = json!({
            "action": "subscribe", "auth_token": api.token(),
            "data": {"account_id": api.account, "binding": "object.*.*", "since": 63_900_000_000_u64},
        });
        client.send(subscribe.to_string()).await;
        assert_eq!(client.frame().await, Err(End::Code(1008)), "{policy}: token revoked");
        assert_eq!(witness.ask(json!({"action": "ping"})).await["status"], "success", "others stay");
        app.stop().await;
    }
}

/// The bindings of a session in the listing, once there are at most `most`.
async fn bindings_become(api: &Api, most: usize) {
    eventually("the session has lost its bindings", LONG, async || {
        let rows = api.own("GET", "/websockets", None).await;
        let rows = rows.data().as_array().cloned()?;
        let of = |row: &Value| row["bindings"].as_array().map_or(1, Vec::len);
        (rows.iter().map(of).sum::<usize>() == most).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_session_keeps_only_the_bindings_that_its_rights_still_cover() {
    let mut app = TestApp::with(&["api.profile=current"]).await;
    let (parent, _) = app.api.tenant_and_key("parent").await;
    let child = app.api.account_below(&parent.account, "child").await;
    let (api, user) = admin(&app, &parent, "alice").await;
    let mut client = listening(&app, &api).await;
    client.subscribe(&child, "call.*.*", json!({})).await;
    done(parent.call("PATCH", &user, Some(json!({"data": {"priv_level": "user"}}))).await);
    bindings_become(&parent, 1).await;
    app.api.below(child.clone()).publish(&[call_event("CHANNEL_CREATE", "below", 1)]).await;
    parent.publish(&[call_event("CHANNEL_CREATE", "own", 2)]).await;
    assert_eq!(number(&client.event().await), 2);
    let data = json!({"account_id": child, "binding": "call.*.*"});
    let refused = client.ask(json!({"action": "subscribe", "data": data})).await;
    assert_eq!(refused["data"]["errors"], json!(["unauthorized account id"]));
    drop(client);

    let mut client = listening(&app, &parent).await;
    client.subscribe(&child, "call.*.*", json!({})).await;
    bindings_become(&parent, 2).await;
    let moved = json!({"data": {"to": app.api.account}});
    done(app.api.call("POST", &format!("/v2/accounts/{child}/move"), Some(moved)).await);
    bindings_become(&parent, 1).await;
    app.api.below(child).publish(&[call_event("CHANNEL_CREATE", "below", 3)]).await;
    parent.publish(&[call_event("CHANNEL_CREATE", "own", 4)]).await;
    assert_eq!(number(&client.event().await), 4);
    app.stop().await;
}

#[tokio::test]
async fn a_hook_gets_no_more_events_of_an_account_that_was_moved_away_not_even_waiting_ones() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::status(500));
    let mut app = TestApp::with(&["disable.failure_count=0"]).await;
    let (former, new) = (app.api.tenant("former").await, app.api.tenant("new").await);
    let moved = app.api.account_below(&former.account, "moved").await;
    let retry = json!({"max_attempts": 100, "initial_ms": 100, "max_ms": 100});
    let hook = json!({"uri": receiver.uri("/"), "include_subaccounts": true, "retry": retry});
    let hook = former.hook(hook).await;
    former.below(moved.clone()).publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    receiver.wait_for(2, LONG).await;
    done(
        app.api.call("POST", &format!("/v2/accounts/{moved}/move"), body(&json!({"to": new.account}))).await,
    );
    let queue = queue_when(&former, &hook, "nothing waits", |queue| queue["waiting"] == 0).await;
    assert_eq!((&queue["dead"], &queue["in_flight"]), (&json!(0), &json!(0)), "{queue}");
    app.stop().await;
}

#[tokio::test]
async fn a_silent_session_ends_within_moments_of_losing_its_right() {
    // The session checks within a few hundred milliseconds. A busy machine needs more, but no ping, tick or frame of the
    // client arrives within this time.
    const MOMENTS: Duration = Duration::from_secs(8);
    let mut app = TestApp::with(&["websocket.token_expiry=ignore"]).await;
    let (api, key) = app.api.tenant_and_key("tenant").await;
    let mut client = listening(&app, &api).await;
    done(app.api.call("DELETE", &key, None).await);
    let ended = tokio::time::timeout(MOMENTS, client.ended()).await;
    assert_eq!(ended.expect("it ends in moments"), End::Code(1008));
    app.stop().await;
}
