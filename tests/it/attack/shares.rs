//! One account's share of common resources: bytes of events, the log, and reads of the log.

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::support::app::{TestApp, call_event};
use crate::support::look::{LONG, events_of, queue_when};
use crate::support::receiver::Receiver;
use crate::support::wait::eventually;

fn large_event(call: &str, number: u64, bytes: usize) -> Value {
    let mut event = call_event("CHANNEL_CREATE", call, number);
    event["Custom-Channel-Vars"] = json!({"Filling": "x".repeat(bytes)});
    event
}

#[tokio::test]
async fn an_account_submits_events_at_its_rate_without_delaying_others() {
    let mut app =
        TestApp::with(&["ingest.http_burst_bytes=1048576", "ingest.http_bytes_per_second=1024"]).await;
    let (noisy, victim) = (app.api.tenant("noisy").await, app.api.tenant("victim").await);
    let mut taken = 0;
    let mut refused = None;
    for number in 0..64 {
        let body = json!({"data": [large_event("c", number, 64 << 10)]});
        let answer = noisy.own("PUT", "/events", Some(body)).await;
        match answer.status {
            201 => taken += 1,
            _ => refused = Some(answer),
        }
    }
    let refused = refused.expect("more than the rate is refused");
    assert!((10..20).contains(&taken), "{taken} taken");
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(
        refused.data()["message"].as_str().unwrap().contains("ingest.http_bytes_per_second"),
        "{refused:?}"
    );
    // Small events have a cost, too.
    let many = events_of("small", 0..2000);
    assert_eq!(noisy.own("PUT", "/events", Some(json!({"data": many}))).await.status, 429);
    assert_eq!(victim.publish(&events_of("v", 0..100)).await.len(), 100);
    assert_eq!(app.api.publish(&events_of("m", 0..2000)).await.len(), 2000, "the master account has no rate");
    app.stop().await;
}

#[tokio::test]
async fn a_paused_queue_shows_the_gap_that_retention_made_in_it() {
    let settings =
        ["log.segment_bytes=65536", "retention.max_bytes=1048576", "retention.max_account_percent=100"];
    let mut app = TestApp::with(&settings).await;
    let hook = app.api.hook(json!({"uri": "http://127.0.0.1:9/"})).await;
    assert_eq!(app.api.own("POST", &format!("/webhooks/{hook}/pause"), None).await.status, 200);
    let first = app.api.publish(&events_of("one", 0..5)).await;
    let queue = queue_when(&app.api, &hook, "five wait", |q| q["waiting"] == 5).await;
    assert!(queue["gap"].is_null() && queue["waiting_exact"] == true, "{queue}");
    let other = app.api.tenant("other").await;
    for number in 0..32 {
        other.publish(&[large_event("c", number, 60_000)]).await;
    }
    let queue = app.api.queue(&hook).await;
    assert_eq!(queue["gap"]["from"], first[0], "{queue}");
    assert!(queue["gap"]["until"].as_u64() > Some(first[4]) && queue["waiting_exact"] == false, "{queue}");
    app.stop().await;
}

#[tokio::test]
async fn concurrent_dry_runs_of_one_account_are_correct_or_refused_and_others_are_answered() {
    let mut app = TestApp::start().await;
    let (noisy, victim) = (app.api.tenant("noisy").await, app.api.tenant("victim").await);
    let hook = noisy.hook(json!({"uri": "http://127.0.0.1:9/", "enabled": false})).await;
    for number in 0..40 {
        // Enough events that a count needs several reads.
        noisy.publish(&[large_event("c", number, 256 << 10)]).await;
    }
    let path = format!("/webhooks/{hook}/replay?dry_run=true");
    let body = || Some(json!({"data": {"from_offset": 0}}));
    let (runs, searched) = tokio::join!(
        join_all((0..48).map(|_| noisy.own("POST", &path, body()))),
        victim.own("GET", "/events", None),
    );
    assert_eq!(searched.status, 200, "{searched:?}");
    let counted: Vec<_> = runs.iter().filter(|run| run.status == 200).collect();
    assert!(counted.iter().all(|run| run.data()["matched"] == 40), "{counted:?}");
    assert!(counted.len() >= 16 && runs.iter().all(|run| matches!(run.status, 200 | 429)), "{runs:?}");
    assert!(counted.len() < 48, "so many at once are not all taken");
    app.stop().await;
}

#[tokio::test]
async fn an_account_above_its_share_of_the_log_evicts_no_events_of_other_accounts() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&["log.segment_bytes=65536", "retention.max_bytes=1048576"]).await;
    let (noisy, victim) = (app.api.tenant("noisy").await, app.api.tenant("victim").await);
    let hook = victim.hook(json!({"uri": receiver.uri("/")})).await;
    assert_eq!(victim.own("POST", &format!("/webhooks/{hook}/pause"), None).await.status, 200);
    victim.publish(&events_of("v", 0..5)).await;
    let large = |number| Some(json!({"data": [large_event("c", number, 60_000)]}));
    let mut refused = None;
    for number in 0..32 {
        let answer = noisy.own("PUT", "/events", large(number)).await;
        refused = (answer.status != 201).then_some(answer).or(refused);
    }
    let refused = refused.expect("more than its part is refused");
    assert_eq!(refused.status, 507, "{refused:?}");
    let reason = refused.data()["message"].as_str().unwrap();
    assert!(reason.contains("retention.max_account_percent"), "{reason}");
    app.restart(None).await;
    let victim = app.api.below(victim.account.clone());
    victim.publish(&events_of("v", 5..10)).await;
    let queue = victim.queue(&hook).await;
    assert!(queue["gap"].is_null(), "{queue}");
    // Events from before the restart count as soon as their bytes are known.
    let noisy = app.api.below(noisy.account.clone());
    eventually("its events are refused again", LONG, || async {
        (noisy.own("PUT", "/events", large(99)).await.status == 507).then_some(())
    })
    .await;
    assert_eq!(victim.own("POST", &format!("/webhooks/{hook}/resume"), None).await.status, 200);
    receiver.wait_for(10, LONG).await;
    app.stop().await;
}

#[tokio::test]
async fn a_tenant_cannot_multiply_its_rate_by_creating_accounts() {
    let mut app =
        TestApp::with(&["ingest.http_burst_bytes=1048576", "ingest.http_bytes_per_second=1024"]).await;
    let (noisy, victim) = (app.api.tenant("noisy").await, app.api.tenant("victim").await);
    let mut taken = 0;
    for child in 0..8 {
        let child = noisy.tenant(&format!("child {child}")).await;
        for number in 0..16 {
            let body = json!({"data": [large_event("c", number, 64 << 10)]});
            let answer = child.own("PUT", "/events", Some(body)).await;
            assert!(matches!(answer.status, 201 | 429), "{answer:?}");
            taken += usize::from(answer.status == 201);
        }
    }
    // The tenant's burst, four times an account's, is 62 of these; eight separate bursts would be 120.
    assert!((55..80).contains(&taken), "{taken} taken");
    assert_eq!(victim.publish(&events_of("v", 0..100)).await.len(), 100);
    app.stop().await;
}

#[tokio::test]
async fn a_tenant_cannot_multiply_its_share_of_the_log_by_creating_accounts() {
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&["log.segment_bytes=65536", "retention.max_bytes=1048576"]).await;
    let (noisy, victim) = (app.api.tenant("noisy").await, app.api.tenant("victim").await);
    let hook = victim.hook(json!({"uri": receiver.uri("/")})).await;
    assert_eq!(victim.own("POST", &format!("/webhooks/{hook}/pause"), None).await.status, 200);
    victim.publish(&events_of("v", 0..5)).await;
    // The master account's own events fill half of the log, so that a little more makes it nearly full.
    for number in 0..9 {
        app.api.publish(&[large_event("m", number, 60_000)]).await;
    }
    let mut refused = 0;
    for child in 0..12 {
        let child = noisy.tenant(&format!("child {child}")).await;
        for number in 0..2 {
            // Each account stays below its own share.
            let body = json!({"data": [large_event("c", number, 40_000)]});
            let answer = child.own("PUT", "/events", Some(body)).await;
            assert!(matches!(answer.status, 201 | 507), "{answer:?}");
            refused += usize::from(answer.status == 507);
        }
    }
    assert!(refused >= 10, "{refused} of 24 refused");
    assert!(victim.queue(&hook).await["gap"].is_null(), "nothing of the victim's was driven out");
    assert_eq!(victim.own("POST", &format!("/webhooks/{hook}/resume"), None).await.status, 200);
    receiver.wait_for(5, LONG).await;
    app.stop().await;
}
