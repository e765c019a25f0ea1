//! The task that owns every queue: it routes what the log has, hands out attempts, and decides what follows
//! from their results.
//!
//! Invariants: an attempt is handed out only by this task; a queue's place moves only here; whatever this task
//! forgets in a crash is in the events log, the ledger or the journal. Its memory is bounded by the hooks'
//! windows and by `Options`.

mod accounts;
mod adopt;
mod answers;
mod checkpoint;
pub(in crate::queues) mod command;
mod defect;
pub(in crate::queues) mod directory;
mod dispatch;
mod hooks;
pub(in crate::queues) mod keeper;
mod leaving;
mod log_read;
mod moving;
pub(in crate::queues) mod options;
mod owned;
pub(in crate::queues) mod permits;
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
mod timers;
mod touch;
pub(in crate::queues) mod unknown;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::log::{Appender, Reader};
use crate::model::{Attempt, Clock, Hook, Job};
use crate::queues::ledger::record::QueueImage;
use crate::queues::ledger::recover::Recovered;
use crate::queues::ledger::tally::Tally;
use crate::queues::ledger::writer::{Ledger, LedgerError, Pushed};
use crate::queues::queue::entry::Limits;
use crate::queues::queue::kept::Budget;
use crate::queues::rules::partitions::{Partition, Partitions};
use crate::queues::rules::router::Router;
use crate::state::Change;
use crate::tasks::{Stop, Tasks};
use command::Command;
use defect::defect;
use directory::Directory;
use keeper::Action;
use leaving::Leaving;
use log_read::ReadDone;
use options::Options;
use owned::Owned;
use permits::Permits;
use reads::Reads;
use shadow::Stance;
use slots::{SlotId, Slots};
use timers::Timers;
use unknown::Unknown;

/// Most events that one turn of the loop takes.
const TURN: usize = 512;
/// Most messages with results that one turn takes.
const MESSAGES: usize = 64;

/// Why the queues ended before they were told to.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The ledger takes no more records.
    #[error("ledger: {0}")]
    Ledger(#[from] LedgerError),
    /// The events log cannot be read.
    #[error("events log: {0}")]
    Events(#[from] crate::log::ReadError),
}

/// What the engine is made of; `App` puts it together.
pub struct Parts {
    /// Limits and policies.
    pub options: Options,
    /// The time.
    pub clock: Clock,
    /// The time that passes, from any moment on; it never goes back.
    pub steady: Clock,
    /// Where the spread of retries comes from.
    pub seed: u64,
    /// The events.
    pub events: Reader,
    /// The ledger, to write.
    pub ledger: Appender,
    /// Where attempts and deliveries are counted.
    pub tally: Arc<Tally>,
    /// Where events wait whose account is not known yet.
    pub unknown: Arc<Unknown>,
    /// The partitions that it owns at first.
    pub partitions: Partitions,
    /// What the ledger says of them, of the time before this start.
    pub recovered: Recovered,
    /// How much all shards have written into the ledger.
    pub pushed: Pushed,
    /// Its end of the permits that all shards share.
    pub permits: Permits,
    /// Memory for records, which all shards share.
    pub budget: Budget,
    /// Accounts.
    pub state: Arc<dyn Directory>,
    /// The hooks as of the moment from which `changes` follow; of other partitions too.
    pub hooks: Vec<Arc<Hook>>,
    /// Every later change.
    pub changes: mpsc::Receiver<Change>,
    /// What is asked of the queues.
    pub commands: mpsc::Receiver<Command>,
    /// Attempts to make.
    pub jobs: mpsc::Sender<Job>,
    /// Attempts made.
    pub results: mpsc::Receiver<Vec<Attempt>>,
    /// Hooks to disable and to enable.
    pub actions: mpsc::Sender<Action>,
    /// Where blocking reads run.
    pub tasks: Tasks,
}

/// The queues.
pub struct Engine {
    options: Options,
    clock: Clock,
    steady: Clock,
    random: SmallRng,
    events: Reader,
    ledger: Ledger,
    tally: Arc<Tally>,
    state: Arc<dyn Directory>,
    unknown: Arc<Unknown>,
    /// Whether accounts with waiting events are to be looked up once more.
    adopt_due: bool,
    changes: mpsc::Receiver<Change>,
    commands: mpsc::Receiver<Command>,
    jobs: mpsc::Sender<Job>,
    results: mpsc::Receiver<Vec<Attempt>>,
    actions: mpsc::Sender<Action>,
    pending_actions: VecDeque<Action>,
    tasks: Tasks,
    /// The partitions that it owns, and those of them that it gives up.
    owned: Owned,
    leaving: Vec<Leaving>,
    recovered: Recovered,
    /// Replays that have ended while their documents say that they run: after a restart they would begin once more.
    ended_replays: Vec<QueueImage>,
    slots: Slots,
    router: Router<SlotId>,
    /// Everything below has been routed, to partitions that begin later (`Owned`) as well.
    routed: u64,
    /// What holds beside a KAZOO.
    stance: Stance,
    budget: Budget,
    permits: Permits,
    timers: Timers,
    reads: Reads,
    next_tick_us: u64,
    reads_tx: mpsc::Sender<ReadDone>,
    reads_rx: mpsc::Receiver<ReadDone>,
    /// What `steady` lacks to microseconds since 1970, as of the start.
    started_us: u64,
}

impl Engine {
    /// Puts every hook's queue back where the ledger left it. Reads nothing of the events log yet.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let (reads_tx, reads_rx) = mpsc::channel(64);
        let started_us = parts.clock.now_us().saturating_sub(parts.steady.now_us());
        let recovered = parts.recovered;
        let first = parts.events.first();
        let owned =
            Owned::new(parts.partitions, |partition| recovered.routed(partition).unwrap_or(first).max(first));
        let routed = owned.earliest().unwrap_or(first);
        let mut engine = Self {
            budget: parts.budget,
            permits: parts.permits,
            options: parts.options,
            clock: parts.clock,
            steady: parts.steady,
            random: SmallRng::seed_from_u64(parts.seed),
            events: parts.events,
            ledger: Ledger::new(parts.ledger, Arc::clone(&parts.tally), parts.pushed),
            state: parts.state,
            unknown: parts.unknown,
            adopt_due: true,
            changes: parts.changes,
            commands: parts.commands,
            jobs: parts.jobs,
            results: parts.results,
            actions: parts.actions,
            pending_actions: VecDeque::new(),
            tasks: parts.tasks,
            owned,
            leaving: Vec::new(),
            recovered,
            ended_replays: Vec::new(),
            slots: Slots::new(Arc::clone(&parts.tally)),
            tally: parts.tally,
            router: Router::new(),
            routed,
            stance: Stance::default(),
            timers: Timers::default(),
            reads: Reads::default(),
            next_tick_us: 0,
            reads_tx,
            reads_rx,
            started_us,
        };
        let (limits, times) = (engine.options.unknown, engine.times());
        for event in std::mem::take(&mut engine.recovered.held).into_values() {
            engine.unknown.hold(event, limits, times);
        }
        for hook in parts.hooks.iter().filter(|hook| parts.partitions.contains(Partition::of(hook.id))) {
            engine.add_hook(hook);
        }
        engine.restore_one_shots(engine.recovered.one_shots());
        engine.ledger.checkpoint_every(engine.options.checkpoint_records);
        engine
    }

    /// Microseconds since 1970, never going back: due times do not follow a clock that is set.
    fn now_us(&self) -> u64 {
        self.started_us + self.steady.now_us()
    }

    fn limits(&self) -> Limits {
        Limits { window: self.options.window, lane: self.options.lane }
    }

    /// Works until told to stop, then waits for what is under way (at most `options.grace`), writes a
    /// checkpoint and syncs the ledger.
    pub async fn run(mut self, stop: Stop) -> Result<(), RunError> {
        let mut end = self.events.subscribe();
        let mut results = Vec::with_capacity(MESSAGES);
        loop {
            let mut more = self.turn()?;
            self.start_reads();
            more |= self.flush(false).await?;
            let due = self.until_next_timer();
            tokio::select! {
                () = stop.cancelled() => break,
                got = self.results.recv_many(&mut results, MESSAGES) => if got == 0 { break },
                Some(done) = self.reads_rx.recv() => self.read_done(done),
                Some(change) = self.changes.recv() => self.change(change),
                Some(command) = self.commands.recv() => self.command(command),
                () = self.permits.offered() => {}
                changed = end.changed(), if !more => if changed.is_err() { break },
                () = tokio::time::sleep(due) => {}
                () = std::future::ready(()), if more => {}
            }
            self.finish_all(&mut results);
            self.wake();
        }
        self.drain(results).await
    }

    /// Does what can be done now: routes events, starts attempts, hands out decisions. True when there is more to route.
    fn turn(&mut self) -> Result<bool, RunError> {
        let more = self.route_some(TURN)?;
        self.pump();
        self.act();
        Ok(more)
    }

    fn finish_all(&mut self, results: &mut Vec<Vec<Attempt>>) {
        let now = if results.is_empty() { 0 } else { self.now_us() };
        for attempt in results.drain(..).flatten() {
            self.finish(attempt, now);
        }
    }

    /// How long the loop may sleep when nothing comes in.
    fn until_next_timer(&self) -> Duration {
        // The ledger's answer wakes nobody.
        let idle = if self.leaving.is_empty() { Duration::from_secs(1) } else { Duration::from_millis(5) };
        let due = self.timers.next_us().map(|due| due.saturating_sub(self.now_us()));
        let due = due.map_or(idle, |us| Duration::from_micros(us).min(idle));
        self.ledger.due(self.now_us()).map_or(due, |flush| due.min(flush))
    }

    /// Takes note of the time: what has come due by now is ready.
    fn wake(&mut self) {
        let now = self.now_us();
        while let Some(id) = self.timers.pop(now) {
            self.touch(id, |engine, slot| engine.slot_due(id, slot, now));
        }
        if now >= self.next_tick_us {
            self.next_tick_us = now + 1_000_000;
            self.unknown.expire(self.options.unknown, self.times());
            self.adopt_due = !self.unknown.is_empty();
            for id in self.reads.take_failed() {
                // What follows from any change asks for the read once more.
                self.touch_if_there(id, |_, _| {});
            }
        }
    }

    /// Reports that something is not as it must be.
    fn defect(&self, what: &str, found: impl std::fmt::Debug) {
        defect(&self.tally, what, found);
    }

    /// Hands pending changes of hooks to the keeper, as far as its channel has room.
    fn act(&mut self) {
        while let Some(action) = self.pending_actions.pop_front() {
            if let Err(full) = self.actions.try_send(action) {
                if let mpsc::error::TrySendError::Full(action) = full {
                    self.pending_actions.push_front(action);
                }
                break;
            }
        }
    }

    /// Hands the ledger's records to the log; with `last` a checkpoint too, and all of it is on disk when this returns.
    /// True when the ledger had no room and has some again: attempts may be started.
    async fn flush(&mut self, last: bool) -> Result<bool, LedgerError> {
        if last || self.ledger.checkpoint_due() {
            self.checkpoint(self.owned.set());
        }
        self.leave();
        let (now, was_stalled) = (self.now_us(), self.ledger.stalled());
        self.ledger.flush(now, last).await?;
        Ok(was_stalled && !self.ledger.stalled())
    }

    async fn drain(mut self, mut results: Vec<Vec<Attempt>>) -> Result<(), RunError> {
        let deadline = Instant::now() + self.options.grace;
        self.finish_all(&mut results);
        while self.permits.in_flight() > 0 {
            let got = tokio::time::timeout_at(deadline, self.results.recv_many(&mut results, MESSAGES)).await;
            if matches!(got, Err(_) | Ok(0)) {
                break;
            }
            self.finish_all(&mut results);
            self.flush(false).await?;
        }
        if self.permits.in_flight() > 0 {
            tracing::warn!(
                in_flight = self.permits.in_flight(),
                "attempts abandoned at shutdown; they will be repeated"
            );
        }
        self.act();
        self.flush(true).await?;
        Ok(())
    }
}
