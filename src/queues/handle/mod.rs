//! What others hold of the queues: questions and orders, and the ledger to read.

mod places;
mod replays;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc, oneshot};

use crate::log::{ReadError, Reader};
use crate::model::{
    AccountId, AttemptPage, AttemptQuery, AttemptRow, Clock, Dead, DeadList, DeadQuery, EventDeliveries,
    EventPage, EventQuery, EventRow, EventScope, Hook, HookId, Minute, Pulse, QueueStatus,
};
use crate::queues::attempts::AttemptReader;
use crate::queues::engine::command::{Command, RawStatus};
use crate::queues::engine::options::Options;
use crate::queues::engine::survey::Survey;
use crate::queues::engine::unknown::Unknown;
use crate::queues::ledger::tally::Tally;
use crate::state::{LimitError, State, WriteError};
use crate::tasks::Tasks;
use places::{Place, Places};

/// Readings of the logs for the API at a time; more of them wait for their turn.
const READINGS: usize = 8;
/// Hooks whose queues the engine is asked about at a time, so that nobody else waits for long: half a millisecond.
const STATUSES: usize = 512;

/// Why a question has no answer.
#[derive(Debug, thiserror::Error)]
pub enum AskError {
    /// There is no such hook.
    #[error("hook has no queue")]
    NoHook,
    /// The hook has as many replays as it may.
    #[error("{0} replays are running, the most allowed")]
    TooMany(usize),
    /// Too many readings of the account wait already.
    #[error("too many readings of the account wait already")]
    Busy,
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
    /// The replay's document would break a limit of its account.
    #[error(transparent)]
    Limit(LimitError),
    /// The state cannot keep the replay.
    #[error("replay cannot be kept: {0}")]
    State(String),
}

impl From<WriteError> for AskError {
    fn from(error: WriteError) -> Self {
        match error {
            WriteError::Limit(limit) => Self::Limit(limit),
            other => Self::State(other.to_string()),
        }
    }
}

/// A cheap handle of the queues.
#[derive(Debug, Clone)]
pub struct Queues {
    commands: mpsc::Sender<Command>,
    pub(in crate::queues) attempts: AttemptReader,
    pub(in crate::queues) clock: Clock,
    pub(in crate::queues) tasks: Tasks,
    readings: Arc<Semaphore>,
    places: Arc<Places>,
    tally: Arc<Tally>,
    unknown: Arc<Unknown>,
}

impl Queues {
    /// A handle that sends to the engine's command channel; `logs` are events and ledger.
    #[must_use]
    pub fn new(
        commands: mpsc::Sender<Command>,
        (events, ledger): (Reader, Reader),
        state: State,
        clock: Clock,
        (tasks, successes): (Tasks, bool),
    ) -> Self {
        let tally = Arc::default();
        let attempts = AttemptReader { ledger, events, state, successes };
        let readings = Arc::new(Semaphore::new(READINGS));
        Self {
            commands,
            attempts,
            clock,
            tasks,
            readings,
            places: Arc::default(),
            tally,
            unknown: Arc::default(),
        }
    }

    /// What the engine is to count with.
    #[must_use]
    pub fn counts(&self) -> Arc<Tally> {
        Arc::clone(&self.tally)
    }

    /// Events that wait for their accounts to become known.
    #[must_use]
    pub fn unknown(&self) -> Arc<Unknown> {
        Arc::clone(&self.unknown)
    }

    /// The ledger's end.
    #[must_use]
    pub fn ledger_end(&self) -> u64 {
        self.attempts.ledger.end()
    }

    pub(in crate::queues) async fn ask<T>(
        &self,
        command: impl FnOnce(oneshot::Sender<T>) -> Command,
    ) -> Result<T, AskError> {
        let (answer, asked) = oneshot::channel();
        self.commands.send(command(answer)).await.map_err(|_| AskError::Ended)?;
        asked.await.map_err(|_| AskError::Ended)
    }

    /// A place among the account's own for a reading that takes long.
    pub(in crate::queues) async fn place(&self, account: AccountId) -> Result<Place, AskError> {
        self.places.take(account).await.ok_or(AskError::Busy)
    }

    pub(in crate::queues) async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce(AttemptReader) -> Result<T, ReadError> + Send + 'static,
    ) -> Result<T, AskError> {
        let reader = self.attempts.clone();
        let turn = self.readings.clone().acquire_owned().await.map_err(|_| AskError::Ended)?;
        let work = move || {
            // Held to the end of the work, also when nobody waits for it any more.
            let _turn = turn;
            work(reader)
        };
        Ok(self.tasks.spawn_blocking(work).await.map_err(|_| AskError::Ended)??)
    }

    /// Whether the engine answers within this time.
    pub async fn is_alive(&self, within: Duration) -> bool {
        // No hook has this id: the question costs nothing.
        let asked = self.ask(|answer| Command::Status(HookId::default(), answer));
        tokio::time::timeout(within, asked).await.is_ok_and(|answered| answered.is_ok())
    }

    /// Other limits and policies. When this answers they hold for every attempt that begins; nothing that is under
    /// way is ended. What queues are made with (windows, memory, grace) has to be as before.
    pub async fn reload(&self, options: Options) -> Result<(), AskError> {
        self.ask(|answer| Command::Reload(Box::new(options), answer)).await
    }

    /// A hook's queue now.
    pub async fn status(&self, hook: HookId) -> Result<Option<QueueStatus>, AskError> {
        let Some(RawStatus { mut status, oldest }) = self.ask(|answer| Command::Status(hook, answer)).await?
        else {
            return Ok(None);
        };
        if let Some(oldest) = oldest.filter(|_| status.waiting > 0) {
            // One that is damaged has an age, too, from the index.
            let exact = move |reader: &AttemptReader| reader.events.get(oldest).ok().flatten();
            let time = self.blocking(move |reader| match exact(&reader) {
                Some(event) => Ok(Some(event.time_us)),
                None => reader.events.time_near(oldest),
            });
            let (time, now) = (time.await?, self.clock.now_us());
            status.oldest_waiting_age_ms = time.map(|time| now.saturating_sub(time) / 1000);
        }
        Ok(Some(status))
    }

    /// The queues of some hooks now, in their order; `None`: the hook has none yet. The ages are read from the log's
    /// index, which is right to within a few kilobytes.
    pub async fn statuses(&self, hooks: &[Arc<Hook>]) -> Result<Vec<Option<QueueStatus>>, AskError> {
        let mut asked = Vec::with_capacity(hooks.len());
        for some in hooks.chunks(STATUSES) {
            let ids = some.iter().map(|hook| hook.id).collect();
            asked.extend(self.ask(|answer| Command::Statuses(ids, answer)).await?);
        }
        let waits = |raw: &RawStatus| raw.oldest.filter(|_| raw.status.waiting > 0);
        let waiting = asked.iter().enumerate().filter_map(|(at, raw)| Some((waits(raw.as_ref()?)?, at)));
        let mut waiting: Vec<(u64, usize)> = waiting.collect();
        let mut statuses: Vec<_> = asked.into_iter().map(|raw| raw.map(|raw| raw.status)).collect();
        if waiting.is_empty() {
            return Ok(statuses);
        }
        let now = self.clock.now_us();
        self.blocking(move |reader| {
            // In the order of the log: each part of its index is looked at once.
            waiting.sort_unstable();
            for (oldest, at) in waiting {
                let time = reader.events.time_near(oldest)?;
                if let Some(status) = statuses.get_mut(at).and_then(Option::as_mut) {
                    status.oldest_waiting_age_ms = time.map(|time| now.saturating_sub(time) / 1000);
                }
            }
            Ok(statuses)
        })
        .await
    }

    /// What a hook's own queue did last; `None`: nothing since the program started.
    #[must_use]
    pub fn pulse(&self, hook: HookId) -> Option<Pulse> {
        self.tally.recent.pulse(hook, self.clock.now_us())
    }

    /// The minutes of the last hour in which a hook's own queue made attempts.
    #[must_use]
    pub fn hour(&self, hook: HookId) -> Vec<Minute> {
        self.tally.recent.hour(hook, self.clock.now_us())
    }

    /// Forgets what queues did last whose hooks are gone, and replays that ended.
    pub fn forget_gone(&self) {
        self.tally.recent.retain(|queue| self.attempts.state.hook(queue).is_some());
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
        let _place = self.place(query.account).await?;
        self.blocking(move |reader| reader.page(&query)).await
    }

    /// A page of events.
    pub async fn search(&self, query: EventQuery) -> Result<EventPage, AskError> {
        let _place = match query.scope {
            EventScope::Account(account) | EventScope::QuarantineOf(account) => {
                Some(self.place(account).await?)
            }
            EventScope::Quarantine => None,
        };
        self.blocking(move |reader| reader.search(&query)).await
    }

    /// One event with its body.
    pub async fn event(&self, offset: u64) -> Result<Option<EventRow>, AskError> {
        self.blocking(move |reader| reader.event(offset)).await
    }

    /// What became of an event at an account's hooks.
    pub async fn deliveries(&self, account: AccountId, offset: u64) -> Result<EventDeliveries, AskError> {
        let _place = self.place(account).await?;
        self.blocking(move |reader| reader.deliveries(account, offset)).await
    }

    /// An event's record as the log has it.
    pub async fn record(&self, offset: u64) -> Result<Option<Bytes>, AskError> {
        self.blocking(move |reader| Ok(reader.events.get(offset)?.map(|record| record.payload))).await
    }

    /// Makes the probe of a hook that failures disabled now. False: it has none.
    pub async fn probe(&self, hook: HookId) -> Result<bool, AskError> {
        self.ask(|answer| Command::Probe(hook, answer)).await
    }

    /// What became of an event at one hook.
    pub async fn delivery(
        &self,
        account: AccountId,
        hook: HookId,
        offset: u64,
    ) -> Result<EventDeliveries, AskError> {
        let _place = self.place(account).await?;
        self.blocking(move |reader| reader.delivery(hook, offset)).await
    }

    /// A hook's dead deliveries.
    pub async fn dead(&self, query: DeadQuery) -> Result<DeadList, AskError> {
        let _place = match self.attempts.state.hook(query.hook) {
            Some(hook) => Some(self.place(hook.account).await?),
            None => None,
        };
        self.blocking(move |reader| reader.dead(&query)).await
    }

    /// Dead deliveries of a hook as the API shows them.
    pub async fn dead_rows(&self, hook: HookId, dead: Vec<Dead>) -> Result<Vec<AttemptRow>, AskError> {
        self.blocking(move |reader| reader.dead_rows(hook, &dead)).await
    }
}
