//! Ten healthy hooks with and without a hundred hooks beside them whose receivers never answer, in turn: how late
//! the healthy ones get their events, 100 events a second for every hook.

use serde_json::json;

use crate::clocked::Clocked;
use crate::figures::{Times, line, median};
use crate::latency::publish;
use crate::program::Program;

const ROUNDS: usize = 3;
const PER_S: u64 = 100;
/// Long enough for the windows of the hooks that hang to fill and for their attempts to time out.
const SECONDS: u64 = 12;
const HEALTHY: u64 = 10;
const HANGING: u64 = 100;

pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let (mut alone, mut beside) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        alone.push(runtime.block_on(round(0)));
        beside.push(runtime.block_on(round(HANGING)));
    }
    let of = |all: &mut [Times], part| median(all.iter_mut().map(|times| times.ms(part)).collect());
    let (p50, p99) = (of(&mut alone, 0.5), of(&mut alone, 0.99));
    line("isolation", "10 hooks alone", &format!("p50 {p50:>6.2} ms, p99 {p99:>6.2} ms"));
    let (p50_beside, p99_beside) = (of(&mut beside, 0.5), of(&mut beside, 0.99));
    let ratios = format!("{:.2} and {:.2} times that", p50_beside / p50, p99_beside / p99);
    let figure = format!("p50 {p50_beside:>6.2} ms, p99 {p99_beside:>6.2} ms: {ratios}");
    line("isolation", "beside 100 hooks that hang", &figure);
}

async fn round(hanging: u64) -> Times {
    let (dir, receiver, never) = (tempfile::tempdir().unwrap(), Clocked::start(), Clocked::hanging());
    // Hooks that keep failing would be disabled, and then no trouble to anybody.
    let program = Program::start(dir.path(), &["disable.failure_count=0"]).await;
    for number in 0..HEALTHY {
        program.hook(number, &receiver.uri("/"), json!({})).await;
    }
    for number in 0..hanging {
        program.hook(HEALTHY + number, &never.uri("/"), json!({"ordering": "none"})).await;
    }
    let warm = publish(&program, (PER_S, PER_S)).await;
    drop(receiver.take(warm * HEALTHY).await);
    let count = publish(&program, (PER_S * SECONDS, PER_S)).await;
    let times = receiver.take(count * HEALTHY).await;
    program.stop().await;
    times
}
