//! `switchhook import kazoo --resume`: an import whose source dies, or that is killed, reads only what it had not read.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::settings;
use crate::support::kazoo::{ACCOUNT_SECRET, Fault, KAZOO_KEY, Kazoo, Version};
use crate::support::process::{Ended, Process};
use crate::support::wait::eventually;

const LONG: Duration = Duration::from_secs(60);
/// Accounts with the master account, and how many are read in a step.
const ACCOUNTS: usize = 61;
const STEP: usize = 10;

fn start(dir: &Path, args: &[&str]) -> Process {
    let step = format!("kazoo.sync.step_accounts={STEP}");
    let words = ["import", "kazoo", "--json"].into_iter().chain(args.iter().copied()).map(str::to_owned);
    let set = settings(&dir.join("data"), &[]).into_iter().chain([step]);
    let words: Vec<_> = words.chain(set.flat_map(|set| ["--set".to_owned(), set])).collect();
    Process::spawn(&words)
}

async fn import(dir: &Path, args: &[&str]) -> Ended {
    start(dir, args).ended(LONG).await
}

/// Counts the requests at a path. The first `count` pass, and all others get `then`.
fn pass(kazoo: &Kazoo, path: &str, count: usize, then: Fault) -> Arc<AtomicUsize> {
    let passed = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&passed);
    let pass = Fault::Meanwhile(Arc::new(move |_| {
        counting.fetch_add(1, Ordering::Relaxed);
    }));
    kazoo.faults(path, vec![(pass, count), (then, usize::MAX)]);
    passed
}

fn made(ended: &Ended) -> Value {
    assert_eq!(ended.code, Some(0), "{ended:?}");
    serde_json::from_str::<Value>(&ended.stdout.join("\n")).unwrap()["made"].clone()
}

/// An answer that is not tried again.
fn strange() -> Fault {
    Fault::Lie(200, json!("a proxy's greeting"))
}

async fn kazoo() -> Kazoo {
    let kazoo = Kazoo::start(Version::V50).await;
    kazoo.with(|data| {
        data.fill(ACCOUNTS - 1, 40, "https://crm.example.net/hook");
        let first = data.accounts().remove(0);
        data.limits(&first, json!({"attempt_failure_count": 7}));
    });
    kazoo
}

#[tokio::test]
async fn an_import_that_breaks_off_or_is_killed_reads_only_the_rest_and_changes_nothing_twice() {
    let kazoo = kazoo().await;
    let dir = tempfile::tempdir().unwrap();
    let kept = dir.path().join("kept");
    let (uri, file) = (kazoo.uri(), kept.to_str().unwrap());
    let args = ["--couch", &uri, "--resume", file];

    // The source dies after two steps and a half.
    pass(&kazoo, "configs_webhooks", 2 * STEP + 5, strange());
    let ended = import(dir.path(), &args).await;
    let said = format!("{} accounts have been read and are kept in {file}", 2 * STEP);
    assert!(ended.code == Some(1) && ended.stderr.contains(&said), "{ended:?}");
    assert!(ended.stderr.contains("run the same command again"), "{ended:?}");
    assert!(!dir.path().join("data").exists(), "an import that cannot read changes nothing");

    // It is killed while the source hangs one step later.
    let passed = pass(&kazoo, "configs_webhooks", STEP + 5, Fault::Hang);
    let mut process = start(dir.path(), &args);
    eventually("one more step is read", LONG, async || {
        (passed.load(Ordering::Relaxed) == STEP + 5).then_some(())
    })
    .await;
    let other = import(dir.path(), &args).await;
    assert!(other.code == Some(1) && other.stderr.contains("another import uses it"), "{other:?}");
    process.kill();

    let text = std::fs::read_to_string(&kept).unwrap();
    assert!(!text.contains(ACCOUNT_SECRET) && !text.contains(KAZOO_KEY));
    let passed = pass(&kazoo, "configs_webhooks", usize::MAX, Fault::Hang);
    let ended = import(dir.path(), &args).await;
    assert_eq!(made(&ended), ACCOUNTS + 40, "{ended:?}");
    assert_eq!(passed.load(Ordering::Relaxed), ACCOUNTS - 3 * STEP);
    assert!(!kept.exists(), "the file goes when everything is imported");
    // Everything is here, also what the killed imports had read.
    assert_eq!(made(&import(dir.path(), &["--couch", &uri]).await), 0);

    // Without the option the error says how the next attempt could continue.
    kazoo.faults("configs_webhooks", vec![(strange(), usize::MAX)]);
    let ended = import(dir.path(), &["--couch", &uri]).await;
    assert!(ended.code == Some(1) && ended.stderr.contains("--resume FILE"), "{ended:?}");
}

#[tokio::test]
async fn an_import_over_the_api_continues_too_and_takes_what_changed_meanwhile_from_the_lists() {
    let kazoo = kazoo().await;
    let dir = tempfile::tempdir().unwrap();
    let (key, kept, saved) = (dir.path().join("key"), dir.path().join("kept"), dir.path().join("saved"));
    std::fs::write(&key, KAZOO_KEY).unwrap();
    let (uri, saved) = (kazoo.uri(), saved.to_str().unwrap());
    let from = ["--crossbar", &uri, "--api-key-file", key.to_str().unwrap()];
    let args = [&from[..], &["--resume", kept.to_str().unwrap(), "--save", saved]].concat();
    // The system's own limits, those of three steps of accounts, and of one account more: its step begins when the third is
    // kept.
    let begun = 1 + 3 * STEP + 1;
    let passed = pass(&kazoo, "configs/webhooks", begun, Fault::Hang);
    let mut process = start(dir.path(), &args);
    eventually("three steps are read and kept", LONG, async || {
        (passed.load(Ordering::Relaxed) == begun).then_some(())
    })
    .await;
    process.kill();
    // An account that was read is deleted and another one renamed before the import goes on.
    kazoo.with(|data| {
        let all: Vec<_> = data.accounts().into_iter().filter(|id| data.below(id).is_empty()).collect();
        data.delete_account(&all[0]);
        data.edit_account(&all[1], |doc| drop(doc.insert("name".into(), "Renamed".into())));
    });
    let passed = pass(&kazoo, "webhooks", usize::MAX, Fault::Hang);
    let ended = import(dir.path(), &args).await;
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let (left, all) = (ACCOUNTS - 3 * STEP, passed.load(Ordering::Relaxed));
    assert!(all <= 1 + 3 * left, "limits of the system; list, hook and limits of {left} accounts: {all}");
    // What was saved is what the KAZOO has.
    let all = ACCOUNTS - 1 + kazoo.with(|data| data.hooks().len());
    assert_eq!(made(&import(dir.path(), &["--file", saved]).await), all);
    let last = import(dir.path(), &from).await;
    assert_eq!(made(&last), 0, "{last:?}");
    // A file that is there is not overwritten, and that is said before anything is read.
    let passed = pass(&kazoo, "v2", usize::MAX, Fault::Hang);
    let ended = import(dir.path(), &[&from[..], &["--save", saved]].concat()).await;
    assert!(ended.code == Some(1) && ended.stderr.contains("exists already"), "{ended:?}");
    assert_eq!(passed.load(Ordering::Relaxed), 0);
}
