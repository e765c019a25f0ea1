//! The program and its broker: readiness while the broker is down, reconnection, malformed messages, and the messages
//! that the program publishes.

use std::time::Duration;

use lapin::BasicProperties;
use lapin::options::{BasicGetOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use serde_json::{Value, json};

use super::support::app::{Api, TestApp, call_event};
use super::support::broker::Broker;
use super::support::process::run;
use super::support::publisher::Publisher;
use super::support::receiver::{Mood, Receiver, Request};
use super::support::wait::eventually;

/// A broker takes 4 s to start on an idle machine, and the program waits longer after each failed connection.
const SOON: Duration = Duration::from_secs(120);
const KEY: &str = "call.CHANNEL_CREATE.call";

async fn app(broker: &Broker, more: &[&str]) -> TestApp {
    let uri = format!("amqp.uri={}", broker.uri());
    let mut settings = vec![uri.as_str()];
    settings.extend_from_slice(more);
    let app = TestApp::with(&settings).await;
    is_ready(&app.api).await;
    app
}

async fn is_ready(api: &Api) {
    eventually("the program is ready", SOON, async || {
        (api.call("GET", "/health/ready", None).await.status == 200).then_some(())
    })
    .await;
}

fn event(api: &Api, number: u64) -> Vec<u8> {
    let mut event = call_event("CHANNEL_CREATE", "call", number);
    event["Custom-Channel-Vars"] = json!({"Account-ID": api.account});
    event.to_string().into_bytes()
}

fn numbers(requests: &[Request]) -> Vec<String> {
    let bodies = requests.iter().map(|r| serde_json::from_str::<Value>(r.text()).unwrap());
    bodies.map(|body| body["caller_id_number"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn broker_that_is_killed_fails_readiness_and_is_consumed_from_after_its_restart() {
    let (mut broker, receiver) = (Broker::start().await, Receiver::start().await);
    let mut app = app(&broker, &[]).await;
    app.api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    let publisher = Publisher::connect(&broker.uri()).await;
    publisher.publish("callevt", KEY, &event(&app.api, 1)).await;
    receiver.wait_for(1, SOON).await;

    broker.kill();
    drop(publisher);
    let fault = eventually("readiness fails", SOON, async || {
        let answer = app.api.call("GET", "/health/ready", None).await;
        (answer.status == 503).then_some(answer.body)
    })
    .await;
    assert_eq!((&fault["ready"], &fault["faults"][0]["what"]), (&json!(false), &json!("broker")), "{fault}");
    assert!(!fault["faults"][0]["reason"].as_str().unwrap().is_empty(), "{fault}");
    assert_eq!(app.api.call("GET", "/health/live", None).await.status, 200);
    // The rest of the program still works.
    app.api.publish(&[call_event("CHANNEL_CREATE", "call", 2)]).await;
    receiver.wait_for(2, SOON).await;

    broker.start_again().await;
    is_ready(&app.api).await;
    let publisher = Publisher::connect(&broker.uri()).await;
    publisher.publish("callevt", KEY, &event(&app.api, 3)).await;
    assert_eq!(numbers(&receiver.wait_for(3, SOON).await), ["1", "2", "3"]);
    app.stop().await;
}

#[tokio::test]
async fn broker_messages_that_are_malformed_go_to_quarantine_and_later_ones_are_delivered() {
    let (broker, receiver) = (Broker::shared().await, Receiver::start().await);
    let mut app = app(&broker, &[]).await;
    app.api.hook(json!({"uri": receiver.uri("/"), "format": "json"})).await;
    let publisher = Publisher::connect(&broker.uri()).await;
    publisher.publish("callevt", KEY, &event(&app.api, 1)).await;
    for senseless in [&b"{\"Event-Category\": "[..], b"", b"\xff\xfe\x00", b"[1, 2]", b"{}"] {
        publisher.publish("callevt", KEY, senseless).await;
    }
    let erlang = BasicProperties::default().with_content_type("application/erlang".into());
    publisher.publish_with("callevt", KEY, &event(&app.api, 2), erlang).await;
    publisher.publish("callevt", KEY, &event(&app.api, 3)).await;
    assert_eq!(numbers(&receiver.wait_for(2, SOON).await), ["1", "3"]);
    is_ready(&app.api).await;
    let list = app.api.call("GET", "/v2/quarantine?ascending=true", None).await;
    let rows = list.data().as_array().unwrap().clone();
    assert_eq!((list.status, rows.len()), (200, 6), "{list:?}");
    assert_eq!((&rows[0]["exchange"], &rows[0]["routing_key"]), (&json!("callevt"), &json!(KEY)), "{list:?}");
    for (row, key, body) in [(0, "body", "{\"Event-Category\": "), (2, "body_base64", "//4A")] {
        let id = rows[row]["id"].as_str().unwrap();
        let one = app.api.call("GET", &format!("/v2/quarantine/{id}"), None).await;
        assert_eq!((one.status, &one.data()[key]), (200, &json!(body)), "{one:?}");
        assert_eq!(one.data()["reason"], rows[row]["reason"], "{one:?}");
    }
    app.stop().await;

    let ended = run(&["log", "cat", "--data-dir", app.dir().to_str().unwrap()]).await;
    let mut records: Vec<Value> =
        ended.stdout.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    records.retain(|record| record["record"]["name"] != "doc_created");
    assert_eq!((ended.code, records.len()), (Some(0), 8), "{records:#?}");
    for (record, quarantined) in records.iter().zip([false, true, true, true, true, true, true, false]) {
        let reason = &record["record"]["quarantine"];
        assert_eq!(reason.as_str().is_some_and(|r| !r.is_empty()), quarantined, "{record}");
    }
    assert_eq!(records[1]["record"]["body"], "{\"Event-Category\": ", "kept as it came");
}

#[tokio::test]
async fn broker_message_with_a_compressed_body_reaches_its_hook_unpacked() {
    let (broker, receiver) = (Broker::shared().await, Receiver::start().await);
    let mut app = app(&broker, &[]).await;
    app.api.hook(json!({"uri": receiver.uri("/"), "hook": "mms", "format": "json"})).await;
    let message = json!({"Event-Category": "mms", "Event-Name": "inbound", "Message-ID": "m1", "Msg-ID": "1",
        "Account-ID": app.api.account, "From": "+1", "To": "+2", "Body": "seen", "Route-Type": "offnet"});
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    std::io::Write::write_all(&mut packed, message.to_string().as_bytes()).unwrap();
    let gzip = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("gzip".into());
    let publisher = Publisher::connect(&broker.uri()).await;
    publisher.publish_with("im", "mms.inbound.offnet.m1", &packed.finish().unwrap(), gzip).await;
    let got: Value = serde_json::from_str(receiver.wait_for(1, SOON).await[0].text()).unwrap();
    assert_eq!(
        (&got["id"], &got["body"], &got["type"]),
        (&json!("m1"), &json!("seen"), &json!("mms")),
        "{got}"
    );
    let events = app.api.own("GET", "/events?hook_events=mms", None).await;
    let id = events.data()[0]["id"].as_str().unwrap();
    let event = app.api.own("GET", &format!("/events/{id}"), None).await;
    assert_eq!(event.data()["body"], message, "unpacked: {event:?}");
    app.stop().await;
}

#[tokio::test]
async fn broker_gets_webhook_disabled_when_a_hook_keeps_failing() {
    let (broker, receiver) = (Broker::shared().await, Receiver::start().await);
    receiver.mood(Mood::status(500));
    let mut app = app(&broker, &["disable.failure_count=3", "disable.probe_initial_ms=0"]).await;
    let publisher = Publisher::connect(&broker.uri()).await;
    let channel = publisher.channel();
    let (declare, table) =
        (QueueDeclareOptions { exclusive: true, ..Default::default() }, FieldTable::default());
    let queue = channel.queue_declare("".into(), declare, table.clone()).await.unwrap();
    let (name, key) = (queue.name().as_str(), "notifications.webhook.disabled");
    let bind = QueueBindOptions::default();
    channel.queue_bind(name.into(), "notifications".into(), key.into(), bind, table).await.unwrap();

    let hook = app.api.hook(json!({"uri": receiver.uri("/"), "format": "json", "retries": 4})).await;
    publisher.publish("callevt", KEY, &event(&app.api, 1)).await;
    let message = eventually("webhook_disabled is published", SOON, async || {
        channel.basic_get(name.into(), BasicGetOptions { no_ack: true }).await.unwrap()
    })
    .await;
    let body: Value = serde_json::from_slice(&message.data).unwrap();
    assert_eq!(
        (&body["Event-Category"], &body["Event-Name"]),
        (&json!("notification"), &json!("webhook_disabled"))
    );
    assert_eq!((&body["Hook-ID"], &body["Account-ID"]), (&json!(hook), &json!(app.api.account)), "{body}");
    let document = app.api.own("GET", &format!("/webhooks/{hook}"), None).await;
    assert_eq!(document.data()["enabled"], false, "{document:?}");
    assert_eq!(document.data()["disable_reason"], "too many failed attempts", "{document:?}");
    assert_eq!(receiver.count(), 3);
    let again = channel.basic_get(name.into(), BasicGetOptions { no_ack: true }).await.unwrap();
    assert!(again.is_none(), "it is published once");
    app.stop().await;
}
