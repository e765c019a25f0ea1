//! The program under a clock that the test moves. This test binary starts itself again as a child process, which builds
//! the same `App` as the real binary, with a clock offset read from a file.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use serde_json::json;
use switchhook::app::App;
use switchhook::model::Clock;
use tokio::signal::unix::{SignalKind, signal};

use crate::support::app::config;
use crate::support::process::Process;

const DATA_DIR: &str = "SWITCHHOOK_TORTURE_DATA_DIR";
const SETTINGS: &str = "SWITCHHOOK_TORTURE_SETTINGS";
const CLOCK: &str = "SWITCHHOOK_TORTURE_CLOCK";
const TEST: &str = "torture::program::the_program_under_a_clock_that_jumps";
/// How often the file is read.
const LOOK: Duration = Duration::from_millis(10);

/// Starts the program. The file `clock` has the number of microseconds by which its clock is ahead.
pub async fn serve(dir: &Path, settings: &[String], clock: &Path) -> Process {
    let this = std::env::current_exe().unwrap();
    let words = [this.to_str().unwrap(), "--exact", TEST, "--ignored", "--nocapture"];
    let values = [
        (DATA_DIR, dir.display().to_string()),
        (SETTINGS, settings.join("\n")),
        (CLOCK, clock.display().to_string()),
    ];
    let mut process = Process::spawn_words(&words, &values);
    process.ready().await;
    process
}

#[test]
#[ignore = "no test: a process that the torture starts"]
fn the_program_under_a_clock_that_jumps() {
    let (Ok(dir), Ok(settings), Ok(clock)) =
        (std::env::var(DATA_DIR), std::env::var(SETTINGS), std::env::var(CLOCK))
    else {
        return;
    };
    let settings: Vec<String> = settings.lines().map(str::to_owned).collect();
    let clock = jumping(clock.into());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut ended = signal(SignalKind::terminate()).unwrap();
        let app = App::build(config(dir.as_ref(), &settings), clock).await.unwrap();
        let (http, websocket) = (app.http_addr().to_string(), app.websocket_addr().to_string());
        let pid = std::process::id();
        println!("{}", json!({"ready": true, "http": http, "websocket": websocket, "pid": pid}));
        let ended = async move {
            ended.recv().await;
        };
        app.run(ended).await.unwrap();
    });
}

/// The machine's clock plus the offset in the file.
fn jumping(file: std::path::PathBuf) -> Clock {
    let read = move || std::fs::read_to_string(&file).ok().and_then(|text| text.trim().parse().ok());
    let ahead_us = Arc::new(AtomicI64::new(read().unwrap_or(0)));
    let ahead = Arc::clone(&ahead_us);
    std::thread::spawn(move || {
        loop {
            std::thread::sleep(LOOK);
            if let Some(us) = read() {
                ahead.store(us, Ordering::SeqCst);
            }
        }
    });
    let machine = Clock::system();
    Clock::new(move || machine.now_us().saturating_add_signed(ahead_us.load(Ordering::SeqCst)))
}
