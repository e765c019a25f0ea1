//! Repeated `kill -9` in mid-stream: every acknowledged event arrives, in order. Duplicates are recognisable, each is
//! explained by a kill, and they are few.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::support::app::{Answer, Api, call_event};
use super::support::broker::Broker;
use super::support::process::Process;
use super::support::publisher::Publisher;
use super::support::receiver::{Mood, Receiver, Request};

const KILLS: usize = 20;
const CALLS: u64 = 5;
const SOON: Duration = Duration::from_secs(60);
/// A kill may repeat deliveries that were under way (one for each call) and those that the ledger had not synced: as
/// many again for every sync of a slow disk. Five are usual.
const REPEATS_PER_KILL: usize = 20;

/// The end of one run of the program and the start of the next.
struct Kill {
    from: Instant,
    until: Instant,
}

/// Kills and restarts the program in mid-stream: each time after a few more deliveries.
async fn kill_loop(
    (dir, settings): (&Path, &[String]),
    mut process: Process,
    receiver: &Receiver,
    restarted: impl AsyncFn(&Process),
) -> (Process, Vec<Kill>) {
    let mut kills = Vec::new();
    for life in 0..KILLS {
        let more = 5 + 37 * life % 60;
        receiver.wait_for(receiver.count() + more, SOON).await;
        let from = Instant::now();
        process.kill();
        process = Process::serve(dir, settings).await;
        kills.push(Kill { from, until: Instant::now() });
        restarted(&process).await;
    }
    (process, kills)
}

fn call(number: u64) -> String {
    format!("call-{}", number % CALLS)
}

fn number(request: &Request) -> u64 {
    let body: Value = serde_json::from_str(request.text()).unwrap();
    let number = body["caller_id_number"].as_str().unwrap().parse().unwrap();
    assert_eq!(body["call_id"], call(number), "{body}");
    number
}

/// Waits until all of these have arrived and were accepted; returns all requests of the receiver.
async fn all_arrive(
    receiver: &Receiver,
    numbers: &[u64],
    accepted: impl Fn(&Request) -> bool,
) -> Vec<Request> {
    let missing = RefCell::new((0, numbers.iter().copied().collect::<HashSet<u64>>()));
    let requests = receiver.wait_until(SOON, |requests| {
        let (looked_at, missing) = &mut *missing.borrow_mut();
        for request in requests[*looked_at..].iter().filter(|r| accepted(r)) {
            missing.remove(&number(request));
        }
        *looked_at = requests.len();
        missing.is_empty()
    });
    requests.await
}

/// Checks every arrival; returns the number of repeats.
fn check_arrivals(requests: &[Request], kills: &[Kill]) -> usize {
    let (mut ids, mut last_of_call) = (HashMap::new(), HashMap::new());
    let mut arrivals: HashMap<u64, Vec<Instant>> = HashMap::new();
    for request in requests {
        let (number, id) = (number(request), request.header("webhook-id").unwrap());
        let first_id = ids.entry(number).or_insert(id);
        assert_eq!(*first_id, id, "a repeat of {number} has another id");
        let before = arrivals.entry(number).or_default();
        match before.last() {
            None => {
                let last = last_of_call.insert(call(number), number);
                assert!(last < Some(number), "{number} came first after {last:?}");
            }
            Some(&at) => assert!(
                kills.iter().any(|kill| at < kill.until && request.at > kill.from),
                "{number} came again without a kill in between"
            ),
        }
        before.push(request.at);
    }
    let distinct: HashSet<&str> = ids.values().copied().collect();
    assert_eq!(distinct.len(), ids.len(), "two events have the same id");
    requests.len() - arrivals.len()
}

fn assert_few(repeats: usize) {
    assert!(repeats <= KILLS * REPEATS_PER_KILL, "{repeats} repeats after {KILLS} kills");
}

/// Publishes numbered events with confirms until `over`, only a little ahead of the receiver, so that every kill hits
/// all stages and not only the last; returns the number of confirmed events.
async fn publish_until(over: &Cell<bool>, publisher: &Publisher, receiver: &Receiver, account: &str) -> u64 {
    let mut count = 0_u64;
    while !over.get() {
        if count > 300 + receiver.count() as u64 {
            receiver.wait_for(receiver.count() + 1, SOON).await;
            continue;
        }
        let event = |n| {
            let mut event = call_event("CHANNEL_CREATE", &call(n), n);
            event["Custom-Channel-Vars"] = json!({"Account-ID": account});
            event.to_string().into_bytes()
        };
        let bodies: Vec<Vec<u8>> = (count..count + 20).map(event).collect();
        publisher.publish_all("callevt", "call.CHANNEL_CREATE.call", &bodies).await;
        count += 20;
    }
    count
}

#[tokio::test]
async fn crash_in_mid_stream_loses_and_reorders_nothing_that_the_broker_had_confirmed() {
    let (broker, receiver) = (Broker::shared().await, Receiver::start().await);
    let dir = tempfile::tempdir().unwrap();
    let settings = [format!("amqp.uri={}", broker.uri()), "amqp.prefetch=50".to_owned()];
    let process = Process::serve(dir.path(), &settings).await;
    let api = process.api().await;
    api.hook(json!({"uri": receiver.uri("/calls"), "format": "json"})).await;
    is_ready(&api).await;
    let publisher = Publisher::connect(&broker.uri()).await;
    let over = Cell::new(false);
    let publishing = publish_until(&over, &publisher, &receiver, &api.account);
    let killing = async {
        let ended = kill_loop((dir.path(), &settings), process, &receiver, async |_| {}).await;
        over.set(true);
        ended
    };
    let (count, (_process, kills)) = tokio::join!(publishing, killing);
    let confirmed: Vec<u64> = (0..count).collect();
    let requests = all_arrive(&receiver, &confirmed, |_| true).await;
    assert_few(check_arrivals(&requests, &kills));
}

#[tokio::test]
async fn crash_free_restarts_in_mid_stream_lose_and_repeat_nothing() {
    let (broker, receiver) = (Broker::shared().await, Receiver::start().await);
    let dir = tempfile::tempdir().unwrap();
    let settings = [format!("amqp.uri={}", broker.uri()), "shutdown_grace_ms=20000".to_owned()];
    let mut process = Process::serve(dir.path(), &settings).await;
    let api = process.api().await;
    api.hook(json!({"uri": receiver.uri("/calls"), "format": "json"})).await;
    is_ready(&api).await;
    let publisher = Publisher::connect(&broker.uri()).await;
    let over = Cell::new(false);
    let publishing = publish_until(&over, &publisher, &receiver, &api.account);
    let restarting = async {
        for life in 0..5 {
            receiver.wait_for(receiver.count() + 20 + 31 * life, SOON).await;
            process.terminate();
            let ended = process.ended(SOON).await;
            assert_eq!(ended.code, Some(0), "{ended:?}");
            process = Process::serve(dir.path(), &settings).await;
        }
        over.set(true);
        process
    };
    let (count, process) = tokio::join!(publishing, restarting);
    let numbers: Vec<u64> = (0..count).collect();
    let requests = all_arrive(&receiver, &numbers, |_| true).await;
    assert_eq!(check_arrivals(&requests, &[]), 0);
    process.terminate();
    assert_eq!(process.ended(SOON).await.code, Some(0));
}

#[tokio::test]
async fn crash_in_mid_stream_loses_and_reorders_nothing_that_was_acknowledged_over_http() {
    let receiver = Receiver::start().await;
    let dir = tempfile::tempdir().unwrap();
    let process = Process::serve(dir.path(), &[]).await;
    let api = process.api().await;
    api.hook(json!({"uri": receiver.uri("/calls"), "format": "json"})).await;
    let (over, current) = (Cell::new(false), tokio::sync::watch::Sender::new((0, api)));
    let publishing = async {
        let (mut next, mut acknowledged) = (0, Vec::new());
        while !over.get() {
            let numbers = next..next + 7;
            next = numbers.end;
            let events: Vec<Value> =
                numbers.clone().map(|n| call_event("CHANNEL_CREATE", &call(n), n)).collect();
            let (life, api) = current.borrow().clone();
            match put_events(&api, &events).await {
                Some(answer) => {
                    assert_eq!(answer.status, 201, "{answer:?}");
                    acknowledged.extend(numbers);
                }
                // The program was killed; the events may have been stored or not. Continue with the next ones after
                // the restart.
                None => drop(current.subscribe().wait_for(|(now, _)| *now > life).await),
            }
        }
        acknowledged
    };
    let killing = async {
        let renew = async |process: &Process| {
            let api = process.api().await;
            current.send_modify(|current| *current = (current.0 + 1, api));
        };
        let ended = kill_loop((dir.path(), &[]), process, &receiver, renew).await;
        over.set(true);
        ended
    };
    let (acknowledged, (_process, kills)) = tokio::join!(publishing, killing);
    assert!(acknowledged.len() > KILLS);
    let requests = all_arrive(&receiver, &acknowledged, |_| true).await;
    assert_few(check_arrivals(&requests, &kills));
}

async fn put_events(api: &Api, events: &[Value]) -> Option<Answer> {
    let path = format!("/v2/accounts/{}/events", api.account);
    api.try_call("PUT", &path, Some(json!({"data": events}))).await.ok()
}

async fn is_ready(api: &Api) {
    super::support::wait::eventually("the program is ready", SOON, async || {
        (api.call("GET", "/health/ready", None).await.status == 200).then_some(())
    })
    .await;
}

/// Small enough that every run has full windows, reads of the log, closed segments and checkpoints.
const TIGHT: [&str; 7] = [
    "queues.window=16",
    "queues.lane=2",
    "queues.keep_bytes=4096",
    "ledger.checkpoint_records=40",
    "ledger.segment_bytes=65536",
    "log.segment_bytes=65536",
    "disable.failure_count=0",
];

#[tokio::test]
async fn crash_while_a_backlog_drains_into_a_flaky_receiver_keeps_every_call_in_order() {
    let (dir, receiver) = (tempfile::tempdir().unwrap(), Receiver::start().await);
    let settings = TIGHT.map(str::to_owned);
    let process = Process::serve(dir.path(), &settings).await;
    let api = process.api().await;
    let accepted = |request: &Request| !request.number.is_multiple_of(3);
    receiver.mood(Mood::by(move |request| if accepted(request) { Mood::Ok } else { Mood::status(503) }));
    let hook = json!({"uri": receiver.uri("/calls"), "format": "json", "retry": {"max_attempts": 100}});
    api.hook(hook).await;
    let numbers: Vec<u64> = (0..1500).collect();
    for some in numbers.chunks(100) {
        let events: Vec<Value> = some.iter().map(|n| call_event("CHANNEL_CREATE", &call(*n), *n)).collect();
        api.publish(&events).await;
    }
    let (_process, kills) = kill_loop((dir.path(), &settings), process, &receiver, async |_| {}).await;
    let mut requests = all_arrive(&receiver, &numbers, accepted).await;
    requests.retain(accepted);
    assert_few(check_arrivals(&requests, &kills));
}
