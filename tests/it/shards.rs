//! Any number of shards: restarts and kills with changing numbers, limits that hold over all shards
//! together, responses that do not depend on the number, and partitions that move during deliveries.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};
use switchhook::disk::OsDisk;
use switchhook::log::{LogOptions, NewRecord, Record};
use switchhook::queues::Partitions;

use super::open_log::{OpenLog, block_on};
use super::support::app::{Api, TestApp, call_event};
use super::support::look::{LONG, accepted_per_call, body, events_of, number, queue_when, settled};
use super::support::process::Process;
use super::support::receiver::{Mood, Receiver, Request};
use super::support::wait::eventually;

const HOOKS: usize = 8;
/// The allowed repeats of each hook: attempts under way (one for each call), and records that the ledger had not synced.
const REPEATS_PER_KILL: usize = HOOKS * 20;

/// Small enough that every run has full windows, reads of the log and checkpoints.
fn settings(shards: usize) -> Vec<String> {
    let tight =
        ["queues.window=16", "queues.lane=2", "queues.keep_bytes=4096", "ledger.checkpoint_records=40"];
    let mut settings: Vec<String> = tight.map(str::to_owned).into();
    settings.push(format!("queues.shards={shards}"));
    settings
}

/// Numbered events of three calls; every tenth event is one for the account's callflows.
fn events(numbers: std::ops::Range<u64>, receiver: &Receiver, api: &Api) -> Vec<Value> {
    let event = |n: u64| {
        if n % 10 < 9 {
            return call_event("CHANNEL_CREATE", &format!("call-{}", n % 3), n);
        }
        let hook = json!({
            "_id": "1", "uri": receiver.uri("/flow"), "http_verb": "post", "hook": "callflow", "retries": 2,
            "pvt_account_id": api.account,
        });
        json!({
            "App-Name": "callflow", "App-Version": "5", "Event-Category": "notification", "Event-Name": "webhook",
            "Msg-ID": format!("flow-{n}"), "Account-ID": api.account, "Hook": hook, "Data": {"call_id": "flow"},
        })
    };
    numbers.map(event).collect()
}

/// For each path, the numbers in the order of their first arrival, and the number of repeats.
fn arrivals(requests: &[Request]) -> (BTreeMap<String, Vec<u64>>, usize) {
    let (mut of_path, mut seen, mut repeats) = (BTreeMap::<_, Vec<u64>>::new(), HashSet::new(), 0);
    for request in requests.iter().filter(|request| request.path != "/flow") {
        if seen.insert((request.path.clone(), number(request))) {
            of_path.entry(request.path.clone()).or_default().push(number(request));
        } else {
            repeats += 1;
        }
    }
    (of_path, repeats)
}

fn in_order_of_calls(numbers: &[u64]) -> bool {
    let mut last: HashMap<u64, u64> = HashMap::new();
    numbers.iter().all(|n| last.insert(n % 3, *n).is_none_or(|before| before < *n))
}

#[tokio::test]
async fn crash_and_start_with_another_number_of_shards_lose_and_reorder_nothing() {
    let (dir, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let mut process = Process::serve(dir.path(), &settings(1)).await;
    let mut api = process.api().await;
    for at in 0..HOOKS {
        api.hook(json!({"uri": receiver.uri(&format!("/{at}")), "format": "json"})).await;
    }
    let (mut next, lives) = (0, [2, 5, 1, 3]);
    for shards in lives {
        api.publish(&events(next..next + 60, &receiver, &api)).await;
        next += 60;
        // Kill it somewhere within the events that were just submitted.
        receiver.wait_for(receiver.count() + 150, LONG).await;
        process.kill();
        process = Process::serve(dir.path(), &settings(shards)).await;
        api = process.api().await;
    }
    api.publish(&events(next..next + 60, &receiver, &api)).await;
    next += 60;
    let calls: usize = (0..next).filter(|n| n % 10 < 9).count();
    let (of_path, repeats) = {
        let all = receiver.wait_until(LONG, |requests| {
            let (of_path, _) = arrivals(requests);
            let flows = requests.iter().filter(|request| request.path == "/flow");
            let flows: HashSet<&str> = flows.filter_map(|request| request.header("webhook-id")).collect();
            flows.len() as u64 == next / 10
                && of_path.len() == HOOKS
                && of_path.values().all(|numbers| numbers.len() == calls)
        });
        arrivals(&all.await)
    };
    for (path, numbers) in of_path {
        assert!(in_order_of_calls(&numbers), "{path}: {numbers:?}");
    }
    assert!(repeats <= lives.len() * REPEATS_PER_KILL, "{repeats} repeats");
}

/// All hooks in the API, without times.
async fn told(api: &Api, hooks: &[String]) -> Vec<Value> {
    let mut told = Vec::new();
    for hook in hooks {
        let mut queue = settled(api, hook).await;
        if let Some(queue) = queue.as_object_mut() {
            queue.retain(|field, _| field != "recent_failures");
        }
        told.push(queue);
        for list in ["attempts?page_size=50", "replay", "dead"] {
            told.push(api.own("GET", &format!("/webhooks/{hook}/{list}"), None).await.data().clone());
        }
    }
    told.push(api.own("GET", "/webhooks", None).await.data().clone());
    told
}

#[tokio::test]
async fn responses_are_the_same_with_one_shard_and_with_five() {
    let receiver = Receiver::start().await;
    receiver.mood_at("/dead", Mood::status(500));
    let mut app = TestApp::with(&["queues.shards=1", "disable.failure_count=0"]).await;
    let mut hooks = Vec::new();
    for path in ["/a", "/b", "/c", "/d", "/e", "/dead"] {
        let retry = json!({"max_attempts": 2});
        hooks.push(app.api.hook(json!({"uri": receiver.uri(path), "format": "json", "retry": retry})).await);
    }
    app.api.publish(&events_of("one", 0..20)).await;
    for hook in &hooks {
        settled(&app.api, hook).await;
    }
    let replay = json!({"data": {"from_offset": 0}});
    let begun = app.api.own("POST", &format!("/webhooks/{}/replay", hooks[0]), Some(replay)).await;
    assert_eq!(begun.status, 201, "{begun:?}");
    let replays = format!("/webhooks/{}/replay", hooks[0]);
    eventually("the replay has ended", LONG, || async {
        let list = app.api.own("GET", &replays, None).await;
        (list.data()[0]["state"] == "done").then_some(())
    })
    .await;
    // The last activity of queues is not kept over a restart.
    app.restart(None).await;
    let one = told(&app.api, &hooks).await;
    for shards in [5, 2] {
        let with = format!("queues.shards={shards}");
        app.restart(Some(&[&with, "disable.failure_count=0"])).await;
        assert_eq!(told(&app.api, &hooks).await, one, "{shards} shards");
    }
    app.stop().await;
}

#[tokio::test]
async fn limits_in_total_and_of_a_host_hold_over_all_shards() {
    let receiver = Receiver::start().await;
    receiver.mood(Mood::Hang);
    let limits =
        ["delivery.max_in_flight=64", "delivery.per_host_in_flight=9", "delivery.request_timeout_ms=120000"];
    let mut app = TestApp::with(&[&limits[..], &["queues.shards=5"]].concat()).await;
    for at in 0..20 {
        let hook = json!({"uri": receiver.uri(&format!("/{at}")), "ordering": "none"});
        app.api.hook(hook).await;
    }
    app.api.publish(&events_of("one", 0..20)).await;
    // The first attempt of each hook counts for its host for 50 ms only.
    receiver.wait_for(20 + 8, LONG).await;
    eventually("all attempts are counted", LONG, || async {
        let metrics = app.api.text("/metrics").await;
        metrics.contains("switchhook_attempts_in_flight 28\n").then_some(())
    })
    .await;
    let more = Receiver::start().await;
    more.mood(Mood::Hang);
    for at in 0..40 {
        let hook = json!({"uri": more.uri(&format!("/{at}")), "ordering": "none"});
        app.api.hook(hook).await;
    }
    app.api.publish(&events_of("two", 0..20)).await;
    // A sixteenth is reserved for hooks that are known to be fast.
    let left = 64 / 16;
    more.wait_for(64 - left - 28, LONG).await;
    assert_eq!((receiver.count(), more.count()), (28, 64 - left - 28));
    // A permit that a hook of one shard releases goes to a hook of another shard: all hooks have their turn.
    receiver.mood(Mood::Ok);
    more.mood(Mood::Ok);
    app.stop().await;
}

#[tokio::test]
async fn released_permits_go_to_hooks_of_every_shard() {
    let receiver = Receiver::start().await;
    // With two attempts at a time, nearly every released permit goes to a hook of another shard.
    let mut app = TestApp::with(&["delivery.max_in_flight=2", "queues.shards=5"]).await;
    let mut hooks = Vec::new();
    for at in 0..20 {
        hooks.push(app.api.hook(json!({"uri": receiver.uri(&format!("/{at}")), "format": "json"})).await);
    }
    app.api.publish(&events_of("one", 0..20)).await;
    let got = receiver.wait_for(400, LONG).await;
    assert!(receiver.most_in_flight() <= 2);
    for at in 0..20 {
        let path = format!("/{at}");
        let numbers: Vec<u64> = got.iter().filter(|request| request.path == path).map(number).collect();
        assert_eq!(numbers, (0..20).collect::<Vec<_>>(), "{path}");
    }
    app.stop().await;
}

#[tokio::test]
async fn partitions_move_between_shards_while_deliveries_and_replays_continue() {
    let receiver = Receiver::start().await;
    let mut app =
        TestApp::with(&["queues.shards=3", "queues.window=16", "ledger.checkpoint_records=30"]).await;
    let mut hooks = Vec::new();
    for at in 0..HOOKS {
        hooks.push(app.api.hook(json!({"uri": receiver.uri(&format!("/{at}")), "format": "json"})).await);
    }
    let mut next = 0;
    for round in 0..6 {
        app.api.publish(&events(next..next + 40, &receiver, &app.api)).await;
        next += 40;
        if round == 1 {
            let replay = json!({"data": {"from_offset": 0, "rate": 100}});
            let begun = app.api.own("POST", &format!("/webhooks/{}/replay", hooks[0]), Some(replay)).await;
            assert_eq!(begun.status, 201, "{begun:?}");
        }
        receiver.wait_for(receiver.count() + 20, LONG).await;
        let set = if round % 2 == 0 { Partitions::ALL } else { Partitions::share(0, 2) };
        app.queues().move_partitions(set, round % 3).await.unwrap();
        let queue = app.api.queue(&hooks[0]).await;
        assert!(queue["state"].is_string(), "{queue}");
    }
    let replays = format!("/webhooks/{}/replay", hooks[0]);
    eventually("the replay has ended", LONG, || async {
        let list = app.api.own("GET", &replays, None).await;
        (list.data()[0]["state"] == "done").then_some(())
    })
    .await;
    for hook in &hooks {
        queue_when(&app.api, hook, "all is settled", |q| q["waiting"] == 0 && q["in_flight"] == 0).await;
    }
    let calls: Vec<u64> = (0..next).filter(|n| n % 10 < 9).collect();
    let requests = receiver
        .wait_until(LONG, |requests| {
            requests.iter().filter(|request| request.path == "/flow").count() as u64 == next / 10
        })
        .await;
    let replayed = |request: &&Request| request.header("x-replay").is_some();
    let of_replay = requests.iter().filter(replayed).map(|request| body(request)["call_id"].to_string());
    assert_eq!(of_replay.count(), 72, "the replay of the first 80 events");
    let live: Vec<Request> = requests.iter().filter(|request| !replayed(request)).cloned().collect();
    let (of_path, repeats) = arrivals(&live);
    assert_eq!(repeats, 0);
    for (path, mut numbers) in of_path {
        assert!(in_order_of_calls(&numbers), "{path}: {numbers:?}");
        numbers.sort_unstable();
        assert_eq!(numbers, calls, "{path}");
    }
    app.stop().await;
}

/// A checkpoint's record in the format before shards: type 4 for 11 and 5 for 12, without partitions.
fn of_before(payload: &[u8]) -> Vec<u8> {
    match payload {
        [11, rest @ ..] => {
            let number = rest.iter().position(|byte| byte & 0x80 == 0).unwrap() + 1;
            assert_eq!(rest.len(), number + 32, "nothing waits for its account");
            [&[4], &rest[..number]].concat()
        }
        [12, _, rest @ ..] => [&[5], rest].concat(),
        other => other.to_vec(),
    }
}

/// Rewrites the ledger as a program without shards would have written it.
fn make_old(dir: &Path) {
    let (ledger, options) = (dir.join("ledger"), LogOptions::default());
    let log = OpenLog::try_open(Arc::new(OsDisk), &ledger, &options).unwrap();
    let mut all: Vec<Record> = Vec::new();
    while (all.len() as u64) < log.reader.end() {
        all.extend(log.reader.read(all.len() as u64, 1000, 1 << 20).unwrap().records);
    }
    log.close().unwrap();
    std::fs::remove_dir_all(&ledger).unwrap();
    let old = |record: &Record| NewRecord {
        tag: record.tag,
        flags: record.flags,
        time_us: record.time_us,
        payload: of_before(&record.payload).into(),
    };
    let records: Vec<NewRecord> = all.iter().map(old).collect();
    assert!(records.iter().any(|record| record.payload[0] == 4), "there is a checkpoint");
    let log = OpenLog::try_open(Arc::new(OsDisk), &ledger, &options).unwrap();
    block_on(log.appender.append(records)).unwrap();
    log.close().unwrap();
}

#[test]
fn a_data_directory_from_before_there_were_shards_opens_with_any_number() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    let receiver = runtime.block_on(Receiver::start());
    receiver.mood_at("/away", Mood::status(503));
    let tight = [
        "ledger.checkpoint_records=10",
        "disable.failure_count=0",
        "retry.initial_ms=2000",
        "retry.max_ms=2000",
    ];
    let (mut app, hooks) = runtime.block_on(async {
        let app = TestApp::with(&[&["queues.shards=1"], &tight[..]].concat()).await;
        let mut hooks = Vec::new();
        for path in ["/a", "/b", "/c", "/away"] {
            let retry = json!({"max_attempts": 100});
            hooks.push(
                app.api.hook(json!({"uri": receiver.uri(path), "format": "json", "retry": retry})).await,
            );
        }
        app.api.publish(&events_of("one", 0..20)).await;
        for hook in &hooks[..3] {
            settled(&app.api, hook).await;
        }
        (app, hooks)
    });
    runtime.block_on(app.stop());
    make_old(app.dir());
    for shards in [5, 1] {
        let with = format!("queues.shards={shards}");
        runtime.block_on(async {
            app.restart(Some(&[&[with.as_str()], &tight[..]].concat())).await;
            for hook in &hooks[..3] {
                settled(&app.api, hook).await;
            }
        });
    }
    runtime.block_on(async {
        receiver.mood_at("/away", Mood::Ok);
        settled(&app.api, &hooks[3]).await;
        app.stop().await;
    });
    for path in ["/a", "/b", "/c"] {
        let numbers: Vec<u64> = receiver.requests_at(path).iter().map(number).collect();
        assert_eq!(numbers, (0..20).collect::<Vec<_>>(), "{path}: nothing is repeated");
    }
    let delivered = accepted_per_call(&receiver.requests_at("/away"));
    assert_eq!(delivered["one"], (0..20).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_number_of_shards_out_of_range_is_refused_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let process = Process::spawn_serve(dir.path(), &["queues.shards=17".to_owned()]);
    let ended = process.ended(LONG).await;
    assert_ne!(ended.code, Some(0));
    assert!(ended.stderr.contains("queues.shards"), "{}", ended.stderr);
}
