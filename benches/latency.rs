//! The time from publishing to the receiver at 100, 500 and 2,000 events a second. The loop is open: each event is
//! measured from the time at which it was due. In turn, the time that this disk needs to sync the same bytes at the
//! same rate.

use std::fs::File;
use std::io::Write;

use serde_json::json;
use tokio::task::JoinSet;

use crate::clocked::Clocked;
use crate::figures::{Pace, Times, line, median, now_us, paced};
use crate::program::Program;

const ROUNDS: usize = 3;
const SECONDS: u64 = 3;
const CALLS: u64 = 500;

pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for per_s in [100, 500, 2000] {
        let (mut syncs, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            syncs.push(runtime.block_on(disk(per_s)));
            ours.push(runtime.block_on(round(per_s)));
        }
        let of = |all: &mut [Times], part| median(all.iter_mut().map(|times| times.ms(part)).collect());
        let ours = [0.5, 0.99, 0.999].map(|part| of(&mut ours, part));
        let syncs = [0.5, 0.99, 0.999].map(|part| of(&mut syncs, part));
        for (who, [p50, p99, p999]) in [("one sync", syncs), ("to the receiver", ours)] {
            let figure = format!("p50 {p50:>6.2} ms, p99 {p99:>6.2} ms, p999 {p999:>6.2} ms");
            line("latency", &format!("{per_s}/s, {who}"), &figure);
        }
    }
}

/// Writes and syncs the bytes of each event at the same rate.
async fn disk(per_s: u64) -> Times {
    let dir = tempfile::tempdir().unwrap();
    let mut file = File::create(dir.path().join("bare")).unwrap();
    let (event, mut times) = (crate::call_event(&"0".repeat(32), 1, 1), Times::default());
    paced(Pace::for_seconds(SECONDS, per_s), async |_| {
        let began_us = now_us();
        file.write_all(&event).unwrap();
        file.sync_data().unwrap();
        times.add(now_us() - began_us);
    })
    .await;
    times
}

async fn round(per_s: u64) -> Times {
    let (dir, receiver) = (tempfile::tempdir().unwrap(), Clocked::start());
    let program = Program::start(dir.path(), &[]).await;
    program.hook(1, &receiver.uri("/"), json!({})).await;
    // Skip the first second, in which connections are opened and caches are filled.
    let warm = publish(&program, Pace::for_seconds(1, per_s)).await;
    drop(receiver.take(warm).await);
    let count = publish(&program, Pace::for_seconds(SECONDS, per_s)).await;
    let times = receiver.take(count).await;
    program.stop().await;
    times
}

/// Publishes events over HTTP, each in its own request when it is due, even while others are unanswered. Returns the
/// number of events.
pub(crate) async fn publish(program: &Program, pace: Pace) -> u64 {
    let api = program.api().await;
    let (mut requests, mut call) = (JoinSet::new(), 0);
    paced(pace, async |due_us| {
        let api = api.clone();
        call = (call + 1) % CALLS;
        let event = crate::call_event(&api.account, call, due_us);
        requests.spawn(async move { api.publish(&api.account, &[event]).await });
    })
    .await;
    requests.join_all().await;
    pace.count
}
