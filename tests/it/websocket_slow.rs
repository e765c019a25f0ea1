//! Slow clients: they delay nobody else, and lose nothing that retention still keeps.

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value, json};
use switchhook::app::raise_open_files;
use switchhook::tasks::{Stop, Tasks};
use tokio::task::JoinSet;
use tokio::time::interval;

use super::support::app::{Api, TestApp, call_event};
use super::support::look::LONG;
use super::support::process::Process;
use super::support::wait::{eventually, eventually_true};
use super::support::websocket::{Client, End, Slow, number};

const BINDING: &str = "call.CHANNEL_CREATE.*";

/// A call event of about `bytes` bytes.
fn padded(number: u64, bytes: usize) -> Value {
    let mut event = call_event("CHANNEL_CREATE", "call", number);
    event["Padding"] = "x".repeat(bytes).into();
    event
}

#[tokio::test]
async fn a_client_that_retention_overtakes_gets_pending_frames_and_is_closed_with_1013() {
    // Far more than a connection's buffers hold (0.3 MB); retention removes nine tenths of it.
    const EVENTS: u64 = 96;
    let settings = ["retention.max_bytes=1048576", "log.segment_bytes=65536", "websocket.window_bytes=1024"];
    let mut app = TestApp::with(&[&settings[..], &["websocket.shared_bytes=65536"]].concat()).await;
    let mut client = Client::connect_narrow(app.websocket(), app.api.token()).await;
    client.subscribe(&app.api.account, BINDING, Value::Null).await;
    // The client does not read: the buffers fill, and then its position in the log stays where it is.
    for from in (0..EVENTS).step_by(8) {
        app.api.publish(&(from..from + 8).map(|n| padded(n, 100_000)).collect::<Vec<_>>()).await;
    }
    eventually("retention has passed the client", LONG, || async {
        let status = app.api.call("GET", "/admin/status", None).await;
        (status.data()["logs"]["events"]["first_offset"].as_u64() > Some(EVENTS / 2)).then_some(())
    })
    .await;
    let (mut last, mut got) = (Value::Null, Vec::new());
    let end = loop {
        match client.try_event().await {
            Ok(event) => {
                got.push(number(&event));
                last = event["event_id"].clone();
            }
            Err(end) => break end,
        }
    };
    assert_eq!(end, End::Code(1013));
    assert!(!got.is_empty() && got.len() < 48, "{got:?} cannot have been on their way");
    assert!(got.iter().copied().eq(0..got.len() as u64), "{got:?} has a gap");
    // The client cannot resume without noticing the loss.
    let data = json!({"account_id": app.api.account, "binding": BINDING, "after": last});
    let reply = app.connect().await.ask(json!({"action": "subscribe", "data": data})).await;
    let told = format!("events after {} are no longer kept", last.as_str().unwrap());
    assert_eq!(reply["data"]["errors"], json!([told]));
    app.stop().await;
}

const SESSIONS: usize = 2000;
const SLOW: usize = 200;
/// Sessions of the same account that read everything.
const QUICK: usize = 10;
/// Events for the slow sessions: 2 MB for each session, which would be 400 MB if it were buffered for all of them.
const LARGE: u64 = 100;
const LARGE_BYTES: usize = 20_000;
/// After this number of them, an event for the others.
const SMALL_EVERY: u64 = 5;
/// Most memory that the program may use at any time.
const MOST_BYTES: usize = 160 << 20;

/// Sessions that subscribe to the calls of an account, connected in groups.
async fn sessions(process: &Process, api: &Api, account: &str, count: usize) -> Vec<Client> {
    let connecting = (0..count).map(|_| async {
        let mut client = Client::connect_narrow(process.websocket(), api.token()).await;
        client.subscribe(account, BINDING, Value::Null).await;
        client
    });
    futures_util::stream::iter(connecting).buffered(16).collect().await
}

/// Lets each client read a byte a second until `done`; returns the clients.
async fn read_slowly(mut clients: Vec<Slow>, done: Stop) -> Vec<Slow> {
    let mut second = interval(Duration::from_secs(1));
    while done.run_until_cancelled(second.tick()).await.is_some() {
        clients.iter_mut().for_each(Slow::read_a_byte);
    }
    clients
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_that_read_a_byte_a_second_delay_no_other_of_two_thousand_and_use_one_window_each() {
    raise_open_files();
    let dir = tempfile::tempdir().unwrap();
    // Fewer files than sessions, unless the program raises the limit.
    let process = Process::serve_with_files(dir.path(), "1024:8192").await;
    let api = process.api().await;
    let quiet = api.account_below(&api.account, "quiet").await;
    let slow = sessions(&process, &api, &api.account, SLOW).await;
    let mut quick = sessions(&process, &api, &api.account, QUICK).await;
    let mut others = sessions(&process, &api, &quiet, SESSIONS - SLOW - QUICK).await;
    let done = Stop::new();
    let slow = slow.into_iter().map(Client::slow).collect();
    let reading = Tasks::new().spawn("slow clients", read_slowly(slow, done.clone()));

    let mut most = 0;
    for n in 0..LARGE {
        api.publish(&[padded(n, LARGE_BYTES)]).await;
        for client in &mut quick {
            assert_eq!(number(&client.event().await), n);
        }
        if n % SMALL_EVERY == 0 {
            let event = json!({"data": call_event("CHANNEL_CREATE", "call", n)});
            let answer = api.call("PUT", &format!("/v2/accounts/{quiet}/events"), Some(event)).await;
            assert_eq!(answer.status, 201, "{answer:?}");
            for client in &mut others {
                assert_eq!(number(&client.event().await), n);
            }
        }
        most = most.max(process.memory());
    }
    done.cancel();
    let mut slow = reading.await.unwrap();
    // All others have everything, and the slow ones not even their first event.
    assert!(slow.iter().all(|client| client.bytes() < LARGE_BYTES));
    assert!(most < MOST_BYTES, "{} MB", most >> 20);
    for client in slow.drain(..5) {
        let got = client.quick().await.events(usize::try_from(LARGE).unwrap()).await;
        assert!(got.iter().map(number).eq(0..LARGE), "what waited comes in order and whole");
    }
}

#[tokio::test]
async fn a_lack_of_open_files_for_connections_is_logged_once_and_the_program_continues() {
    let dir = tempfile::tempdir().unwrap();
    // Fewer files than the program itself has open (about 27) plus those of its sessions.
    let process = Process::serve_with_files(dir.path(), "40:40").await;
    let told = || process.stderr().matches("connections cannot be accepted").count();
    // Sessions with a token do not make room. Later clients connect at TCP level but are not accepted.
    let mut clients = JoinSet::new();
    eventually_true("no file is left", LONG, || {
        let address = process.websocket();
        clients.spawn(async move { Client::try_connect(address, &[]).await.map(Client::slow) });
        told() > 0
    })
    .await;
    clients.abort_all();
    while clients.join_next().await.is_some() {}
    let api = process.api().await;
    api.publish(&[call_event("CHANNEL_CREATE", "call", 1)]).await;
    Client::connect(process.websocket(), api.token()).await;
    assert_eq!(told(), 1, "{}", process.stderr());
}

#[tokio::test]
async fn sessions_leave_half_of_the_open_files_to_the_rest() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::serve_with_files(dir.path(), "64:128").await;
    let api = process.api().await;
    let mut clients = Vec::new();
    let refused = loop {
        match Client::try_connect(process.websocket(), &[]).await {
            // A session without a token would be closed for the next one.
            Ok(client) => {
                let mut client = client.with_token(api.token());
                assert_eq!(client.ask(json!({"action": "ping"})).await["status"], "success");
                clients.push(client);
            }
            Err(status) => break status,
        }
    };
    assert_eq!((clients.len(), refused), (64, 503));
    api.publish(&[call_event("CHANNEL_CREATE", "call", 1)]).await;
    let told = "fewer websocket sessions than configured";
    assert_eq!(process.stderr().matches(told).count(), 1, "{}", process.stderr());
}
