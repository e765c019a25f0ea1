//! A message whose headers are deeply nested tables is handled like any other message.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::app::call_event;
use crate::support::broker::Broker;
use crate::support::look::LONG;
use crate::support::process::Process;
use crate::support::publisher::Publisher;
use crate::support::receiver::Receiver;
use crate::support::wait::eventually;

/// Five times the depth that overflows a stack of 2 MiB.
const DEEP: usize = 5000;

/// A connection to a broker with just enough AMQP 0-9-1 to publish a message that no client library would send.
struct Raw(TcpStream);

fn short(text: &str) -> Vec<u8> {
    [&[u8::try_from(text.len()).unwrap()], text.as_bytes()].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes(), bytes].concat()
}

fn method(class: u16, method: u16, arguments: &[Vec<u8>]) -> Vec<u8> {
    [&class.to_be_bytes()[..], &method.to_be_bytes(), &arguments.concat()].concat()
}

/// Builds nested tables, without recursion.
fn nested(depth: usize) -> Vec<u8> {
    (0..depth).fold(long(b""), |inner, _| long(&[&b"\x01tF"[..], &inner].concat()))
}

impl Raw {
    async fn connect(address: &str) -> Self {
        let mut raw = Self(TcpStream::connect(address).await.unwrap());
        raw.0.write_all(b"AMQP\0\0\x09\x01").await.unwrap();
        raw.answer().await;
        let start = [long(b""), short("PLAIN"), long(b"\0guest\0guest"), short("en_US")];
        raw.frame(1, 0, &method(10, 11, &start)).await;
        raw.answer().await;
        let tune = [2047_u16.to_be_bytes().to_vec(), 131_072_u32.to_be_bytes().to_vec(), vec![0, 0]];
        raw.frame(1, 0, &method(10, 31, &tune)).await;
        raw.frame(1, 0, &method(10, 40, &[short("/"), short(""), vec![0]])).await;
        raw.answer().await;
        raw.frame(1, 1, &method(20, 10, &[short("")])).await;
        raw.answer().await;
        raw
    }

    async fn frame(&mut self, kind: u8, channel: u16, payload: &[u8]) {
        let bytes = [&[kind][..], &channel.to_be_bytes(), &long(payload), &[0xce]].concat();
        self.0.write_all(&bytes).await.unwrap();
    }

    /// Reads one frame.
    async fn answer(&mut self) {
        let mut head = [0; 7];
        self.0.read_exact(&mut head).await.unwrap();
        let size = u32::from_be_bytes(head[3..].try_into().unwrap());
        let mut rest = vec![0; usize::try_from(size).unwrap() + 1];
        self.0.read_exact(&mut rest).await.unwrap();
    }

    async fn publish(&mut self, exchange: &str, key: &str, headers: &[u8], body: &[u8]) {
        let publish = [vec![0, 0], short(exchange), short(key), vec![0]];
        self.frame(1, 1, &method(60, 40, &publish)).await;
        // A content type and headers.
        let size = (body.len() as u64).to_be_bytes();
        let header = [&[0, 60, 0, 0][..], &size, &[0xa0, 0], &short("application/json"), headers].concat();
        self.frame(2, 1, &header).await;
        self.frame(3, 1, body).await;
    }
}

#[tokio::test]
async fn deeply_nested_message_headers_are_accepted_like_any_others() {
    let (broker, dir) = (Broker::start().await, tempfile::tempdir().unwrap());
    let process = Process::serve(dir.path(), &[format!("amqp.uri={}", broker.uri())]).await;
    let (api, receiver) = (process.api().await, Receiver::start().await);
    api.hook(json!({"uri": receiver.uri("/")})).await;
    eventually("the broker's queue is bound", LONG, || async {
        let health = api.call("GET", "/health/ready", None).await;
        (health.status == 200).then_some(())
    })
    .await;
    let publisher = Publisher::connect(&broker.uri()).await;
    publisher.declare("callevt").await;
    let event = |number: u64| {
        let mut event: Value = call_event("CHANNEL_CREATE", "c", number);
        event["Custom-Channel-Vars"] = json!({"Account-ID": api.account});
        event.to_string().into_bytes()
    };
    let mut raw = Raw::connect(broker.uri().rsplit_once('@').unwrap().1).await;
    raw.publish("callevt", "call.CHANNEL_CREATE.c", &nested(DEEP), &event(1)).await;
    receiver.wait_for(1, LONG).await;
    publisher.publish("callevt", "call.CHANNEL_CREATE.c", &event(2)).await;
    receiver.wait_for(2, LONG).await;
    publisher.close().await;
}
