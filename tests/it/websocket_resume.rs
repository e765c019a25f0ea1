//! A client that reconnects misses nothing: after a lost connection, a crash of the program, or a crash of the
//! broker.

use serde_json::{Value, json};

use super::support::app::{Api, TestApp, call_event};
use super::support::broker::Broker;
use super::support::look::{LONG, events_of};
use super::support::process::Process;
use super::support::publisher::Publisher;
use super::support::wait::eventually;
use super::support::websocket::{Client, End, number};

const BINDING: &str = "call.CHANNEL_CREATE.*";

/// A client that records its events and resumes after the last one.
struct Console {
    account: String,
    /// The event id to resume after; null while the log is empty.
    after: Value,
    numbers: Vec<u64>,
}

impl Console {
    fn new(account: &str) -> Self {
        Self { account: account.to_owned(), after: Value::Null, numbers: Vec::new() }
    }

    /// Subscribes after the last event; from the first event on when there is none.
    async fn resume(&mut self, client: &mut Client) {
        let start = match &self.after {
            Value::Null => json!({"since": 62_167_219_200_u64}),
            after => json!({"after": after}),
        };
        client.subscribe(&self.account, BINDING, start).await;
    }

    fn take(&mut self, event: &Value) {
        self.after = event["event_id"].clone();
        self.numbers.push(number(event));
    }

    /// Reads events until the connection ends or `total` is reached.
    async fn read_until(&mut self, client: &mut Client, total: usize) -> Result<(), End> {
        while self.numbers.len() < total {
            self.take(&client.try_event().await?);
        }
        Ok(())
    }

    /// Checks that every number came once, in order.
    fn has_all(&self, n: u64) {
        assert_eq!(self.numbers, (0..n).collect::<Vec<_>>());
    }
}

#[tokio::test]
async fn a_thousand_lost_connections_leave_no_gap_and_no_repeat() {
    const EVENTS: usize = 4000;
    // A small ring, so that sessions also read the log themselves.
    let mut app = TestApp::with(&["websocket.shared_bytes=65536", "websocket.window_bytes=4096"]).await;
    let api = app.api.clone();
    #[expect(clippy::disallowed_methods, reason = "the test waits for it")]
    let publishing = tokio::spawn(async move {
        for from in (0..EVENTS as u64).step_by(20) {
            api.publish(&events_of("call", from..from + 20)).await;
        }
    });
    let mut console = Console::new(&app.api.account);
    for connection in 1..=1000 {
        let mut client = app.connect().await;
        console.resume(&mut client).await;
        // Drop the connection while frames are on the way.
        console.read_until(&mut client, connection * EVENTS / 1000).await.unwrap();
    }
    publishing.await.unwrap();
    console.has_all(EVENTS as u64);
    app.stop().await;
}

#[tokio::test]
async fn missed_events_come_first_and_are_marked() {
    let mut app = TestApp::start().await;
    let mut events = events_of("call", 0..5);
    app.api.publish(&events.split_off(3)).await;
    let mut client = app.connect().await;
    let data = client.subscribe(&app.api.account, "call.*.*", Value::Null).await;
    let token = data["event_id"].clone();
    app.api.publish(&events).await;
    assert_eq!(client.events(3).await.iter().map(number).collect::<Vec<_>>(), [0, 1, 2]);
    client.has_no_more().await;

    // The event id in the reply works like that of an event.
    let mut client = app.connect().await;
    client.subscribe(&app.api.account, "call.*.*", json!({"after": token})).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "call", 9)]).await;
    let got = client.events(4).await;
    let marked: Vec<_> = got.iter().map(|event| (number(event), event.get("replayed").is_some())).collect();
    assert_eq!(marked, [(0, true), (1, true), (2, true), (9, false)]);

    // An existing binding can also go back.
    let since = json!({"since": 62_167_219_200_u64});
    client.subscribe(&app.api.account, "call.*.*", since).await;
    assert_eq!(client.events(6).await.iter().map(number).collect::<Vec<_>>(), [3, 4, 0, 1, 2, 9]);
    client.has_no_more().await;
    app.stop().await;
}

#[tokio::test]
async fn an_event_that_cannot_be_resumed_after_is_refused() {
    let mut app = TestApp::start().await;
    let answer = app.api.own("PUT", "/events", Some(json!({"data": events_of("call", 0..1)}))).await;
    let known = answer.data()["event_ids"][0].as_str().unwrap().to_owned();
    let mut client = app.connect().await;
    let account = app.api.account.clone();
    for id in [format!("{}{:016x}", &known[..8], 1), format!("00000000{}", &known[8..])] {
        let data = json!({"account_id": account, "binding": BINDING, "after": id});
        let reply = client.ask(json!({"action": "subscribe", "data": data})).await;
        assert_eq!(reply["data"]["errors"], json!([format!("event {id} is not in the log")]));
    }
    client.subscribe(&account, BINDING, json!({"after": known})).await;
    client.has_no_more().await;
    app.stop().await;
}

/// Publishes numbered calls over HTTP to a program that may die, until all are acknowledged. An event that was stored
/// without an answer is stored twice and counts as the next one.
async fn publish_all(api: &Api, from: u64, until: u64) {
    for n in from..until {
        api.publish(&events_of("call", n..n + 1)).await;
    }
}

#[tokio::test]
async fn a_session_resumes_after_the_program_was_killed() {
    let dir = tempfile::tempdir().unwrap();
    let mut process = Process::serve(dir.path(), &[]).await;
    let mut console = Console::new(&process.api().await.account);
    for round in 0..3 {
        let api = process.api().await;
        let mut client = Client::connect(process.websocket(), api.token()).await;
        console.resume(&mut client).await;
        publish_all(&api, round * 20, round * 20 + 20).await;
        // Reads half of the events; the other half is lost with the process.
        let total = usize::try_from(round * 20 + 10).unwrap();
        console.read_until(&mut client, total).await.unwrap();
        process.kill();
        process = Process::serve(dir.path(), &[]).await;
    }
    let mut client = Client::connect(process.websocket(), process.api().await.token()).await;
    console.resume(&mut client).await;
    console.read_until(&mut client, 60).await.unwrap();
    client.has_no_more().await;
    console.has_all(60);
}

#[tokio::test]
async fn a_session_resumes_after_the_broker_was_killed() {
    let mut broker = Broker::start().await;
    let uri = format!("amqp.uri={}", broker.uri());
    let mut app = TestApp::with(&[&uri, "amqp.queue=of-sessions"]).await;
    let mut client = app.connect().await;
    client.subscribe(&app.api.account, BINDING, Value::Null).await;
    let ready = || async {
        let health = app.api.call("GET", "/health/ready", None).await;
        (health.status == 200).then_some(())
    };
    for round in 0..2_u64 {
        eventually("the broker is consumed from", LONG, ready).await;
        let publisher = Publisher::connect(&broker.uri()).await;
        let mut event = call_event("CHANNEL_CREATE", "call", round);
        event["Custom-Channel-Vars"] = json!({"Account-ID": app.api.account});
        publisher.publish("callevt", "call.CHANNEL_CREATE.call", event.to_string().as_bytes()).await;
        assert_eq!(number(&client.event().await), round, "the session is the same");
        if round == 0 {
            broker.has_written("of-sessions").await;
            broker.kill();
            broker.start_again().await;
        }
    }
    app.stop().await;
}
