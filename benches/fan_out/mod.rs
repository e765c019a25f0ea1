//! Frames to 1, 100 and 1,000 sessions with the same subscription, in turn with a bare loop that writes the same
//! frames with the same websocket library to the same number of connections. The clients are another process.

mod bare;
pub(crate) mod clients;

use bytes::Bytes;

use self::clients::Clients;
use crate::api::Api;
use crate::figures::{Pace, line, median, now_us, paced};
use crate::program::Program;

const ROUNDS: usize = 3;
/// The number of events in one request.
const BATCH: usize = 500;
const SIZES: [Size; 3] = [
    Size { sessions: 1, quick: 50_000, timed: Pace { count: 2000, per_s: 500 } },
    Size { sessions: 100, quick: 3000, timed: Pace { count: 500, per_s: 100 } },
    Size { sessions: 1000, quick: 300, timed: Pace { count: 100, per_s: 20 } },
];

/// The size of a round.
#[derive(Clone, Copy)]
struct Size {
    sessions: usize,
    /// The events that are sent as quickly as possible.
    quick: u64,
    /// The events whose lateness is measured.
    timed: Pace,
}

/// The result of one round.
struct Measured {
    frames_per_s: f64,
    cpu_us: f64,
    p50_ms: f64,
    p99_ms: f64,
}

pub(crate) fn run() {
    switchhook::app::raise_open_files();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    for size in SIZES {
        let (mut bare, mut ours) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            bare.push(runtime.block_on(bare::round(size)));
            ours.push(runtime.block_on(round(size)));
        }
        let of = |all: &[Measured], value: fn(&Measured) -> f64| median(all.iter().map(value).collect());
        let sessions = size.sessions;
        for (who, all) in [("bare loop", &bare), ("switchhook", &ours)] {
            let figure = format!(
                "{:>8.0} frames/s ({:.2} of bare), {:>5.2} µs of CPU each; at {}/s p50 {:.2} ms, p99 {:.2} ms",
                of(all, |m| m.frames_per_s),
                of(all, |m| m.frames_per_s) / of(&bare, |m| m.frames_per_s),
                of(all, |m| m.cpu_us),
                size.timed.per_s,
                of(all, |m| m.p50_ms),
                of(all, |m| m.p99_ms),
            );
            line("fan-out", &format!("{sessions} sessions, {who}"), &figure);
        }
    }
}

async fn round(size: Size) -> Measured {
    let Size { sessions, quick, timed } = size;
    let dir = tempfile::tempdir().unwrap();
    let program = Program::start(dir.path(), &[]).await;
    let Api { token, account, .. } = program.api().await;
    let mut clients = Clients::start(program.websocket, &token, &account, &size);
    clients.ready().await;
    let events: Vec<Bytes> = (0..quick).map(|n| crate::call_event(&account, n, n).into()).collect();
    let (began, before) = (now_us(), crate::drain::cpu());
    for batch in events.chunks(BATCH) {
        program.ingest.submit(batch.to_vec(), program.master).await.unwrap();
    }
    let frames_per_s = clients.frames_per_s(began).await;
    let cpu_us = (crate::drain::cpu() - before) * 1e6 / (sessions as f64 * quick as f64);
    paced(timed, async |due_us| {
        let event = crate::call_event(&account, due_us, due_us);
        program.ingest.submit(vec![event.into()], program.master).await.unwrap();
    })
    .await;
    let (p50_ms, p99_ms) = clients.latencies().await;
    program.stop().await;
    Measured { frames_per_s, cpu_us, p50_ms, p99_ms }
}
