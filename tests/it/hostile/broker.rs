//! Messages that expand or nest without bound: each is logged or quarantined, and the next message is consumed.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable};
use serde_json::{Value, json};

use crate::support::app::{Api, TestApp, call_event};
use crate::support::broker::Broker;
use crate::support::look::LONG;
use crate::support::publisher::Publisher;
use crate::support::receiver::Receiver;
use crate::support::wait::eventually;

/// A message: the reason of its quarantine, its properties and its body.
pub(super) type Bomb = (&'static str, BasicProperties, Vec<u8>);

fn json_of() -> BasicProperties {
    BasicProperties::default().with_content_type("application/json".into())
}

/// This number of spaces, compressed to a few thousandths of that size.
pub(super) fn packed(spaces: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let piece = vec![b' '; 1 << 20];
    for from in (0..spaces).step_by(piece.len()) {
        encoder.write_all(&piece[..piece.len().min(spaces - from)]).unwrap();
    }
    encoder.finish().unwrap()
}

/// Nested tables, as deep as a frame of the broker allows.
fn nested_headers(depth: usize) -> FieldTable {
    let mut table = FieldTable::default();
    for _ in 0..depth {
        let mut outer = FieldTable::default();
        outer.insert("t".into(), AMQPValue::FieldTable(table));
        table = outer;
    }
    table
}

/// Every kind of bomb, each of about this many megabytes.
pub(super) fn bombs(megabytes: usize) -> Vec<Bomb> {
    let bytes = megabytes << 20;
    let gzip = || json_of().with_content_encoding("gzip".into());
    let twice = {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&packed(bytes)).unwrap();
        encoder.finish().unwrap()
    };
    let cut = packed(1000)[..20].to_vec();
    let mut joined = packed(1000);
    joined.extend(packed(bytes * 16));
    vec![
        ("unpacks to more than", gzip(), packed(bytes * 17)),
        ("not", gzip(), twice),
        ("not valid gzip", gzip(), cut),
        ("", gzip(), joined),
        ("not", json_of(), b"[".repeat(bytes)),
        ("not", json_of(), b"{\"a\":".repeat(bytes / 5)),
        ("not", json_of(), b"\xff".repeat(1000)),
        ("larger than ingest.max_event_bytes", json_of(), b" ".repeat(5 << 20)),
        ("no Event-Category", json_of().with_headers(nested_headers(60)), b"{}".to_vec()),
    ]
}

async fn quarantined(api: &Api) -> Vec<Value> {
    let answer = api.call("GET", "/v2/quarantine?page_size=100", None).await;
    answer.data().as_array().cloned().unwrap_or_default()
}

#[tokio::test]
async fn decompression_and_nesting_bombs_are_quarantined_and_the_next_event_is_delivered() {
    let broker = Broker::start().await;
    let receiver = Receiver::start().await;
    let mut app = TestApp::with(&[&format!("amqp.uri={}", broker.uri())]).await;
    app.api.hook(json!({"uri": receiver.uri("/")})).await;
    eventually("the queue is bound", LONG, || async {
        let health = app.api.call("GET", "/health/ready", None).await;
        (health.status == 200).then_some(())
    })
    .await;
    let publisher = Publisher::connect(&broker.uri()).await;
    publisher.declare("callevt").await;
    let bombs = bombs(1);
    for (_, properties, body) in &bombs {
        publisher.publish_with("callevt", "call.CHANNEL_CREATE.c", body, properties.clone()).await;
    }
    let mut event = call_event("CHANNEL_CREATE", "c", 1);
    event["Custom-Channel-Vars"] = json!({"Account-ID": app.api.account});
    publisher.publish("callevt", "call.CHANNEL_CREATE.c", event.to_string().as_bytes()).await;
    receiver.wait_for(1, LONG).await;
    let rows = quarantined(&app.api).await;
    assert_eq!(rows.len(), bombs.len(), "{rows:?}");
    for ((why, _, _), row) in bombs.iter().rev().zip(&rows) {
        let reason = row["reason"].as_str().unwrap_or_default();
        assert!(reason.contains(why), "{row} for {why}");
    }
    publisher.close().await;
    app.stop().await;
}
