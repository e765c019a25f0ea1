//! The messages of several brokers: which of them are copies, in which order they are delivered, which broker carries a
//! command, and that no password of a broker leaks.

use serde_json::{Value, json};

use crate::commands::call_is_known;
use crate::support::app::{Answer, TestApp, call_event};
use crate::support::broker::{Broker, free_port};
use crate::support::config_file::ConfigFile;
use crate::support::look::{LONG, accepted_per_call, body, settled};
use crate::support::process::Process;
use crate::support::publisher::Publisher;
use crate::support::receiver::Receiver;
use crate::support::switch::Switch;
use crate::support::wait::eventually;

async fn is_ready(app: &TestApp) {
    eventually("every zone is consumed from", LONG, async || {
        (app.api.call("GET", "/health/ready", None).await.status == 200).then_some(())
    })
    .await;
}

/// An event's name and its call.
#[derive(Clone, Copy)]
struct Leg<'a> {
    event: &'a str,
    id: &'a str,
}

fn created(id: &str) -> Leg<'_> {
    Leg { event: "CHANNEL_CREATE", id }
}

fn answered(id: &str) -> Leg<'_> {
    Leg { event: "CHANNEL_ANSWER", id }
}

/// A call event of an account with this `Msg-ID`, or without one.
fn event(account: &str, call: Leg<'_>, msg_id: Option<&str>, number: u64) -> Vec<u8> {
    let mut event = call_event(call.event, call.id, number);
    event["Custom-Channel-Vars"] = json!({"Account-ID": account});
    match msg_id {
        Some(id) => event["Msg-ID"] = id.into(),
        None => drop(event.as_object_mut().unwrap().remove("Msg-ID")),
    }
    event.to_string().into_bytes()
}

/// A program with two zones, each with a broker.
struct TwoZones {
    app: TestApp,
    receiver: Receiver,
    ams: Broker,
    fra: Broker,
    in_ams: Publisher,
    in_fra: Publisher,
}

impl TwoZones {
    async fn start() -> Self {
        // One after the other: each waits for a lock on a file.
        let (ams, fra) = (Broker::shared().await, Broker::shared().await);
        let zones = format!(
            r#"amqp.zones=[{{name="ams",uris=["{}"]}},{{name="fra",uris=["{}"]}}]"#,
            ams.uri(),
            fra.uri()
        );
        let (app, receiver) = (TestApp::with(&[&zones]).await, Receiver::start().await);
        is_ready(&app).await;
        let (in_ams, in_fra) = (Publisher::connect(&ams.uri()).await, Publisher::connect(&fra.uri()).await);
        Self { app, receiver, ams, fra, in_ams, in_fra }
    }

    async fn publish(&self, to: &Publisher, call: Leg<'_>, msg_id: Option<&str>) {
        let key = format!("call.{}.{}", call.event, call.id);
        to.publish("callevt", &key, &event(&self.app.api.account, call, msg_id, 1)).await;
    }

    /// The calls of the requests at a path, sorted.
    fn calls(&self, path: &str) -> Vec<String> {
        let requests = self.receiver.requests_at(path);
        let call = |request| body(request)["call_id"].as_str().unwrap().to_owned();
        let mut calls: Vec<String> = requests.iter().map(call).collect();
        calls.sort();
        calls
    }
}

#[tokio::test]
async fn only_the_same_message_of_another_zone_is_a_copy() {
    let mut zones = TwoZones::start().await;
    let (app, receiver, in_ams, in_fra) = (&zones.app, &zones.receiver, &zones.in_ams, &zones.in_fra);
    let on_create = app.api.hook(json!({"uri": receiver.uri("/created"), "format": "json"})).await;
    let on_answer = json!({"uri": receiver.uri("/answered"), "format": "json", "hook": "channel_answer"});
    let on_answer = app.api.hook(on_answer).await;

    zones.publish(in_ams, created("a"), Some("1")).await;
    receiver.wait_for(1, LONG).await;
    zones.publish(in_fra, created("a"), Some("1")).await;
    // The same Msg-ID with another subject or name is another message, and without one nothing can be recognised.
    zones.publish(in_fra, created("b"), Some("1")).await;
    zones.publish(in_fra, answered("a"), Some("1")).await;
    zones.publish(in_ams, created("c"), None).await;
    zones.publish(in_fra, created("c"), None).await;
    // KAZOO delivers a message that was published twice on one broker twice.
    zones.publish(in_ams, created("d"), Some("2")).await;
    zones.publish(in_ams, created("d"), Some("2")).await;
    zones.publish(in_ams, created("end-of-ams"), Some("3")).await;
    zones.publish(in_fra, created("end-of-fra"), Some("4")).await;
    eventually("both zones are read to the end", LONG, async || {
        (zones.calls("/created").iter().filter(|call| call.starts_with("end-of-")).count() == 2).then_some(())
    })
    .await;
    for hook in [&on_create, &on_answer] {
        settled(&app.api, hook).await;
    }
    assert_eq!(zones.calls("/created"), ["a", "b", "c", "c", "d", "d", "end-of-ams", "end-of-fra"]);
    assert_eq!(zones.calls("/answered"), ["a"]);
    zones.app.stop().await;
}

#[tokio::test]
async fn each_zone_keeps_the_order_of_its_calls_and_a_command_for_an_unknown_call_goes_to_all() {
    let mut zones = TwoZones::start().await;
    let (app, receiver) = (&zones.app, &zones.receiver);
    app.api.hook(json!({"uri": receiver.uri("/created"), "format": "json"})).await;
    // Both zones publish at the same time, each the events of its own call.
    let events = |call: &str| -> Vec<Vec<u8>> {
        let one = |n: u64| event(&app.api.account, created(call), Some(&format!("{call}-{n}")), n);
        (0..50).map(one).collect()
    };
    let (of_ams, of_fra) = (events("in-ams"), events("in-fra"));
    tokio::join!(
        zones.in_ams.publish_all("callevt", "call.CHANNEL_CREATE.in-ams", &of_ams),
        zones.in_fra.publish_all("callevt", "call.CHANNEL_CREATE.in-fra", &of_fra)
    );
    let accepted = accepted_per_call(&receiver.wait_for(100, LONG).await);
    for call in ["in-ams", "in-fra"] {
        assert_eq!(accepted[call], (0..50).collect::<Vec<_>>(), "{call}");
    }

    // Only a switch of fra has the call, and no event of it has come.
    let in_ams = Switch::start(&zones.ams.uri(), "ams").await;
    let in_fra = Switch::start(&zones.fra.uri(), "fra").await;
    in_fra.call("unknown", &app.api.account, "");
    let data = json!({"data": {"action": "hangup"}});
    eventually("the call is found in fra", LONG, async || {
        let answer = app.api.own("POST", "/channels/unknown", Some(data.clone())).await;
        (answer.status == 202).then_some(())
    })
    .await;
    for switch in [&in_ams, &in_fra] {
        assert_eq!(switch.command().await.0, "metaflow.action.unknown.hangup");
    }
    zones.app.stop().await;
}

#[tokio::test]
async fn a_command_that_a_broker_returns_goes_to_the_next_broker_of_its_zone_and_is_carried_out_once() {
    let (first, second) = (Broker::shared().await, Broker::shared().await);
    let zones = format!(r#"amqp.zones=[{{name="ams",uris=["{}","{}"]}}]"#, first.uri(), second.uri());
    let mut app = TestApp::with(&[&zones]).await;
    is_ready(&app).await;
    // KAZOO's nodes have changed to the second broker.
    let publisher = Publisher::connect(&second.uri()).await;
    call_is_known(&publisher, &app.api, "leg").await;
    let hang_up =
        async || app.api.own("POST", "/channels/leg", Some(json!({"data": {"action": "hangup"}}))).await;
    eventually("both brokers return the command", LONG, async || {
        let Answer { status, body } = hang_up().await;
        assert_eq!(status, 503, "{body}");
        (body["data"]["message"] == "no switch listens for it").then_some(())
    })
    .await;
    let on_second = Switch::start(&second.uri(), "second").await;
    assert_eq!(hang_up().await.status, 202);
    assert_eq!(on_second.command().await.0, "metaflow.action.leg.hangup");

    // The order is that of the configuration, and a command that has been accepted is not published again.
    let on_first = Switch::start(&first.uri(), "first").await;
    assert_eq!(hang_up().await.status, 202);
    assert_eq!(on_first.command().await.0, "metaflow.action.leg.hangup");
    publisher.publish("metaflow", "metaflow.end", b"{}").await;
    assert_eq!(on_second.command().await.0, "metaflow.end", "nothing came before it");
    assert!(!on_first.has_command());
    app.stop().await;
}

#[tokio::test]
async fn a_brokers_password_is_in_no_log_line_answer_or_command_line() {
    let broker = Broker::shared().await;
    let refusing = broker.uri().replace("guest:guest@", "kazoo:s3cret-one@");
    let closed = format!("amqp://kazoo:s3cret-two@127.0.0.1:{}/%2f", free_port());
    let zones = format!(
        r#"amqp.zones=[{{name="ams",uris=["{refusing}","{closed}"]}},{{name="fra",uris=["{}"]}}]"#,
        broker.uri()
    );
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    let settings = [zones.as_str(), "telemetry.filter=trace", "amqp.reconnect_max_ms=500"].map(str::to_owned);
    let file = ConfigFile::new(dir.path().join("switchhook.toml"), &data, &settings);
    let process = Process::serve_by(&file).await;
    let api = process.api().await;
    let status = eventually("both brokers of the zone have failed", LONG, async || {
        let status = api.call("GET", "/admin/status", None).await;
        let has_failed = |broker: &Value| !broker["last_error"].is_null();
        let brokers = status.data()["brokers"].as_array().unwrap();
        (has_failed(&brokers[0]) && has_failed(&brokers[1])).then(|| status.data().to_string())
    })
    .await;
    let mut shown = format!("{status}{}", process.stderr());
    for path in ["/health/ready", "/admin/config", "/metrics"] {
        shown.push_str(&api.raw("GET", path, &[("x-auth-token", api.token())]).await);
    }
    let line = std::fs::read(format!("/proc/{}/cmdline", process.pid())).unwrap();
    shown.push_str(&String::from_utf8_lossy(&line));
    assert!(shown.contains("zone ams"), "{shown}");
    for secret in ["s3cret-one", "s3cret-two"] {
        let at = shown.find(secret).map(|at| &shown[at.saturating_sub(300)..at + 20]);
        assert_eq!(at, None);
    }
}
