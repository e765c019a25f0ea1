//! The doors: what strangers and tenants hold of them, and whom they can shut out.

use serde_json::json;

use crate::support::app::{Api, MASTER_KEY, TestApp};
use crate::support::websocket::{Client, End};

#[tokio::test]
async fn sessions_that_never_show_a_token_are_few_and_short_and_keep_nobody_out() {
    let settings = [
        "websocket.max_sessions=8",
        "websocket.max_sessions_without_token=3",
        "websocket.token_timeout_ms=1000",
    ];
    let mut app = TestApp::with(&settings).await;
    let mut silent = Vec::new();
    for _ in 0..20 {
        silent.push(Client::try_connect(app.websocket(), &[]).await.unwrap());
    }
    for client in &mut silent[..17] {
        let end = client.ended().await;
        assert!(matches!(end, End::Lost | End::Code(1008)), "the oldest make room: {end:?}");
    }
    let mut honest = app.connect().await;
    assert_eq!(honest.ask(json!({"action": "ping"})).await["status"], "success");
    for client in &mut silent[18..] {
        assert_eq!(client.ended().await, End::Code(1008), "nobody stays without a token");
    }
    assert_eq!(honest.ask(json!({"action": "ping"})).await["status"], "success", "with one they do");
    app.stop().await;
}

#[tokio::test]
async fn only_sessions_with_a_token_fill_the_seats_for_good() {
    let mut app = TestApp::with(&["websocket.max_sessions=2"]).await;
    let (mut first, mut second) = (app.connect().await, app.connect().await);
    for client in [&mut first, &mut second] {
        assert_eq!(client.ask(json!({"action": "ping"})).await["status"], "success");
    }
    assert_eq!(Client::try_connect(app.websocket(), &[]).await.err(), Some(503));
    app.stop().await;
}

/// A log-in through the proxy that the test is, for a client at an address.
async fn log_in(stranger: &Api, client: &str, key: &str) -> u16 {
    let body = Some(json!({"data": {"api_key": key}}));
    stranger.call_with("PUT", "/v2/api_auth", body, &[("x-forwarded-for", client)]).await.status
}

#[tokio::test]
async fn a_stranger_behind_the_same_proxy_uses_up_only_their_own_requests() {
    let settings =
        ["http.trusted_proxies=[\"127.0.0.0/8\"]", "rate_limit.burst=100", "rate_limit.per_second=1"];
    let mut app = TestApp::with(&settings).await;
    let stranger = app.anonymous();
    let get = async |client: &str| {
        let headers = [("x-forwarded-for", client)];
        stranger.call_with("GET", "/v2/account", None, &headers).await.status
    };
    let mut last = 0;
    for _ in 0..150 {
        // The attacker invents hops; the proxy appends the true one.
        last = get(&format!("{}.0.2.1, 203.0.113.66", rand::random::<u8>())).await;
    }
    assert_eq!(last, 429);
    assert_eq!(get("203.0.113.7").await, 401, "another client's bucket is another one");
    assert_eq!(log_in(&stranger, "203.0.113.7", MASTER_KEY).await, 201);
    app.stop().await;
}

#[tokio::test]
async fn wrong_keys_and_foreign_log_ins_from_the_same_address_keep_no_right_key_out() {
    let settings = ["rate_limit.burst=100", "rate_limit.per_second=1", "auth.wrong_credentials_per_minute=1"];
    let mut app = TestApp::with(&settings).await;
    let stranger = app.anonymous();
    let mut refused = 0;
    for number in 0..30 {
        let status = log_in(&stranger, "203.0.113.66", &format!("{number:064}")).await;
        assert!(matches!(status, 404 | 429), "{status}");
        refused += usize::from(status == 429);
    }
    assert!(refused >= 15, "trying is bounded: {refused} of 30 refused");
    assert_eq!(log_in(&stranger, "203.0.113.66", MASTER_KEY).await, 201);
    app.stop().await;
}
