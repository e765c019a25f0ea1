//! A replay of 200,000 events to one hook, beside 500 live events a second for another hook: the speed of the replay,
//! and how late the live events are with and without it. `-- replay --events=1000000` replays that many.

use std::time::Duration;

use reqwest::Method;
use serde_json::{Value, json};

use crate::clocked::Clocked;
use crate::figures::{Pace, Times, line, now_us};
use crate::latency::publish;
use crate::program::Program;

const PER_S: u64 = 500;
const SECONDS: u64 = 5;
const BATCH: u64 = 500;

pub(crate) fn run() {
    let events = crate::asked_events(200_000);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (dir, live, replayed) = (tempfile::tempdir().unwrap(), Clocked::start(), Clocked::start());
        let program = Program::start(dir.path(), &[]).await;
        let account = program.master.to_string();
        for from in (0..events).step_by(BATCH as usize) {
            let events = (from..from + BATCH).map(|n| crate::call_event(&account, n % 5000, n).into());
            program.ingest.submit(events.collect(), program.master).await.unwrap();
        }
        let fields = json!({"pvt_start_offset": events});
        program.hook(1, &live.uri("/"), fields.clone()).await;
        let hook = program.hook(2, &replayed.uri("/"), fields).await;
        drop(live.take(publish(&program, Pace::for_seconds(1, PER_S)).await).await);
        let mut alone = live.take(publish(&program, Pace::for_seconds(SECONDS, PER_S)).await).await;

        let (api, began) = (program.api().await, now_us());
        let path = format!("accounts/{account}/webhooks/{hook}/replay");
        let range = json!({"data": {"from_offset": 0, "until_offset": events}});
        let replay = api.call(Method::POST, &path, range).await;
        let path = format!("{path}/{}", replay["data"]["id"].as_str().unwrap());
        let ending = tokio::spawn(async move {
            loop {
                let replay = api.call(Method::GET, &path, Value::Null).await["data"].take();
                if replay["state"] == "done" {
                    return (replay, now_us());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        });
        let mut beside = Times::default();
        while !ending.is_finished() {
            beside.extend(live.take(publish(&program, Pace::for_seconds(1, PER_S)).await).await);
        }
        let (replay, ended) = ending.await.unwrap();
        assert_eq!(replay["delivered"], events, "{replay}");
        let rate = events as f64 * 1e6 / (ended - began) as f64;
        line("replay", &format!("{events} events to one hook"), &format!("{rate:>8.0} deliveries/s"));
        for (what, times) in [("live hook before", &mut alone), ("live hook meanwhile", &mut beside)] {
            let figure = format!("p50 {:>6.2} ms, p99 {:>6.2} ms", times.ms(0.5), times.ms(0.99));
            line("replay", &format!("{what}, {PER_S}/s"), &figure);
        }
        program.stop().await;
    });
}
