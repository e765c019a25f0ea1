//! The mode beside a running KAZOO (`kazoo.mode`): stored in the journal, and changed by the configuration or the API.
//!
//! The last decision counts. A mode set over the API survives a restart; the value in the configuration counts from the
//! start or reload at which it differs from its former value. A change sets a border in the log while no event is
//! routed, and no event after the border is routed before the change is on disk. So whenever a crash happens, each
//! event belongs to exactly one system.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::http::{Held, ModeRefusal, ModeStart, ModeStatus};
use crate::log::ReaderOf;
use crate::model::{Actor, Clock, Duty, EventOffset, Mode, ModeError, Ownership};
use crate::queues::{AskError, Queues, Stance};
use crate::state::{Expect, IndexError, Kind, State, Write, WriteError};
use crate::tasks::Tasks;

/// The id of the setting with the mode.
const MODE: &str = "mode";

/// The stored mode.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Stored {
    ownership: Ownership,
    /// The value in the configuration when this was stored.
    configured: Mode,
    /// When the mode was last changed, in microseconds since 1970. `None`: never.
    since_us: Option<u64>,
}

/// Why the mode cannot be determined at the start.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenModeError {
    /// The index cannot be read.
    #[error("{0}")]
    Index(#[from] IndexError),
    /// The stored mode has an unknown format.
    #[error("the stored mode is unreadable: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// The configured mode cannot follow the stored one.
    #[error("kazoo.mode: {0}")]
    Change(#[from] ModeError),
}

/// Why the mode was not changed.
#[derive(Debug, thiserror::Error)]
pub(super) enum ChangeModeError {
    /// The new mode cannot follow the present one.
    #[error("{0}")]
    Change(#[from] ModeError),
    /// The queues have ended.
    #[error("{0}")]
    Queues(#[from] AskError),
    /// The journal refuses the change.
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

/// The mode of the program. Cheap to clone; all clones share it.
#[derive(Clone)]
pub(super) struct Modes(Arc<Inner>);

struct Inner {
    state: State,
    queues: Queues,
    events: ReaderOf<EventOffset>,
    clock: Clock,
    duty: Duty,
    tasks: Tasks,
    stored: Mutex<Stored>,
}

/// The mode at the start of the program.
#[derive(Clone)]
pub(super) struct Beginning {
    stored: Stored,
    /// Whether the journal does not have it yet.
    is_new: bool,
}

impl Beginning {
    /// The stored mode, changed if the configuration has a new value. `end` is the end of the events log.
    pub(super) fn read(
        state: &State,
        configured: Mode,
        end: EventOffset,
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
        Ok(Self { stored: Stored { ownership, configured, since_us: Some(now_us) }, is_new: true })
    }

    /// The mode at the start.
    pub(super) fn mode(&self) -> Mode {
        self.stored.ownership.mode()
    }

    /// Logs a mode that the configuration has changed.
    pub(super) fn log(&self, end: EventOffset) {
        if self.is_new {
            tracing::info!(mode = %self.mode(), end = end.0, "mode changed by the configuration");
        }
    }

    /// The rule that the steps consult before they deliver or publish.
    pub(super) fn duty(&self) -> Duty {
        Duty::new(self.stored.ownership.clone())
    }

    /// How the queues begin. If the mode is new, they wait until it is on disk.
    pub(super) fn stance(&self, end: EventOffset) -> Stance {
        let stance = Stance::of(&self.stored.ownership);
        if self.is_new { Stance { hold_from: stance.hold_from.or(Some(end)), ..stance } } else { stance }
    }
}

/// The parts that changing the mode needs.
pub(super) struct ModeParts {
    pub(super) beginning: Beginning,
    pub(super) duty: Duty,
    pub(super) state: State,
    pub(super) queues: Queues,
    pub(super) events: ReaderOf<EventOffset>,
    pub(super) clock: Clock,
    pub(super) tasks: Tasks,
}

impl Modes {
    pub(super) fn new(parts: ModeParts) -> Self {
        let ModeParts { beginning, duty, state, queues, events, clock, tasks } = parts;
        let stored = Mutex::new(beginning.stored);
        Self(Arc::new(Inner { state, queues, events, clock, duty, tasks, stored }))
    }

    /// The rule that the steps consult before they deliver or publish.
    pub(super) fn duty(&self) -> &Duty {
        &self.0.duty
    }

    /// Stores the mode of the start, and lets the queues continue.
    pub(super) async fn begin(&self) -> Result<(), ChangeModeError> {
        let stored = self.0.stored.lock().await;
        let kept = self.0.state.get(Kind::Setting, MODE).ok().flatten();
        let kept = kept.and_then(|doc| serde_json::from_value::<Stored>(Value::Object(doc)).ok());
        // An installation that has only ever been live stores nothing.
        let is_usual = kept.is_none() && stored.configured == Mode::Live;
        if !is_usual && kept.as_ref() != Some(&*stored) {
            self.0.store(&stored, None).await?;
        }
        self.0.queues.stand(Stance::of(&stored.ownership)).await?;
        Ok(())
    }

    /// Changes the mode if the configuration has a new value.
    pub(super) async fn configure(&self, configured: Mode) -> Result<(), ChangeModeError> {
        // The guard ends with this statement, because `change` takes the same lock.
        let before = self.0.stored.lock().await.configured;
        if before == configured {
            return Ok(());
        }
        let wanted = RequestedChange { to: configured, start: ModeStart::Here, configured: Some(configured) };
        self.change_in_task(wanted, None).await
    }

    /// Changes the mode for an operator.
    pub(super) async fn change(
        &self,
        to: Mode,
        start: ModeStart,
        by: Option<Actor>,
    ) -> Result<ModeStatus, ModeRefusal> {
        self.change_in_task(RequestedChange { to, start, configured: None }, by).await?;
        Ok(self.status().await)
    }

    /// Makes the change in its own task, so that a caller who disconnects does not leave the queues waiting.
    async fn change_in_task(
        &self,
        wanted: RequestedChange,
        by: Option<Actor>,
    ) -> Result<(), ChangeModeError> {
        let inner = Arc::clone(&self.0);
        let task = self.0.tasks.spawn("mode", async move { inner.change(wanted, by).await });
        task.await.map_err(|_| ChangeModeError::Ending)?
    }

    /// The present mode, for operators.
    pub(super) async fn status(&self) -> ModeStatus {
        let stored = self.0.stored.lock().await.clone();
        let end = self.0.events.end();
        let held = stored.ownership.waits_from().map(|from| Held { from, count: end.since(from) });
        ModeStatus {
            mode: stored.ownership.mode(),
            configured: stored.configured,
            since_us: stored.since_us,
            borders: stored.ownership.borders().to_vec(),
            held,
        }
    }
}

/// A requested change.
#[derive(Debug, Clone, Copy)]
struct RequestedChange {
    to: Mode,
    start: ModeStart,
    /// The configuration's value, when the configuration requests the change.
    configured: Option<Mode>,
}

impl Inner {
    async fn change(&self, wanted: RequestedChange, by: Option<Actor>) -> Result<(), ChangeModeError> {
        let mut stored = self.stored.lock().await;
        // Before the queues are held: the search reads the disk, and no event is routed meanwhile.
        let from = match wanted.start {
            ModeStart::Here => None,
            ModeStart::Offset(offset) => Some(offset),
            ModeStart::TimeUs(time) => {
                let events = self.events.clone();
                let found = self.tasks.spawn_blocking(move || events.offset_at_time(time)).await;
                Some(found.map_err(|_| ChangeModeError::Ending)?.map_err(AskError::from)?)
            }
        };
        // The queues are held from here on, so `stand` below must be reached after a refusal too.
        let end = self.queues.hold_events().await?;
        let next = self.next(&stored, wanted, from, end);
        let result = match next {
            Ok(next) => self.store(&next, by).await.map(|()| *stored = next).map_err(ChangeModeError::from),
            Err(refused) => Err(refused.into()),
        };
        // After the change is on disk: what is delivered under the new mode must not be forgotten by a crash.
        self.duty.set(stored.ownership.clone());
        self.queues.stand(Stance::of(&stored.ownership)).await?;
        if result.is_ok() {
            tracing::info!(mode = %stored.ownership.mode(), end = end.0, "mode changed");
        }
        result
    }

    fn next(
        &self,
        stored: &Stored,
        wanted: RequestedChange,
        from: Option<EventOffset>,
        end: EventOffset,
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
