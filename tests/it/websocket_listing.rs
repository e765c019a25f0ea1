//! Listings of sessions: who sees which sessions, in which form, and who may close them.

use serde_json::{Value, json};

use super::support::app::{Api, TestApp};
use super::support::websocket::{Client, End};

async fn of(api: &Api, account: &str, id: &str) -> Value {
    let answer = api.call("GET", &format!("/v2/accounts/{account}/websockets{id}"), None).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.data().clone()
}

/// A client with an API key of an account.
async fn client_of(app: &TestApp, account: &str) -> Api {
    let answer =
        app.api.call("PUT", &format!("/v2/accounts/{account}/api_keys"), Some(json!({"data": {}}))).await;
    app.client_with(answer.data()["api_key"].as_str().unwrap()).await
}

#[tokio::test]
async fn sessions_are_listed_in_the_shape_of_the_profile_and_closed_by_an_operator() {
    for profile in ["classic", "current"] {
        let mut app = TestApp::with(&[&format!("api.profile={profile}")]).await;
        let account = app.api.account.clone();
        let mut client = app.connect().await;
        assert_eq!(of(&app.api, &account, "").await, json!([]), "it has not shown a token");
        client.ask(json!({"name": "console", "metadata": {"tab": 2}})).await;
        client.subscribe(&account, "call.CHANNEL_DESTROY.*", Value::Null).await;
        client.subscribe(&account, "object.*.user", Value::Null).await;
        let rows = of(&app.api, &account, "").await;
        let id = rows[0].as_str().or(rows[0]["websocket_session_id"].as_str()).unwrap().to_owned();
        assert!(id.starts_with("127.0.0.1:"), "{rows}");
        let one = of(&app.api, &account, &format!("/{id}")).await;
        let session = if profile == "classic" {
            assert_eq!(rows, json!([id]));
            let session = &one[0];
            let token: String = app.api.token().chars().take(8).collect();
            assert_eq!(session["account_id"], account.as_str());
            assert_eq!(session["auth_token"], format!("{token}…"));
            session
        } else {
            assert_eq!(rows, json!([one]));
            assert_eq!((one.get("account_id"), one.get("auth_token")), (None, None));
            &one
        };
        assert_eq!(session["bindings"], json!(["call.CHANNEL_DESTROY.*", "object.*.user"]));
        assert_eq!((&session["name"], &session["metadata"]), (&json!("console"), &json!({"tab": 2})));
        assert_eq!((&session["source"], &session["websocket_session_id"]), (&json!("127.0.0.1"), &json!(id)));
        assert!(session["timestamp"].as_u64().unwrap() > 63_900_000_000, "{session}");
        let path = format!("/v2/accounts/{account}/websockets/{}", id.replace(':', "%3A"));
        assert_eq!(app.api.call("DELETE", &path, None).await.status, 200);
        assert_eq!(client.ended().await, End::Code(1000));
        app.stop().await;
    }
}

#[tokio::test]
async fn a_session_is_seen_by_its_account_and_those_above_only() {
    let mut app = TestApp::start().await;
    let master = app.api.account.clone();
    let one = app.api.account_below(&master, "one").await;
    let two = app.api.account_below(&master, "two").await;
    let (api_one, api_two) = (client_of(&app, &one).await, client_of(&app, &two).await);
    let mut client = Client::connect(app.websocket(), api_one.token()).await;
    client.ask(json!({"action": "ping"})).await;
    let rows = of(&api_one, &one, "").await;
    let id = rows[0].as_str().unwrap();
    assert_eq!(of(&app.api, &one, "").await, rows, "an ancestor sees it in the account");
    assert_eq!(of(&app.api, &master, "").await, json!([]), "and not in its own");
    assert_eq!(of(&api_two, &two, "").await, json!([]));
    assert_eq!(of(&api_two, &two, &format!("/{id}")).await, json!([]));
    for (api, account, status) in [(&api_two, &two, 404), (&api_two, &one, 403), (&app.api, &one, 200)] {
        let path = format!("/v2/accounts/{account}/websockets/{id}");
        assert_eq!(api.call("DELETE", &path, None).await.status, status);
    }
    assert_eq!(client.ended().await, End::Code(1000));
    app.stop().await;
}
