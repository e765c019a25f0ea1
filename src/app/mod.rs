//! The whole program: built from a configuration, then run until it is stopped.
//!
//! `App::build` opens, recovers and binds, and may fail; `App::run` starts without failing. Only here the steps are
//! connected, through handles and bounded channels. Shutdown follows the way of an event, so that everything accepted
//! is written.

mod broker;
mod broker_queue;
mod build;
mod data_dir;
mod flow;
mod hook_source;
mod keeper;
mod live;
mod logs;
mod mode;
mod notices;
mod open_files;
mod operator;
mod options;
mod ports;
mod private;
mod queues_port;
mod reload;
mod retention;
mod scrape;
mod shards;
mod share;
mod stopped;
mod sync;
mod threads;
mod watch;

use std::net::SocketAddr;
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use self::broker::BrokerTasks;
pub use self::broker_queue::{remove_queue, renew_queue};
pub use self::data_dir::{DataDirError, check as check_data_dir};
pub use self::open_files::raise_open_files;
pub use self::private::{Narrowed, PrivateError, keep_private, narrow};
pub use self::reload::Reload;
use self::shards::{Running, Shards};
pub use self::stopped::{Stopped, has_data};
pub use self::threads::{TooLittle, check_limits};
use crate::http::Server;
use crate::ingest::Ingest;
use crate::live::{Listener, Live, LiveTask};
use crate::log::{ReaderOf, Writer};
use crate::model::EventOffset;
use crate::onboarding::sync::Sync;
use crate::queues::Queues;
use crate::state::{FirstKey, State, StateTask};
use crate::tasks::{Stop, Tasks, Thread, ThreadError};
use crate::telemetry::Exporter;

/// The time for the queues' last checkpoint after the grace period is over.
const LAST_CHECKPOINT: Duration = Duration::from_secs(5);
/// The time to wait for tasks that were asked to end and that nothing depends on.
const STRAGGLERS: Duration = Duration::from_secs(1);

/// A program that is ready to run.
pub struct App {
    tasks: Tasks,
    stops: Stops,
    grace: Duration,
    reload: Reload,
    http_addr: SocketAddr,
    websocket_addr: SocketAddr,
    live: Live,
    queues: Queues,
    ingest: Ingest,
    state: State,
    first_key: Option<FirstKey>,
    events: ReaderOf<EventOffset>,
    steps: Steps,
    _lock: data_dir::Lock,
}

/// One token for each stage of the shutdown, in order.
#[derive(Debug, Clone, Default)]
struct Stops {
    intake: Stop,
    engine: Stop,
    abandon: Stop,
    storage: Stop,
}

/// What `run` starts.
struct Steps {
    brokers: BrokerTasks,
    server: Server,
    websocket: Listener,
    live: LiveTask,
    shards: Shards,
    keeper: keeper::Keeper,
    notice_logger: notices::NoticeLogger,
    exporter: Option<Exporter>,
    flows: flow::Flows,
    retention: retention::Retention,
    state: StateTask,
    sync: Option<Sync>,
    writers: Vec<(&'static str, Writer)>,
    threads: Threads,
}

/// The threads of the core steps. They are started before the program reports that it is ready.
struct Threads {
    /// One thread for each of `Steps::writers`.
    writers: Vec<Thread<()>>,
    /// One for each shard of the queues.
    queues: Vec<Thread<Runtime>>,
    /// One for each broker's consumer. Among the workers, an event would wake several of them.
    consumers: Vec<Thread<Runtime>>,
}

impl Threads {
    fn start(tasks: &Tasks, shards: usize, brokers: usize) -> Result<Self, ThreadError> {
        let writer = |name| tasks.thread(name, || Ok(()));
        let runtime = || tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtimes =
            |name, count| (0..count).map(|_| tasks.thread(name, runtime)).collect::<Result<Vec<_>, _>>();
        Ok(Self {
            writers: vec![writer("events-log")?, writer("ledger")?],
            queues: runtimes("queues", shards)?,
            consumers: runtimes("amqp", brokers)?,
        })
    }
}

impl App {
    /// The address of the API.
    #[must_use]
    pub fn http_addr(&self) -> SocketAddr {
        self.http_addr
    }

    /// The master account's API key, if this start has created it. The file `master.key` has it too.
    #[must_use]
    pub fn first_key(&self) -> Option<&FirstKey> {
        self.first_key.as_ref()
    }

    /// The address of KAZOO's websocket port.
    #[must_use]
    pub fn websocket_addr(&self) -> SocketAddr {
        self.websocket_addr
    }

    /// The websocket sessions, for tests and benches.
    #[must_use]
    pub fn live(&self) -> &Live {
        &self.live
    }

    /// The handle for reloading the configuration while the program runs.
    #[must_use]
    pub fn reload(&self) -> &Reload {
        &self.reload
    }

    /// The state, for tests and tools.
    #[must_use]
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The way into the events log, for the demo and for tests.
    #[must_use]
    pub fn ingest(&self) -> &Ingest {
        &self.ingest
    }

    /// The queues, for the demo and for tests.
    #[must_use]
    pub fn queues(&self) -> &Queues {
        &self.queues
    }

    /// The events log, for the demo and for tests.
    #[must_use]
    pub fn events(&self) -> &ReaderOf<EventOffset> {
        &self.events
    }

    /// Runs until `shutdown` resolves or a step fails, then ends every step in order. Returns an error only when
    /// storage or the queues failed; all other failures are handled while running.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> anyhow::Result<()> {
        let Self { tasks, stops, grace, queues, steps, reload, .. } = self;
        let failed = Stop::new();
        // If this future is dropped early, for example by a failing test, the guards stop the threads.
        let all = [&stops.intake, &stops.engine, &stops.abandon, &stops.storage];
        let _let_go = all.map(|stop| stop.clone().drop_guard());
        let (storage, engine, rest) = start(&tasks, &stops, &failed, steps);
        if let Err(error) = reload.begin().await {
            tracing::error!(%error, "kazoo.mode cannot take effect");
            failed.cancel();
        }
        match queues.resume_replays().await {
            Ok(0) => {}
            Ok(count) => tracing::info!(count, "replays resumed"),
            Err(error) => tracing::error!(%error, "replays could not be resumed"),
        }
        tokio::select! {
            () = shutdown => tracing::info!("stopping"),
            () = failed.cancelled() => tracing::error!("stopping: a step has failed"),
        }
        // The grace period is for all steps together. The intake gets half of it, so that a client that sends half a
        // body does not use up the time of attempts under way.
        let begun = Instant::now();
        stops.intake.cancel();
        for mut task in rest {
            // A task that panicked has been reported by the panic's message.
            if tokio::time::timeout_at(begun + grace / 2, &mut task).await.is_err() {
                task.abort();
            }
        }
        stops.engine.cancel();
        let mut engine = Box::pin(engine.ended());
        let mut ended = tokio::time::timeout_at(begun + grace, &mut engine).await;
        if ended.is_err() {
            // Attempts that are still under way are abandoned, and the queues end without their results.
            stops.abandon.cancel();
            ended = tokio::time::timeout(LAST_CHECKPOINT, engine).await;
        }
        stops.abandon.cancel();
        stops.storage.cancel();
        let mut result = match ended {
            Ok(result) => result,
            Err(_) => {
                Err(anyhow::anyhow!("the queues did not end in time; attempts under way will be repeated"))
            }
        };
        for task in storage {
            match task.await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => result = Err(error),
                Err(_) => result = Err(anyhow::anyhow!("the writer of a log was ended by a defect")),
            }
        }
        drop(queues);
        if tokio::time::timeout(STRAGGLERS, tasks.all_ended()).await.is_err() {
            tracing::warn!("some tasks did not end in time");
        }
        tracing::info!("stopped");
        result
    }
}

/// The end of a thread. An error without a value means a panic, which has printed its own message.
type Task = oneshot::Receiver<anyhow::Result<()>>;

/// Starts every step. A storage or queue step that fails cancels `failed`.
fn start(
    tasks: &Tasks,
    tokens: &Stops,
    failed: &Stop,
    steps: Steps,
) -> (Vec<Task>, Running, Vec<JoinHandle<()>>) {
    let mut storage = Vec::new();
    let Threads { writers, queues, consumers: threads } = steps.threads;
    for ((name, writer), thread) in steps.writers.into_iter().zip(writers) {
        let (stop, failed) = (tokens.storage.clone(), failed.clone());
        // The guard cancels `failed` even when the writer panics.
        let failing = failed.drop_guard();
        storage.push(thread.run(move |()| {
            let _failing = failing;
            writer.run(stop).map_err(|error| anyhow::anyhow!("{name}: {error}"))
        }));
    }
    drop(tasks.spawn("state", steps.state.run(tokens.storage.clone())));
    let engine = steps.shards.start(queues, tokens, failed);
    drop(tasks.spawn("keeper", steps.keeper.run()));
    // Stopped with the storage, so that changes during the shutdown are announced too if there is time.
    drop(tasks.spawn("notices", steps.notice_logger.run(tokens.storage.clone())));
    // Ends after the delivery, which sends it the spans.
    drop(steps.exporter.map(|exporter| tasks.spawn("traces", exporter.run())));
    let mut rest = vec![
        tasks.spawn("flow", steps.flows.run(tokens.intake.clone())),
        tasks.spawn("retention", steps.retention.run(tokens.intake.clone(), tasks.clone())),
        tasks.spawn("websocket", steps.websocket.run(tokens.intake.clone())),
        tasks.spawn("live", steps.live.run(tokens.intake.clone())),
    ];
    let BrokerTasks { consumers, requesters, stand_in } = steps.brokers;
    for (consumer, thread) in consumers.into_iter().zip(threads) {
        let (stop, failed) = (tokens.intake.clone(), failed.clone());
        // The guard cancels `failed` even when the consumer panics.
        let failing = failed.drop_guard();
        let ended = thread.run(move |runtime| {
            let result = runtime.block_on(consumer.run(stop));
            runtime.shutdown_background();
            match result {
                Ok(()) => drop(failing.disarm()),
                Err(error) => tracing::error!(%error, "consuming from the broker has ended"),
            }
        });
        // A consumer that panicked has been reported by the panic's message.
        rest.push(tasks.spawn("amqp", async move { drop(ended.await) }));
    }
    rest.extend(requesters.into_iter().map(|task| tasks.spawn("requester", task.run(tokens.intake.clone()))));
    rest.extend(stand_in.map(|task| tasks.spawn("stand-in", task.run(tokens.intake.clone()))));
    if let Some(sync) = steps.sync {
        rest.push(tasks.spawn("kazoo-sync", sync.run(tokens.intake.clone())));
    }
    let (server, stop) = (steps.server, tokens.intake.clone());
    rest.push(tasks.spawn("http", async move { server.run(stop).await }));
    (storage, engine, rest)
}
