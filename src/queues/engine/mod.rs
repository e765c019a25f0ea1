//! The engine: the task that owns all queues of its partitions. It routes the events log, hands out attempts, and decides what
//! follows from their results.
//!
//! The engine is made of parts, each with its own state: `slots` (hooks at work, in `slot` and `line`), and on the `desk`
//! what a change of a slot may use (`time`, `owned`, `unclaimed`, `permits`, `timers`, `reads`, `decisions`, the ledger). The
//! other files are steps: `route` and `adopt` offer events to slots, `dispatch` starts attempts, `results` takes their results,
//! `due` what time brings, `refill` reads the log for slots that are behind, `hooks` and `reload` follow documents and
//! configuration, `replaying` and `answers` do what the API asks, `checkpoint` and `moving` write down and hand over queues.
//! A part knows no step and not the engine.
//!
//! Invariants: only this task hands out attempts of its queues and moves their positions. Whatever it forgets in a crash is in
//! the events log, the ledger or the journal. Its memory is bounded by the hooks' windows and by `QueueOptions`.

mod adopt;
mod answers;
mod checkpoint;
pub(in crate::queues) mod command;
mod decisions;
mod defect;
mod desk;
pub(in crate::queues) mod directory;
mod dispatch;
mod due;
mod hooks;
pub(in crate::queues) mod keeper;
mod leaving;
mod line;
mod log_read;
mod moving;
pub(in crate::queues) mod options;
mod owned;
pub(in crate::queues) mod permits;
mod probe;
mod read_threads;
mod reads;
mod refill;
mod reload;
mod replaying;
mod results;
mod route;
pub(in crate::queues) mod shadow;
#[cfg(test)]
mod simulation;
mod slot;
mod slots;
pub(in crate::queues) mod survey;
mod time;
mod timers;
mod unclaimed;
pub(in crate::queues) mod unknown;

use std::sync::Arc;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::log::{Appender, ReaderOf};
use crate::model::{Attempt, Clock, EventOffset, Hook, Job, Moment};
use crate::queues::ledger::recover::Recovered;
use crate::queues::ledger::tally::Tally;
use crate::queues::ledger::writer::{Ledger, LedgerError, Pushed};
use crate::queues::queue::kept::Budget;
use crate::queues::rules::partitions::{Partition, Partitions};
use crate::queues::rules::router::Router;
use crate::state::Change;
use crate::tasks::{Stop, Tasks};
use command::Command;
use decisions::Decisions;
use desk::Desk;
use directory::Directory;
use keeper::Action;
use leaving::Leaving;
use options::QueueOptions;
use owned::Owned;
use permits::Permits;
use read_threads::ReadThreads;
use reads::Reads;
use shadow::Stance;
use slots::{SlotId, Slots};
use time::Time;
use timers::Timers;
use unclaimed::Unclaimed;
use unknown::Unknown;

/// Most events that one turn of the loop takes.
const TURN: usize = 512;
/// Most messages with results that one turn of the loop takes.
const MESSAGES: usize = 64;

/// Why an engine ended without being stopped.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The ledger accepts no more records.
    #[error("ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// The events log cannot be read.
    #[error("events log: {0}")]
    Events(#[from] crate::log::ReadError),
}

/// What an engine is built from; `App` puts it together.
pub struct Parts {
    /// Limits and policies.
    pub options: QueueOptions,
    /// The time of day.
    pub clock: Clock,
    /// A clock that never goes back, from any starting point.
    pub steady: Clock,
    /// The seed of the random numbers that spread retries.
    pub seed: u64,
    /// The events.
    pub events: ReaderOf<EventOffset>,
    /// The writing end of the ledger.
    pub ledger: Appender,
    /// Where attempts and deliveries are counted.
    pub tally: Arc<Tally>,
    /// Where events wait for their accounts to become known.
    pub unknown: Arc<Unknown>,
    /// The partitions that the engine owns at first.
    pub partitions: Partitions,
    /// What the ledger says of them, from before this start.
    pub recovered: Recovered,
    /// How many records all shards have written to the ledger.
    pub pushed: Pushed,
    /// The engine's end of the permits that all shards share.
    pub permits: Permits,
    /// Memory for records, which all shards share.
    pub budget: Budget,
    /// Accounts and documents.
    pub state: Arc<dyn Directory>,
    /// All hooks, of other partitions too, as they were when `changes` began.
    pub hooks: Vec<Arc<Hook>>,
    /// Every later change.
    pub changes: mpsc::Receiver<Change>,
    /// Questions and orders to the engine.
    pub commands: mpsc::Receiver<Command>,
    /// Where attempts to make are sent.
    pub jobs: mpsc::Sender<Job>,
    /// Results of attempts.
    pub results: mpsc::Receiver<Vec<Attempt>>,
    /// Decisions for the keeper.
    pub actions: mpsc::Sender<Action>,
    /// Starts the threads that read the log.
    pub tasks: Tasks,
}

/// One shard's queues at work.
pub struct Engine {
    changes: mpsc::Receiver<Change>,
    commands: mpsc::Receiver<Command>,
    results: mpsc::Receiver<Vec<Attempt>>,
    read_threads: ReadThreads,
    slots: Slots,
    desk: Desk,
    /// Finds the slots that may want an event.
    router: Router<SlotId>,
    /// What holds beside a KAZOO.
    stance: Stance,
    /// Events that wait for their accounts, and whether these accounts are to be looked up again.
    unknown: Arc<Unknown>,
    adopt_due: bool,
    /// Partitions that are being given up.
    leaving: Leaving,
    next_tick: Moment,
}

impl Engine {
    /// Puts every hook's queue back where the ledger left it. Reads nothing of the events log yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { changes, commands, results, unknown, hooks, partitions, .. } = parts;
        let (recovered, first) = (parts.recovered, parts.events.first());
        let begin = |partition| recovered.routed(partition).unwrap_or(first).max(first);
        let owned = Owned::new(partitions, first, begin);
        let mut ledger = Ledger::new(parts.ledger, Arc::clone(&parts.tally), parts.pushed);
        ledger.checkpoint_every(parts.options.checkpoint_records);
        let desk = Desk {
            options: parts.options,
            time: Time::new(parts.clock, parts.steady),
            random: SmallRng::seed_from_u64(parts.seed),
            directory: parts.state,
            events: parts.events,
            ledger,
            decisions: Decisions::new(parts.actions),
            owned,
            unclaimed: Unclaimed::new(recovered),
            permits: parts.permits,
            jobs: parts.jobs,
            timers: Timers::default(),
            reads: Reads::default(),
            budget: parts.budget,
            tally: Arc::clone(&parts.tally),
        };
        let mut engine = Self {
            changes,
            commands,
            results,
            read_threads: ReadThreads::new(parts.tasks),
            slots: Slots::new(parts.tally),
            desk,
            router: Router::new(),
            stance: Stance::default(),
            unknown,
            adopt_due: true,
            leaving: Leaving::default(),
            next_tick: Moment::default(),
        };
        engine.restore(&hooks);
        engine
    }

    /// Restores what the ledger knows: the events that waited for their accounts, and the queues of these hooks, as far as
    /// their partitions are the engine's.
    fn restore(&mut self, hooks: &[Arc<Hook>]) {
        let now = self.desk.time.both();
        for event in self.desk.unclaimed.take_held() {
            self.unknown.hold(event, self.desk.options.unknown, now);
        }
        let owned = self.desk.owned.set();
        for hook in hooks.iter().filter(|hook| owned.contains(Partition::of(hook.id))) {
            self.add_hook(hook);
        }
        self.restore_one_shots(self.desk.unclaimed.one_shots());
    }

    /// Works until it is stopped. Then it waits for what is under way (at most `options.grace`), writes a checkpoint and syncs
    /// the ledger.
    pub async fn run(mut self, stop: Stop) -> Result<(), RunError> {
        let mut end = self.desk.events.subscribe();
        let mut results = Vec::with_capacity(MESSAGES);
        loop {
            let mut more = self.turn()?;
            self.start_reads();
            more |= self.flush(false).await?;
            let due = self.until_next_timer();
            // All receiving here loses nothing when another branch wins. After each branch the loop takes its turn, so a branch
            // only has to bring one thing in.
            tokio::select! {
                () = stop.cancelled() => break,
                received = self.results.recv_many(&mut results, MESSAGES) => if received == 0 { break },
                Some(done) = self.read_threads.done() => self.read_done(done),
                Some(change) = self.changes.recv() => self.change(change),
                Some(command) = self.commands.recv() => self.command(command),
                () = self.desk.permits.offered() => {}
                changed = end.changed(), if !more => if changed.is_err() { break },
                () = tokio::time::sleep(due) => {}
                () = std::future::ready(()), if more => {}
            }
            self.finish_all(&mut results);
            self.wake();
        }
        self.drain(results).await
    }

    /// Does what can be done now: routes events, starts attempts, passes decisions on. Returns whether there is more to route.
    fn turn(&mut self) -> Result<bool, RunError> {
        let more = self.route_some(TURN)?;
        self.start_attempts();
        self.desk.decisions.pass_on();
        Ok(more)
    }

    fn finish_all(&mut self, results: &mut Vec<Vec<Attempt>>) {
        // The clock is read once for all results, and not at all without any.
        if results.is_empty() {
            return;
        }
        let now = self.desk.time.now();
        for attempt in results.drain(..).flatten() {
            self.finish(attempt, now);
        }
    }

    /// Hands the ledger's records to the log. With `last`, it writes a checkpoint too, and everything is on disk when this
    /// returns. True when the ledger had no room and has some again, so that attempts may start.
    async fn flush(&mut self, last: bool) -> Result<bool, LedgerError> {
        if last || self.desk.ledger.checkpoint_due() {
            checkpoint::write(self.desk.owned.set(), &self.slots, &self.unknown, &mut self.desk);
        }
        self.leave();
        let (now, was_stalled) = (self.desk.time.now(), self.desk.ledger.stalled());
        self.desk.ledger.flush(now, last).await?;
        Ok(was_stalled && !self.desk.ledger.stalled())
    }

    async fn drain(mut self, mut results: Vec<Vec<Attempt>>) -> Result<(), RunError> {
        let deadline = Instant::now() + self.desk.options.grace;
        self.finish_all(&mut results);
        while self.desk.permits.in_flight() > 0 {
            let received =
                tokio::time::timeout_at(deadline, self.results.recv_many(&mut results, MESSAGES)).await;
            if matches!(received, Err(_) | Ok(0)) {
                break;
            }
            // Nothing is started here: only `turn` starts attempts.
            self.finish_all(&mut results);
            self.flush(false).await?;
        }
        if self.desk.permits.in_flight() > 0 {
            tracing::warn!(
                in_flight = self.desk.permits.in_flight(),
                "attempts abandoned at shutdown; they will be repeated"
            );
        }
        self.desk.decisions.pass_on();
        self.flush(true).await?;
        Ok(())
    }
}
