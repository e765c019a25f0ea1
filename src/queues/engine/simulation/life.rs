//! One life of the process: both logs and the engines of all shards, until the process dies. Nothing runs by itself. The
//! world decides when a log's writer works, when a read is made, and when an engine takes its turn.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::sync::{mpsc, oneshot};

use super::super::log_read::ReadRun;
use super::super::slot::Slot;
use super::cut_disk::CutDisk;
use super::recorded::Unsynced;
use super::tenants::Tenants;
use crate::log::{self, Appender, NewRecord, OpenedLog, ReaderOf, Synced, Writer};
use crate::model::{Attempt, Clock, EventOffset, Hook, HookId, Job, LedgerOffset, Moment, QueueKey};
use crate::queues::{
    Action, Budget, Command, Directory, Engine, Partition, Partitions, Parts, Permits, Pushed, QueueOptions,
    recover,
};
use crate::state::Change;
use crate::tasks::Tasks;

/// The process has died, for this reason.
#[derive(Debug)]
pub(super) struct Died(pub(super) String);

impl Died {
    fn of(error: &impl std::fmt::Display) -> Self {
        Self(error.to_string())
    }
}

/// One log with its writer.
#[derive(Debug)]
pub(super) struct SimLog<O> {
    pub(super) appender: Appender,
    pub(super) reader: ReaderOf<O>,
    writer: Writer,
}

impl<O> SimLog<O> {
    fn open(disk: &CutDisk, dir: &str, options: log::LogOptions, clock: &Clock) -> Result<Self, Died> {
        let opened = log::open(Arc::new(disk.clone()), Path::new(dir), options, clock.clone());
        let OpenedLog { writer, appender, reader, .. } = opened.map_err(|error| Died::of(&error))?;
        Ok(Self { appender, reader: ReaderOf::new(reader), writer })
    }

    /// Lets the writer do all waiting work. Returns false if there was none.
    pub(super) fn write(&mut self) -> Result<bool, Died> {
        self.writer.serve_waiting().map_err(|error| Died::of(&error))
    }

    /// Hands records to the writer.
    pub(super) fn submit(&mut self, records: Vec<NewRecord>) -> Result<Synced, Died> {
        poll(self.appender.submit(records))
            .ok_or(Died("the writer's queue is full".into()))?
            .map_err(|e| Died::of(&e))
    }

    /// Gives an order to the writer, and lets the writer work until the order is answered.
    pub(super) fn carry_out<T, E: std::fmt::Display>(
        &mut self,
        order: impl AsyncFnOnce(Appender) -> Result<T, E>,
    ) -> Result<T, Died> {
        let mut future = pin!(order(self.appender.clone()));
        loop {
            if let Poll::Ready(done) = future.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return done.map_err(|error| Died::of(&error));
            }
            if !self.writer.serve_waiting().map_err(|error| Died::of(&error))? {
                return Err(Died("an order to the log is never answered".into()));
            }
        }
    }
}

/// Everything with which each life of a simulation is opened.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) disk: CutDisk,
    /// The machine's clock, which can be set.
    pub(super) clock: Clock,
    pub(super) steady: Clock,
    pub(super) options: QueueOptions,
    pub(super) events: log::LogOptions,
    pub(super) ledger: log::LogOptions,
    pub(super) tenants: Tenants,
    pub(super) seed: u64,
    /// The number of engines in the next life.
    pub(super) shards: usize,
}

/// One engine with the ends of its channels.
pub(super) struct Shard {
    pub(super) engine: Engine,
    pub(super) changes: mpsc::Sender<Change>,
    pub(super) jobs: mpsc::Receiver<Job>,
    /// Kept so that these channels stay open.
    _ends: (mpsc::Sender<Command>, mpsc::Sender<Vec<Attempt>>),
}

/// One life.
pub(super) struct Life {
    pub(super) shards: Vec<Shard>,
    pub(super) events: SimLog<EventOffset>,
    pub(super) ledger: SimLog<LedgerOffset>,
    pub(super) actions: mpsc::Receiver<Action>,
}

impl Life {
    /// Opens both logs, recovers the queues, and creates the engines, as the program does.
    pub(super) fn open(setup: &Setup, hooks: &[Arc<Hook>]) -> Result<Self, Died> {
        let Setup { disk, clock, steady, options, tenants, .. } = setup;
        let ledger = SimLog::open(disk, "/ledger", setup.ledger.clone(), clock)?;
        let is_replay = |id| tenants.hook_of_replay(id).is_some();
        let mut recovered = recover(&ledger.reader, is_replay).map_err(|error| Died::of(&error))?;
        let at_least = log::LogOptions { at_least: recovered.known_end().0, ..setup.events.clone() };
        let events = SimLog::open(disk, "/events", at_least, clock)?;
        let (actions_to, actions) = mpsc::channel(4);
        let pushed = Pushed::default();
        let budget = Budget::new(options.keep_bytes);
        let permits = Permits::shared(options.max_in_flight, options.per_host_in_flight, setup.shards);
        let shards = permits.into_iter().enumerate().map(|(at, permits)| {
            let ((changes, feed), (jobs_to, jobs)) = (mpsc::channel(64), mpsc::channel(1024));
            let ((commands, asked), (results, made)) = (mpsc::channel(1), mpsc::channel(1));
            let engine = Engine::new(Parts {
                options: options.clone(),
                clock: clock.clone(),
                steady: steady.clone(),
                seed: setup.seed,
                events: events.reader.clone(),
                ledger: ledger.appender.clone(),
                tally: Arc::default(),
                unknown: Arc::default(),
                partitions: Partitions::share(at, setup.shards),
                recovered: recovered
                    .take_out(Partitions::share(at, setup.shards), |id| tenants.hook_of_replay(id)),
                pushed: pushed.clone(),
                permits,
                budget: budget.clone(),
                state: Arc::new(tenants.clone()),
                hooks: hooks.to_vec(),
                changes: feed,
                commands: asked,
                jobs: jobs_to,
                results: made,
                actions: actions_to.clone(),
                tasks: Tasks::new(),
            });
            Shard { engine, changes, jobs, _ends: (commands, results) }
        });
        let shards = shards.collect();
        Ok(Self { shards, events, ledger, actions })
    }

    /// All engines.
    pub(super) fn engines(&self) -> impl Iterator<Item = &Engine> {
        self.shards.iter().map(|shard| &shard.engine)
    }

    /// The moment by which the engines of this life work.
    pub(super) fn now(&self) -> Moment {
        self.engines().next().map(|engine| engine.desk.time.now()).unwrap_or_default()
    }

    /// The shard with this queue.
    pub(super) fn shard_with(&self, queue: QueueKey) -> Option<usize> {
        self.engines().position(|engine| engine.slots.owner(queue).is_some())
    }

    /// The engine with this queue, and the queue's slot.
    pub(super) fn slot_with(&self, queue: QueueKey) -> Option<(&Engine, &Slot)> {
        self.engines().find_map(|engine| Some((engine, engine.slots.of(queue)?)))
    }

    /// The shard that owns a hook; `None` while its partition moves.
    pub(super) fn shard_of(&self, hook: HookId) -> Option<usize> {
        self.engines().position(|engine| engine.desk.owned.contains(Partition::of(hook)))
    }

    /// The ledger records that are not known to be on disk yet.
    pub(super) fn unsynced(&self) -> Unsynced {
        Unsynced::of(self.engines().flat_map(|engine| engine.desk.ledger.unsynced()))
    }

    /// Runs the loop of an engine until it would wait. Adds the reads that it asks for to `reads`.
    pub(super) fn turn(&mut self, shard: usize, reads: &mut Vec<(usize, ReadRun)>) -> Result<(), Died> {
        loop {
            let engine = &mut self.shards[shard].engine;
            let mut more = engine.turn().map_err(|error| Died::of(&error))?;
            while let Some(more) = engine.next_reads() {
                reads.push((shard, more));
            }
            more |= self.flush(shard, false)?;
            if !more {
                return Ok(());
            }
        }
    }

    /// Flushes the ledger records of a shard. The writer works only while the engine waits for it.
    pub(super) fn flush(&mut self, shard: usize, last: bool) -> Result<bool, Died> {
        let Self { shards, ledger, .. } = self;
        let mut flush = pin!(shards[shard].engine.flush(last));
        loop {
            if let Poll::Ready(done) = flush.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return done.map_err(|error| Died::of(&error));
            }
            if !ledger.write()? {
                return Err(Died("the engine waits for a ledger that has nothing to write".into()));
            }
        }
    }

    /// Sends a command to an engine and returns the answer.
    pub(super) fn ask<T>(
        &mut self,
        shard: usize,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Option<T> {
        let (answer, mut answered) = oneshot::channel();
        self.shards[shard].engine.command(command(answer));
        answered.try_recv().ok()
    }
}

/// The result of a future that is ready at once.
fn poll<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(done) => Some(done),
        Poll::Pending => None,
    }
}
