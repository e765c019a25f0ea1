//! Durable ingest over AMQP, compared with a consumer that only acknowledges, and over HTTP, compared with a loop
//! that only writes and syncs the same bytes. All run in turn, with the same broker.

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties};
use tokio::task::JoinSet;

use crate::api::Api;
use crate::figures::{line, median};
use crate::program::Program;
use crate::support::broker::Broker;
use crate::support::publisher::Publisher;

const ROUNDS: u64 = 5;
const MESSAGES: u64 = 50_000;
/// As in the program.
const PREFETCH: u16 = 1000;
/// The number of messages that the bare consumer acknowledges at once.
const ACKED_AT_ONCE: u64 = 256;
/// The number of events in one HTTP request, and of requests at once.
const BATCH: u64 = 100;
const CLIENTS: u64 = 8;
const QUEUE: &str = "switchhook";

pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        amqp().await;
        http().await;
    });
}

async fn amqp() {
    let broker = Broker::start().await;
    let uri = format!("amqp.uri={}", broker.uri());
    let dir = tempfile::tempdir().unwrap();
    // The program declares the exchanges and its queue.
    let program = Program::start(dir.path(), &[&uri]).await;
    let account = program.master.to_string();
    connected(&program).await;
    program.stop().await;
    let publisher = Publisher::connect(&broker.uri()).await;
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        fill(&publisher, &account, 2 * round).await;
        bare.push(only_acked(&broker.uri()).await);
        fill(&publisher, &account, 2 * round + 1).await;
        let program = Program::start(dir.path(), &[&uri]).await;
        ours.push(logged(&program).await);
        program.stop().await;
    }
    let (bare, ours) = (median(bare), median(ours));
    line("ingest", "AMQP, a consumer that only acks", &format!("{bare:>8.0} messages/s"));
    line("ingest", "AMQP, into the log", &format!("{ours:>8.0} messages/s ({:.2} of that)", ours / bare));
}

async fn connected(program: &Program) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("http://{}/health/ready", program.http);
    while !client.get(&url).send().await.unwrap().status().is_success() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Publishes the messages of a round into the queue, not persistent, as KAZOO does.
async fn fill(publisher: &Publisher, account: &str, round: u64) {
    for from in (0..MESSAGES).step_by(1000) {
        let numbers = (from..from + 1000).map(|n| round * MESSAGES + n);
        let bodies: Vec<_> = numbers.map(|n| crate::call_event(account, n % 1000, n)).collect();
        publisher.publish_all("callevt", "call.CHANNEL_CREATE.bench", &bodies).await;
    }
}

/// Messages per second, from the first tenth to the last message.
fn rate(began: Instant) -> f64 {
    (MESSAGES - MESSAGES / 10) as f64 / began.elapsed().as_secs_f64()
}

async fn only_acked(uri: &str) -> f64 {
    let connection = Connection::connect(uri, ConnectionProperties::default()).await.unwrap();
    let channel = connection.create_channel().await.unwrap();
    channel.basic_qos(PREFETCH, BasicQosOptions::default()).await.unwrap();
    let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
    let consumer = channel.basic_consume(QUEUE.into(), "bare".into(), options, arguments);
    let (mut consumer, mut began) = (consumer.await.unwrap(), Instant::now());
    for count in 1..=MESSAGES {
        let message = consumer.next().await.unwrap().unwrap();
        if count % ACKED_AT_ONCE == 0 || count == MESSAGES {
            message.acker.ack(BasicAckOptions { multiple: true }).await.unwrap();
        }
        if count == MESSAGES / 10 {
            began = Instant::now();
        }
    }
    let rate = rate(began);
    connection.close(200, "done".into()).await.unwrap();
    rate
}

async fn logged(program: &Program) -> f64 {
    let mut end = program.events.subscribe();
    // The round before ended with its own last message.
    let before = *end.borrow() / MESSAGES * MESSAGES;
    end.wait_for(|end| *end >= before + MESSAGES / 10).await.unwrap();
    let began = Instant::now();
    let counted = *end.borrow() - before;
    end.wait_for(|end| *end >= before + MESSAGES).await.unwrap();
    (MESSAGES - counted) as f64 / began.elapsed().as_secs_f64()
}

async fn http() {
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(dir.path(), &[]).await;
    let api = program.api().await;
    let (mut bare, mut ours) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        bare.push(only_written(&api.account));
        ours.push(handed_in(&api).await);
    }
    program.stop().await;
    let (bare, ours) = (median(bare), median(ours));
    line("ingest", "HTTP, writing and syncing alone", &format!("{bare:>8.0} events/s, {BATCH} a sync"));
    let figure =
        format!("{ours:>8.0} events/s ({:.2} of that), {BATCH} a request, {CLIENTS} at once", ours / bare);
    line("ingest", "HTTP, into the log", &figure);
}

fn batch(account: &str, from: u64) -> Vec<Vec<u8>> {
    (from..from + BATCH).map(|n| crate::call_event(account, n % 1000, n)).collect()
}

fn only_written(account: &str) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let mut file = File::create(dir.path().join("bare")).unwrap();
    let batch = batch(account, 0).concat();
    let began = Instant::now();
    for _ in 0..MESSAGES / BATCH {
        file.write_all(&batch).unwrap();
        file.sync_data().unwrap();
    }
    MESSAGES as f64 / began.elapsed().as_secs_f64()
}

async fn handed_in(api: &Api) -> f64 {
    // Encoded before the measurement, like the bytes of the bare loop.
    let batches: Vec<_> = (0..CLIENTS).map(|client| batch(&api.account, client * BATCH)).collect();
    let (began, mut clients) = (Instant::now(), JoinSet::new());
    for batch in batches {
        let api = api.clone();
        clients.spawn(async move {
            for _ in 0..MESSAGES / BATCH / CLIENTS {
                api.publish(&api.account, &batch).await;
            }
        });
    }
    clients.join_all().await;
    (MESSAGES / BATCH / CLIENTS * CLIENTS * BATCH) as f64 / began.elapsed().as_secs_f64()
}
