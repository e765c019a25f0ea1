//! How many threads and open files the program needs at least: with fewer it does not start, and says so.

use std::io;
use std::sync::mpsc::channel;
use std::thread;

use super::open_files::open_files;

/// Beside a worker for each core: the logs' writers, the queues, signals, log lines, the broker's client, and some for
/// reads and lookups.
const BESIDE_WORKERS: usize = 16;
/// What is open by itself (about 27: logs, index, listeners, event loops), one client and one receiver.
const LEAST_FILES: u64 = 40;

/// The system does not allow the program what it needs at least.
#[derive(Debug, thiserror::Error)]
pub enum TooLittle {
    /// Threads.
    #[error(
        "{had} threads can be started, {needed} are needed: {error}; raise what the service may have of them \
         (ulimit -u, TasksMax, pids.max) or of address space (ulimit -v)"
    )]
    Threads {
        /// How many could be started.
        had: usize,
        /// How many are needed.
        needed: usize,
        /// What the system says to one more.
        error: io::Error,
    },
    /// Open files.
    #[error(
        "{had} files may be open at once, at least {LEAST_FILES} are needed; raise the limit (ulimit -n, LimitNOFILE)"
    )]
    Files {
        /// How many may be open.
        had: u64,
    },
}

/// Refuses to start with less than is needed: what is short later stops deliveries in a way that nobody sees.
pub fn check_limits() -> Result<(), TooLittle> {
    if let Some(had) = open_files().filter(|files| *files < LEAST_FILES) {
        return Err(TooLittle::Files { had });
    }
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let needed = workers + BESIDE_WORKERS;
    let mut started = Vec::with_capacity(needed);
    let mut failed = None;
    while started.len() < needed && failed.is_none() {
        let (hold, held) = channel::<()>();
        // It ends when its other end is dropped.
        let wait = move || {
            let _dropped = held.recv();
        };
        match thread::Builder::new().name("probe".to_owned()).spawn(wait) {
            Ok(thread) => started.push((hold, thread)),
            Err(error) => failed = Some(error),
        }
    }
    let had = started.len();
    for (hold, thread) in started {
        drop(hold);
        // It does nothing that could panic.
        drop(thread.join());
    }
    failed.map_or(Ok(()), |error| Err(TooLittle::Threads { had, needed, error }))
}

/// Whether one more thread and one more file can be had now; else what cannot.
pub(super) fn shortage() -> Option<(&'static str, String)> {
    if let Err(error) = std::fs::File::open("/dev/null") {
        return Some(("open_files", format!("no file can be opened: {error}")));
    }
    let thread = thread::Builder::new().name("probe".to_owned()).spawn(|| {});
    thread.err().map(|error| ("threads", format!("no thread can be started: {error}")))
}
