//! Log-ins and connections: what strangers and tenants can occupy, and that they exclude nobody.

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::support::app::{Api, MASTER_KEY, TestApp, credentials};
use crate::support::look::LONG;
use crate::support::wait::eventually;
use crate::support::websocket::{Client, End};

#[tokio::test]
async fn sessions_without_a_token_are_limited_in_number_and_time_and_exclude_nobody() {
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
async fn only_sessions_with_a_token_can_keep_all_seats() {
    let mut app = TestApp::with(&["websocket.max_sessions=2"]).await;
    let (mut first, mut second) = (app.connect().await, app.connect().await);
    for client in [&mut first, &mut second] {
        assert_eq!(client.ask(json!({"action": "ping"})).await["status"], "success");
    }
    assert_eq!(Client::try_connect(app.websocket(), &[]).await.err(), Some(503));
    app.stop().await;
}

/// Logs in through a proxy, which the test plays, as a client at an address.
async fn log_in(stranger: &Api, client: &str, key: &str) -> u16 {
    let body = Some(json!({"data": {"api_key": key}}));
    stranger.call_with("PUT", "/v2/api_auth", body, &[("x-forwarded-for", client)]).await.status
}

#[tokio::test]
async fn a_stranger_behind_a_shared_proxy_uses_only_their_own_rate() {
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
        // The attacker forges hops; the proxy appends the real one.
        last = get(&format!("{}.0.2.1, 203.0.113.66", rand::random::<u8>())).await;
    }
    assert_eq!(last, 429);
    assert_eq!(get("203.0.113.7").await, 401, "another client's bucket is another one");
    assert_eq!(log_in(&stranger, "203.0.113.7", MASTER_KEY).await, 201);
    app.stop().await;
}

#[tokio::test]
async fn wrong_keys_and_other_log_ins_from_an_address_do_not_lock_out_its_valid_keys() {
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

/// Logs in with a password, as a client at an address.
async fn with_password(stranger: &Api, client: &str, account: &str, password: &str) -> u16 {
    let data = json!({"credentials": credentials("ann", password), "method": "md5", "account_name": account});
    let body = Some(json!({"data": data}));
    stranger.call_with("PUT", "/v2/user_auth", body, &[("x-forwarded-for", client)]).await.status
}

#[tokio::test]
async fn password_guesses_from_many_addresses_are_bounded_and_lock_out_no_known_address() {
    let settings = [
        "http.trusted_proxies=[\"127.0.0.0/8\"]",
        "auth.wrong_credentials_burst=2",
        "auth.wrong_credentials_per_minute=1",
    ];
    let mut app = TestApp::with(&settings).await;
    let account = app.api.account_below(&app.api.account, "victim").await;
    app.api.account_below(&app.api.account, "other").await;
    let user = json!({"username": "ann", "password": "correct horse", "first_name": "A", "last_name": "B"});
    let made =
        app.api.call("PUT", &format!("/v2/accounts/{account}/users"), Some(json!({"data": user}))).await;
    assert_eq!(made.status, 201, "{made:?}");
    let stranger = app.anonymous();
    assert_eq!(with_password(&stranger, "203.0.113.7", "victim", "correct horse").await, 201);
    let mut looked_at = 0;
    for number in 0..60 {
        let status = with_password(&stranger, &format!("198.51.100.{number}"), "victim", "guess").await;
        assert!(matches!(status, 401 | 429), "{status}");
        looked_at += usize::from(status == 401);
    }
    assert!((20..30).contains(&looked_at), "{looked_at} of 60 guesses were looked at");
    assert_eq!(
        with_password(&stranger, "203.0.113.7", "victim", "correct horse").await,
        201,
        "the owner's address"
    );
    assert_eq!(with_password(&stranger, "198.51.100.200", "other", "guess").await, 401, "another account");
    app.stop().await;
}

#[tokio::test]
async fn log_ins_with_unknown_names_share_one_limit_and_do_not_use_that_of_real_names() {
    let settings = ["rate_limit.burst=10", "rate_limit.per_second=1", "auth.wrong_credentials_burst=0"];
    let mut app = TestApp::with(&settings).await;
    let stranger = app.anonymous();
    let mut refused = 0;
    for number in 0..60 {
        let status = with_password(&stranger, "", &format!("nobody {number}"), "guess").await;
        assert!(matches!(status, 401 | 429), "{status}");
        refused += usize::from(status == 429);
    }
    assert!(refused >= 20, "{refused} of 60 refused");
    assert_eq!(log_in(&stranger, "", MASTER_KEY).await, 201);
    app.stop().await;
}

#[tokio::test]
async fn a_request_that_names_no_path_is_refused_by_both_listeners() {
    let mut app = TestApp::start().await;
    for address in [app.address(), app.websocket()] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream
            .write_all(b"CONNECT 192.0.2.1:22 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
            .await
            .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{answer:?}");
    }
    app.stop().await;
}

/// The status of a refused websocket upgrade for a client with these hops; `None` if the session was opened.
async fn seat(app: &TestApp, hops: &str) -> Result<Client, u16> {
    Client::try_connect(app.websocket(), &[("x-forwarded-for", hops)]).await
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_address_has_its_own_seats_and_forged_hops_win_none() {
    let settings = ["http.trusted_proxies=[\"127.0.0.0/8\"]", "websocket.max_sessions_per_ip=2"];
    let mut app = TestApp::with(&settings).await;
    let mut open = Vec::new();
    for number in 0..2 {
        // The attacker forges another hop each time; the proxy appends the real one.
        open.push(seat(&app, &format!("198.51.100.{number}, 203.0.113.66")).await.unwrap());
    }
    assert_eq!(seat(&app, "198.51.100.9, 203.0.113.66").await.err(), Some(429));
    let mut other = seat(&app, "203.0.113.7").await.unwrap().with_token(app.api.token());
    assert_eq!(other.ask(json!({"action": "ping"})).await["status"], "success");
    // The seat of a closed session is free again.
    drop(open);
    eventually("a seat is free", LONG, async || seat(&app, "203.0.113.66").await.ok()).await;
    app.stop().await;
}

#[tokio::test]
async fn without_a_trusted_proxy_forwarding_headers_win_no_seat() {
    let mut app = TestApp::with(&["websocket.max_sessions_per_ip=2"]).await;
    let _open = [seat(&app, "203.0.113.1").await.unwrap(), seat(&app, "203.0.113.2").await.unwrap()];
    assert_eq!(seat(&app, "203.0.113.3").await.err(), Some(429));
    app.stop().await;
}
