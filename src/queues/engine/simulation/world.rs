//! The simulated world around the engines. Everything that happens follows from one seed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use super::super::log_read::{ReadDone, ReadRun};
use super::life::{Died, Life, Setup};
use super::moving::Moving;
use super::oracle::{FIRST_NEW_ID, Logging, Oracle};
use super::random::Random;
use super::receivers::Receivers;
use super::recorded::Unsynced;
use super::setup::{setup, tree};
use super::tenants::Tenants;
use super::time::{START, Time};
use super::{Summary, hold};
use crate::log::Synced;
use crate::model::{
    AccountId, Attempt, AttemptResult, EventOffset, Hook, HookId, Job, JobKey, Moment, Ordering, QueueId,
    ReplayId,
};
use crate::queues::{Action, Directory, Engine, ReplayJob};

/// The turns of the engines within one moment after which they must have come to rest.
const MOST_TURNS: usize = 20;

/// An attempt under way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) key: JobKey,
    pub(super) result: AttemptResult,
    pub(super) began: Moment,
    pub(super) done: Moment,
    /// Whether it probes a disabled hook.
    pub(super) probe: bool,
}

/// Events handed to the log: each record with the hooks that wanted it then, and the number of their versions.
pub(super) type Offered = (Synced, Vec<(bytes::Bytes, Vec<(QueueId, usize)>)>);

/// The world.
pub(super) struct World {
    pub(super) random: Random,
    pub(super) time: Time,
    pub(super) setup: Setup,
    pub(super) tenants: Tenants,
    pub(super) hooks: BTreeMap<HookId, Arc<Hook>>,
    pub(super) replays: BTreeMap<ReplayId, Arc<ReplayJob>>,
    pub(super) receivers: Receivers,
    pub(super) oracle: Oracle,
    pub(super) life: Life,
    pub(super) flights: Vec<Flight>,
    pub(super) reads: Vec<(Moment, usize, ReadRun)>,
    pub(super) brought: VecDeque<(usize, ReadDone)>,
    pub(super) moves: Vec<Moving>,
    pub(super) offered: Vec<Offered>,
    /// The replays to continue after a start.
    pub(super) to_resume: Vec<ReplayId>,
    /// The deliveries to which receivers have answered 200.
    pub(super) received: BTreeSet<(QueueId, EventOffset)>,
    /// By queue, the ordering of its deliveries, and the offset from which on the order can be checked.
    pub(super) order: BTreeMap<QueueId, (Ordering, EventOffset)>,
    /// By hook, its last cursor in this life.
    pub(super) cursors: BTreeMap<HookId, EventOffset>,
    /// By hook, the offset below which everything has been found settled in this life. The next check continues from there.
    pub(super) settled_below: BTreeMap<HookId, EventOffset>,
    /// Accounts that have events and no document yet.
    pub(super) unknown: Vec<AccountId>,
    /// Deleted hooks whose ids may be used again.
    pub(super) deleted: Vec<HookId>,
    pub(super) ids: u128,
    pub(super) trace: Option<Vec<String>>,
    pub(super) summary: Summary,
}

impl World {
    pub(super) fn new(seed: u64, trace: bool) -> Self {
        let mut random = Random::new(seed);
        let (time, tenants) = (Time::default(), Tenants::default());
        tree(&tenants);
        let setup = setup(seed, &mut random, &time, &tenants);
        let life = Life::open(&setup, &[]).unwrap();
        let receivers = Receivers::new(&mut random);
        let mut world = Self {
            random,
            time,
            setup,
            tenants,
            hooks: BTreeMap::new(),
            replays: BTreeMap::new(),
            receivers,
            oracle: Oracle::default(),
            life,
            flights: Vec::new(),
            reads: Vec::new(),
            brought: VecDeque::new(),
            moves: Vec::new(),
            offered: Vec::new(),
            to_resume: Vec::new(),
            received: BTreeSet::new(),
            order: BTreeMap::new(),
            cursors: BTreeMap::new(),
            settled_below: BTreeMap::new(),
            unknown: Vec::new(),
            deleted: Vec::new(),
            ids: FIRST_NEW_ID,
            trace: trace.then(Vec::new),
            summary: Summary::default(),
        };
        for _ in 0..3 {
            world.new_hook();
        }
        world
    }

    pub(super) fn say(&mut self, what: impl FnOnce(&Self) -> String) {
        if self.trace.is_some() {
            let line = format!("{:>11} {}", self.time.now().since(START).as_micros(), what(self));
            if let Some(trace) = &mut self.trace {
                trace.push(line);
            }
        }
    }

    /// Lets time pass until something happens, and gives the engines a turn.
    pub(super) fn pass(&mut self) -> Result<(), Died> {
        self.wait();
        self.write()?;
        self.come_in();
        self.go_on_moving()?;
        let mut reads = Vec::new();
        let turned = self.turn(&mut reads);
        let now = self.time.now();
        for (shard, reads) in reads {
            let after = if self.random.percent(60) { 0 } else { self.random.between(0, 30) };
            self.reads.push((now + Duration::from_millis(after), shard, reads));
        }
        turned?;
        self.oracle.follow(&self.life.ledger.reader);
        self.take_jobs();
        Ok(())
    }

    /// Lets the engines work until each of them would wait.
    pub(super) fn turn(&mut self, reads: &mut Vec<(usize, ReadRun)>) -> Result<(), Died> {
        let count = self.life.shards.len();
        let first = if count > 1 { self.random.count(0, count as u64 - 1) } else { 0 };
        for _ in 0..MOST_TURNS {
            for shard in (0..count).map(|at| (first + at) % count) {
                self.life.shards[shard].engine.wake();
                self.life.turn(shard, reads)?;
            }
            let rests =
                |engine: &Engine| !engine.until_next_timer().is_zero() && !engine.desk.permits.has_offers();
            if self.life.engines().all(rests) {
                return Ok(());
            }
        }
        hold(false, "the engines come to rest", String::new);
        Ok(())
    }

    /// Lets time pass until something is due, sometimes a little longer.
    fn wait(&mut self) {
        let now = self.time.now();
        let flights = self.flights.iter().map(|flight| flight.done);
        let reads = self.reads.iter().map(|(at, _, _)| *at);
        let timers = self.life.engines().map(|engine| now + engine.until_next_timer());
        let next = flights.chain(reads).chain(timers).min().unwrap_or(now);
        if !self.brought.is_empty() || self.has_changes() {
            return;
        }
        // Sometimes the machine stands still until the next retry is due. Nothing may be lost because of that.
        let timers = self
            .life
            .engines()
            .filter_map(|engine| Some(engine.desk.timers.next()?.since(engine.desk.time.now())));
        let leap = timers.min().filter(|_| self.flights.is_empty() && self.random.percent(30));
        let next = leap.map_or(next, |leap| next.max(now + leap));
        let late = if self.random.percent(20) { self.random.between(0, 3_000) } else { 0 };
        self.time.pass(next.since(now) + Duration::from_micros(late));
    }

    /// Lets the writers of the logs work, sooner or later.
    fn write(&mut self) -> Result<(), Died> {
        if self.random.percent(70) {
            self.life.events.write()?;
        }
        if self.random.percent(70) {
            self.life.ledger.write()?;
        }
        self.hear_of_events();
        Ok(())
    }

    /// Takes the answers of the events log: these events are durable.
    pub(super) fn hear_of_events(&mut self) {
        let mut waiting = Vec::new();
        for (mut synced, events) in std::mem::take(&mut self.offered) {
            match synced.try_recv() {
                Ok(Ok(offsets)) => self.accepted(offsets, events),
                Ok(Err(_)) => {}
                Err(_) => waiting.push((synced, events)),
            }
        }
        self.offered = waiting;
    }

    fn accepted(
        &mut self,
        offsets: std::ops::Range<u64>,
        events: Vec<(bytes::Bytes, Vec<(QueueId, usize)>)>,
    ) {
        for (offset, (record, asked)) in offsets.map(EventOffset).zip(events) {
            self.summary.events += 1;
            let now = Logging { at: self.time.now(), tenants: &self.tenants };
            let account = self.oracle.logged(offset, record, now);
            // The account may have become known after the event was handed in.
            if account.0 >= FIRST_NEW_ID {
                self.wanted_late(offset, None);
            }
            for (queue, versions) in asked {
                let start =
                    self.hooks.get(&queue.as_hook()).map_or(EventOffset::FIRST, |hook| hook.start_offset);
                let tenants = &self.tenants;
                if offset >= start
                    && self.oracle.still_wanted(queue, offset, versions, |id| tenants.account(id))
                {
                    self.oracle.due.entry(queue).or_default().insert(offset);
                }
            }
        }
    }

    /// Gives results, reads and changes to the engines, in a random order.
    fn come_in(&mut self) {
        let now = self.time.now();
        self.keep();
        let mut order = [0, 1, 2];
        order.rotate_left(self.random.count(0, 2));
        for what in order {
            match what {
                0 => self.finish(now),
                1 => self.take_reads(now),
                _ => {
                    for shard in 0..self.life.shards.len() {
                        while self.random.percent(60) && !self.life.shards[shard].engine.changes.is_empty() {
                            self.take_change(shard);
                        }
                    }
                }
            }
        }
    }

    /// Whether an engine has not taken all changes yet.
    pub(super) fn has_changes(&self) -> bool {
        self.life.engines().any(|engine| !engine.changes.is_empty())
    }

    /// An engine takes one change of the state.
    pub(super) fn take_change(&mut self, shard: usize) {
        let engine = &mut self.life.shards[shard].engine;
        if let Ok(change) = engine.changes.try_recv() {
            engine.change(change);
        }
    }

    fn finish(&mut self, now: Moment) {
        let mut done: Vec<Flight> = Vec::new();
        while let Some(at) = self.flights.iter().position(|flight| flight.done <= now) {
            done.push(self.flights.swap_remove(at));
        }
        for flight in done {
            self.finish_one(flight, now);
        }
    }

    pub(super) fn finish_one(&mut self, flight: Flight, now: Moment) {
        let Flight { key, result, began, .. } = flight;
        let shard = self.life.shard_with(key.queue);
        self.say(|_| format!("  result {key:?} {result:?} at shard {shard:?}"));
        let Some(shard) = shard else {
            return hold(false, "a queue stays where it is while something of it is under way", || {
                format!("{key:?}")
            });
        };
        let (queue, offset, skipped) =
            (key.queue.id(), key.offset, matches!(result, AttemptResult::NothingToSend));
        let attempt = Attempt {
            key,
            generation: 0,
            sent: None,
            max_tries: None,
            result,
            duration_us: u64::try_from(now.since(began).as_micros()).unwrap(),
            phases: crate::model::Phases::default(),
            ended_us: self.setup.clock.now_us(),
        };
        let is_former =
            self.life.slot_with(key.queue).is_none_or(|(_, slot)| slot.is_of_former(key.queue, offset));
        let engine = &mut self.life.shards[shard].engine;
        let mark = engine.desk.ledger.mark();
        engine.finish(attempt, engine.desk.time.now());
        let unsynced = Unsynced::of(engine.desk.ledger.unsynced_since(mark));
        let is_told =
            unsynced.last.contains_key(&(queue, offset)) || unsynced.ended.contains_key(&(queue, offset));
        hold(is_told || is_former || skipped, "every result is in the ledger", || {
            format!("queue {queue}, offset {offset}")
        });
    }

    fn take_reads(&mut self, now: Moment) {
        while let Some(at) = self.reads.iter().position(|(at, _, _)| *at <= now) {
            let (_, shard, reads) = self.reads.swap_remove(at);
            let brought = &mut self.brought;
            reads.make(|done| {
                brought.push_back((shard, done));
                true
            });
        }
        while !self.brought.is_empty() && self.random.percent(80) {
            if let Some((shard, done)) = self.brought.pop_front() {
                self.life.shards[shard].engine.read_done(done);
            }
        }
    }

    /// Carries out the engines' decisions about hooks, sooner or later.
    fn keep(&mut self) {
        while self.random.percent(50)
            && let Ok(action) = self.life.actions.try_recv()
        {
            self.carry_out(action);
        }
    }

    pub(super) fn carry_out(&mut self, action: Action) {
        self.say(|_| match &action {
            Action::Disable { hook, reason } => format!("  keeper disables {}: {reason}", hook.id),
            Action::Enable { hook } => format!("  keeper enables {}", hook.id),
            Action::ReplayEnded(job) => format!("  keeper ends replay {} {:?}", job.id, job.state),
        });
        match action {
            Action::Disable { hook, reason } => self.edit(hook.id, |hook| {
                if hook.enabled {
                    hook.enabled = false;
                    hook.disable_reason = Some(reason.to_owned());
                }
            }),
            Action::Enable { hook } => self.edit(hook.id, |hook| {
                if hook.disable_reason.take().is_some() {
                    hook.enabled = true;
                }
            }),
            Action::ReplayEnded(job) => self.replay_ended(&job),
        }
    }

    fn take_jobs(&mut self) {
        if self.life.shards.iter().all(|shard| shard.jobs.is_empty()) {
            return;
        }
        let unsynced = self.life.unsynced();
        while let Some(job) = self.life.shards.iter_mut().find_map(|shard| shard.jobs.try_recv().ok()) {
            let probe = self.check_job(&job, &unsynced);
            let now = self.time.now();
            let (result, after) = self.meet(&job);
            self.summary.attempts += 1;
            // An event that can never be sent has had its turn, too.
            let is_last = match &result {
                AttemptResult::Answered(response) => response.status == 200,
                result => matches!(result, AttemptResult::Unsendable(_)),
            };
            if is_last {
                self.received.insert((job.key.queue.id(), job.key.offset));
            }
            self.summary.note(now.micros() ^ job.key.offset.0 ^ (u64::from(job.attempt) << 32));
            self.say(|_| format!("  attempt {} at {:?} probe {probe} -> {result:?}", job.attempt, job.key));
            self.flights.push(Flight { key: job.key, result, began: now, done: now + after, probe });
        }
    }

    /// The result of an attempt, and how long it takes.
    fn meet(&mut self, job: &Job) -> (AttemptResult, Duration) {
        let offset = job.key.offset;
        let record = match &job.record {
            Some(record) => Some(record.clone()),
            None => self.life.events.reader.get(offset).unwrap().map(|record| record.payload),
        };
        let Some(record) = record else { return (AttemptResult::Expired, Duration::from_micros(500)) };
        let logged = self.oracle.events.get(&offset).map(|logged| &logged.record);
        hold(logged == Some(&record), "what is delivered is what was logged", || format!("offset {offset}"));
        let uri = if job.hook.one_shot { super::receivers::uri(offset.0 % 4) } else { job.hook.uri.clone() };
        self.receivers.attempt(&uri, &mut self.random)
    }
}
