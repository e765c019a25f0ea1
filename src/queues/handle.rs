//! What others hold of the queues: questions and orders, and the ledger to read.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::attempts::AttemptReader;
use super::command::{Command, RawStatus};
use super::replay::ReplayJob;
use super::survey::Survey;
use super::tally::Tally;
use crate::kazoo;
use crate::log::{ReadError, Reader};
use crate::model::{
    AttemptPage, AttemptQuery, Clock, Event, HookId, Id, QueueStatus, ReplayOnly, ReplayPoint, ReplayRequest,
    ReplayState, ReplayStatus,
};
use crate::state::{Expect, Kind, State, Write};
use crate::tasks::Tasks;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no such hook.
    #[error("hook has no queue")]
    NoHook,
    /// The hook has as many replays as it may.
    #[error("{0} replays are running, the most allowed")]
    TooMany(usize),
    /// The range has no offsets in it.
    #[error("range is empty: it starts at offset {from} and ends at {until}")]
    EmptyRange {
        /// First offset.
        from: u64,
        /// End of the range.
        until: u64,
    },
    /// The queues have ended.
    #[error("queues have ended")]
    Ended,
    /// A log cannot be read.
    #[error("{0}")]
    Read(#[from] ReadError),
    /// The state cannot keep the replay.
    #[error("replay cannot be kept: {0}")]
    State(String),
}

/// A cheap handle of the queues.
#[derive(Debug, Clone)]
pub struct Queues {
    commands: mpsc::Sender<Command>,
    attempts: AttemptReader,
    clock: Clock,
    tasks: Tasks,
    max_replays: usize,
    tally: Arc<Tally>,
}

impl Queues {
    /// A handle that sends to the engine's command channel; `logs` are events and ledger.
    #[must_use]
    pub fn new(
        commands: mpsc::Sender<Command>,
        (events, ledger): (Reader, Reader),
        state: State,
        clock: Clock,
        (tasks, max_replays, successes): (Tasks, usize, bool),
    ) -> Self {
        let tally = Arc::default();
        let attempts = AttemptReader { ledger, events, state, successes };
        Self { commands, attempts, clock, tasks, max_replays, tally }
    }

    /// What the engine is to count with.
    #[must_use]
    pub fn counts(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    async fn ask<T>(&self, command: impl FnOnce(oneshot::Sender<T>) -> Command) -> Result<T, AskError> {
        let (answer, asked) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| AskError::Ended)?;
        asked.await.map_err(|_| AskError::Ended)
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(AttemptReader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, AskError> {
        let reader = self.attempts.clone();
        Ok(self.tasks.spawn_blocking(move || work(reader)).await.map_err(|_| AskError::Ended)??)
    }

    /// A hook's queue now.
    pub async fn status(&self, hook: HookId) -> Result<Option<QueueStatus>, AskError> {
        let Some(RawStatus { mut status, oldest }) = self.ask(|answer| Command::Status(hook, answer)).await?
        else {
            return Ok(None);
        };
        if let Some(oldest) = oldest.filter(|_| status.waiting > 0) {
            let event = self.blocking(move |r| r.events.get(oldest)).await?;
            let now = self.clock.now_us();
            status.oldest_waiting_age_ms = event.map(|e| now.saturating_sub(e.time_us) / 1000);
        }
        Ok(Some(status))
    }

    /// All queues now. The ages are read from the log's index, which is right to within a few kilobytes.
    pub async fn survey(&self) -> Result<Survey, AskError> {
        let mut survey = self.ask(Command::Survey).await?;
        let now = self.clock.now_us();
        self.blocking(move |reader| {
            // In the order of the log: each part of its index is looked at once.
            survey.hooks.sort_unstable_by_key(|hook| hook.oldest);
            for hook in survey.hooks.iter_mut().filter(|hook| hook.status.waiting > 0) {
                let Some(oldest) = hook.oldest else { continue };
                let time = reader.events.time_near(oldest)?;
                hook.status.oldest_waiting_age_ms = time.map(|time| now.saturating_sub(time) / 1000);
            }
            Ok(survey)
        })
        .await
    }

    /// What became of attempts and deliveries since the start.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// A page of attempts.
    pub async fn attempts(&self, query: AttemptQuery) -> Result<AttemptPage, AskError> {
        self.blocking(move |reader| reader.page(&query)).await
    }

    /// Starts a replay, durably; a dry run only counts.
    pub async fn replay(&self, request: ReplayRequest) -> Result<ReplayStatus, AskError> {
        let running = self.ask(|answer| Command::Replays(request.hook, answer)).await?;
        if !request.dry_run && running.len() >= self.max_replays {
            return Err(AskError::TooMany(running.len()));
        }
        let now_us = self.clock.now_us();
        let (dry_run, by) = (request.dry_run, request.by.clone());
        let job = self.blocking(move |reader| resolve(&reader, request, now_us)).await?;
        if job.from >= job.until {
            return Err(AskError::EmptyRange { from: job.from, until: job.until });
        }
        if dry_run {
            return self.count(job).await;
        }
        let job = Arc::new(job);
        let (id, doc) = (job.id.to_string(), Some(job.document()));
        let write = Write { kind: Kind::Replay, id, doc, expect: Expect::Any };
        let state = &self.attempts.state;
        let kept = match by {
            Some(by) => state.acting_for(by).write(vec![write]).await,
            None => state.write(vec![write]).await,
        };
        kept.map_err(|error| AskError::State(error.to_string()))?;
        self.begin(job).await
    }

    /// Hands a replay whose document is durable to the engine.
    pub async fn begin(&self, job: Arc<ReplayJob>) -> Result<ReplayStatus, AskError> {
        let failed = self.failed(&job).await?;
        let status = job.status(job.from, [0; 3]);
        if self.ask(|answer| Command::Replay(job, failed, answer)).await? {
            Ok(status)
        } else {
            Err(AskError::NoHook)
        }
    }

    async fn failed(&self, job: &ReplayJob) -> Result<Option<Arc<BTreeSet<u64>>>, AskError> {
        if job.only == ReplayOnly::All {
            return Ok(None);
        }
        let (hook, range) = (job.hook, (job.from, job.until));
        let failed = self.blocking(move |reader| reader.failed(hook, range)).await?;
        Ok(Some(Arc::new(failed)))
    }

    async fn count(&self, mut job: ReplayJob) -> Result<ReplayStatus, AskError> {
        let failed = self.failed(&job).await?;
        let counting = job.clone();
        let hook = self.attempts.state.hook(job.hook).ok_or(AskError::NoHook)?;
        let matched =
            self.blocking(move |reader| count(&reader, &counting, &hook, failed.as_deref())).await?;
        job.totals = [matched, 0, 0];
        job.ended = Some((self.clock.now_us(), ReplayState::Done));
        Ok(job.status(job.until, job.totals))
    }

    /// The replays of a hook, newest first: running ones with their progress, then ended ones.
    pub async fn replays(&self, hook: HookId) -> Result<Vec<ReplayStatus>, AskError> {
        let mut found = self.ask(|answer| Command::Replays(hook, answer)).await?;
        let ended = self.jobs()?;
        found.extend(
            ended
                .into_iter()
                .filter(|j| j.hook == hook && j.ended.is_some())
                .map(|j| j.status(j.until, j.totals)),
        );
        found.sort_by_key(|r| (std::cmp::Reverse(r.started_us), r.ended_us.is_some()));
        found.dedup_by_key(|r| r.id);
        Ok(found)
    }

    /// Ends a replay of a hook.
    pub async fn cancel(&self, hook: HookId, replay: Id) -> Result<Option<ReplayStatus>, AskError> {
        self.ask(|answer| Command::Cancel(hook, replay, answer)).await
    }

    fn jobs(&self) -> Result<Vec<ReplayJob>, AskError> {
        let documents = self.attempts.state.all(Kind::Replay).map_err(|e| AskError::State(e.to_string()))?;
        Ok(documents
            .iter()
            .filter_map(|d| {
                let id = d.get("_id").and_then(serde_json::Value::as_str)?;
                ReplayJob::from_document(id.parse().ok()?, d)
            })
            .collect())
    }

    /// Begins again what was running when the program ended.
    pub async fn resume_replays(&self) -> Result<usize, AskError> {
        let running: Vec<ReplayJob> = self.jobs()?.into_iter().filter(|j| j.ended.is_none()).collect();
        let count = running.len();
        for job in running {
            let id = job.id;
            if let Err(error) = self.begin(Arc::new(job)).await {
                tracing::warn!(replay_id = %id, %error, "replay is not resumed");
            }
        }
        Ok(count)
    }
}

fn resolve(reader: &AttemptReader, request: ReplayRequest, now_us: u64) -> Result<ReplayJob, ReadError> {
    let offset = |point: ReplayPoint| match point {
        ReplayPoint::Offset(offset) => Ok(offset),
        ReplayPoint::TimeUs(time) => reader.events.offset_at_time(time),
    };
    let from = offset(request.from)?.max(reader.events.first());
    let end = reader.events.end();
    let until = request.until.map_or(Ok(end), offset)?.min(end);
    Ok(ReplayJob::new(request, from, until, now_us))
}

fn count(
    reader: &AttemptReader,
    job: &ReplayJob,
    hook: &crate::model::Hook,
    failed: Option<&BTreeSet<u64>>,
) -> Result<u64, ReadError> {
    let (mut at, mut matched) = (job.from, 0);
    while at < job.until {
        let batch = if hook.include_subaccounts {
            reader.events.read(at, 4096, 1 << 20)?
        } else {
            reader.events.read_tags(&[hook.account.tag()], at, job.until, 4096, 1 << 20)?
        };
        for record in batch.records.iter().filter(|r| r.offset < job.until) {
            let Ok(event) = Event::decode(&record.payload) else { continue };
            let account = event.account.and_then(|a| reader.state.account(a));
            let reached = account.is_some_and(|a| super::router::in_reach(hook, &a));
            let chosen = failed.is_none_or(|f| f.contains(&record.offset));
            if reached
                && chosen
                && event.quarantine.is_none()
                && job.covers(&event)
                && kazoo::wanted(hook, &event)
            {
                matched += 1;
            }
        }
        if batch.next <= at {
            break;
        }
        at = batch.next;
    }
    Ok(matched)
}
