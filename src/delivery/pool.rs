//! The task that turns jobs into attempts, all side by side; the queues bound how many there are.

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
use super::names::Names;
use super::request::Target;
use super::room::Room;
use super::shadow::Sink;
use super::shortages::Shortages;
use super::transport::{Limits, Transport};
use crate::log::Reader;
use crate::model::{Attempt, AttemptResult, AttemptSpan, Clock, Duty, HookId, Job};
use crate::state::State;
use crate::tasks::{Beat, Pulse, Stop, pulse};

/// Bytes of records that are read from the log together, unless the first alone is larger.
const READ_BYTES: usize = 4 << 20;
/// How often connections that wait are looked at.
const SWEEP: Duration = Duration::from_secs(5);
/// Targets kept ready; beyond that they are made anew.
const TARGETS: usize = 16_384;

/// How attempts are made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Its bounds, which may be changed later.
    pub limits: Limits,
    /// Special addresses that may be delivered to.
    pub allow_addresses: Vec<IpNet>,
    /// Name servers to ask instead of the system's; none: the system's.
    pub nameservers: Vec<SocketAddr>,
    /// Lookups of names under way at most.
    pub max_lookups: usize,
    /// Bytes that attempts at large events may take together.
    pub body_memory_bytes: usize,
    /// Who is told of attempts of events whose trace is recorded.
    pub spans: Option<mpsc::Sender<AttemptSpan>>,
    /// Which deliveries are sent.
    pub duty: Duty,
    /// Who gets the others.
    pub sink: Sink,
}

/// The attempts under way.
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

impl Delivery {
    /// Makes the client; nothing is sent before `run`.
    pub fn new(
        options: Options,
        clock: Clock,
        events: Reader,
        state: State,
        (jobs, results): (mpsc::Receiver<Job>, mpsc::Sender<Vec<Attempt>>),
    ) -> Result<Self, BuildError> {
        let tenants = state.clone();
        let tenant_of = move |account| tenants.tenant_of(account);
        let names = Names::new(&options.nameservers, options.max_lookups, Arc::new(tenant_of));
        let guard = Guard::new(&options.allow_addresses, names.clone());
        let transport = Transport::new(options.limits, guard)?;
        let settings = state.settings();
        let (cluster_id, log_ids) = (settings.cluster_id.as_str().into(), settings.log_ids.clone());
        let room = Room::new(options.body_memory_bytes);
        let Options { spans, duty, sink, .. } = options;
        let maker = Maker { transport, spans, duty, sink, clock, events, state, cluster_id, log_ids, room };
        let (pulse, beat) = pulse();
        let maker = Arc::new(maker);
        let (targets, shortages) = (HashMap::new(), Shortages::default());
        Ok(Self { jobs, results, maker, names, targets, pulse, beat, shortages })
    }

    /// What its attempts are sent with.
    #[must_use]
    pub fn transport(&self) -> &Transport {
        &self.maker.transport
    }

    /// Asks it for a sign of life.
    #[must_use]
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// What its attempts have had too little of.
    #[must_use]
    pub fn shortages(&self) -> Shortages {
        self.shortages.clone()
    }

    /// Works until the queues have ended, or until `abandon`: attempts under way are dropped then.
    pub async fn run(mut self, abandon: Stop) {
        let mut under_way = JoinSet::new();
        let mut jobs = Vec::with_capacity(64);
        let mut made_now = Vec::new();
        // One read of the log at a time: what needs one meanwhile is read together next.
        let (mut unread, mut reading) = (Vec::new(), JoinSet::new());
        let mut sweep = tokio::time::interval(SWEEP);
        sweep.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = abandon.cancelled() => return,
                got = self.jobs.recv_many(&mut jobs, 64) => if got == 0 { break },
                Some(read) = reading.join_next() => {
                    // Only a defect ends a read without an answer; the queues end with this task then.
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
                reading.spawn_blocking(move || read(&events, jobs));
            }
            // Whatever has ended by now goes back together: one wake-up of the queues for all of it.
            while let Some(made) = under_way.try_join_next() {
                made_now.extend(made);
            }
            if made_now.is_empty() {
                continue;
            }
            self.forget_failing(&made_now);
            // As many again are likely.
            let next = Vec::with_capacity(made_now.len());
            if self.results.send(std::mem::replace(&mut made_now, next)).await.is_err() {
                // Nobody listens any more: the queues have ended, and these attempts count as never made.
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
        under_way.spawn(self.maker.clone().attempt(job, record, target));
    }

    /// A receiver that fails is asked seldom, and what is ready for it would be most of what its hook takes in memory.
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
            let queue = attempt.key.queue.id();
            // Other attempts under way share its room for large events.
            if failed && self.targets.get(&queue).is_some_and(|target| Arc::strong_count(target) == 1) {
                self.targets.remove(&queue);
            }
        }
    }

    fn target(&mut self, job: &Job) -> Option<Arc<Target>> {
        if job.hook.one_shot {
            return None;
        }
        if let Some(target) = self.targets.get(&job.hook.id)
            && Arc::ptr_eq(&target.hook, &job.hook)
        {
            return Some(target.clone());
        }
        if self.targets.len() >= TARGETS {
            self.targets.clear();
        }
        let target = Arc::new(Target::new(job.hook.clone()));
        self.targets.insert(job.hook.id, target.clone());
        Some(target)
    }
}

/// Reads the records of several jobs, as many as are little; the other jobs come back.
fn read(events: &Reader, jobs: Vec<Job>) -> (Vec<(Job, Fetched)>, Vec<Job>) {
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
