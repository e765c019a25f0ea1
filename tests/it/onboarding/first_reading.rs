//! The first reading of a large KAZOO: what has been read is written step by step and is not read again.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::app::Api;
use crate::support::kazoo::{Fault, KAZOO_KEY, Kazoo, Version};
use crate::support::process::Process;
use crate::support::wait::eventually;

const LONG: Duration = Duration::from_secs(60);
/// Accounts with the master account, and how many are read in a step.
const ACCOUNTS: usize = 101;
const STEP: usize = 20;
/// The paths of documents with failure limits.
const LIMITS: &str = "configs_webhooks";

/// Lets `count` requests at such a path pass, counts them, and refuses later ones.
fn pass(kazoo: &Kazoo, path: &str, count: usize) -> Arc<AtomicUsize> {
    let passed = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&passed);
    let pass = Fault::Meanwhile(Arc::new(move |_| {
        counting.fetch_add(1, Ordering::Relaxed);
    }));
    kazoo.faults(path, vec![(pass, count), (Fault::Status(503), usize::MAX)]);
    passed
}

async fn status(api: &Api) -> Value {
    api.call("GET", "/admin/status", None).await.data()["kazoo_sync"].clone()
}

async fn written(api: &Api, kind: &str) -> usize {
    let answer = api.call("GET", "/admin/import?paginate=false&is_chunked=true", None).await;
    answer.data().as_array().unwrap().iter().filter(|row| row["kind"] == kind).count()
}

/// Waits until the reading stands still with this many accounts.
async fn breaks_off_with(api: &Api, accounts: usize) {
    eventually("the reading breaks off", LONG, async || {
        let here = written(api, "account").await;
        (here == accounts && status(api).await["state"] == "failing").then_some(())
    })
    .await;
}

async fn follows(api: &Api) -> Value {
    eventually("everything is here", LONG, async || {
        let status = status(api).await;
        (status["full_readings"].as_u64() > Some(0)).then_some(status)
    })
    .await
}

#[tokio::test]
async fn a_first_reading_that_breaks_off_continues_where_it_stood_also_after_a_restart() {
    let kazoo = Kazoo::start(Version::V50).await;
    kazoo.with(|data| {
        data.fill(ACCOUNTS - 1, 100, "https://crm.example.net/hook");
        let last = data.accounts().pop().unwrap();
        data.limits(&last, json!({"attempt_failure_count": 7}));
    });
    let dir = tempfile::tempdir().unwrap();
    let settings = [
        format!("kazoo.sync.couch={}", kazoo.uri()),
        format!("accounts.master_id={}", kazoo.with(|data| data.master.clone())),
        format!("kazoo.sync.step_accounts={STEP}"),
        "kazoo.sync.settle_ms=20".to_owned(),
    ];
    pass(&kazoo, LIMITS, 2 * STEP + 7);
    let mut process = Process::serve(dir.path(), &settings).await;
    let api = process.api().await;
    breaks_off_with(&api, 2 * STEP).await;
    let shown = status(&api).await;
    assert_eq!((&shown["reading"]["stage"], &shown["reading"]["of"]), (&json!("limits"), &json!(ACCOUNTS)));
    assert!(shown["reading"]["done"].as_u64().unwrap() >= 2 * STEP as u64, "{shown}");
    // Hooks came with their accounts.
    assert!(written(&api, "hook").await >= 2 * STEP - 3);

    // KAZOO works again for a while: the step that failed comes next.
    pass(&kazoo, LIMITS, STEP);
    breaks_off_with(&api, 3 * STEP).await;

    process.kill();
    let passed = pass(&kazoo, LIMITS, usize::MAX);
    let process = Process::serve(dir.path(), &settings).await;
    let api = process.api().await;
    let shown = follows(&api).await;
    assert_eq!((&shown["reading"], &shown["accounts"]), (&Value::Null, &json!(ACCOUNTS)), "{shown}");
    assert_eq!((written(&api, "account").await, written(&api, "hook").await), (ACCOUNTS, 100));
    // What was written before the restart is not asked for, except for one step in turn.
    assert_eq!(passed.load(Ordering::Relaxed), ACCOUNTS - 3 * STEP + STEP);
    let last = kazoo.with(|data| data.accounts().pop().unwrap());
    let own = api.call("GET", &format!("/v2/accounts/{last}"), None).await;
    assert_eq!(own.data()["webhooks"]["attempt_failure_count"], 7, "{own:?}");
}

#[tokio::test]
async fn without_couchdb_hooks_are_read_with_their_accounts_and_none_is_read_twice() {
    let kazoo = Kazoo::start(Version::V50).await;
    kazoo.with(|data| data.fill(50, 50, "https://crm.example.net/hook"));
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, KAZOO_KEY).unwrap();
    let settings = [
        format!("kazoo.sync.crossbar={}", kazoo.uri()),
        format!("kazoo.sync.api_key_file={}", key.display()),
        format!("accounts.master_id={}", kazoo.with(|data| data.master.clone())),
        format!("kazoo.sync.step_accounts={STEP}"),
    ];
    // The first step asks for the lists and limits of 20 accounts and the hooks of 19; the system's limits come before.
    let first = pass(&kazoo, "webhooks", 3 * STEP);
    let process = Process::serve(&dir.path().join("data"), &settings).await;
    let api = process.api().await;
    breaks_off_with(&api, STEP).await;
    let rest = pass(&kazoo, "webhooks", usize::MAX);
    let shown = follows(&api).await;
    assert_eq!((&shown["accounts"], &shown["hooks"]), (&json!(51), &json!(50)), "{shown}");
    let asked = first.load(Ordering::Relaxed) + rest.load(Ordering::Relaxed);
    assert_eq!(asked, 51 + 50 + 51 + 1, "lists, hooks, limits, and the limits of the system");
}
