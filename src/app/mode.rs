//! The mode beside a running KAZOO (`kazoo.mode`): kept in the journal, changed by the configuration or by the API.
//!
//! The last decision holds. What the API has set stays over a restart; a value in the configuration counts from the moment
//! when it is another one than before. A change draws its border in the log while no event is routed, and no event behind
//! the border is routed before the change is on disk. So a crash at any moment leaves each event to one system.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::http::{ModeRefusal, ModeStart, ModeStatus};
use crate::log::Reader;
use crate::model::{Actor, Clock, Duty, Mode, ModeError, Ownership};
use crate::queues::{AskError, Queues, Stance};
use crate::state::{Expect, IndexError, Kind, State, Write, WriteError};
use crate::tasks::Tasks;

/// The id of the setting that holds it.
const MODE: &str = "mode";

/// What is kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    ownership: Ownership,
    /// What the configuration said last.
    configured: Mode,
    /// When the mode was changed last, microseconds since 1970. `None`: never.
    since_us: Option<u64>,
}

/// The mode cannot be known.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenModeError {
    /// The index cannot be read.
    #[error("{0}")]
    Index(#[from] IndexError),
    /// What is stored is none of this version's.
    #[error("the stored mode is unreadable: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// The configured one cannot follow the stored one.
    #[error("kazoo.mode: {0}")]
    Change(#[from] ModeError),
}

/// Why the mode is as it was.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChangeModeError {
    /// It cannot follow the one before.
    #[error("{0}")]
    Change(#[from] ModeError),
    /// The queues have ended.
    #[error("{0}")]
    Queues(#[from] AskError),
    /// The journal does not take it.
    #[error("mode cannot be stored: {0}")]
    State(#[from] WriteError),
    /// The program is ending.
    #[error("the program is ending")]
    Ending,
}

impl From<ChangeModeError> for ModeRefusal {
    fn from(error: ChangeModeError) -> Self {
        match error {
            ChangeModeError::Change(refused) => Self::Impossible(refused.to_string()),
            other => Self::Unavailable(other.to_string()),
        }
    }
}

/// The mode. Cheap to clone; clones share it.
#[derive(Clone)]
pub(super) struct Modes(Arc<Inner>);

struct Inner {
    state: State,
    queues: Queues,
    events: Reader,
    clock: Clock,
    duty: Duty,
    tasks: Tasks,
    stored: Mutex<Stored>,
}

/// The mode as the program starts.
#[derive(Clone)]
pub(super) struct Beginning {
    stored: Stored,
    /// Whether the journal has something else.
    is_new: bool,
}

impl Beginning {
    /// What the journal says, changed if the configuration says something else than before. `end` is the end of the log.
    pub(super) fn read(
        state: &State,
        configured: Mode,
        end: u64,
        now_us: u64,
    ) -> Result<Self, OpenModeError> {
        let kept = state.get(Kind::Setting, MODE)?;
        let kept = kept.map(|doc| serde_json::from_value::<Stored>(Value::Object(doc))).transpose()?;
        let live = Stored { ownership: Ownership::live(), configured: Mode::Live, since_us: None };
        let kept = kept.unwrap_or(live);
        let before = Stored { ownership: kept.ownership.clone().within(end), ..kept };
        if before.configured == configured {
            return Ok(Self { stored: before, is_new: false });
        }
        let ownership = before.ownership.changed(configured, None, end)?;
        tracing::info!(before = %before.ownership.mode(), mode = %configured, end, "mode changed by the configuration");
        Ok(Self { stored: Stored { ownership, configured, since_us: Some(now_us) }, is_new: true })
    }

    /// What the steps act by.
    pub(super) fn duty(&self) -> Duty {
        Duty::new(self.stored.ownership.clone())
    }

    /// What the queues begin with: they wait for what is not on disk yet.
    pub(super) fn stance(&self, end: u64) -> Stance {
        let stance = Stance::of(&self.stored.ownership);
        if self.is_new { Stance { hold_from: stance.hold_from.or(Some(end)), ..stance } } else { stance }
    }
}

/// What the mode is changed with.
pub(super) struct ModeParts {
    pub(super) beginning: Beginning,
    pub(super) duty: Duty,
    pub(super) state: State,
    pub(super) queues: Queues,
    pub(super) events: Reader,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
}

impl Modes {
    pub(super) fn new(parts: ModeParts) -> Self {
        let ModeParts { beginning, duty, state, queues, events, clock, tasks } = parts;
        let stored = Mutex::new(beginning.stored);
        Self(Arc::new(Inner { state, queues, events, clock, duty, tasks, stored }))
    }

    /// What holds now.
    pub(super) fn duty(&self) -> &Duty {
        &self.0.duty
    }

    /// Stores what the start has decided, and lets the queues go on.
    pub(super) async fn begin(&self) -> Result<(), ChangeModeError> {
        let stored = self.0.stored.lock().await;
        let kept = self.0.state.get(Kind::Setting, MODE).ok().flatten();
        let kept = kept.and_then(|doc| serde_json::from_value::<Stored>(Value::Object(doc)).ok());
        let is_usual = kept.is_none() && stored.configured == Mode::Live;
        if !is_usual && kept.as_ref() != Some(&*stored) {
            self.0.store(&stored, None).await?;
        }
        self.0.queues.stand(Stance::of(&stored.ownership)).await?;
        Ok(())
    }

    /// Takes what the configuration says now, if that is another mode than it said before.
    pub(super) async fn configure(&self, configured: Mode) -> Result<(), ChangeModeError> {
        let before = self.0.stored.lock().await.configured;
        if before == configured {
            return Ok(());
        }
        let wanted = Wanted { to: configured, start: ModeStart::Here, configured: Some(configured) };
        self.change_in_task(wanted, None).await
    }

    /// Changes the mode for a person.
    pub(super) async fn change(
        &self,
        to: Mode,
        start: ModeStart,
        by: Option<Actor>,
    ) -> Result<ModeStatus, ModeRefusal> {
        self.change_in_task(Wanted { to, start, configured: None }, by).await?;
        Ok(self.status().await)
    }

    /// A caller that goes away must not leave the queues waiting: the change has a task of its own.
    async fn change_in_task(&self, wanted: Wanted, by: Option<Actor>) -> Result<(), ChangeModeError> {
        let inner = Arc::clone(&self.0);
        let task = self.0.tasks.spawn("mode", async move { inner.change(wanted, by).await });
        task.await.map_err(|_| ChangeModeError::Ending)?
    }

    /// What holds now, for a person.
    pub(super) async fn status(&self) -> ModeStatus {
        let stored = self.0.stored.lock().await.clone();
        let end = self.0.events.end();
        let held = stored.ownership.waits_from().map(|from| (from, end.saturating_sub(from)));
        ModeStatus {
            mode: stored.ownership.mode(),
            configured: stored.configured,
            since_us: stored.since_us,
            borders: stored.ownership.borders().to_vec(),
            held,
        }
    }
}

/// A change that is asked for.
#[derive(Debug, Clone, Copy)]
struct Wanted {
    to: Mode,
    start: ModeStart,
    /// What the configuration says, when it is the one that asks.
    configured: Option<Mode>,
}

impl Inner {
    async fn change(&self, wanted: Wanted, by: Option<Actor>) -> Result<(), ChangeModeError> {
        let mut stored = self.stored.lock().await;
        let from = match wanted.start {
            ModeStart::Here => None,
            ModeStart::Offset(offset) => Some(offset),
            ModeStart::TimeUs(time) => {
                let events = self.events.clone();
                let found = self.tasks.spawn_blocking(move || events.offset_at_time(time)).await;
                Some(found.map_err(|_| ChangeModeError::Ending)?.map_err(AskError::from)?)
            }
        };
        let end = self.queues.hold_events().await?;
        let next = self.next(&stored, wanted, from, end);
        let result = match next {
            Ok(next) => self.store(&next, by).await.map(|()| *stored = next).map_err(ChangeModeError::from),
            Err(refused) => Err(refused.into()),
        };
        self.duty.set(stored.ownership.clone());
        self.queues.stand(Stance::of(&stored.ownership)).await?;
        if result.is_ok() {
            tracing::info!(mode = %stored.ownership.mode(), end, "mode changed");
        }
        result
    }

    fn next(
        &self,
        stored: &Stored,
        wanted: Wanted,
        from: Option<u64>,
        end: u64,
    ) -> Result<Stored, ModeError> {
        let ownership = stored.ownership.changed(wanted.to, from, end)?;
        let configured = wanted.configured.unwrap_or(stored.configured);
        let is_same = ownership == stored.ownership;
        let since_us = if is_same { stored.since_us } else { Some(self.clock.now_us()) };
        Ok(Stored { ownership, configured, since_us })
    }

    async fn store(&self, stored: &Stored, by: Option<Actor>) -> Result<(), WriteError> {
        let Ok(Value::Object(doc)) = serde_json::to_value(stored) else { return Ok(()) };
        let state = by.map_or_else(|| self.state.clone(), |actor| self.state.acting_for(actor));
        let write = Write { kind: Kind::Setting, id: MODE.to_owned(), doc: Some(doc), expect: Expect::Any };
        state.write(vec![write]).await.map(drop)
    }
}
