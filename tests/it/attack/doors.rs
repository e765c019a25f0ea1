//! The doors: what strangers and tenants hold of them, and whom they can shut out.

use serde_json::json;

use crate::support::app::TestApp;
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
