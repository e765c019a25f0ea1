//! `switchhook demo`: the whole product in one process on loopback. Nothing else needs to be installed. Calls are
//! invented, three hooks deliver to a built-in receiver (healthy, unreliable, down for a while), and everything is
//! printed as it happens.

mod calls;
mod receiver;
mod story;

use std::future::Future;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use serde_json::{Map, json};
use tokio::sync::Mutex;

use crate::app::App;
use crate::config::{Config, Overlay, load};
use crate::model::Clock;
use crate::state::{Expect, Kind, State, Write as Change, random_id};
use crate::tasks::{Stop, Tasks};

/// The demo's API key. The demo's data is deleted at its end.
const KEY: &str = "demo-demo-demo-demo-demo-demo-demo-demo-demo-demo-demo-demo-demo";

/// Locked while a line is printed that must come before others.
type Lines = Arc<Mutex<()>>;

/// Runs for `seconds` (0: until `ended`) on a temporary data directory, which is removed at the end.
pub async fn run(seconds: u64, ended: impl Future<Output = ()>) -> anyhow::Result<()> {
    let dir = std::env::temp_dir().join(format!("switchhook-demo-{}", random_id()));
    let result = run_in(&dir, seconds, ended).await;
    std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    result
}

async fn run_in(dir: &std::path::Path, seconds: u64, ended: impl Future<Output = ()>) -> anyhow::Result<()> {
    let (tasks, stop) = (Tasks::new(), Stop::new());
    let receiver = receiver::Receiver::bind().await?;
    let address = receiver.address();
    let app = App::build(config(dir)?, Clock::system()).await?;
    let state = app.state().clone();
    print_guide(&format!("http://{}", app.http_addr()))?;
    let lines = Lines::default();
    drop(tasks.spawn("receiver", receiver.run(stop.clone(), Lines::clone(&lines))));
    let making = (state.clone(), app.ingest().clone(), stop.clone());
    drop(tasks.spawn("calls", async move {
        let (state, ingest, stop) = making;
        let made = stop.run_until_cancelled(async {
            store(&state, address).await?;
            calls::make(&ingest, state.settings().master, &lines).await
        });
        if let Some(Err(error)) = made.await {
            say("demo", &format!("no more calls: {error:#}"));
        }
    }));
    let telling = (state, app.queues().clone(), stop.clone());
    drop(tasks.spawn("story", async move {
        let (state, queues, stop) = telling;
        stop.run_until_cancelled(story::tell(&state, &queues)).await
    }));
    let over = async {
        let limit = async {
            if seconds == 0 {
                std::future::pending::<()>().await;
            }
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        };
        tokio::select! { () = ended => {}, () = limit => {} }
    };
    let result = app.run(over).await;
    stop.cancel();
    tasks.all_ended().await;
    say("demo", "the end; nothing is left on disk");
    result
}

/// Short times, so that a person sees retries, a disabled hook and its recovery within two minutes.
fn config(dir: &std::path::Path) -> anyhow::Result<Config> {
    let set = [
        format!("data_dir={}", dir.display()),
        format!("auth.master_api_key={KEY}"),
        "http.listen=127.0.0.1:0".to_owned(),
        "websocket.listen=127.0.0.1:0".to_owned(),
        "delivery.allow_addresses=[\"127.0.0.0/8\"]".to_owned(),
        "retry.initial_ms=400".to_owned(),
        "disable.probe_initial_ms=3000".to_owned(),
        "disable.probe_max_ms=5000".to_owned(),
        "shutdown_grace_ms=1000".to_owned(),
        "log.reserve_bytes=0".to_owned(),
        "ledger.reserve_bytes=0".to_owned(),
    ];
    Ok(load(&Overlay { set: set.to_vec(), ..Overlay::default() })?)
}

/// Stores the three hooks as the API would.
async fn store(state: &State, receiver: std::net::SocketAddr) -> anyhow::Result<()> {
    for (name, hook) in [("healthy", "all"), ("flaky", "channel_destroy"), ("down", "channel_create")] {
        let mut doc = Map::new();
        let fields = [
            ("name", json!(name)),
            ("hook", json!(hook)),
            ("uri", json!(format!("http://{receiver}/{name}"))),
            ("format", json!("json")),
            ("retries", json!(4)),
            ("enabled", json!(true)),
            ("pvt_account_id", json!(state.settings().master)),
        ];
        doc.extend(fields.map(|(field, value)| (field.to_owned(), value)));
        let id = random_id().to_string();
        state.write(vec![Change { kind: Kind::Hook, id, doc: Some(doc), expect: Expect::Absent }]).await?;
    }
    Ok(())
}

fn print_guide(base: &str) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(
        out,
        "Switchhook demo. Three hooks: healthy (every event), flaky (fails now and then), down (refuses for a minute,
then works for a minute, in turn).
Watch them in the console:

  {base}/console/

Log in with the API key {KEY}
Ctrl-C ends it.
"
    )?;
    Ok(())
}

/// Prints one line.
fn say(who: &str, what: &str) {
    // A closed terminal is not a reason to stop.
    let _closed = writeln!(std::io::stdout().lock(), "{who:>9}  {what}");
}
