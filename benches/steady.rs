//! The cost of a steady rate: 100, 500 and 2,000 events a second over AMQP, each for two hooks. Prints CPU, syncs and
//! thread switches per second of the program, which is a separate process, and how late the deliveries are. The
//! lateness of an event is measured from the time at which the event was due.

use std::time::Duration;

use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use reqwest::Method;
use serde_json::json;

use crate::api::{Api, KEY};
use crate::clocked::Clocked;
use crate::figures::{Pace, Times, line, median, paced};
use crate::process::Process;
use crate::support::broker::Broker;
use crate::support::publisher::Publisher;

const ROUNDS: usize = 3;
const SECONDS: u64 = 5;
const CALLS: u64 = 500;
const HOOKS: u64 = 2;

/// The result of one round; each figure is per second.
struct Round {
    user: f64,
    system: f64,
    syncs: f64,
    switches: f64,
    late: Times,
}

pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let broker = Broker::start().await;
        for per_s in [100, 500, 2000] {
            let mut rounds = Vec::new();
            for _ in 0..ROUNDS {
                rounds.push(round(&broker, per_s).await);
            }
            show(per_s, &mut rounds);
        }
    });
}

fn show(per_s: u64, rounds: &mut [Round]) {
    let of = |of: fn(&Round) -> f64| median(rounds.iter().map(of).collect());
    let (user, system) = (of(|round| round.user) * 100.0, of(|round| round.system) * 100.0);
    let (syncs, switches) = (of(|round| round.syncs), of(|round| round.switches));
    let mut late = |part| median(rounds.iter_mut().map(|round| round.late.ms(part)).collect());
    let (p50, p99) = (late(0.5), late(0.99));
    let cpu = format!("{user:.0} % user and {system:.0} % system of a core");
    let figure =
        format!("{cpu}, {syncs:.0} syncs/s, {switches:.0} switches/s, p50 {p50:.2} ms, p99 {p99:.2} ms");
    line("steady", &format!("{per_s} events/s, {HOOKS} hooks"), &figure);
}

async fn round(broker: &Broker, per_s: u64) -> Round {
    let (dir, receiver) = (tempfile::tempdir().unwrap(), Clocked::start());
    let queue = format!("amqp.queue=steady-{per_s}-{}", dir.path().file_name().unwrap().display());
    let program = Process::start_in(dir.path(), &[format!("amqp.uri={}", broker.uri()), queue], None);
    let api = Api::log_in(program.http).await;
    for number in 0..HOOKS {
        let hook = json!({
            "name": format!("steady {number}"), "uri": receiver.uri("/"), "hook": "channel_create", "format": "json",
        });
        let path = format!("accounts/{}/webhooks", api.account);
        api.call(Method::PUT, &path, json!({"data": hook})).await;
    }
    connected(&program).await;
    let publisher = Publisher::connect(&broker.uri()).await;
    // Skip the first second, in which connections are opened and caches are filled.
    publish(&publisher, &api.account, Pace::for_seconds(1, per_s)).await;
    drop(receiver.take(per_s * HOOKS).await);
    let (before, syncs, switches) = (program.user_and_system(), syncs(&program).await, program.switches());
    publish(&publisher, &api.account, Pace::for_seconds(SECONDS, per_s)).await;
    let late = receiver.take(SECONDS * per_s * HOOKS).await;
    let after = program.user_and_system();
    let each = |difference: f64| difference / SECONDS as f64;
    Round {
        user: each(after.0 - before.0),
        system: each(after.1 - before.1),
        switches: each(program.switches() - switches),
        syncs: each(self::syncs(&program).await - syncs),
        late,
    }
}

/// Publishes events at a fixed rate, as KAZOO does: not persistent, and without waiting for the broker.
async fn publish(publisher: &Publisher, account: &str, pace: Pace) {
    let mut call = 0;
    paced(pace, async |due_us| {
        call = (call + 1) % CALLS;
        let event = crate::call_event(account, call, due_us);
        let properties = BasicProperties::default().with_content_type("application/json".into());
        let (exchange, key) = ("callevt".into(), "call.CHANNEL_CREATE.bench".into());
        let options = BasicPublishOptions::default();
        drop(publisher.channel().basic_publish(exchange, key, options, &event, properties).await.unwrap());
    })
    .await;
}

async fn get(program: &Process, path: &str) -> reqwest::Response {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    client.get(format!("http://{}{path}", program.http)).bearer_auth(KEY).send().await.unwrap()
}

async fn connected(program: &Process) {
    while !get(program, "/health/ready").await.status().is_success() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The number of syncs of all logs so far.
async fn syncs(program: &Process) -> f64 {
    let page = get(program, "/metrics").await.text().await.unwrap();
    let counts = page.lines().filter(|line| line.starts_with("switchhook_log_sync_seconds_count"));
    counts.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}
