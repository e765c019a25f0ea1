//! Replays for other rooms: they are started, counted, listed, paused and ended. Every answered change is in the journal.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Map, Value};

use super::{AskError, Queues};
use crate::kazoo;
use crate::log::{ReadError, Record};
use crate::model::{
    Actor, Event, EventOffset, Hook, HookId, ReplayId, ReplayOnly, ReplayPoint, ReplayRequest, ReplayState,
    ReplayStatus, WallTime,
};
use crate::queues::engine::command::Command;
use crate::queues::ledger::failing::Failures;
use crate::queues::ledger::logs::Logs;
use crate::queues::rules::partitions::{Partition, Partitions};
use crate::queues::rules::replay::{ReplayJob, ReplayTotals};
use crate::queues::rules::router::in_reach;
use crate::state::{Expect, Kind, State, Write};

/// The ended replays of a hook that are stored for people to see.
const ENDED: usize = 20;
/// The reads of the log, of a megabyte each, after which a count lets others read.
const READS_OF_A_PART: usize = 8;
/// The records and bytes of one read.
const READ: usize = 4096;
const READ_BYTES: usize = 1 << 20;

impl Queues {
    /// Starts a replay. It is durable when this returns. A dry run only counts.
    pub async fn replay(&self, request: ReplayRequest) -> Result<ReplayStatus, AskError> {
        // Asked before the range is read, because that may take long.
        if !request.dry_run {
            let may =
                self.shards.ask(request.hook, |answer| Command::OneMoreReplay(request.hook, answer)).await?;
            may.map_err(AskError::TooMany)?;
        }
        let read = self.readings.account_read(request.account).await?;
        let now = self.clock.wall();
        let (dry_run, by) = (request.dry_run, request.by.clone());
        let job = self.blocking(move |logs| resolve(&logs, request, now)).await?;
        if job.from >= job.until {
            return Err(AskError::EmptyRange { from: job.from, until: job.until });
        }
        if dry_run {
            return self.count(job).await;
        }
        // The read ends here; the replay itself is bounded by its hook's permits.
        drop(read);
        let job = Arc::new(job);
        let mut writes = vec![put(job.id, Some(job.document()))];
        writes.extend(self.outlived(job.hook)?);
        // In a separate task: if the caller goes away meanwhile, no replay stays in the journal that does not run.
        let queues = self.clone();
        let begun = self.readings.tasks().spawn("replay", async move {
            // The document first: a replay that the engine has begun must be found in the journal after a crash.
            queues.write(by, writes).await?;
            let begun = queues.begin(job.clone()).await;
            if begun.is_err() {
                queues.write(None, vec![put(job.id, None)]).await?;
            }
            begun
        });
        begun.await.map_err(|_| AskError::Ended)?
    }

    /// Hands a replay to the engine. Its document is durable.
    pub async fn begin(&self, job: Arc<ReplayJob>) -> Result<ReplayStatus, AskError> {
        let chosen = self.chosen(&job).await?;
        let status = job.status(job.from, ReplayTotals::default());
        if self.shards.ask(job.hook, |answer| Command::Replay(job, chosen, answer)).await? {
            Ok(status)
        } else {
            Err(AskError::NoHook)
        }
    }

    /// The offsets that a replay delivers. `None`: its whole range.
    async fn chosen(&self, job: &ReplayJob) -> Result<Option<Arc<BTreeSet<EventOffset>>>, AskError> {
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
        // In parts, so that other reads get their turn in between.
        while let Some(from) = at {
            let (counting, hook, chosen) = (counting.clone(), hook.clone(), chosen.clone());
            let part = move |logs| Count { logs: &logs, job: &counting, hook: &hook, chosen }.part(from);
            let counted = self.blocking(part).await?;
            (at, matched) = (counted.next, matched + counted.matched);
        }
        let job = job.ended(
            ReplayState::Done,
            self.clock.wall(),
            ReplayTotals { matched, ..ReplayTotals::default() },
        );
        Ok(job.status(job.until, job.totals))
    }

    /// The replays of a hook, newest first. Running ones have their progress.
    pub async fn replays(&self, hook: HookId) -> Result<Vec<ReplayStatus>, AskError> {
        let mut found = self.shards.ask(hook, |answer| Command::Replays(hook, answer)).await?;
        // A replay that has ended in the engine, but not yet in the journal, is listed as it was at its start.
        let stored = self.jobs()?.into_iter().filter(|job| job.hook == hook);
        found.extend(
            stored.map(|job| job.status(if job.has_ended() { job.until } else { job.from }, job.totals)),
        );
        found.sort_by_key(|r| (std::cmp::Reverse(r.started_us), r.ended_us.is_some()));
        // A running replay was found twice: with its progress, and as its document.
        found.dedup_by_key(|r| r.id);
        Ok(found)
    }

    /// Ends a replay of a hook. That is durable when this returns.
    pub async fn cancel(
        &self,
        hook: HookId,
        replay: ReplayId,
        by: Option<Actor>,
    ) -> Result<Option<ReplayStatus>, AskError> {
        let Some((status, job)) =
            self.shards.ask(hook, |answer| Command::Cancel(hook, replay, answer)).await?
        else {
            return Ok(None);
        };
        // The engine ended it first, because only the engine knows the totals for the document.
        let doc = job.document();
        self.edit(replay, by, move |stored| stored.extend(doc)).await?;
        Ok(Some(status))
    }

    /// Pauses or resumes a replay of a hook. That is durable when this returns. A replay that has ended stays as it is.
    pub async fn hold(
        &self,
        hook: HookId,
        replay: ReplayId,
        state: ReplayState,
        by: Option<Actor>,
    ) -> Result<Option<ReplayStatus>, AskError> {
        let Some(job) = self.job(replay)?.filter(|job| job.hook == hook) else { return Ok(None) };
        let edited = move |stored: &mut Map<String, Value>| {
            let job = ReplayJob::from_document(stored.clone());
            if let Some(job) = job.filter(|job| !job.has_ended()) {
                stored.extend(ReplayJob { state, ..job }.document());
            }
        };
        // The document first: if the program ends before the engine gets the order, the next start finds the new state.
        let stored = self.edit(replay, by, edited).await?;
        let job = ReplayJob::from_document(stored).unwrap_or(job);
        let at_rest = job.status(job.until, job.totals);
        let held = self.shards.ask(hook, |answer| Command::Hold(Arc::new(job), answer)).await?;
        Ok(Some(held.unwrap_or(at_rest)))
    }

    async fn edit(
        &self,
        replay: ReplayId,
        by: Option<Actor>,
        edit: impl FnOnce(&mut Map<String, Value>) + Send + 'static,
    ) -> Result<Map<String, Value>, AskError> {
        Ok(self.state_of(by).update(Kind::Replay, &replay.to_string(), edit).await?)
    }

    /// The state with the actor for the audit trail.
    fn state_of(&self, by: Option<Actor>) -> State {
        let state = &self.logs.state;
        by.map_or_else(|| state.clone(), |by| state.acting_for(by))
    }

    async fn write(&self, by: Option<Actor>, writes: Vec<Write>) -> Result<(), AskError> {
        Ok(self.state_of(by).write(writes).await.map(drop)?)
    }

    fn job(&self, replay: ReplayId) -> Result<Option<ReplayJob>, AskError> {
        let doc = self.logs.state.get(Kind::Replay, &replay.to_string());
        Ok(doc.map_err(|e| AskError::State(e.to_string()))?.and_then(ReplayJob::from_document))
    }

    fn jobs(&self) -> Result<Vec<ReplayJob>, AskError> {
        let documents = self.logs.state.all(Kind::Replay).map_err(|e| AskError::State(e.to_string()))?;
        Ok(documents.into_iter().filter_map(ReplayJob::from_document).collect())
    }

    /// The writes that delete the oldest ended replays of a hook, so that `ENDED` are left.
    fn outlived(&self, hook: HookId) -> Result<Vec<Write>, AskError> {
        let mut ended: Vec<ReplayJob> = self.jobs()?;
        ended.retain(|job| job.hook == hook && job.has_ended());
        ended.sort_by_key(|job| std::cmp::Reverse(job.ended_us));
        let outlived = ended.split_off(ENDED.min(ended.len()));
        // One that left dead deliveries stays: after a start, only its document says that they are to be looked for.
        let is_known = ended.iter().any(may_have_dead);
        let kept = outlived.iter().find(|job| !is_known && may_have_dead(job)).map(|job| job.id);
        Ok(outlived.into_iter().filter(|job| Some(job.id) != kept).map(|job| put(job.id, None)).collect())
    }

    /// Continues the replays that were running when the program ended, and deletes those of deleted hooks.
    pub async fn resume_replays(&self) -> Result<usize, AskError> {
        let hook_is_there = |job: &ReplayJob| self.logs.state.hook(job.hook).is_some();
        let (jobs, orphans): (Vec<_>, Vec<_>) = self.jobs()?.into_iter().partition(hook_is_there);
        if !orphans.is_empty() {
            self.write(None, orphans.into_iter().map(|job| put(job.id, None)).collect()).await?;
        }
        self.begin_again(jobs).await
    }

    /// Continues the running replays of some partitions, which another shard has now.
    pub(super) async fn resume_replays_of(&self, partitions: Partitions) -> Result<usize, AskError> {
        let mut jobs = self.jobs()?;
        jobs.retain(|job| partitions.contains(Partition::of(job.hook)));
        self.begin_again(jobs).await
    }

    async fn begin_again(&self, jobs: Vec<ReplayJob>) -> Result<usize, AskError> {
        let with_dead: Vec<HookId> =
            jobs.iter().filter(|job| may_have_dead(job)).map(|job| job.hook).collect();
        if !with_dead.is_empty() {
            self.shards.ask_all(|answer| Command::DeadOfReplays(with_dead.clone(), answer)).await?;
        }
        let running: Vec<ReplayJob> = jobs.into_iter().filter(|job| !job.has_ended()).collect();
        let count = running.len();
        for job in running {
            let id = job.id;
            if let Err(error) = self.begin(Arc::new(job)).await {
                // Not an error: the replay's document stays as it is, and the next start tries again.
                tracing::warn!(replay_id = %id, %error, "replay is not resumed");
            }
        }
        Ok(count)
    }
}

/// Whether an ended replay may have left dead deliveries. When it was cancelled, its last attempts were still under way.
fn may_have_dead(job: &ReplayJob) -> bool {
    job.has_ended() && (job.totals.dead > 0 || job.state == ReplayState::Cancelled)
}

fn put(replay: ReplayId, doc: Option<Map<String, Value>>) -> Write {
    Write { kind: Kind::Replay, id: replay.to_string(), doc, expect: Expect::Any }
}

fn resolve(logs: &Logs, request: ReplayRequest, now: WallTime) -> Result<ReplayJob, ReadError> {
    let end = logs.events.end();
    // Offsets that retention has removed cannot be delivered again, and those beyond the end do not exist.
    if request.only == ReplayOnly::Chosen {
        let first = logs.events.first();
        let in_log = || request.offsets.iter().copied().filter(|offset| (first..end).contains(offset));
        let (from, until) = (in_log().min().unwrap_or(end), in_log().max().map_or(end, |last| last + 1));
        return Ok(ReplayJob::new(request, from, until, now));
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
    Ok(ReplayJob::new(request, from, until, now))
}

/// Counts the events of a replay.
struct Count<'a> {
    logs: &'a Logs,
    job: &'a ReplayJob,
    hook: &'a Hook,
    /// The offsets to count; `None` for the whole range.
    chosen: Option<Arc<BTreeSet<EventOffset>>>,
}

/// The count of a part of the range.
struct Counted {
    matched: u64,
    /// Where the next part begins. `None`: the range has been counted.
    next: Option<EventOffset>,
}

impl Count<'_> {
    /// Counts the part of the range that begins here.
    fn part(&self, from: EventOffset) -> Result<Counted, ReadError> {
        let (mut at, mut matched) = (from, 0);
        for _ in 0..READS_OF_A_PART {
            if at >= self.job.until {
                return Ok(Counted { matched, next: None });
            }
            let batch = if self.hook.include_subaccounts {
                self.logs.events.read(at, READ, READ_BYTES)?
            } else {
                let tags = [self.hook.account.tag()];
                self.logs.events.read_tags(&tags, at, self.job.until, READ, READ_BYTES)?
            };
            matched += batch.records.iter().filter(|record| self.matches(record)).count() as u64;
            if batch.next <= at {
                return Ok(Counted { matched, next: None });
            }
            at = batch.next;
        }
        Ok(Counted { matched, next: Some(at) })
    }

    fn matches(&self, record: &Record<EventOffset>) -> bool {
        let is_chosen = self.chosen.as_ref().is_none_or(|chosen| chosen.contains(&record.offset));
        let Ok(event) = Event::decode(&record.payload) else { return false };
        let account = event.account.and_then(|account| self.logs.state.account(account));
        // `read`, unlike `read_tags`, does not end at the range's end.
        record.offset < self.job.until
            && is_chosen
            && event.quarantine.is_none()
            && account.is_some_and(|account| in_reach(self.hook, &account))
            && self.job.covers(&event, record.time_us)
            && kazoo::wanted(self.hook, &event)
    }
}
