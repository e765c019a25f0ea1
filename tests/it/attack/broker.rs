//! Other users of the broker: floods of malformed messages, and a queue with our name and other arguments.

use std::time::Duration;

use lapin::options::QueueDeclareOptions;
use lapin::types::FieldTable;
use serde_json::json;
use switchhook::tasks::Tasks;
use tokio::io::AsyncWriteExt;

use crate::support::app::{Api, TestApp, call_event};
use crate::support::broker::Broker;
use crate::support::process::Process;
use crate::support::publisher::Publisher;
use crate::support::receiver::Receiver;
use crate::support::wait::eventually;

const SOON: Duration = Duration::from_secs(60);

async fn is_ready(api: &Api) {
    eventually("it is ready", SOON, async || {
        (api.call("GET", "/health/ready", None).await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_flood_of_malformed_messages_fills_no_log_and_delays_no_event() {
    const FLOOD: usize = 3000;
    let broker = Broker::shared().await;
    let dir = tempfile::tempdir().unwrap();
    let process = Process::serve(dir.path(), &[format!("amqp.uri={}", broker.uri())]).await;
    let (api, receiver) = (process.api().await, Receiver::start().await);
    api.hook(json!({"uri": receiver.uri("/")})).await;
    is_ready(&api).await;
    let publisher = Publisher::connect(&broker.uri()).await;
    let flood: Vec<Vec<u8>> = (0..FLOOD).map(|n| format!("no JSON {n}").into_bytes()).collect();
    publisher.publish_all("callevt", "call.CHANNEL_CREATE.c", &flood).await;
    let mut event = call_event("CHANNEL_CREATE", "c", 1);
    event["Custom-Channel-Vars"] = json!({"Account-ID": api.account});
    publisher.publish("callevt", "call.CHANNEL_CREATE.c", event.to_string().as_bytes()).await;
    receiver.wait_for(1, SOON).await;
    let told = process.said("cannot be understood");
    // The limit is two hundred lines in ten seconds; on a busy machine the flood may last longer than that.
    assert!((1..FLOOD / 2).contains(&told), "{told} lines");
    eventually("what was left out is told", SOON, async || (process.said("withheld=") > 0).then_some(()))
        .await;
}

#[tokio::test]
async fn readiness_names_a_queue_that_a_restart_of_the_broker_would_lose() {
    let broker = Broker::shared().await;
    let publisher = Publisher::connect(&broker.uri()).await;
    let transient = QueueDeclareOptions::default();
    publisher.channel().queue_declare("switchhook".into(), transient, FieldTable::default()).await.unwrap();
    let app = TestApp::with(&[&format!("amqp.uri={}", broker.uri())]).await;
    eventually("a notice", SOON, async || {
        let ready = app.api.call("GET", "/health/ready", None).await.body.to_string();
        (ready.contains("is not durable") && ready.contains("rabbitmqctl delete_queue")).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_port_without_a_broker_is_reported_as_such() {
    let web = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let port = web.local_addr().unwrap().port();
    let answering = Tasks::new();
    let web = answering.spawn("web", async move {
        while let Ok((mut stream, _)) = web.accept().await {
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await);
        }
    });
    for (scheme, words) in
        [("amqp", "or amqps:// instead of amqp://"), ("amqps", "or amqp:// instead of amqps://")]
    {
        let mut app = TestApp::with(&[&format!("amqp.uri={scheme}://me:s3cr3t@127.0.0.1:{port}/%2f")]).await;
        eventually(words, SOON, async || {
            let ready = app.api.call("GET", "/health/ready", None).await.body.to_string();
            assert!(!ready.contains("s3cr3t"), "{ready}");
            ready.contains(words).then_some(())
        })
        .await;
        app.stop().await;
    }
    web.abort();
}
