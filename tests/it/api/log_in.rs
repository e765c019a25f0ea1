//! Users and tokens: how they are created and end, also across restarts.

use serde_json::{Value, json};

use crate::support::app::TestApp;

/// MD5 of `alice:correct horse`.
const MD5: &str = "23faea553e61d105a779b78a1f289030";

#[tokio::test]
async fn users_and_revoked_tokens_are_remembered_over_a_restart() {
    let mut app = TestApp::start().await;
    let account = app.api.account.clone();
    let user = json!({"data": {"username": "alice", "first_name": "A", "last_name": "B", "password": "correct horse", "priv_level": "admin"}});
    assert_eq!(app.api.own("PUT", "/users", Some(user)).await.status, 201);
    let credentials = json!({"data": {"credentials": MD5, "account_name": "master"}});
    let log_in = async |app: &TestApp| {
        let answer = app.anonymous().call("PUT", "/v2/user_auth", Some(credentials.clone())).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        app.anonymous().with_token(answer.body["auth_token"].as_str().unwrap())
    };
    let (kept, revoked) = (log_in(&app).await, log_in(&app).await);
    assert_eq!(revoked.call("DELETE", "/v2/token_auth", None).await.status, 200);
    app.restart(None).await;
    let path = format!("/v2/accounts/{account}");
    let asked = async |token: &str| app.anonymous().with_token(token).call("GET", &path, None).await.status;
    assert_eq!((asked(kept.token()).await, asked(revoked.token()).await), (200, 401));
    assert_eq!(log_in(&app).await.call("GET", &path, None).await.data()["name"], Value::from("master"));
    app.stop().await;
}

#[tokio::test]
async fn a_clients_rate_limit_is_used_up_and_refilled() {
    let mut app = TestApp::with(&["rate_limit.burst=40", "rate_limit.per_second=2"]).await;
    let mut refused = None;
    for _ in 0..200 {
        let answer = app.api.own("GET", "", None).await;
        if answer.status == 429 {
            refused = Some(answer);
            break;
        }
        assert!(answer.body["tokens"]["remaining"].is_u64(), "{answer:?}");
    }
    let refused = refused.expect("a bucket of 40 does not hold 200 requests");
    assert_eq!(refused.body["message"], "too_many_requests");
    // Submitted events do not count against it.
    let events = (0..50).map(|n| crate::support::app::call_event("CHANNEL_CREATE", "c", n));
    for event in events {
        app.api.publish(&[event]).await;
    }
    crate::support::wait::eventually("tokens come back", crate::support::look::LONG, || async {
        (app.api.own("GET", "", None).await.status == 200).then_some(())
    })
    .await;
    app.stop().await;
}
