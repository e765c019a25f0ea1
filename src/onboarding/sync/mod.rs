//! The accounts and hooks of a KAZOO are followed while the program runs.
//!
//! Messages and feeds are hints: what they name is read again. The truth is a full reading, made at an interval.
//!
//! Held: losing, repeating and reordering hints changes nothing but how soon a change is here. A reading that fails or is
//! short deletes nothing, and neither does one that lies: each deletion is confirmed alone, and an hour has a limit of them.
//! Memory is bounded by the limits of a reading. What is here stays while a KAZOO cannot be read.

mod allowance;
mod feeds;
mod hints;
mod revisions;
mod round;
mod run;
mod status;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use self::hints::Hints;
use super::apply::Begin;
use super::plan::Rules;
use super::source::{Bounds, Source};
use crate::log;
use crate::model::Clock;
use crate::state::State;
use crate::tasks::Tasks;

pub use status::{Doing, SyncStatus, SyncWatch};

/// How a KAZOO is followed.
#[derive(Debug, Clone)]
pub struct Options {
    /// Between two full readings.
    pub interval: Duration,
    /// How long hints are gathered before what they name is read.
    pub settle: Duration,
    /// Percent of the accounts, or hooks, that may be deleted within an hour; ten of each always may.
    pub max_gone_percent: usize,
    /// Accounts and hooks that a KAZOO may have.
    pub bounds: Bounds,
    /// How documents are compared.
    pub rules: Rules,
}

/// The task that follows a KAZOO.
pub struct Sync {
    source: Source,
    state: State,
    events: log::Reader,
    begin: Arc<dyn Begin>,
    options: Options,
    clock: Clock,
    tasks: Tasks,
    status: watch::Sender<SyncStatus>,
    hints: Arc<Hints>,
}

impl fmt::Debug for Sync {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sync").field("options", &self.options).finish_non_exhaustive()
    }
}

/// What the sync works with.
pub struct Parts {
    /// The KAZOO.
    pub source: Source,
    /// The documents here.
    pub state: State,
    /// The log that KAZOO's messages are in.
    pub events: log::Reader,
    /// Where new hooks begin.
    pub begin: Arc<dyn Begin>,
    /// The time.
    pub clock: Clock,
    /// Where tasks are started.
    pub tasks: Tasks,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parts")
    }
}

impl Sync {
    /// A task that is not yet running, and a look at its state.
    #[must_use]
    pub fn new(parts: Parts, options: Options) -> (Self, SyncWatch) {
        let Parts { source, state, events, begin, clock, tasks } = parts;
        let status = watch::Sender::new(SyncStatus::default());
        let (look, hints) = (SyncWatch(status.subscribe()), Arc::default());
        (Self { source, state, events, begin, options, clock, tasks, status, hints }, look)
    }
}
