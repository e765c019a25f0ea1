//! Follows the accounts and hooks of a KAZOO while the program runs.
//!
//! Messages and feeds are only hints: the sync reads the documents that they name. The authority is a full reading,
//! made at an interval.
//!
//! Promise: lost, repeated or reordered hints only change how soon a change arrives here. A reading that fails, is
//! incomplete or lies deletes nothing: KAZOO must confirm each deletion separately, and the number of deletions
//! within an hour is limited. Memory is bounded by the limits of a reading. While a KAZOO cannot be read, its
//! accounts and hooks stay here.

mod allowance;
mod feeds;
mod gone;
mod hints;
mod revisions;
mod round;
mod run;
mod status;
mod under_way;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use self::hints::Hints;
use super::apply::Begin;
use super::rules::Rules;
use super::source::{Bounds, Source};
use crate::log::ReaderOf;
use crate::model::{Clock, EventOffset};
use crate::state::State;
use crate::tasks::Tasks;

pub use status::{Doing, ReadingStatus, SyncStatus, SyncWatch};

/// The settings of the sync.
#[derive(Debug, Clone)]
pub struct SyncOptions {
    /// The time between two full readings.
    pub interval: Duration,
    /// The time for which hints are collected before the sync reads the documents that they name.
    pub settle: Duration,
    /// The percentage of accounts, or of hooks, that may be deleted within an hour. Ten of each may always be
    /// deleted.
    pub max_gone_percent: usize,
    /// How many accounts are read before they are written, while more than these are new. It bounds the changes in memory.
    pub step: usize,
    /// The largest numbers of accounts and hooks of a KAZOO.
    pub bounds: Bounds,
    /// The rules for comparing documents.
    pub rules: Rules,
}

/// The task that follows a KAZOO.
pub struct Sync {
    source: Source,
    state: State,
    events: ReaderOf<EventOffset>,
    begin: Arc<dyn Begin>,
    options: SyncOptions,
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

/// The parts of the program that the sync uses.
pub struct Parts {
    /// The KAZOO.
    pub source: Source,
    /// The documents of this installation.
    pub state: State,
    /// The log with KAZOO's messages.
    pub events: ReaderOf<EventOffset>,
    /// Finds the positions at which new hooks start.
    pub begin: Arc<dyn Begin>,
    /// The source of the time.
    pub clock: Clock,
    /// Starts tasks.
    pub tasks: Tasks,
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Parts")
    }
}

impl Sync {
    /// A sync that does not run yet, and a view of its status.
    #[must_use]
    pub fn new(parts: Parts, options: SyncOptions) -> (Self, SyncWatch) {
        let Parts { source, state, events, begin, clock, tasks } = parts;
        let status = watch::Sender::new(SyncStatus::default());
        let (look, hints) = (SyncWatch(status.subscribe()), Arc::default());
        (Self { source, state, events, begin, options, clock, tasks, status, hints }, look)
    }
}
