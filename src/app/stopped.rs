//! A data directory that no program uses, opened to change its documents: locked, recovered as at a start, and closed
//! with everything on disk. Events are neither accepted nor delivered.

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use tokio::task::JoinHandle;

use super::data_dir;
use super::mode::Beginning;
use super::options::{events_options, ledger_options, state_options};
use crate::config::Config;
use crate::disk::OsDisk;
use crate::log;
use crate::model::{AccountId, Clock, EventOffset, LedgerOffset, Mode};
use crate::state::{FirstKey, OpenedState, State};
use crate::tasks::{Stop, Tasks};

/// An open data directory.
pub struct Stopped {
    /// The documents.
    pub state: State,
    /// The end of the events log.
    pub events_end: EventOffset,
    /// The end of the ledger.
    pub ledger_end: LedgerOffset,
    /// The master account's API key, if it was created now.
    pub first_key: Option<FirstKey>,
    stop: Stop,
    running: JoinHandle<()>,
    tasks: Tasks,
    _lock: data_dir::Lock,
}

/// Whether a directory is a data directory with a journal.
#[must_use]
pub fn has_data(dir: &Path) -> bool {
    dir.join("journal").is_dir()
}

impl Stopped {
    /// Opens a data directory. In a new one, `master` becomes the id of the master account.
    pub async fn open(config: &Config, clock: Clock, master: Option<AccountId>) -> anyhow::Result<Self> {
        let is_new = !has_data(&config.data_dir);
        let lock = data_dir::lock(&config.data_dir)?;
        data_dir::intact(&config.data_dir)?;
        let tasks = Tasks::new();
        let mut options = state_options(config);
        options.master = options.master.or(master.filter(|_| is_new));
        let opened = State::open(Arc::new(OsDisk), options, clock.clone(), &tasks).await;
        let OpenedState { state, task, first_key, .. } = opened.context("state")?;
        // Notices that are not logged yet must survive a compaction that happens now.
        state.notices(&config.data_dir).context("notices")?;
        let end = |name: &str, options: log::LogOptions| -> anyhow::Result<u64> {
            let dir = config.data_dir.join(name);
            if !dir.is_dir() {
                return Ok(0);
            }
            let opened = log::open(Arc::new(OsDisk), &dir, options, clock.clone());
            Ok(opened.with_context(|| format!("log {}", dir.display()))?.reader.end())
        };
        let events_end = EventOffset(end("events", events_options(config))?);
        let ledger_end = LedgerOffset(end("ledger", ledger_options(config))?);
        let stop = Stop::new();
        let running = tasks.spawn("state", task.run(stop.clone()));
        Ok(Self { state, events_end, ledger_end, first_key, stop, running, tasks, _lock: lock })
    }

    /// The mode in which a program with this configuration would start here.
    pub fn mode(&self, config: &Config) -> anyhow::Result<Mode> {
        let now_us = Clock::system().now_us();
        Ok(Beginning::read(&self.state, config.kazoo.mode, self.events_end, now_us)?.mode())
    }

    /// Closes the data directory: every answered change is on disk, and the index is synced.
    pub async fn close(self) -> anyhow::Result<()> {
        let Self { state, stop, running, tasks, .. } = self;
        stop.cancel();
        running.await.context("the state was ended by a defect")?;
        drop(state);
        tasks.all_ended().await;
        Ok(())
    }
}
