//! A log of 100,000 events delivered to a bare receiver, for 1, 10 and 1,000 hooks, beside a bare loop of the
//! same HTTP client posting the same bodies with the same number in flight. Each event goes to one hook. CPU is
//! this process's, user and system; the receiver is another process.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde_json::json;
use switchhook::app::App;
use switchhook::config::{Overlay, load};
use switchhook::kazoo::{Extras, facts, hook_from_document, payload, wire_request};
use switchhook::model::{Clock, Encoding, Source};
use switchhook::state::{Expect, Kind, Write};

const EVENTS: u64 = 100_000;
const IN_FLIGHT: u64 = 64;
const CALLS: u64 = 5000;

struct Receiver(Child, u16);

impl Receiver {
    fn start() -> Self {
        let this = std::env::current_exe().unwrap();
        let mut child =
            Command::new(this).arg("receiver").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        Self(child, line.trim().parse().unwrap())
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// CPU time of this process so far, in seconds (clock ticks of 10 ms).
pub(crate) fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>().unwrap() + fields[12].parse::<f64>().unwrap();
    ticks / 100.0
}

fn rss_mb() -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<f64>().unwrap() / 1024.0
}

fn account(hook: u64) -> String {
    format!("{:032x}", 0xacc0_0000 + u128::from(hook))
}

pub(crate) fn run() {
    let receiver = Receiver::start();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (bare_rate, bare_cpu) = bare(receiver.1);
    println!("drain   bare loop: {bare_rate:>7.0} requests/s, {bare_cpu:>5.1} µs of CPU each");
    for hooks in [1, 10, 1000] {
        let (rate, cpu, rss) = runtime.block_on(drain(hooks, receiver.1));
        println!(
            "drain   {hooks:>4} hooks: {rate:>7.0} deliveries/s ({:.2} of bare), {cpu:>5.1} µs of CPU each ({:.2} times bare), {rss:.0} MB",
            rate / bare_rate,
            cpu / bare_cpu
        );
    }
}

/// One thread, so that the client is at its best: no wake-ups between cores.
fn bare(port: u16) -> (f64, f64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let body = body();
    runtime.block_on(async move {
        let client = reqwest::Client::builder().no_proxy().tcp_nodelay(true).build().unwrap();
        let url = format!("http://127.0.0.1:{port}/bare");
        let left = Arc::new(AtomicU64::new(EVENTS));
        let (began, before) = (Instant::now(), cpu());
        let mut loops = Vec::new();
        for _ in 0..IN_FLIGHT {
            let (client, url, body, left) = (client.clone(), url.clone(), body.clone(), left.clone());
            loops.push(tokio::spawn(async move {
                while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| n.checked_sub(1)).is_ok() {
                    let request = client.post(&url).header("content-type", "application/json");
                    request.body(body.clone()).send().await.unwrap().bytes().await.unwrap();
                }
            }));
        }
        for each in loops {
            each.await.unwrap();
        }
        let rate = EVENTS as f64 / began.elapsed().as_secs_f64();
        (rate, (cpu() - before) / EVENTS as f64 * 1e6)
    })
}

/// The body that a hook's receiver gets.
fn body() -> bytes::Bytes {
    let event = super::call_event(&account(0), 1, 1);
    let document = document(0, "http://127.0.0.1/");
    let hook = hook_from_document(document.as_object().unwrap()).unwrap();
    let known = facts(&event).unwrap();
    let stored = known.event(Source::Http, Encoding::Plain, &event);
    let extras = Extras { cluster_id: "0000000000000000000000000000000c", reseller_id: None };
    wire_request(&hook, &payload(&stored, &hook, &extras).unwrap().unwrap()).unwrap().body.into()
}

fn document(hook: u64, uri: &str) -> serde_json::Value {
    json!({
        "_id": format!("{:032x}", 0xb00c_0000 + u128::from(hook)), "pvt_account_id": account(hook),
        "name": "bench", "uri": uri, "hook": "channel_create", "format": "json", "enabled": true,
        "max_in_flight": 64,
    })
}

async fn drain(hooks: u64, port: u16) -> (f64, f64, f64) {
    let dir = tempfile::tempdir().unwrap();
    let set = [
        format!("data_dir={}", dir.path().display()),
        "http.listen=127.0.0.1:0".to_owned(),
        "websocket.listen=127.0.0.1:0".to_owned(),
        "delivery.allow_addresses=127.0.0.0/8".to_owned(),
        format!("delivery.per_host_in_flight={IN_FLIGHT}"),
        "log.reserve_bytes=0".to_owned(),
        "ledger.reserve_bytes=0".to_owned(),
    ];
    let config = load(&Overlay { set: set.to_vec(), ..Overlay::default() }).unwrap();
    let app = App::build(config, Clock::system()).await.unwrap();
    let (state, queues, ingest) = (app.state().clone(), app.queues().clone(), app.ingest().clone());
    let master = state.settings().master;
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let running = tokio::spawn(app.run(async move { drop(stopped.await) }));
    for hook in 0..hooks {
        let account = json!({"name": "bench", "pvt_account_id": account(hook), "pvt_tree": [master]});
        put(&state, Kind::Account, format!("{:032x}", 0xacc0_0000 + u128::from(hook)), &account).await;
        // Disabled by the program: it holds its place while the log is filled.
        let mut document = document(hook, &format!("http://127.0.0.1:{port}/{hook}"));
        document["enabled"] = false.into();
        document["pvt_disabled_message"] = "filling the log".into();
        document["pvt_start_offset"] = 0.into();
        put(&state, Kind::Hook, format!("{:032x}", 0xb00c_0000 + u128::from(hook)), &document).await;
    }
    for first in (0..EVENTS).step_by(500) {
        let events =
            (first..first + 500).map(|n| super::call_event(&account(n % hooks), n % CALLS, n).into());
        ingest.submit(events.collect(), account(0).parse().unwrap()).await.unwrap();
    }
    let (began, before) = (Instant::now(), cpu());
    for hook in 0..hooks {
        state.enable_hook(document(hook, "")["_id"].as_str().unwrap().parse().unwrap()).await.unwrap();
    }
    for hook in 0..hooks {
        let id = document(hook, "")["_id"].as_str().unwrap().parse().unwrap();
        while queues.status(id).await.unwrap().is_none_or(|s| s.waiting > 0 || s.cursor < EVENTS) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
    let rate = EVENTS as f64 / began.elapsed().as_secs_f64();
    let each = (cpu() - before) / EVENTS as f64 * 1e6;
    let rss = rss_mb();
    drop(stop);
    running.await.unwrap().unwrap();
    (rate, each, rss)
}

async fn put(state: &switchhook::state::State, kind: Kind, id: String, document: &serde_json::Value) {
    let doc = document.as_object().cloned();
    state.write(vec![Write { kind, id, doc, expect: Expect::Any }]).await.unwrap();
}
