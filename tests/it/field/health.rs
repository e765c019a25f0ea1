//! Shortages and stuck steps: readiness names them.

use std::path::Path;

use serde_json::Value;
use tokio::task::JoinSet;

use crate::support::app::settings;
use crate::support::look::LONG;
use crate::support::process::{Ended, Process};
use crate::support::wait::eventually;
use crate::support::websocket::Client;

/// Runs `serve` through a program that limits its resources, until it ends by itself.
async fn limited(by: &[&str], dir: &Path, shards: usize) -> Ended {
    let shards = format!("queues.shards={shards}");
    let set = settings(dir, &[shards]).into_iter().flat_map(|setting| ["--set".to_owned(), setting]);
    let set: Vec<String> = set.collect();
    let program = [env!("CARGO_BIN_EXE_switchhook"), "serve"];
    let words: Vec<&str> = by.iter().copied().chain(program).chain(set.iter().map(String::as_str)).collect();
    let ended = Process::spawn_words(&words, &[]).ended(LONG).await;
    assert!(ended.stdout.is_empty(), "it must not say that it is ready: {ended:?}");
    assert_eq!(ended.code, Some(1), "{ended:?}");
    ended
}

#[tokio::test]
async fn with_too_few_open_files_it_does_not_start_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let by = ["prlimit", "--nofile=32:32", "--"];
    // Each further shard has an event loop of its own.
    for (shards, needed) in [(1, 40), (16, 85)] {
        let ended = limited(&by, dir.path(), shards).await;
        let why = format!("32 files may be open at once, at least {needed} are needed");
        assert!(ended.stderr.contains(&why), "{ended:?}");
    }
}

#[tokio::test]
async fn with_too_little_address_space_for_its_threads_it_does_not_start_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    let ended = limited(&["prlimit", "--as=700000000", "--"], dir.path(), 1).await;
    assert!(ended.stderr.contains("threads can be started"), "{ended:?}");
}

#[tokio::test]
async fn with_too_few_threads_it_does_not_start_and_says_why() {
    let dir = tempfile::tempdir().unwrap();
    // Root has no limit of threads, so run as a user without other processes.
    let somebody = ["setpriv", "--reuid=54321", "--clear-groups", "--"];
    let is_root = rustix::process::getuid().is_root();
    let by = [if is_root { &somebody[..] } else { &[] }, &["prlimit", "--nproc=8:8", "--"]].concat();
    let workers = std::thread::available_parallelism().unwrap().get();
    // One shard has its own thread and four that read the log, 16 shards two threads each.
    for (shards, of_queues) in [(1, 5), (16, 32)] {
        let ended = limited(&by, dir.path(), shards).await;
        let why = format!("threads can be started, {} are needed", workers + 11 + of_queues);
        assert!(ended.stderr.contains(&why), "{ended:?}");
    }
}

#[tokio::test]
async fn it_is_not_ready_while_no_file_can_be_opened() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::serve_with_files(dir.path(), "48:48").await;
    let api = process.api().await;
    assert_eq!(api.call("GET", "/health/ready", None).await.status, 200);
    let mut clients = JoinSet::new();
    let faults = eventually("it says that files are short", LONG, || {
        let address = process.websocket();
        clients.spawn(async move { Client::try_connect(address, &[]).await.map(Client::slow) });
        async {
            let answer = api.call("GET", "/health/ready", None).await;
            (answer.status == 503).then(|| answer.body["faults"].clone())
        }
    })
    .await;
    let is_named = |fault: &Value| fault["what"] == "open_files";
    assert!(faults.as_array().unwrap().iter().any(is_named), "{faults}");
    clients.abort_all();
    while clients.join_next().await.is_some() {}
    let ready = async || (api.call("GET", "/health/ready", None).await.status == 200).then_some(());
    eventually("it is ready again", LONG, ready).await;
}
