//! The task that turns jobs into attempts, all side by side; the queues bound how many there are.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use ipnet::IpNet;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::client::{BuildError, Client};
use super::guard::Guard;
use super::request::{NoRequest, Surroundings, Target, one_shot_target};
use super::send::{Caps, send};
use super::spans::Tracing;
use crate::log::Reader;
use crate::model::{
    Attempt, AttemptResult, AttemptSpan, Clock, DeliveryId, HookId, Job, LogIds, TransportError,
};
use crate::state::State;
use crate::tasks::Stop;

/// Targets kept ready; beyond that they are made anew.
const TARGETS: usize = 16_384;

/// How attempts are made.
#[derive(Debug, Clone)]
pub struct Options {
    /// Time for a connection, TLS included.
    pub connect_timeout: Duration,
    /// Time for a whole attempt, unless the hook says otherwise.
    pub request_timeout: Duration,
    /// Special addresses that may be delivered to.
    pub allow_addresses: Vec<IpNet>,
    /// Bytes of a response body that are read at most.
    pub response_read_bytes: usize,
    /// Bytes of a failure's body that are kept.
    pub response_keep_bytes: usize,
    /// Idle connections kept per host.
    pub idle_per_host: usize,
    /// How long an idle connection is kept.
    pub idle_timeout: Duration,
    /// Who is told of attempts of events whose trace is recorded.
    pub spans: Option<mpsc::Sender<AttemptSpan>>,
}

/// The attempts under way.
pub struct Delivery {
    jobs: mpsc::Receiver<Job>,
    shared: Arc<Shared>,
    targets: HashMap<HookId, Arc<Target>>,
}

struct Shared {
    client: Client,
    guard: Guard,
    options: Options,
    clock: Clock,
    events: Reader,
    state: State,
    cluster_id: Arc<str>,
    log_ids: LogIds,
    results: mpsc::Sender<Vec<Attempt>>,
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
        let guard = Guard::new(&options.allow_addresses);
        let client = Client::new(&options, &guard, options.idle_per_host)?;
        let settings = state.settings();
        let (cluster_id, log_ids) = (settings.cluster_id.as_str().into(), settings.log_ids.clone());
        let shared = Shared { client, guard, options, clock, events, state, cluster_id, log_ids, results };
        Ok(Self { jobs, shared: Arc::new(shared), targets: HashMap::new() })
    }

    /// Works until the queues have ended, or until `abandon`: attempts under way are dropped then.
    pub async fn run(mut self, abandon: Stop) {
        let mut under_way = JoinSet::new();
        let mut jobs = Vec::with_capacity(64);
        let mut made_now = Vec::new();
        // One read of the log at a time: what needs one meanwhile is read together next.
        let (mut unread, mut reading) = (Vec::new(), JoinSet::new());
        loop {
            tokio::select! {
                () = abandon.cancelled() => return,
                got = self.jobs.recv_many(&mut jobs, 64) => if got == 0 { break },
                Some(read) = reading.join_next() => {
                    // Only a defect ends a read without an answer; the queues end with this task then.
                    let Ok(read) = read else { return };
                    for (job, record) in read {
                        self.start(&mut under_way, job, record);
                    }
                }
                Some(made) = under_way.join_next(), if !under_way.is_empty() => made_now.extend(made),
            }
            for mut job in jobs.drain(..) {
                match job.record.take() {
                    Some(record) => self.start(&mut under_way, job, Ok(Some(record))),
                    None => unread.push(job),
                }
            }
            if reading.is_empty() && !unread.is_empty() {
                let (events, jobs) = (self.shared.events.clone(), std::mem::take(&mut unread));
                reading.spawn_blocking(move || read(&events, jobs));
            }
            // Whatever has ended by now goes back together: one wake-up of the queues for all of it.
            while let Some(made) = under_way.try_join_next() {
                made_now.extend(made);
            }
            if made_now.is_empty() {
                continue;
            }
            // As many again are likely.
            let next = Vec::with_capacity(made_now.len());
            if self.shared.results.send(std::mem::replace(&mut made_now, next)).await.is_err() {
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
        let shared = self.shared.clone();
        under_way.spawn(async move { shared.attempt(job, record, target).await });
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

impl Shared {
    async fn attempt(self: Arc<Self>, job: Job, record: Fetched, target: Option<Arc<Target>>) -> Attempt {
        let started = Instant::now();
        let (result, max_tries) = match record {
            Ok(Some(record)) => self.make(&job, &record, target).await,
            Ok(None) => (AttemptResult::Expired, None),
            Err(Unreadable) => (AttemptResult::Failed(TransportError::Other), None),
        };
        let duration_us = u64::try_from(started.elapsed().as_micros()).unwrap_or(u64::MAX);
        log(&job, &result, duration_us);
        Attempt { key: job.key, max_tries, result, duration_us, ended_us: self.clock.now_us() }
    }

    async fn make(
        &self,
        job: &Job,
        record: &[u8],
        target: Option<Arc<Target>>,
    ) -> (AttemptResult, Option<u16>) {
        let one_shot = target.is_none();
        let target = match target.map_or_else(|| one_shot_target(record).map(Arc::new), Ok) {
            Ok(target) => target,
            Err(reason) => return (unsent(job, &reason), None),
        };
        let max_tries = one_shot.then(|| target.hook.max_tries());
        let now_us = self.clock.now_us();
        let delivery = DeliveryId { event: self.log_ids.event_id(job.key.offset), hook: job.hook.id };
        let span_id = rand::random();
        let tracing = Tracing::begin(self.options.spans.as_ref(), record, span_id);
        let surroundings = Surroundings {
            delivery,
            now_us,
            span_id,
            cluster_id: &self.cluster_id,
            reseller_of: &|account| self.state.reseller_of(account),
        };
        let request = match target.request(job, record, &surroundings) {
            Ok(request) => request,
            Err(reason) => return (unsent(job, &reason), max_tries),
        };
        if self.guard.forbids(&request.address.url) {
            return (AttemptResult::Failed(TransportError::ForbiddenAddress), max_tries);
        }
        let caps = Caps {
            read: self.options.response_read_bytes,
            keep: self.options.response_keep_bytes,
            always: false,
        };
        let result = send(&self.client, request, caps, now_us).await;
        if let Some(tracing) = tracing {
            tracing.end(job, delivery, &result, (now_us, self.clock.now_us()));
        }
        (result, max_tries)
    }
}

/// An event's record: kept in memory, or read from the log; `None` when retention has dropped it.
type Fetched = Result<Option<Bytes>, Unreadable>;

/// The log could not give a record.
struct Unreadable;

/// Reads the records of several jobs.
fn read(events: &Reader, jobs: Vec<Job>) -> Vec<(Job, Fetched)> {
    let fetch = |job: &Job| {
        let offset = job.key.offset;
        events.get(offset).map(|record| record.map(|r| r.payload)).map_err(|error| {
            tracing::error!(offset, %error, "event cannot be read from the log");
            Unreadable
        })
    };
    jobs.into_iter()
        .map(|job| {
            let record = fetch(&job);
            (job, record)
        })
        .collect()
}

fn unsent(job: &Job, reason: &NoRequest) -> AttemptResult {
    match reason {
        NoRequest::Filtered => AttemptResult::NothingToSend,
        NoRequest::InvalidUri => AttemptResult::Failed(TransportError::InvalidUri),
        NoRequest::Unsendable(_) => {
            tracing::warn!(hook_id = %job.hook.id, offset = job.key.offset, %reason, "delivery skipped");
            AttemptResult::NothingToSend
        }
    }
}

fn log(job: &Job, result: &AttemptResult, duration_us: u64) {
    let (hook_id, offset, ms) = (job.hook.id, job.key.offset, duration_us / 1000);
    match result {
        AttemptResult::Answered(response) if (200..300).contains(&response.status) => {
            tracing::debug!(%hook_id, offset, attempt = job.attempt, duration_ms = ms, status = response.status, "delivered");
        }
        AttemptResult::Answered(response) => {
            tracing::info!(%hook_id, offset, attempt = job.attempt, duration_ms = ms, status = response.status, "attempt failed");
        }
        AttemptResult::Failed(error) => {
            tracing::info!(%hook_id, offset, attempt = job.attempt, duration_ms = ms, error = error.text(), "attempt failed");
        }
        AttemptResult::NothingToSend | AttemptResult::Expired => {
            tracing::debug!(%hook_id, offset, attempt = job.attempt, "nothing to send");
        }
    }
}
