//! Bytes on disk: for an event, in addition to its body, and for a delivery.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use switchhook::model::EventOffset;

use crate::clocked::Clocked;
use crate::figures::line;
use crate::program::Program;

const EVENTS: u64 = 100_000;
const BATCH: u64 = 500;
const CALLS: u64 = 5000;

pub(crate) fn run() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (dir, receiver) = (tempfile::tempdir().unwrap(), Clocked::start());
        let program = Program::start(dir.path(), &[]).await;
        let hook = program.hook(1, &receiver.uri("/"), json!({"max_in_flight": 64})).await;
        let (account, mut payload) = (program.master.to_string(), 0);
        for from in (0..EVENTS).step_by(BATCH as usize) {
            let events = (from..from + BATCH).map(|n| crate::call_event(&account, n % CALLS, n));
            let events: Vec<bytes::Bytes> = events.map(Into::into).collect();
            payload += events.iter().map(bytes::Bytes::len).sum::<usize>();
            program.ingest.submit(events, program.master).await.unwrap();
        }
        let is_settled = async || {
            let status = program.queues.status(hook).await.unwrap();
            status.is_some_and(|status| status.waiting == 0 && status.cursor >= EventOffset(EVENTS))
        };
        while !is_settled().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        program.stop().await;
        let [events, ledger] = ["events", "ledger"].map(|log| size(&dir.path().join(log)));
        let figure = format!(
            "{:.3} for each of its own {:.0}",
            events / payload as f64,
            payload as f64 / EVENTS as f64
        );
        line("bytes", "of an event", &figure);
        line("bytes", "of a delivery, with checkpoints", &format!("{:.1}", ledger / EVENTS as f64));
    });
}

/// The size of all files in a folder.
fn size(folder: &Path) -> f64 {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    files.sum::<u64>() as f64
}
