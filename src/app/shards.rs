//! The shards: each is an engine with its part of the queues, and the pool that makes its attempts, in a separate thread.
//!
//! Engine and attempts share a thread so that an attempt does not have to wake another core, which would take more than half
//! of its CPU time. The shards share the logs, the permits, the memory for records, and all counters.

use std::sync::Arc;

use futures_util::future::join_all;
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use super::Stops;
use crate::delivery::{self, BuildError, Delivery, Shortages, Transport};
use crate::log::{Appender, ReaderOf};
use crate::model::{Clock, EventOffset};
use crate::queues::{
    self, Action, Budget, Command, Directory, Engine, Partitions, Parts, Permits, Pushed, QueueOptions,
    Queues, Recovered, Stance,
};
use crate::state::{Change, State, StateTask};
use crate::tasks::{Pulse, Stop, Tasks, Thread};

/// One shard.
pub(super) struct Shard {
    engine: Engine,
    delivery: Delivery,
}

/// What all shards are built from.
pub(super) struct Common {
    pub(super) options: QueueOptions,
    pub(super) delivery: delivery::DeliveryOptions,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
    pub(super) events: ReaderOf<EventOffset>,
    pub(super) ledger: Appender,
    pub(super) state: State,
    pub(super) stance: Stance,
    pub(super) actions: mpsc::Sender<Action>,
}

/// A channel of changes for each shard. The state has opened the `first` already, when it read its documents.
pub(super) fn feeds(
    first: &mut mpsc::Receiver<Change>,
    task: &mut StateTask,
    shards: usize,
) -> Vec<mpsc::Receiver<Change>> {
    let (_, nothing) = mpsc::channel(1);
    let first = std::mem::replace(first, nothing);
    std::iter::once(first).chain((1..shards).map(|_| task.follow())).collect()
}

/// All shards, ready to start.
pub(super) struct Shards(Vec<Shard>);

impl Shards {
    /// Builds one shard for each channel of changes. `handle` makes the handle to all shards from their command channels.
    pub(super) fn build(
        common: &Common,
        mut recovered: Recovered,
        feeds: Vec<mpsc::Receiver<Change>>,
        handle: impl FnOnce(Vec<mpsc::Sender<Command>>) -> Queues,
    ) -> Result<(Self, Queues), BuildError> {
        let Common { options, clock, events, state, .. } = common;
        let count = feeds.len();
        let permits = Permits::shared(options.max_in_flight, options.per_host_in_flight, count);
        let (budget, pushed) = (Budget::new(options.keep_bytes), Pushed::default());
        let (asks, asked): (Vec<_>, Vec<_>) = (0..count).map(|_| mpsc::channel(256)).unzip();
        let (handle, hooks) = (handle(asks), state.all_hooks());
        // Room for as many attempts as a reload may allow, so that the engine never waits to start one.
        let places = queues::MOST_IN_FLIGHT + 64;
        let mut shards: Vec<Shard> = Vec::with_capacity(count);
        let ends = permits.into_iter().zip(feeds).zip(asked).zip(handle.waiting_lists());
        for (at, (((permits, changes), commands), unknown)) in ends.enumerate() {
            let partitions = Partitions::share(at, count);
            // Moved out and not copied: each queue has one owner from the first moment on.
            let recovered = recovered.take_out(partitions, |id| state.hook_of_replay(id));
            let ((jobs, to_make), (made, results)) = (mpsc::channel(places), mpsc::channel(places));
            let channels = delivery::Channels { jobs: to_make, results: made };
            let delivery = match shards.first() {
                Some(first) => first.delivery.beside(channels)?,
                None => Delivery::new(
                    common.delivery.clone(),
                    clock.clone(),
                    events.clone(),
                    state.clone(),
                    channels,
                )?,
            };
            let engine = Engine::new(Parts {
                options: options.clone(),
                clock: clock.clone(),
                steady: Clock::steady(),
                seed: rand::random(),
                events: events.clone(),
                ledger: common.ledger.clone(),
                tally: handle.counts(),
                unknown: Arc::clone(unknown),
                partitions,
                recovered,
                pushed: pushed.clone(),
                permits,
                budget: budget.clone(),
                state: Arc::new(state.clone()),
                hooks: hooks.clone(),
                changes,
                commands,
                jobs,
                results,
                actions: common.actions.clone(),
                tasks: common.tasks.clone(),
            });
            shards.push(Shard { engine: engine.with_stance(common.stance), delivery });
        }
        Ok((Self(shards), handle))
    }

    /// How each shard sends its attempts.
    pub(super) fn transports(&self) -> Vec<Transport> {
        self.0.iter().map(|shard| shard.delivery.transport().clone()).collect()
    }

    /// The signs of life of the pools.
    pub(super) fn pulses(&self) -> Vec<Pulse> {
        self.0.iter().map(|shard| shard.delivery.pulse()).collect()
    }

    /// The shortages of this machine that attempts have met.
    pub(super) fn shortages(&self) -> Shortages {
        self.0.first().map(|shard| shard.delivery.shortages()).unwrap_or_default()
    }

    /// Starts every shard in its thread. `failed` is cancelled when a shard ends, so that one that fails ends the program.
    pub(super) fn start(self, threads: Vec<Thread<Runtime>>, tokens: &Stops, failed: &Stop) -> Running {
        let shards = self.0.into_iter().zip(threads);
        Running(shards.map(|(shard, thread)| shard.start(thread, tokens, failed)).collect())
    }
}

impl Shard {
    fn start(self, thread: Thread<Runtime>, tokens: &Stops, failed: &Stop) -> super::Task {
        let Self { engine, delivery } = self;
        let (stop, abandon, failed) = (tokens.engine.clone(), tokens.abandon.child_token(), failed.clone());
        // The guard cancels when it is dropped, so also when the thread panics.
        let failing = failed.drop_guard();
        thread.run(move |runtime| {
            let _failing = failing;
            let ended = runtime.block_on(async {
                let queues = async {
                    let ended = Box::pin(engine.run(stop)).await;
                    // Nobody takes results any more.
                    abandon.cancel();
                    ended
                };
                tokio::join!(queues, delivery.run(abandon.clone())).0
            });
            // Reads of the log that are under way do not keep the program from ending.
            runtime.shutdown_background();
            Ok(ended?)
        })
    }
}

/// Shards that have been started.
pub(super) struct Running(Vec<oneshot::Receiver<anyhow::Result<()>>>);

impl Running {
    /// Waits until all shards have ended. Returns the error of one that failed.
    pub(super) async fn ended(self) -> anyhow::Result<()> {
        for ended in join_all(self.0).await {
            ended.unwrap_or_else(|_| Err(anyhow::anyhow!("queues: a shard ended because of a defect")))?;
        }
        Ok(())
    }
}
