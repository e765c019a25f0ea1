//! Events that wait for 10,000 hooks whose receivers are down: how fast the events are accepted, the memory that they
//! need, and the time of a start with them, from the disk and from the page cache. `-- waiting --events=10000000`
//! uses that many (13 GB of disk).

use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use reqwest::Method;
use rustix::fs::{Advice, fadvise};
use serde_json::json;
use tokio::task::JoinSet;

use crate::api::Api;
use crate::figures::{line, median};
use crate::process::Process;

const HOOKS: u64 = 10_000;
const BATCH: u64 = 500;
const CLIENTS: u64 = 4;
const STARTS: usize = 5;
/// The time after which the allocator has returned unused memory.
const GIVES_BACK: Duration = Duration::from_secs(20);

pub(crate) fn run() {
    let events = crate::asked_events(200_000);
    let dir = tempfile::tempdir().unwrap();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let process = Process::start(dir.path());
    let idle = process.memory_mb().0;
    runtime.block_on(async {
        let api = Api::log_in(process.http).await;
        let accounts = hooks(&api).await;
        let with_hooks = process.memory_mb().0;
        let (tenth, cpu) = (events / 10, process.cpu());
        let mut rates = Vec::new();
        for part in 0..10 {
            let began = Instant::now();
            publish(&api, &accounts, part * tenth..(part + 1) * tenth).await;
            rates.push(tenth as f64 / began.elapsed().as_secs_f64());
        }
        let each = (process.cpu() - cpu) * 1e6 / events as f64;
        let (first, last, rate) = (rates[0], rates[9], median(rates));
        let ratio = rate / bare(tenth);
        let figure = format!(
            "{rate:>8.0} events/s ({ratio:.2} of writing and syncing), {each:.1} µs of CPU each; {first:.0} in the \
             first tenth, {last:.0} in the last"
        );
        line("waiting", &format!("{events} events, {HOOKS} hooks"), &figure);
        tokio::time::sleep(GIVES_BACK).await;
        let (now, most) = process.memory_mb();
        let figure = format!(
            "{idle:.0} MB idle, {with_hooks:.0} with the hooks, {most:.0} at the most, {now:.0} at the end"
        );
        line("waiting", "memory", &figure);
    });
    starts(dir.path(), process);
}

/// Kills and restarts the program, in turn with and without its files in the page cache.
fn starts(dir: &Path, mut process: Process) {
    let (mut cold, mut warm, mut cpu, mut memory) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..STARTS {
        drop(process);
        forget(dir);
        process = Process::start(dir);
        cold.push(process.ready_ms);
        drop(process);
        process = Process::start(dir);
        warm.push(process.ready_ms);
        cpu.push(process.cpu() * 1e3);
        std::thread::sleep(GIVES_BACK);
        memory.push(process.memory_mb().0);
    }
    let (cold, warm, cpu, memory) = (median(cold), median(warm), median(cpu), median(memory));
    let figure = format!(
        "{cold:.0} ms from the disk, {warm:.0} ms from memory ({cpu:.0} ms of CPU), then {memory:.0} MB"
    );
    line("waiting", "start after kill -9", &figure);
}

/// Creates `HOOKS` accounts, each with a hook whose receiver does not exist; returns the accounts.
async fn hooks(api: &Api) -> Vec<String> {
    // The port is bound without listening, so every connection is refused at once.
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let mut accounts = Vec::new();
    for _ in 0..HOOKS {
        let path = format!("accounts/{}", api.account);
        let account = api.call(Method::PUT, &path, json!({"data": {"name": "bench"}})).await;
        let account = account["data"]["id"].as_str().unwrap().to_owned();
        let hook = json!({"data": {
            "name": "bench", "hook": "channel_create", "format": "json", "uri": format!("http://{closed}/"),
        }});
        api.call(Method::PUT, &format!("accounts/{account}/webhooks"), hook).await;
        accounts.push(account);
    }
    accounts
}

/// Several clients submit events at once, each one request at a time, for one account after the other.
async fn publish(api: &Api, accounts: &[String], numbers: std::ops::Range<u64>) {
    let mut clients = JoinSet::new();
    for client in 0..CLIENTS {
        let (api, accounts, numbers) = (api.clone(), accounts.to_vec(), numbers.clone());
        clients.spawn(async move {
            for from in numbers.step_by(BATCH as usize).skip(client as usize).step_by(CLIENTS as usize) {
                let account = &accounts[(from / BATCH * 7 % HOOKS) as usize];
                let events: Vec<_> =
                    (from..from + BATCH).map(|n| crate::call_event(account, n % 100, n)).collect();
                api.publish(account, &events).await;
            }
        });
    }
    clients.join_all().await;
}

/// Events per second of a loop that writes and syncs the events of one request at a time.
fn bare(events: u64) -> f64 {
    let dir = tempfile::tempdir().unwrap();
    let mut file = File::create(dir.path().join("bare")).unwrap();
    let batch = crate::call_event(&"0".repeat(32), 1, 1).repeat(BATCH as usize);
    let began = Instant::now();
    for _ in 0..events / BATCH {
        file.write_all(&batch).unwrap();
        file.sync_data().unwrap();
    }
    events as f64 / began.elapsed().as_secs_f64()
}

/// Drops the files below a folder from the page cache.
fn forget(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            forget(&path);
        } else {
            let file = File::open(path).unwrap();
            file.sync_all().unwrap();
            fadvise(&file, 0, None, Advice::DontNeed).unwrap();
        }
    }
}
