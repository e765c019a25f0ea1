//! Replacing KAZOO's applications: requests of KAZOO's API over the broker are answered.

use std::time::Duration;

use futures_util::StreamExt;
use lapin::options::{
    BasicConsumeOptions, BasicPublishOptions, ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions,
};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Channel, Connection, ConnectionProperties, Consumer, ExchangeKind};
use serde_json::{Value, json};

use super::support::app::{TestApp, call_event};
use super::support::broker::Broker;
use super::support::receiver::{Mood, Receiver};
use super::support::wait::eventually;
use super::support::websocket::Client;

const SOON: Duration = Duration::from_secs(60);
const QUEUE: &str = "crossbar-queue";

/// The part of KAZOO's API that sends requests to applications over the broker.
struct Crossbar {
    channel: Channel,
    heard: Consumer,
    _connection: Connection,
}

impl Crossbar {
    async fn start(uri: &str) -> Self {
        let connection = Connection::connect(uri, ConnectionProperties::default()).await.unwrap();
        let channel = connection.create_channel().await.unwrap();
        let private = QueueDeclareOptions { exclusive: true, ..QueueDeclareOptions::default() };
        channel.queue_declare(QUEUE.into(), private, FieldTable::default()).await.unwrap();
        for (exchange, kind, key) in
            [("targeted", ExchangeKind::Direct, QUEUE), ("nodes", ExchangeKind::Fanout, "")]
        {
            let (options, table) = (ExchangeDeclareOptions::default(), FieldTable::default());
            channel.exchange_declare(exchange.into(), kind, options, table.clone()).await.unwrap();
            let bind = QueueBindOptions::default();
            channel.queue_bind(QUEUE.into(), exchange.into(), key.into(), bind, table).await.unwrap();
        }
        // KAZOO declares it too. The program may not have done so when the first request is sent.
        let (options, table) = (ExchangeDeclareOptions::default(), FieldTable::default());
        channel.exchange_declare("sysconf".into(), ExchangeKind::Topic, options, table).await.unwrap();
        let options = BasicConsumeOptions { no_ack: true, ..BasicConsumeOptions::default() };
        let heard = channel.basic_consume(QUEUE.into(), "".into(), options, FieldTable::default());
        Self { heard: heard.await.unwrap(), channel, _connection: connection }
    }

    async fn ask(&self, exchange: &str, key: &str, body: Value) {
        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default());
        let bytes = body.to_string().into_bytes();
        self.channel.basic_publish(exchange.into(), key.into(), options, &bytes, properties).await.unwrap();
    }

    /// The next message, whatever it is.
    async fn hear_any(&mut self) -> Value {
        let next = tokio::time::timeout(SOON, self.heard.next()).await.expect("something is told");
        serde_json::from_slice(&next.unwrap().unwrap().data).unwrap()
    }

    /// The next message with this name, and the process it is addressed to.
    async fn hear(&mut self, name: &str) -> (Value, Option<String>) {
        let next = async {
            loop {
                let delivery = self.heard.next().await.unwrap().unwrap();
                let body: Value = serde_json::from_slice(&delivery.data).unwrap();
                if body["Event-Name"] == name {
                    let headers = delivery.properties.headers().clone().unwrap_or_default();
                    let process = headers
                        .inner()
                        .get("Deliver-To-PID")
                        .and_then(|value| Some(value.as_long_string()?.to_string()));
                    return (body, process);
                }
            }
        };
        tokio::time::timeout(SOON, next).await.expect("it is told")
    }
}

/// The request of KAZOO's API to the webhooks application.
fn enable_again(account: &str, id: &str) -> Value {
    json!({
        "Account-ID": account, "Action": "account", "App-Name": "crossbar", "App-Version": "4.0.0",
        "Event-Category": "configuration", "Event-Name": "doc_type_update", "Msg-ID": id, "Node": "n@h",
        "Server-ID": format!("pid://<0.7.0>/{QUEUE}"), "Type": "webhook",
    })
}

/// The request of KAZOO's API for a list of websockets.
fn which_websockets(id: &str, more: &Value) -> Value {
    let mut question = json!({
        "App-Name": "crossbar", "App-Version": "4.0.0", "Event-Category": "websockets", "Event-Name": "get_req",
        "Msg-ID": id, "Node": "n@h", "Server-ID": format!("pid://<0.7.0>/{QUEUE}"),
    });
    question.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
    question
}

#[tokio::test]
async fn broker_gets_an_answer_to_a_request_for_websockets() {
    let broker = Broker::shared().await;
    let uri = format!("amqp.uri={}", broker.uri());
    let mut app = TestApp::with(&[uri.as_str(), "kazoo.replace_blackhole=true"]).await;
    let mut crossbar = Crossbar::start(&broker.uri()).await;
    let (told, _) = crossbar.hear("advertise").await;
    assert!(told["WhApps"]["blackhole"]["Startup"].is_u64() && told["Expires"].is_u64(), "{told}");
    assert!(told["WhApps"].get("webhooks").is_none());

    let mut client = app.connect().await;
    client.ask(json!({"action": "ping", "name": "console", "metadata": {"tab": 2}})).await;
    client.subscribe(&app.api.account, "call.CHANNEL_CREATE.*", Value::Null).await;
    // A session without a token belongs to no account.
    let _stranger = Client::try_connect(app.websocket(), &[]).await.unwrap();
    let other = app.api.account_below(&app.api.account, "other").await;
    let (own, strange) = (json!({"Account-ID": app.api.account}), json!({"Account-ID": other}));
    let asked_by = json!({"Account-ID": other, "Auth-Account-ID": app.api.account});
    let mut id = String::new();
    for (about, count) in [(&own, 1), (&strange, 0), (&asked_by, 1), (&json!({}), 0)] {
        crossbar.ask("sysconf", "websockets.get", which_websockets("m1", about)).await;
        let (answer, process) = crossbar.hear("get_resp").await;
        let head = (&answer["Event-Category"], &answer["Msg-ID"], &answer["App-Name"]);
        assert_eq!(head, (&json!("websockets"), &json!("m1"), &json!("blackhole")), "{answer}");
        assert_eq!(process.as_deref(), Some("<0.7.0>"));
        let rows = answer["Data"].as_array().unwrap();
        assert_eq!(rows.len(), count, "{about} {answer}");
        if let Some(row) = rows.first() {
            assert_eq!(row["bindings"], json!(["call.CHANNEL_CREATE.*"]));
            assert_eq!((&row["name"], &row["metadata"]), (&json!("console"), &json!({"tab": 2})));
            assert!(row["timestamp"].is_u64() && row["destination"].is_string(), "{row}");
            assert_eq!(row["source"], "127.0.0.1");
            row["websocket_session_id"].as_str().unwrap().clone_into(&mut id);
        }
    }
    for (more, is_found) in [(&json!({}), true), (&own, true), (&strange, false)] {
        let mut one = which_websockets("m2", more);
        one["Socket-ID"] = id.clone().into();
        crossbar.ask("sysconf", "websockets.get", one).await;
        let (answer, _) = crossbar.hear("get_resp").await;
        let expected = if is_found { json!(id) } else { Value::Null };
        assert_eq!(answer["Data"]["websocket_session_id"], expected, "{more} {answer}");
        assert_eq!(answer["Data"].is_object(), is_found);
    }
    // Malformed requests are ignored.
    for nonsense in [json!({}), which_websockets("", &own), json!({"Event-Category": "websockets"})] {
        crossbar.ask("sysconf", "websockets.get", nonsense).await;
    }
    crossbar.ask("sysconf", "websockets.get", which_websockets("m3", &own)).await;
    assert_eq!(crossbar.hear("get_resp").await.0["Msg-ID"], "m3");
    app.stop().await;
}

#[tokio::test]
async fn broker_gets_an_answer_to_a_request_to_enable_webhooks_and_nothing_at_all_in_shadow() {
    let (broker, receiver) = (Broker::shared().await, Receiver::start().await);
    receiver.mood(Mood::status(410));
    let uri = format!("amqp.uri={}", broker.uri());
    let settings = [uri.as_str(), "disable.probe_initial_ms=0", "kazoo.replace_webhooks=true"];
    let mut crossbar = Crossbar::start(&broker.uri()).await;
    let shadow = [&settings[..], &["kazoo.mode=shadow", "kazoo.replace_blackhole=true"]].concat();
    let mut app = TestApp::with(&shadow).await;
    eventually("the broker is consumed from", SOON, async || {
        let status = app.api.call("GET", "/admin/status", None).await;
        (status.data()["broker"]["state"] == "connected").then_some(())
    })
    .await;
    let key = "configuration.doc_type_update.webhook";
    crossbar.ask("configuration", key, enable_again(&app.api.account, "in shadow")).await;
    crossbar.ask("sysconf", "websockets.get", which_websockets("in shadow", &json!({}))).await;
    let call = call_event("CHANNEL_CREATE", "c", 0);
    crossbar.ask("callevt", "call.CHANNEL_CREATE.c", call).await;
    eventually("the event behind the questions is in the log", SOON, async || {
        let listed = app.api.call("GET", "/admin/status", None).await;
        (listed.data()["logs"]["events"]["end_offset"] != 0).then_some(())
    })
    .await;
    app.restart(Some(&settings)).await;
    let hook = app.api.hook(json!({"uri": receiver.uri("/")})).await;
    app.api.publish(&[call_event("CHANNEL_CREATE", "c", 1)]).await;
    let is_enabled = async || {
        let document = app.api.own("GET", &format!("/webhooks/{hook}"), None).await;
        document.data()["enabled"] == true
    };
    eventually("the hook is disabled", SOON, async || (!is_enabled().await).then_some(())).await;
    // Held deliveries are attempted again as soon as the hook is enabled, and must not disable it again.
    receiver.mood(Mood::Ok);

    // The program's first message belongs to its live mode.
    let told = crossbar.hear_any().await;
    assert_eq!(told["Event-Name"], "advertise", "{told}");
    assert!(told["WhApps"]["webhooks"]["Startup"].is_u64() && told["Expires"].is_u64(), "{told}");
    assert_eq!((told["WhApps"].get("blackhole"), &told["Zone"]), (None, &json!("local")));
    crossbar.ask("configuration", key, json!({"Event-Category": "configuration"})).await;
    crossbar.ask("configuration", key, enable_again(&app.api.account, "m1")).await;
    let (answer, process) = crossbar.hear("doc_type_updated").await;
    assert_eq!((&answer["status"], &answer["Msg-ID"]), (&json!("success"), &json!("m1")), "{answer}");
    assert_eq!((&answer["Event-Category"], process.as_deref()), (&json!("configuration"), Some("<0.7.0>")));
    assert!(is_enabled().await);
    app.stop().await;
}
