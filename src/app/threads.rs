//! The threads and open files that the program needs at least. With fewer it refuses to start.

use std::io;
use std::sync::mpsc::channel;
use std::thread;

use super::open_files::open_files;
use super::options::{queue_threads, shards};
use crate::config::Config;

/// Threads in addition to a worker per core and the threads of the queues: the logs' writers, signals, log lines, the
/// broker's client, and some for reads of the API and name lookups.
const BESIDE_WORKERS: usize = 11;
/// With one shard: files that are always open (about 27: logs, index, listeners, event loops), one client and one receiver.
const LEAST_FILES: u64 = 40;
/// Files of the event loop of each further shard.
const FILES_OF_SHARD: u64 = 3;

/// The system allows fewer threads or files than the program needs.
#[derive(Debug, thiserror::Error)]
pub enum TooLittle {
    /// Too few threads.
    #[error(
        "{had} threads can be started, {needed} are needed: {error}; raise the service's limit of threads \
         (ulimit -u, TasksMax, pids.max) or of address space (ulimit -v), or lower queues.shards"
    )]
    Threads {
        /// The number that could be started.
        had: usize,
        /// The number that is needed.
        needed: usize,
        /// The system's error for one more.
        error: io::Error,
    },
    /// Too few open files.
    #[error(
        "{had} files may be open at once, at least {needed} are needed; raise the limit (ulimit -n, LimitNOFILE) \
         or lower queues.shards"
    )]
    Files {
        /// The number that may be open.
        had: u64,
        /// The number that is needed.
        needed: u64,
    },
}

/// Refuses to start when threads or files are too few for the configured shards. A shortage while running would stop
/// deliveries unnoticed.
pub fn check_limits(config: &Config) -> Result<(), TooLittle> {
    let further_shards = shards(config).saturating_sub(1) as u64;
    let needed = LEAST_FILES + FILES_OF_SHARD * further_shards;
    if let Some(had) = open_files().filter(|files| *files < needed) {
        return Err(TooLittle::Files { had, needed });
    }
    let workers = thread::available_parallelism().map_or(1, usize::from);
    let needed = workers + BESIDE_WORKERS + queue_threads(config);
    let mut started = Vec::with_capacity(needed);
    let mut failed = None;
    while started.len() < needed && failed.is_none() {
        let (hold, held) = channel::<()>();
        // The thread ends when `hold` is dropped.
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
        // The thread cannot panic, so its result does not matter.
        drop(thread.join());
    }
    failed.map_or(Ok(()), |error| Err(TooLittle::Threads { had, needed, error }))
}

/// Whether a thread and a file can be had now; otherwise what is short, and the reason.
pub(super) fn shortage() -> Option<(&'static str, String)> {
    if let Err(error) = std::fs::File::open("/dev/null") {
        return Some(("open_files", format!("no file can be opened: {error}")));
    }
    let thread = thread::Builder::new().name("probe".to_owned()).spawn(|| {});
    thread.err().map(|error| ("threads", format!("no thread can be started: {error}")))
}
