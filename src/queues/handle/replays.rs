//! Replays as others ask for them: begun, counted, listed, held back, ended. What is answered is in the journal.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{AskError, Queues};
use crate::kazoo;
use crate::log::ReadError;
use crate::model::{
    Actor, Event, HookId, Id, ReplayOnly, ReplayPoint, ReplayRequest, ReplayState, ReplayStatus,
};
use crate::queues::engine::command::Command;
use crate::queues::ledger::failing::Failures;
use crate::queues::ledger::logs::Logs;
use crate::queues::rules::partitions::{Partition, Partitions};
use crate::queues::rules::replay::ReplayJob;
use crate::state::{Expect, Kind, State, Write};

/// Ended replays of one hook that are kept to be looked at.
const KEPT: usize = 20;
/// Reads of the log, of a megabyte each, before a count lets others read.
const READS_OF_A_PART: usize = 8;

impl Queues {
    /// Starts a replay, durably; a dry run only counts.
    pub async fn replay(&self, request: ReplayRequest) -> Result<ReplayStatus, AskError> {
        if !request.dry_run {
            let may =
                self.shards.ask(request.hook, |answer| Command::OneMoreReplay(request.hook, answer)).await?;
            may.map_err(AskError::TooMany)?;
        }
        let place = self.readings.place(request.account).await?;
        let now_us = self.clock.now_us();
        let (dry_run, by) = (request.dry_run, request.by.clone());
        let job = self.blocking(move |logs| resolve(&logs, request, now_us)).await?;
        if job.from >= job.until {
            return Err(AskError::EmptyRange { from: job.from, until: job.until });
        }
        if dry_run {
            return self.count(job).await;
        }
        drop(place);
        let job = Arc::new(job);
        let mut writes = vec![put(job.id, Some(job.document()))];
        writes.extend(self.outlived(job.hook)?);
        // Together, also when the caller goes away: what is in the journal is under way.
        let queues = self.clone();
        let begun = self.readings.tasks().spawn("replay", async move {
            queues.write(by, writes).await?;
            let begun = queues.begin(job.clone()).await;
            if begun.is_err() {
                queues.write(None, vec![put(job.id, None)]).await?;
            }
            begun
        });
        begun.await.map_err(|_| AskError::Ended)?
    }

    /// Hands a replay whose document is durable to the engine.
    pub async fn begin(&self, job: Arc<ReplayJob>) -> Result<ReplayStatus, AskError> {
        let chosen = self.chosen(&job).await?;
        let status = job.status(job.from, [0; 3]);
        if self.shards.ask(job.hook, |answer| Command::Replay(job, chosen, answer)).await? {
            Ok(status)
        } else {
            Err(AskError::NoHook)
        }
    }

    /// The offsets that a replay is about, if not all of its range.
    async fn chosen(&self, job: &ReplayJob) -> Result<Option<Arc<BTreeSet<u64>>>, AskError> {
        let which = match job.only {
            ReplayOnly::All => return Ok(None),
            ReplayOnly::Chosen => return Ok(Some(Arc::new(job.offsets.iter().copied().collect()))),
            ReplayOnly::Failed => Failures::All,
            ReplayOnly::Dead => Failures::Dead,
        };
        let (hook, range) = (job.hook, job.from..job.until);
        let found = self.blocking(move |logs| logs.failed(hook, &range, which)).await?;
        Ok(Some(Arc::new(found)))
    }

    async fn count(&self, job: ReplayJob) -> Result<ReplayStatus, AskError> {
        let chosen = self.chosen(&job).await?;
        let counting = job.clone();
        let hook = self.logs.state.hook(job.hook).ok_or(AskError::NoHook)?;
        let counting = Arc::new(counting);
        let (mut at, mut matched) = (Some(job.from), 0);
        // A part at a time: others have their turn in between.
        while let Some(from) = at {
            let (counting, hook, chosen) = (counting.clone(), hook.clone(), chosen.clone());
            let part = move |logs| count(&logs, &counting, &hook, (from, chosen.as_deref()));
            let (more, next) = self.blocking(part).await?;
            (at, matched) = (next, matched + more);
        }
        let job = job.ended(ReplayState::Done, self.clock.now_us(), [matched, 0, 0]);
        Ok(job.status(job.until, job.totals))
    }

    /// The replays of a hook, newest first: running ones with their progress, then ended ones.
    pub async fn replays(&self, hook: HookId) -> Result<Vec<ReplayStatus>, AskError> {
        let mut found = self.shards.ask(hook, |answer| Command::Replays(hook, answer)).await?;
        // One that has come to its end, but whose end is not written yet, is shown as it began.
        let kept = self.jobs()?.into_iter().filter(|job| job.hook == hook);
        found.extend(
            kept.map(|job| job.status(if job.has_ended() { job.until } else { job.from }, job.totals)),
        );
        found.sort_by_key(|r| (std::cmp::Reverse(r.started_us), r.ended_us.is_some()));
        found.dedup_by_key(|r| r.id);
        Ok(found)
    }

    /// Ends a replay of a hook; durable when this answers.
    pub async fn cancel(
        &self,
        hook: HookId,
        replay: Id,
        by: Option<Actor>,
    ) -> Result<Option<ReplayStatus>, AskError> {
        let Some((status, job)) =
            self.shards.ask(hook, |answer| Command::Cancel(hook, replay, answer)).await?
        else {
            return Ok(None);
        };
        let doc = job.document();
        self.edit(replay, by, move |kept| kept.extend(doc)).await?;
        Ok(Some(status))
    }

    /// Holds a replay of a hook back, or lets it go on; durable when this answers. One that has ended is left
    /// as it is.
    pub async fn hold(
        &self,
        hook: HookId,
        replay: Id,
        state: ReplayState,
        by: Option<Actor>,
    ) -> Result<Option<ReplayStatus>, AskError> {
        let Some(job) = self.job(replay)?.filter(|job| job.hook == hook) else { return Ok(None) };
        let edited = move |kept: &mut Map<String, Value>| {
            let job = ReplayJob::from_document(kept.clone());
            if let Some(job) = job.filter(|job| !job.has_ended()) {
                kept.extend(ReplayJob { state, ..job }.document());
            }
        };
        let kept = self.edit(replay, by, edited).await?;
        let job = ReplayJob::from_document(kept).unwrap_or(job);
        let at_rest = job.status(job.until, job.totals);
        let held = self.shards.ask(hook, |answer| Command::Hold(Arc::new(job), answer)).await?;
        Ok(Some(held.unwrap_or(at_rest)))
    }

    async fn edit(
        &self,
        replay: Id,
        by: Option<Actor>,
        edit: impl FnOnce(&mut Map<String, Value>) + Send + 'static,
    ) -> Result<Map<String, Value>, AskError> {
        let kept = self.state_of(by).update(Kind::Replay, &replay.to_string(), edit).await;
        Ok(kept?)
    }

    /// The state, as the audit trail is to know who changes it.
    fn state_of(&self, by: Option<Actor>) -> State {
        let state = &self.logs.state;
        by.map_or_else(|| state.clone(), |by| state.acting_for(by))
    }

    async fn write(&self, by: Option<Actor>, writes: Vec<Write>) -> Result<(), AskError> {
        let kept = self.state_of(by).write(writes).await;
        Ok(kept.map(drop)?)
    }

    fn job(&self, replay: Id) -> Result<Option<ReplayJob>, AskError> {
        let doc = self.logs.state.get(Kind::Replay, &replay.to_string());
        Ok(doc.map_err(|e| AskError::State(e.to_string()))?.and_then(ReplayJob::from_document))
    }

    fn jobs(&self) -> Result<Vec<ReplayJob>, AskError> {
        let documents = self.logs.state.all(Kind::Replay).map_err(|e| AskError::State(e.to_string()))?;
        Ok(documents.into_iter().filter_map(ReplayJob::from_document).collect())
    }

    /// Takes out the oldest of a hook's ended replays, beyond those that are kept to be looked at.
    fn outlived(&self, hook: HookId) -> Result<Vec<Write>, AskError> {
        let mut ended: Vec<ReplayJob> = self.jobs()?;
        ended.retain(|job| job.hook == hook && job.has_ended());
        ended.sort_by_key(|job| std::cmp::Reverse(job.ended_us));
        Ok(ended.into_iter().skip(KEPT).map(|job| put(job.id, None)).collect())
    }

    /// Begins again what was under way when the program ended, and forgets the replays of deleted hooks.
    pub async fn resume_replays(&self) -> Result<usize, AskError> {
        let hook_is_there = |job: &ReplayJob| self.logs.state.hook(job.hook).is_some();
        let (jobs, orphans): (Vec<_>, Vec<_>) = self.jobs()?.into_iter().partition(hook_is_there);
        if !orphans.is_empty() {
            self.write(None, orphans.into_iter().map(|job| put(job.id, None)).collect()).await?;
        }
        self.begin_again(jobs).await
    }

    /// Begins again what runs of some partitions, which another shard has now.
    pub(super) async fn resume_replays_of(&self, partitions: Partitions) -> Result<usize, AskError> {
        let mut jobs = self.jobs()?;
        jobs.retain(|job| partitions.contains(Partition::of(job.hook)));
        self.begin_again(jobs).await
    }

    async fn begin_again(&self, jobs: Vec<ReplayJob>) -> Result<usize, AskError> {
        let running: Vec<ReplayJob> = jobs.into_iter().filter(|job| !job.has_ended()).collect();
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

fn put(replay: Id, doc: Option<Map<String, Value>>) -> Write {
    Write { kind: Kind::Replay, id: replay.to_string(), doc, expect: Expect::Any }
}

fn resolve(logs: &Logs, request: ReplayRequest, now_us: u64) -> Result<ReplayJob, ReadError> {
    let end = logs.events.end();
    if request.only == ReplayOnly::Chosen {
        let first = logs.events.first();
        let kept = || request.offsets.iter().copied().filter(|offset| (first..end).contains(offset));
        let (from, until) = (kept().min().unwrap_or(end), kept().max().map_or(end, |last| last + 1));
        return Ok(ReplayJob::new(request, from, until, now_us));
    }
    let (first, times) =
        (logs.events.first(), request.from.time_us()..request.until.and_then(ReplayPoint::time_us));
    let dated = logs.events.offsets_in(times.start.unwrap_or(0)..times.end.unwrap_or(u64::MAX))?;
    let from = match request.from {
        ReplayPoint::Offset(offset) => offset.max(first),
        ReplayPoint::TimeUs(_) => dated.start,
    };
    let until = match request.until {
        None => end,
        Some(ReplayPoint::Offset(offset)) => offset.min(end),
        Some(ReplayPoint::TimeUs(_)) => dated.end,
    };
    Ok(ReplayJob::new(request, from, until, now_us))
}

/// How many events of the next part of a range belong to the replay, and where the part after it begins.
fn count(
    logs: &Logs,
    job: &ReplayJob,
    hook: &crate::model::Hook,
    (from, chosen): (u64, Option<&BTreeSet<u64>>),
) -> Result<(u64, Option<u64>), ReadError> {
    let (mut at, mut matched) = (from, 0);
    for _ in 0..READS_OF_A_PART {
        if at >= job.until {
            return Ok((matched, None));
        }
        let batch = if hook.include_subaccounts {
            logs.events.read(at, 4096, 1 << 20)?
        } else {
            logs.events.read_tags(&[hook.account.tag()], at, job.until, 4096, 1 << 20)?
        };
        for record in batch.records.iter().filter(|r| r.offset < job.until) {
            let Ok(event) = Event::decode(&record.payload) else { continue };
            let account = event.account.and_then(|a| logs.state.account(a));
            let reached = account.is_some_and(|a| crate::queues::rules::router::in_reach(hook, &a));
            let is_chosen = chosen.is_none_or(|c| c.contains(&record.offset));
            if reached
                && is_chosen
                && event.quarantine.is_none()
                && job.covers(&event, record.time_us)
                && kazoo::wanted(hook, &event)
            {
                matched += 1;
            }
        }
        if batch.next <= at {
            return Ok((matched, None));
        }
        at = batch.next;
    }
    Ok((matched, Some(at)))
}
