//! The handle of the queues for other rooms: questions and orders to the engines.

mod account_reads;
pub(in crate::queues) mod readings;
mod replays;
mod shards;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use crate::log::ReadError;
use crate::model::{
    AccountId, Clock, EventOffset, Hook, HookId, LedgerOffset, Minute, Pulse, QueueStatus, WaitingPart,
    WaitingQuery, WallTime,
};
use crate::queues::engine::command::{Command, RawStatus};
use crate::queues::engine::options::QueueOptions;
use crate::queues::engine::shadow::Stance;
use crate::queues::engine::survey::Survey;
use crate::queues::engine::unknown::{Unknown, UnknownCounts};
use crate::queues::ledger::logs::Logs;
use crate::queues::ledger::recover::recover_some;
use crate::queues::ledger::tally::Tally;
use crate::queues::rules::partitions::Partitions;
use crate::state::WriteError;
use readings::Readings;
use shards::Shards;

pub use shards::AskError;

/// The hooks in one question to an engine. More would keep an engine from its work for more than half a millisecond.
const STATUSES: usize = 512;

impl From<WriteError> for AskError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Limit(limit) => Self::Limit(limit),
            other => Self::State(other.to_string()),
        }
    }
}

/// A handle of the queues. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Queues {
    shards: Shards,
    logs: Logs,
    clock: Clock,
    readings: Readings,
    tally: Arc<Tally>,
    /// By shard: the events that wait until their accounts become known.
    unknown: Arc<[Arc<Unknown>]>,
}

impl Queues {
    /// A handle with the command channels of the engines, one for each shard.
    #[must_use]
    pub fn new(commands: Vec<mpsc::Sender<Command>>, logs: Logs, clock: Clock, readings: Readings) -> Self {
        let unknown = commands.iter().map(|_| Arc::default()).collect();
        let shards = Shards::new(commands);
        Self { shards, logs, clock, readings, tally: Arc::default(), unknown }
    }

    /// The counts that the engines update.
    #[must_use]
    pub fn counts(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// By shard: the events that wait in its engine until their accounts become known. Each engine has all these events.
    #[must_use]
    pub fn waiting_lists(&self) -> &[Arc<Unknown>] {
        &self.unknown
    }

    /// The number of events that wait until their accounts become known, and of events that have waited.
    #[must_use]
    pub fn unknown_counts(&self) -> UnknownCounts {
        self.unknown.first().map(|unknown| unknown.counts()).unwrap_or_default()
    }

    /// The offset at which a new hook of this account should begin, if events of the account arrived before the account was
    /// known.
    #[must_use]
    pub fn first_waiting(&self, account: AccountId) -> Option<EventOffset> {
        self.unknown.iter().filter_map(|unknown| unknown.first_waiting(account)).min()
    }

    /// The ledger's end.
    #[must_use]
    pub fn ledger_end(&self) -> LedgerOffset {
        self.logs.ledger.end()
    }

    async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(Logs) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, AskError> {
        let logs = self.logs.clone();
        Ok(self.readings.blocking(move || work(logs)).await?)
    }

    /// Whether every engine answers within this time.
    pub async fn is_alive(&self, within: Duration) -> bool {
        // No hook has this id, so the answer costs nothing.
        let asked = self.shards.ask_all(|answer| Command::Status(HookId::default(), answer));
        tokio::time::timeout(within, asked).await.is_ok_and(|answered| answered.is_ok())
    }

    /// Changes limits and policies. They apply to every attempt that begins after this returns, and end no attempt that is
    /// under way. Windows, memory and grace must be as before.
    pub async fn reload(&self, options: QueueOptions) -> Result<(), AskError> {
        let reload = |answer| Command::Reload(Box::new(options.clone()), answer);
        self.shards.ask_all(reload).await.map(drop)
    }

    /// The present state of a hook's queue.
    pub async fn status(&self, hook: HookId) -> Result<Option<QueueStatus>, AskError> {
        let asked = self.shards.ask(hook, |answer| Command::Status(hook, answer)).await?;
        let Some(RawStatus { mut status, oldest }) = asked else { return Ok(None) };
        if let Some(oldest) = oldest.filter(|_| status.waiting > 0) {
            // The index knows the time of a damaged event too.
            let exact = move |logs: &Logs| logs.events.get(oldest).ok().flatten();
            let time = self.blocking(move |logs| match exact(&logs) {
                Some(event) => Ok(Some(event.time_us)),
                None => logs.events.time_near(oldest),
            });
            let (time, now) = (time.await?, self.clock.wall());
            status.oldest_waiting_age_ms = time.map(|time_us| age_ms(time_us, now));
        }
        Ok(Some(status))
    }

    /// The unsettled deliveries of a hook's queue from an offset on. `None`: the hook has no queue yet.
    pub async fn waiting(&self, query: WaitingQuery) -> Result<Option<WaitingPart>, AskError> {
        self.shards.ask(query.hook, |answer| Command::Waiting(query, answer)).await
    }

    /// The present states of some hooks' queues, in the order of the hooks. `None`: the hook has no queue yet. The ages are
    /// those of the nearest entries in the log's index.
    pub async fn statuses(&self, hooks: &[Arc<Hook>]) -> Result<Vec<Option<QueueStatus>>, AskError> {
        let mut asked = Vec::with_capacity(hooks.len());
        for some in hooks.chunks(STATUSES) {
            let ids: Vec<HookId> = some.iter().map(|hook| hook.id).collect();
            asked.extend(self.shards.statuses(&ids).await?);
        }
        let waits = |raw: &RawStatus| raw.oldest.filter(|_| raw.status.waiting > 0);
        let waiting = asked.iter().enumerate().filter_map(|(at, raw)| Some((waits(raw.as_ref()?)?, at)));
        let mut waiting: Vec<(EventOffset, usize)> = waiting.collect();
        let mut statuses: Vec<_> = asked.into_iter().map(|raw| raw.map(|raw| raw.status)).collect();
        if waiting.is_empty() {
            return Ok(statuses);
        }
        let now = self.clock.wall();
        self.blocking(move |logs| {
            // In the order of the log, so that each part of the index is read only once.
            waiting.sort_unstable();
            for (oldest, at) in waiting {
                let time = logs.events.time_near(oldest)?;
                if let Some(status) = statuses.get_mut(at).and_then(Option::as_mut) {
                    status.oldest_waiting_age_ms = time.map(|time_us| age_ms(time_us, now));
                }
            }
            Ok(statuses)
        })
        .await
    }

    /// The recent activity of a hook's own queue. `None`: no attempt since the start.
    #[must_use]
    pub fn pulse(&self, hook: HookId) -> Option<Pulse> {
        self.tally.recent.pulse(hook.into(), self.clock.wall())
    }

    /// The minutes of the last hour in which a hook's own queue made attempts.
    #[must_use]
    pub fn hour(&self, hook: HookId) -> Vec<Minute> {
        self.tally.recent.hour(hook.into(), self.clock.wall())
    }

    /// Removes the recent activity of deleted hooks and of replays.
    pub fn forget_gone(&self) {
        self.tally.recent.retain(|queue| self.logs.state.hook(queue.as_hook()).is_some());
    }

    /// The present states of all queues. The ages are those of the nearest entries in the log's index.
    pub async fn survey(&self) -> Result<Survey, AskError> {
        let mut survey = Survey::of_all(self.shards.ask_all(Command::Survey).await?);
        let now = self.clock.wall();
        self.blocking(move |logs| {
            // In the order of the log, so that each part of the index is read only once.
            survey.hooks.sort_unstable_by_key(|hook| hook.oldest);
            for hook in survey.hooks.iter_mut().filter(|hook| hook.status.waiting > 0) {
                let Some(oldest) = hook.oldest else { continue };
                let time = logs.events.time_near(oldest)?;
                hook.status.oldest_waiting_age_ms = time.map(|time_us| age_ms(time_us, now));
            }
            Ok(survey)
        })
        .await
    }

    /// Counts of attempts and deliveries since the start.
    #[must_use]
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Forgets the recent failures of these hooks. Returns the number of hooks that had any.
    pub async fn reset_failures(&self, hooks: Vec<HookId>) -> Result<usize, AskError> {
        let counts = self.shards.ask_all(|answer| Command::ResetFailures(hooks.clone(), answer)).await?;
        Ok(counts.into_iter().sum())
    }

    /// Makes the probe of a hook now that failures have disabled. Returns false if the hook is not probed.
    pub async fn probe(&self, hook: HookId) -> Result<bool, AskError> {
        self.shards.ask(hook, |answer| Command::Probe(hook, answer)).await
    }

    /// Stops the routing of events that arrive after this, until `stand`. Returns the offset below which engines may have
    /// routed events.
    pub async fn hold_events(&self) -> Result<EventOffset, AskError> {
        let ends = self.shards.ask_all(Command::HoldEvents).await?;
        Ok(ends.into_iter().max().unwrap_or_default())
    }

    /// Sets the stance beside a KAZOO. It applies in all engines when this returns.
    pub async fn stand(&self, stance: Stance) -> Result<(), AskError> {
        self.shards.ask_all(|answer| Command::Stance(stance, answer)).await.map(drop)
    }

    /// Moves partitions to a shard while the queues work. Each delivery is made by one shard at a time, and no attempt that
    /// is under way is repeated. The move continues if the caller goes away. Only tests move partitions so far.
    pub async fn move_partitions(&self, set: Partitions, to: usize) -> Result<(), AskError> {
        if to >= self.shards.count() {
            return Err(AskError::Ended);
        }
        let queues = self.clone();
        // Given up half-way, partitions would have no owner.
        let moving = self.readings.tasks().spawn("moving partitions", async move {
            let recover = async |set| {
                let is_replay = |logs: &Logs, id| logs.replay_of(id).is_some();
                let logs = queues.logs.clone();
                let read = move || recover_some(&logs.ledger, set, |id| is_replay(&logs, id));
                queues.readings.blocking(read).await
            };
            let moved = queues.shards.move_to(set, to, recover).await?;
            queues.resume_replays_of(moved).await.map(drop)
        });
        moving.await.map_err(|_| AskError::Ended)?
    }
}

/// The age of an event that the log took at this time.
fn age_ms(time_us: u64, now: WallTime) -> u64 {
    now.micros().saturating_sub(time_us) / 1000
}
