//! Torture: the real binary between a real RabbitMQ and an unreliable receiver, while processes are killed and
//! frozen, connections break, the disk is full, the clock jumps, limits change with a restart or a reload, and
//! hooks are created and deleted. At the end every hook has accepted everything that the broker had confirmed, each call
//! in order, and every repeat is explained by an attempt that was in flight.
//!
//! A short run is part of the tests. A long run has its own seed and number of faults:
//!
//! ```text
//! SWITCHHOOK_TORTURE="faults=1000 seed=7" cargo test --test it torture -- --ignored --nocapture
//! ```
//!
//! A restart with other limits also takes another number of shards. With `shards=5` the number stays the same.

#![expect(clippy::print_stdout, reason = "a long run is watched")]

mod faults;
mod program;
mod publish;
pub mod small_disk;
mod verdict;

use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::json;

use self::faults::{Fault, RESERVE, Scene};
use self::small_disk::SmallDisk;
use self::verdict::Verdict;
use super::support::broker::Broker;
use super::support::config_file::ConfigFile;
use super::support::process::Process;
use super::support::receiver::{Mood, Receiver};
use super::support::wait::eventually_true;

/// Long enough to deliver the backlog on a busy machine.
const DRAIN: Duration = Duration::from_secs(120);
/// The timeout of an attempt.
const TIMEOUT_MS: u64 = 2000;

/// The hooks whose deliveries are checked: path and ordering.
const HOOKS: [(&str, &str); 3] = [("/subject", "subject"), ("/hook", "hook"), ("/none", "none")];

/// Small limits, so that every fault finds full windows, rolled segments and checkpoints; hooks are disabled soon
/// and probed soon.
const SETTINGS: [&str; 9] = [
    "queues.window=64",
    "queues.lane=8",
    "queues.keep_bytes=65536",
    "ledger.checkpoint_records=200",
    "ledger.segment_bytes=262144",
    "log.segment_bytes=262144",
    "disable.probe_initial_ms=100",
    "disable.probe_max_ms=400",
    "amqp.prefetch=100",
];

/// How the receiver answers a request: it accepts three of four.
fn mood(random: &mut StdRng) -> Mood {
    match random.random_range(0..32_u32) {
        0 => Mood::status(500),
        1 => Mood::answer(429, &[("retry-after", "0")], ""),
        2 => Mood::Reset,
        3 => Mood::Close,
        4 => Mood::Partial,
        5 => Mood::status(302),
        6 => Mood::Endless,
        7 => match random.random_range(0..8_u32) {
            0 => Mood::After(Duration::from_millis(TIMEOUT_MS + 1000), Box::new(Mood::Ok)),
            _ => Mood::After(Duration::from_millis(50), Box::new(Mood::status(503))),
        },
        _ => Mood::Ok,
    }
}

/// A run.
struct Plan {
    seed: u64,
    faults: usize,
    /// The number of shards. `None`: it changes with restarts.
    shards: Option<usize>,
}

async fn torture(plan: &Plan) {
    let Plan { seed, faults: count, shards } = *plan;
    let mut random = StdRng::seed_from_u64(seed);
    let (broker, receiver) = (Broker::start().await, Receiver::start().await);
    let verdict = Arc::new(Verdict::new(&HOOKS));
    let disk = SmallDisk::new();
    let mut settings = SETTINGS.map(str::to_owned).to_vec();
    settings.push(format!("amqp.uri={}", broker.uri()));
    settings.push(format!("delivery.request_timeout_ms={TIMEOUT_MS}"));
    settings.push(format!("log.reserve_bytes={RESERVE}"));
    settings.push(format!("ledger.reserve_bytes={}", RESERVE / 4));
    settings.extend(shards.map(|shards| format!("queues.shards={shards}")));
    let dir = tempfile::tempdir().unwrap();
    let file = ConfigFile::new(dir.path().join("switchhook.toml"), &disk.data_dir(), &settings);
    let process = Process::serve_by(&file).await;
    // A message in a queue that a killed broker forgets is lost by the broker, not by the program.
    broker.has_written("switchhook").await;
    let api = process.api().await;
    for (path, ordering) in HOOKS {
        let retry = json!({"max_attempts": 100});
        let hook = json!({"uri": receiver.uri(path), "format": "json", "ordering": ordering, "retry": retry});
        api.hook(hook).await;
    }
    let account = api.account.clone();
    let moods = std::sync::Mutex::new(StdRng::seed_from_u64(seed.wrapping_add(1)));
    let judge = Arc::clone(&verdict);
    receiver.mood(Mood::by(move |request| {
        let mood = if judge.is_calm() { Mood::Ok } else { mood(&mut moods.lock().unwrap()) };
        // A response whose body never ends counts too, because only a bounded part of the body is read.
        if matches!(mood, Mood::Ok | Mood::Endless) {
            judge.accepted(request);
        }
        mood
    }));
    let (over, uri) = (Cell::new(false), broker.uri());
    let publishing = publish::until(&over, &uri, &account, &verdict);
    let mut scene = Scene { broker, receiver, process, disk, file, shards, kills: 0 };
    let breaking = async {
        for number in 1..=count {
            let (before, more) = (verdict.arrivals(), random.random_range(20..200));
            eventually_true("deliveries go on", DRAIN, || verdict.arrivals() >= before + more).await;
            let fault = Fault::any(&mut random);
            println!("fault {number} of {count}: {fault:?}");
            scene.strike(fault, &mut random).await;
            verdict.struck(fault);
            scene.receiver.forget();
        }
        over.set(true);
        scene
    };
    let (published, scene) = tokio::join!(publishing, breaking);
    verdict.calm();
    let drained = tokio::time::timeout(DRAIN, verdict.all_arrive(&published.confirmed)).await;
    println!("seed {seed}, {} kills: {}", scene.kills, verdict.summary(&published));
    assert!(
        drained.is_ok(),
        "lost: {:?}; the program says: {}",
        verdict.missing(&published.confirmed),
        scene.process.stderr()
    );
    verdict.assert_kept(published.confirmed.len());
}

#[tokio::test]
async fn torture_loses_nothing_and_keeps_every_call_in_order() {
    torture(&Plan { seed: 1, faults: 12, shards: None }).await;
}

#[tokio::test]
#[ignore = "as long as one wishes; see the top of this file"]
async fn torture_at_length() {
    let mut plan = Plan { seed: rand::random::<u64>() % 1_000_000, faults: 100, shards: None };
    for word in std::env::var("SWITCHHOOK_TORTURE").unwrap_or_default().split_whitespace() {
        match word.split_once('=') {
            Some(("faults", number)) => plan.faults = number.parse().unwrap(),
            Some(("seed", number)) => plan.seed = number.parse().unwrap(),
            Some(("shards", number)) => plan.shards = Some(number.parse().unwrap()),
            _ => panic!("SWITCHHOOK_TORTURE knows faults=, seed= and shards=, not '{word}'"),
        }
    }
    println!("seed {}, {} faults, shards: {:?}", plan.seed, plan.faults, plan.shards);
    torture(&plan).await;
}
