//! A log of 100,000 events (`--events=N`) delivered to a bare receiver, for 1, 10, 1,000 and 10,000 hooks, in turn
//! with a bare loop of reqwest that posts the same bodies with the same number in flight, and with one that also
//! builds each body. Each event goes to one hook. The CPU figure is user and system time of this process; the
//! receiver is another process. The figures are medians over the rounds.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use serde_json::json;
use switchhook::kazoo::{Extras, facts, hook_from_document, payload, wire_request};
use switchhook::model::{Encoding, Event, EventOffset, HookId, Source};
use switchhook::state::{Expect, Kind, Write};
use tokio::task::JoinSet;

use crate::figures::{line, median};
use crate::process::cpu_of;
use crate::program::Program;
use crate::receiver::{Apart, GO_ON, HOLD};

const IN_FLIGHT: u64 = 64;
/// The number of events in a call. Events beyond `queues.lane` would be read twice.
const OF_A_CALL: u64 = 20;
const ROUNDS: usize = 3;

/// CPU time of this process so far, in seconds.
pub(crate) fn cpu() -> f64 {
    cpu_of("self")
}

/// The result of one run: events per second, and microseconds of CPU per event.
struct Run {
    rate: f64,
    cpu_us: f64,
    /// How long it took to enable the hooks before the run.
    enabling_ms: f64,
}

impl Run {
    fn since(began: Instant, cpu_before: f64, events: u64) -> Self {
        let rate = events as f64 / began.elapsed().as_secs_f64();
        Self { rate, cpu_us: (cpu() - cpu_before) / events as f64 * 1e6, enabling_ms: 0.0 }
    }
}

pub(crate) fn run() {
    let events = super::asked_number("events").unwrap_or(100_000);
    let mut receiver = Apart::start(&["receiver".as_ref()]);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let crowds = super::asked_number("hooks").map_or(vec![1, 10, 1000, 10_000], |hooks| vec![hooks]);
    // Compare only within a round: a minute later the machine may be faster or slower.
    let rounds: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let same = body();
            let bare_alone = bare(events, receiver.port, move || same.clone());
            let mut runs = vec![bare(events, receiver.port, body_maker())];
            let drain = |hooks: &u64| runtime.block_on(drain(events, *hooks, &mut receiver));
            runs.extend(crowds.iter().map(drain));
            (bare_alone, runs)
        })
        .collect();
    let of_bare = |of: fn(&Run) -> f64| median(rounds.iter().map(|(bare, _)| of(bare)).collect());
    let figure =
        format!("{:>7.0} requests/s, {:>5.1} µs of CPU each", of_bare(|r| r.rate), of_bare(|r| r.cpu_us));
    line("drain", "bare loop", &figure);
    let names = crowds.iter().map(|hooks| format!("{hooks} hooks"));
    for (at, name) in std::iter::once("bare, each body made".to_owned()).chain(names).enumerate() {
        let of = |of: &dyn Fn(&Run, &Run) -> f64| {
            median(rounds.iter().map(|(bare, runs)| of(&runs[at], bare)).collect())
        };
        let figure = format!(
            "{:>7.0} deliveries/s ({:.2} of bare), {:>5.1} µs of CPU each ({:.2} times bare); enabled in {:.0} ms",
            of(&|run, _| run.rate),
            of(&|run, bare| run.rate / bare.rate),
            of(&|run, _| run.cpu_us),
            of(&|run, bare| run.cpu_us / bare.cpu_us),
            of(&|run, _| run.enabling_ms),
        );
        line("drain", &name, &figure);
    }
}

fn account(hook: u64) -> String {
    format!("{:032x}", 0xacc0_0000 + u128::from(hook))
}

fn hook_id(hook: u64) -> String {
    format!("{:032x}", 0xb00c_0000 + u128::from(hook))
}

/// One thread, with which the client is fastest: no wake-ups between cores.
fn bare(events: u64, port: u16, body: impl Fn() -> Bytes + Clone + Send + 'static) -> Run {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async move {
        let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().unwrap();
        let url = format!("http://127.0.0.1:{port}/bare");
        let left = Arc::new(AtomicU64::new(events));
        let (began, before) = (Instant::now(), cpu());
        let mut loops = Vec::new();
        for _ in 0..IN_FLIGHT {
            let (client, url, body, left) = (client.clone(), url.clone(), body.clone(), left.clone());
            loops.push(tokio::spawn(async move {
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                    let request = client.post(&url).header("content-type", "application/json");
                    request.body(body()).send().await.unwrap().bytes().await.unwrap();
                }
            }));
        }
        for each in loops {
            each.await.unwrap();
        }
        Run::since(began, before, events)
    })
}

/// Builds the request body of an event again for each request, as every delivery does.
fn body_maker() -> impl Fn() -> Bytes + Clone + Send + 'static {
    let event = super::call_event(&account(0), 1, 1);
    let document = document(0, "http://127.0.0.1/");
    let hook = Arc::new(hook_from_document(document.as_object().unwrap()).unwrap());
    let record = facts(&event).unwrap().event(Source::Http, Encoding::Plain, &event).encode();
    move || {
        let stored = Event::decode(&record).unwrap();
        let extras = Extras { cluster_id: "0000000000000000000000000000000c", reseller_id: None };
        wire_request(&hook, &payload(&stored, &hook, &extras).unwrap().unwrap()).unwrap().body.into()
    }
}

pub(crate) fn body() -> Bytes {
    body_maker()()
}

fn document(hook: u64, uri: &str) -> serde_json::Value {
    json!({
        "_id": hook_id(hook), "pvt_account_id": account(hook),
        "name": "bench", "uri": uri, "hook": "channel_create", "format": "json", "enabled": true,
        "max_in_flight": 64,
    })
}

async fn drain(events: u64, hooks: u64, receiver: &mut Apart) -> Run {
    let port = receiver.port;
    let dir = tempfile::tempdir().unwrap();
    let per_host = format!("delivery.per_host_in_flight={IN_FLIGHT}");
    let program = Program::start(dir.path(), &[&per_host]).await;
    let (accounts, documents): (Vec<_>, Vec<_>) = (0..hooks)
        .map(|hook| {
            let tree =
                json!({"name": "bench", "pvt_account_id": account(hook), "pvt_tree": [program.master]});
            let mut document = document(hook, &format!("http://127.0.0.1:{port}/{hook}"));
            // A hook that the program disabled keeps its position while the log is filled.
            document["enabled"] = false.into();
            document["pvt_disabled_message"] = "filling the log".into();
            document["pvt_start_offset"] = 0.into();
            (write(Kind::Account, account(hook), &tree), write(Kind::Hook, hook_id(hook), &document))
        })
        .unzip();
    for writes in accounts.chunks(500).chain(documents.chunks(500)) {
        program.state.write(writes.to_vec()).await.unwrap();
    }
    for first in (0..events).step_by(500) {
        let batch = (first..first + 500)
            .map(|n| super::call_event(&account(n % hooks), n % (events / OF_A_CALL).max(1), n).into());
        program.ingest.submit(batch.collect(), account(0).parse().unwrap()).await.unwrap();
    }
    // Changing documents must not be measured, so the receiver answers only after all hooks are enabled.
    receiver.tell(HOLD);
    let since = Instant::now();
    let mut enabling = JoinSet::new();
    for hook in 0..hooks {
        let (state, id) = (program.state.clone(), hook_id(hook).parse().unwrap());
        enabling.spawn(async move { state.enable_hook(id).await.unwrap() });
    }
    enabling.join_all().await;
    let enabling_ms = since.elapsed().as_secs_f64() * 1e3;
    let (began, before) = (Instant::now(), cpu());
    receiver.tell(GO_ON);
    for hook in 0..hooks {
        let id: HookId = hook_id(hook).parse().unwrap();
        while program
            .queues
            .status(id)
            .await
            .unwrap()
            .is_none_or(|s| s.waiting > 0 || s.cursor < EventOffset(events))
        {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let run = Run { enabling_ms, ..Run::since(began, before, events) };
    program.stop().await;
    run
}

fn write(kind: Kind, id: String, document: &serde_json::Value) -> Write {
    Write { kind, id, doc: document.as_object().cloned(), expect: Expect::Any }
}
