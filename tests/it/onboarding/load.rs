//! A KAZOO too large for the suite: how long an import takes, and how much memory a program that follows
//! it needs. Run by hand (`benches/README.md`).

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use crate::support::app::settings;
use crate::support::kazoo::{Kazoo, Version};
use crate::support::process::Process;
use crate::support::wait::eventually;

const URI: &str = "https://crm.example.net/hook";
const HOURS: Duration = Duration::from_secs(3600);

/// Resident memory of a process in bytes; `None` if it has ended.
fn memory(pid: u32) -> Option<usize> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    Some(line.split_whitespace().nth(1)?.parse::<usize>().ok()? << 10)
}

fn mib(bytes: usize) -> usize {
    bytes >> 20
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: cargo nextest run --release --test it --run-ignored only -E 'test(onboarding::load)' --no-capture"]
async fn ten_thousand_accounts_and_hooks_are_imported_within_a_minute() {
    let kazoo = Kazoo::start(Version::V50).await;
    kazoo.with(|data| data.fill(10_000, 10_000, URI));
    let dir = tempfile::tempdir().unwrap();
    let set = settings(dir.path(), &[]).into_iter().flat_map(|setting| ["--set".to_owned(), setting]);
    let uri = kazoo.uri();
    let words = ["import", "kazoo", "--json", "--couch", &uri].map(str::to_owned).into_iter().chain(set);
    let words: Vec<String> = words.collect();
    for round in ["first", "second"] {
        let started = Instant::now();
        let mut process = Process::spawn(&words);
        let mut most = 0;
        while !process.has_ended() {
            most = most.max(memory(process.pid()).unwrap_or(0));
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let ended = process.ended(HOURS).await;
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        let report: Value = serde_json::from_str(&ended.stdout.join("\n")).unwrap();
        let took = started.elapsed();
        eprintln!(
            "{round} import of 10,000 accounts and 10,000 hooks: {:.1} s, {} MiB, {} documents written",
            took.as_secs_f64(),
            mib(most),
            report["made"],
        );
        assert!(took < Duration::from_secs(60), "{took:?}");
        assert_eq!(report["made"] == 0, round == "second", "{}", report["counts"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "takes minutes: cargo nextest run --release --test it --run-ignored only -E 'test(onboarding::load)' --no-capture"]
async fn a_hundred_thousand_accounts_are_followed_in_bounded_memory() {
    let kazoo = Kazoo::start(Version::V50).await;
    kazoo.with(|data| data.fill(100_000, 10_000, URI));
    let dir = tempfile::tempdir().unwrap();
    let more = [
        format!("kazoo.sync.couch={}", kazoo.uri()),
        format!("accounts.master_id={}", kazoo.with(|data| data.master.clone())),
    ];
    let process = Process::serve(dir.path(), &more).await;
    let (api, started, idle) = (process.api().await, Instant::now(), process.memory());
    let most = AtomicUsize::new(idle);
    eventually("everything is here", HOURS, async || {
        most.fetch_max(process.memory(), Ordering::Relaxed);
        let status = api.call("GET", "/admin/status", None).await;
        let status = &status.data()["kazoo_sync"];
        assert_eq!(status["last_error"], Value::Null, "{status}");
        (status["full_readings"] == 1).then_some(())
    })
    .await;
    let most = most.into_inner();
    eprintln!(
        "100,000 accounts and 10,000 hooks followed after {:.1} s: {} MiB before, {} MiB at most, {} MiB afterwards",
        started.elapsed().as_secs_f64(),
        mib(idle),
        mib(most),
        mib(process.memory()),
    );
    assert!(most < 1 << 30, "{} MiB", mib(most));
}
