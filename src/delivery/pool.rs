//! The task that turns jobs into attempts and runs them concurrently. The queues limit their number.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

use super::attempt::{Fetched, Maker, fetch};
use super::client::BuildError;
use super::guard::Guard;
use super::inbox::Inbox;
use super::names::Names;
use super::request::Target;
use super::room::Room;
use super::shadow::Sink;
use super::shortages::Shortages;
use super::transport::{Transport, TransportLimits};
use crate::log::ReaderOf;
use crate::model::{Attempt, AttemptResult, AttemptSpan, Clock, Duty, EventOffset, HookId, Job};
use crate::state::State;
use crate::tasks::{Beat, Pulse, Stop, pulse};

/// Most bytes of records read from the log at once, unless the first record alone is larger.
const READ_BYTES: usize = 4 << 20;
/// Interval at which idle connections are checked.
const SWEEP: Duration = Duration::from_secs(5);
/// Most targets kept ready; further ones are rebuilt for each attempt.
const TARGETS: usize = 16_384;

/// How attempts are made.
#[derive(Debug, Clone)]
pub struct DeliveryOptions {
    /// The initial bounds, which can be changed later.
    pub limits: TransportLimits,
    /// Special addresses to which deliveries are allowed.
    pub allow_addresses: Vec<IpNet>,
    /// Name servers to use; empty for the system's.
    pub nameservers: Vec<SocketAddr>,
    /// Most name lookups under way.
    pub max_lookups: usize,
    /// Most bytes that all attempts at large events may use together.
    pub body_memory_bytes: usize,
    /// Whether the built-in receiver takes what hooks send to it.
    pub inbox: bool,
    /// Receives the spans of attempts whose trace is recorded.
    pub spans: Option<mpsc::Sender<AttemptSpan>>,
    /// Decides which deliveries are sent.
    pub duty: Duty,
    /// Receives the deliveries that are not sent.
    pub sink: Sink,
}

/// The task of all attempts.
pub struct Delivery {
    jobs: mpsc::Receiver<Job>,
    results: mpsc::Sender<Vec<Attempt>>,
    maker: Arc<Maker>,
    names: Names,
    targets: HashMap<HookId, Arc<Target>>,
    pulse: Pulse,
    beat: Beat,
    shortages: Shortages,
}

/// The channels between a shard's engine and its attempts.
#[derive(Debug)]
pub struct Channels {
    /// The attempts to make.
    pub jobs: mpsc::Receiver<Job>,
    /// The attempts that have ended.
    pub results: mpsc::Sender<Vec<Attempt>>,
}

impl Delivery {
    /// Builds the client. Nothing is sent before `run`.
    pub fn new(
        options: DeliveryOptions,
        clock: Clock,
        events: ReaderOf<EventOffset>,
        state: State,
        channels: Channels,
    ) -> Result<Self, BuildError> {
        let Channels { jobs, results } = channels;
        let tenants = state.clone();
        let tenant_of = move |account| tenants.tenant_of(account);
        let names = Names::new(&options.nameservers, options.max_lookups, Arc::new(tenant_of));
        let guard = Guard::new(&options.allow_addresses, names.clone());
        let inbox = Inbox::new(options.inbox, state.clone());
        let transport = Transport::new(options.limits, guard, inbox)?;
        let settings = state.settings();
        let (cluster_id, log_ids) = (settings.cluster_id.as_str().into(), settings.log_ids.clone());
        let room = Arc::new(Room::new(options.body_memory_bytes));
        let DeliveryOptions { spans, duty, sink, .. } = options;
        let maker = Maker { transport, spans, duty, sink, clock, events, state, cluster_id, log_ids, room };
        let (pulse, beat) = pulse();
        let maker = Arc::new(maker);
        let (targets, shortages) = (HashMap::new(), Shortages::default());
        Ok(Self { jobs, results, maker, names, targets, pulse, beat, shortages })
    }

    /// Another pool for other jobs, in a separate thread. Both share the answers of name servers, the memory for
    /// large events and what they know of shortages; each has its own connections.
    pub fn beside(&self, channels: Channels) -> Result<Self, BuildError> {
        let Channels { jobs, results } = channels;
        let transport = self.maker.transport.beside()?;
        let maker = Arc::new(Maker { transport, ..(*self.maker).clone() });
        let (pulse, beat) = pulse();
        let (names, shortages) = (self.names.clone(), self.shortages.clone());
        Ok(Self { jobs, results, maker, names, targets: HashMap::new(), pulse, beat, shortages })
    }

    /// The transport of the attempts.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.maker.transport
    }

    /// A handle to check that the task is alive.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// The shortages that attempts have met.
    #[must_use]
    pub fn shortages(&self) -> Shortages {
        self.shortages.clone()
    }

    /// Runs until the queues have ended, or until `abandon`, which drops attempts under way.
    pub async fn run(mut self, abandon: Stop) {
        let mut under_way = JoinSet::new();
        let mut jobs = Vec::with_capacity(64);
        let mut made_now = Vec::new();
        // One read of the log at a time: jobs that arrive meanwhile share the next read.
        let (mut unread, mut reading) = (Vec::new(), JoinSet::new());
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = abandon.cancelled() => return,
                got = self.jobs.recv_many(&mut jobs, 64) => if got == 0 { break },
                Some(read) = reading.join_next() => {
                    // A read ends without an answer only if it panics; the queues then end with this task.
                    let Ok((read, rest)) = read else { return };
                    unread.extend(rest);
                    for (job, record) in read {
                        self.start(&mut under_way, job, record);
                    }
                }
                () = self.beat.given() => {}
                _ = sweep.tick() => {
                    self.maker.transport.current().client.sweep();
                    self.names.refresh();
                }
                Some(made) = under_way.join_next(), if !under_way.is_empty() => made_now.extend(made),
            }
            for mut job in jobs.drain(..) {
                match job.record.take() {
                    Some(record) => self.start(&mut under_way, job, Ok(record)),
                    None => unread.push(job),
                }
            }
            if reading.is_empty() && !unread.is_empty() {
                let (events, jobs) = (self.maker.events.clone(), std::mem::take(&mut unread));
                // Not in this thread: one slow read of the disk would hold up all attempts under way.
                reading.spawn_blocking(move || read(&events, jobs));
            }
            // All attempts that have ended by now are returned together, to wake the queues only once.
            while let Some(made) = under_way.try_join_next() {
                made_now.extend(made);
            }
            if made_now.is_empty() {
                continue;
            }
            self.forget_failing(&made_now);
            // The next batch will probably have a similar size.
            let next = Vec::with_capacity(made_now.len());
            if self.results.send(std::mem::replace(&mut made_now, next)).await.is_err() {
                // The queues have ended, so these attempts count as never made; they will be repeated after a
                // restart.
                return;
            }
        }
        tokio::select! {
            () = abandon.cancelled() => {}
            () = async { while under_way.join_next().await.is_some() {} } => {}
        }
    }

    fn start(&mut self, under_way: &mut JoinSet<Attempt>, job: Job, record: Fetched) {
        let target = self.target(&job);
        // Unbounded here: the queues hand out no more jobs than there are permits. Boxed, because the runtime moves a future and
        // its result many times between start and end.
        under_way.spawn(Box::pin(self.maker.clone().attempt(job, record, target)));
    }

    /// Drops the targets of failing receivers: these get few attempts, and the target is most of a hook's memory.
    fn forget_failing(&mut self, made: &[Attempt]) {
        let now = Instant::now();
        for attempt in made {
            self.shortages.note(&attempt.result, now);
            let failed = match &attempt.result {
                AttemptResult::Answered(response) => !(200..300).contains(&response.status),
                AttemptResult::Failed(_) => true,
                AttemptResult::Ours(_)
                | AttemptResult::Unsendable(_)
                | AttemptResult::NothingToSend
                | AttemptResult::Shadow(_)
                | AttemptResult::Expired => false,
            };
            let hook = attempt.key.queue.id().as_hook();
            // For a replay this finds nothing: its hook's own attempts decide. Other attempts under way use the target too,
            // to share its memory for large events.
            if failed && self.targets.get(&hook).is_some_and(|target| Arc::strong_count(target) == 1) {
                self.targets.remove(&hook);
            }
        }
    }

    fn target(&mut self, job: &Job) -> Option<Arc<Target>> {
        if job.hook.one_shot {
            return None;
        }
        if let Some(target) = self.targets.get(&job.hook.id)
            // Every change of a hook makes a new `Arc`, so comparing pointers is enough.
            && Arc::ptr_eq(&target.hook, &job.hook)
        {
            return Some(target.clone());
        }
        // Dropping all of them is simple and rare; they are rebuilt when next needed.
        if self.targets.len() >= TARGETS {
            self.targets.clear();
        }
        let target = Arc::new(Target::new(job.hook.clone()));
        self.targets.insert(job.hook.id, target.clone());
        Some(target)
    }
}

/// Reads the records of several jobs, up to `READ_BYTES`; returns the other jobs too.
fn read(events: &ReaderOf<EventOffset>, jobs: Vec<Job>) -> (Vec<(Job, Fetched)>, Vec<Job>) {
    let (mut read, mut bytes) = (Vec::new(), 0);
    let mut jobs = jobs.into_iter();
    while bytes < READ_BYTES
        && let Some(job) = jobs.next()
    {
        let record = fetch(events, job.key.offset);
        if let Ok(record) = &record {
            bytes += record.len();
        }
        read.push((job, record));
    }
    (read, jobs.collect())
}
