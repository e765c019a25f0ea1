//! From the broker to the log: every message once, in order, and acknowledged after the sync; despite malformed
//! messages, a full disk, a consumer that dies and a broker that is killed.

use std::sync::Arc;
use std::time::Duration;

use lapin::BasicProperties;
use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use serde_json::json;
use switchhook::amqp::{Address, BrokerStatus};
use switchhook::ingest::{AmqpConsumer, ConsumeError, ConsumerOptions, Ingest, IngestOptions};
use switchhook::log::{self, Appender, OpenedLog, ReaderOf};
use switchhook::model::{Clock, Event, EventOffset, Source};
use switchhook::tasks::{Stop, Tasks};
use tempfile::TempDir;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::support::broker::Broker;
use super::support::gate::GateDisk;
use super::support::publisher::Publisher;
use super::support::wait::{eventually, eventually_true};

const SOON: Duration = Duration::from_secs(20);
const ACCOUNT: &str = "b13fd1e2a7c94d5f8e0a6c3d9b2f4e71";

/// An events log on a disk that the test can block.
struct EventLog {
    _dir: TempDir,
    disk: GateDisk,
    appender: Appender,
    reader: ReaderOf<EventOffset>,
}

/// A running consumer.
struct Consumer {
    stop: Stop,
    status: watch::Receiver<BrokerStatus>,
    running: JoinHandle<Result<(), ConsumeError>>,
}

impl EventLog {
    fn new() -> Self {
        let (dir, disk) = (TempDir::new().unwrap(), GateDisk::default());
        let options = log::LogOptions { reserve_bytes: 1, ..log::LogOptions::default() };
        let opened = log::open(Arc::new(disk.clone()), dir.path(), options, Clock::system()).unwrap();
        let OpenedLog { writer, appender, reader, .. } = opened;
        std::thread::spawn(move || writer.run(Stop::new()));
        Self { _dir: dir, disk, appender, reader: ReaderOf::new(reader) }
    }

    /// Starts a consumer with empty windows on this log, and waits until it consumes.
    async fn consume(&self, broker: &Broker) -> Consumer {
        let ingest =
            Ingest::new(self.appender.clone(), &self.reader, Clock::system(), &IngestOptions::default());
        let options = ConsumerOptions {
            reconnect_initial: Duration::from_millis(20),
            reconnect_max: Duration::from_millis(100),
            full_retry: Duration::from_millis(50),
            ..ConsumerOptions::default()
        };
        let consumer = AmqpConsumer::new(Address::parse(&broker.uri()).unwrap(), options, ingest.unwrap());
        let (stop, status) = (Stop::new(), consumer.status());
        let running = Tasks::new().spawn("consumer", consumer.run(stop.clone()));
        let mut consumer = Consumer { stop, status, running };
        consumer.is_connected().await;
        consumer
    }

    /// Waits until the log has this number of events.
    async fn holds(&self, events: u64) {
        eventually_true(&format!("the log holds {events} events"), SOON, || {
            self.reader.end() >= EventOffset(events)
        })
        .await;
        assert_eq!(self.reader.end(), EventOffset(events));
    }

    /// The `Msg-ID` of each event, or why it is in quarantine.
    fn told(&self) -> Vec<String> {
        let (mut told, mut from) = (Vec::new(), EventOffset::FIRST);
        while from < self.reader.end() {
            let batch = self.reader.read(from, 1000, 1 << 20).unwrap();
            let events = batch.records.iter().map(|r| Event::decode(&r.payload).unwrap());
            told.extend(events.map(|e| e.quarantine.unwrap_or(e.msg_id).to_owned()));
            from = batch.next;
        }
        told
    }
}

impl Consumer {
    async fn is_connected(&mut self) {
        let connected = self.status.wait_for(|s| matches!(s, BrokerStatus::Connected { .. }));
        tokio::time::timeout(SOON, connected).await.expect("the consumer connects").unwrap();
    }

    async fn ends(self) {
        self.stop.cancel();
        tokio::time::timeout(SOON, self.running).await.expect("the consumer stops").unwrap().unwrap();
    }
}

fn call_event(name: &str, n: usize) -> Vec<u8> {
    let event = json!({
        "Event-Category": "call_event", "Event-Name": name, "Call-ID": "c1", "Msg-ID": format!("m{n}"),
        "Custom-Channel-Vars": {"Account-ID": ACCOUNT},
    });
    event.to_string().into_bytes()
}

fn ids(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| format!("m{n}")).collect()
}

/// The number of messages in the queue that no consumer has.
async fn ready(publisher: &Publisher) -> u32 {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::durable() };
    let queue = publisher.channel().queue_declare("switchhook".into(), passive, FieldTable::default()).await;
    queue.unwrap().message_count()
}

fn persistent() -> BasicProperties {
    BasicProperties::default().with_content_type("application/json".into()).with_delivery_mode(2)
}

const KEY: &str = "call.CHANNEL_CREATE.c1";

#[tokio::test]
async fn broker_messages_are_logged_once_and_in_order_and_malformed_ones_are_quarantined() {
    let (broker, log) = (Broker::shared().await, EventLog::new());
    let consumer = log.consume(&broker).await;
    let publisher = Publisher::connect(&broker.uri()).await;
    // As every KAZOO node declares it at its start; our declaration must agree.
    for exchange in ["callevt", "configuration", "notifications", "im"] {
        publisher.declare(exchange).await;
    }
    let bodies: Vec<Vec<u8>> = (0..2000).map(|n| call_event("CHANNEL_CREATE", n)).collect();
    publisher.publish_all("callevt", KEY, &bodies[..1000]).await;
    publisher.publish("callevt", KEY, b"{not json").await;
    let erlang = BasicProperties::default().with_content_type("application/erlang".into());
    publisher.publish_with("callevt", KEY, b"\x83\x6c", erlang).await;
    publisher.publish_all("callevt", KEY, &bodies[1000..]).await;
    publisher.publish("callevt", "call.DTMF.c1", &call_event("DTMF", 0)).await;
    log.holds(2002).await;

    let told = log.told();
    assert_eq!(told[..1000], ids(0..1000));
    assert!(told[1000].contains("not JSON") && told[1001].contains("application/erlang"));
    assert_eq!(told[1002..], ids(1000..2000));
    let record = log.reader.get(EventOffset(7)).unwrap().unwrap();
    let event = Event::decode(&record.payload).unwrap();
    assert_eq!((event.source, event.exchange, event.routing_key), (Source::Amqp, "callevt", KEY));
    assert_eq!((event.body, event.account), (&bodies[7][..], Some(ACCOUNT.parse().unwrap())));

    consumer.ends().await;
    assert_eq!(ready(&publisher).await, 0, "everything was acknowledged before the goodbye");
}

#[tokio::test]
async fn broker_messages_are_acknowledged_after_the_sync_and_a_redelivery_is_recognised() {
    let (broker, log) = (Broker::shared().await, EventLog::new());
    let consumer = log.consume(&broker).await;
    let publisher = Publisher::connect(&broker.uri()).await;
    publisher.publish("callevt", KEY, &call_event("CHANNEL_CREATE", 0)).await;
    log.holds(1).await;

    log.disk.close();
    publisher.publish_all("callevt", KEY, &[call_event("CHANNEL_CREATE", 1)]).await;
    eventually_true("a sync is held up", SOON, || log.disk.held() > 0).await;
    consumer.running.abort();
    assert!(consumer.running.await.unwrap_err().is_cancelled());
    eventually("the message is back in the queue", SOON, async || {
        (ready(&publisher).await == 1).then_some(())
    })
    .await;
    assert_eq!(log.reader.end(), EventOffset(1));

    // The log has the message, but the broker got no acknowledgement and redelivers it.
    log.disk.open();
    log.holds(2).await;
    let consumer = log.consume(&broker).await;
    publisher.publish("callevt", KEY, &call_event("CHANNEL_CREATE", 2)).await;
    log.holds(3).await;
    assert_eq!(log.told(), ids(0..3));
    consumer.ends().await;
    assert_eq!(ready(&publisher).await, 0);
}

#[tokio::test]
async fn broker_sends_messages_to_one_consumer_at_a_time_and_to_the_next_in_order() {
    let (broker, first, second) = (Broker::shared().await, EventLog::new(), EventLog::new());
    let working = first.consume(&broker).await;
    let waiting = second.consume(&broker).await;
    let publisher = Publisher::connect(&broker.uri()).await;
    let bodies: Vec<Vec<u8>> = (0..100).map(|n| call_event("CHANNEL_CREATE", n)).collect();
    publisher.publish_all("callevt", KEY, &bodies[..50]).await;
    first.holds(50).await;
    // The first consumer can no longer write, and its messages are not acknowledged.
    first.disk.close();
    publisher.publish_all("callevt", KEY, &bodies[50..]).await;
    eventually_true("a sync is held up", SOON, || first.disk.held() > 0).await;
    assert_eq!(second.reader.end(), EventOffset(0), "the second consumer got messages beside the first");
    working.running.abort();
    assert!(working.running.await.unwrap_err().is_cancelled());
    second.holds(50).await;
    assert_eq!(second.told(), ids(50..100));
    first.disk.open();
    waiting.ends().await;
}

#[tokio::test]
async fn broker_queue_of_an_earlier_version_is_consumed_from_unchanged() {
    let (broker, log) = (Broker::shared().await, EventLog::new());
    let publisher = Publisher::connect(&broker.uri()).await;
    let channel = publisher.channel();
    publisher.declare("callevt").await;
    let (durable, table) = (QueueDeclareOptions::durable(), FieldTable::default());
    channel.queue_declare("switchhook".into(), durable, table.clone()).await.unwrap();
    let bind = QueueBindOptions::default();
    channel.queue_bind("switchhook".into(), "callevt".into(), "call.#".into(), bind, table).await.unwrap();
    publisher.publish("callevt", KEY, &call_event("CHANNEL_CREATE", 0)).await;
    let consumer = log.consume(&broker).await;
    log.holds(1).await;
    consumer.ends().await;
    assert_eq!(ready(&publisher).await, 0);
}

#[tokio::test]
async fn broker_keeps_messages_while_the_disk_is_full() {
    let (broker, log) = (Broker::shared().await, EventLog::new());
    let consumer = log.consume(&broker).await;
    let publisher = Publisher::connect(&broker.uri()).await;
    log.disk.set_full(true);
    for n in 0..50 {
        publisher.publish("callevt", KEY, &call_event("CHANNEL_CREATE", n)).await;
    }
    assert_eq!(log.reader.end(), EventOffset(0));
    log.disk.set_full(false);
    log.holds(50).await;
    assert_eq!(log.told(), ids(0..50));

    log.disk.set_full(true);
    publisher.publish("callevt", KEY, &call_event("CHANNEL_CREATE", 50)).await;
    consumer.ends().await;
    assert_eq!(ready(&publisher).await, 1, "what is not on disk stays with the broker");
}

#[tokio::test]
async fn broker_that_was_killed_is_set_up_again_and_consumed_from() {
    let (mut broker, log) = (Broker::start().await, EventLog::new());
    let mut consumer = log.consume(&broker).await;
    let publisher = Publisher::connect(&broker.uri()).await;
    publisher.publish_with("callevt", KEY, &call_event("CHANNEL_CREATE", 0), persistent()).await;
    log.holds(1).await;

    // When the broker dies, one message is on the broker's disk but not on ours.
    broker.has_written("switchhook").await;
    log.disk.close();
    publisher.publish_with("callevt", KEY, &call_event("CHANNEL_BRIDGE", 1), persistent()).await;
    eventually_true("a sync is held up", SOON, || log.disk.held() > 0).await;
    broker.kill();
    log.disk.open();
    drop(publisher);
    let lost =
        consumer.status.wait_for(|s| matches!(s, BrokerStatus::Connecting { last_error: Some(_), .. }));
    tokio::time::timeout(SOON, lost).await.unwrap().unwrap();
    broker.start_again().await;
    consumer.is_connected().await;

    let publisher = Publisher::connect(&broker.uri()).await;
    let passive = ExchangeDeclareOptions { passive: true, ..ExchangeDeclareOptions::default() };
    for exchange in switchhook::kazoo::EXCHANGES {
        let kind = lapin::ExchangeKind::Topic;
        let declared =
            publisher.channel().exchange_declare(exchange.into(), kind, passive, FieldTable::default()).await;
        declared.unwrap();
    }
    publisher.publish("callevt", KEY, &call_event("CHANNEL_ANSWER", 2)).await;
    log.holds(3).await;
    assert_eq!(log.told(), ids(0..3));
    consumer.ends().await;
}
