//! The status of the sync, for `/admin/status`, `/health/ready` and `/metrics`.

use serde::Serialize;
use tokio::sync::watch;

use crate::onboarding::source::Stage;

/// The state of the sync.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// It has not read anything yet.
    #[default]
    Starting,
    /// All documents of the last reading are here.
    Current,
    /// The last attempt failed; the sync tries again.
    Failing,
}

/// A full reading under way, or one that broke off and will be continued.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct ReadingStatus {
    /// What it reads.
    pub stage: Stage,
    /// How many of these it has read.
    pub done: usize,
    /// How many there are; `None`: unknown.
    pub of: Option<usize>,
}

/// The status of the sync.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SyncStatus {
    /// The state.
    pub state: Doing,
    /// The full reading that is not complete yet.
    pub reading: Option<ReadingStatus>,
    /// The time of the last full reading, in seconds since 1970.
    pub last_full_reading_s: Option<u64>,
    /// The time of the last change made here, in seconds since 1970.
    pub last_change_s: Option<u64>,
    /// Number of KAZOO's accounts.
    pub accounts: usize,
    /// Number of KAZOO's hooks.
    pub hooks: usize,
    /// Number of accounts and hooks to read again.
    pub pending: usize,
    /// Number of accounts that wait because they are being moved.
    pub half_moved: usize,
    /// Number of oddities at the last full reading.
    pub odd: usize,
    /// Number of changes that were refused here at the last full reading.
    pub refused: usize,
    /// Number of changes since the start.
    pub changes: u64,
    /// Number of accounts and hooks deleted since the start.
    pub deleted: u64,
    /// Number of full readings since the start.
    pub full_readings: u64,
    /// Number of failed attempts since the start.
    pub failures: u64,
    /// Why documents that are missing in KAZOO were not deleted.
    pub kept: Option<String>,
    /// Why the last attempt failed; `None`: it succeeded.
    pub last_error: Option<String>,
    /// Why CouchDB's feeds of changes (of accounts, of hooks) cannot be read; `None`: they can.
    pub feed_errors: [Option<String>; 2],
}

/// A view of the status; cheap to clone.
#[derive(Debug, Clone)]
pub struct SyncWatch(pub(super) watch::Receiver<SyncStatus>);

impl SyncWatch {
    /// The present status.
    #[must_use]
    pub fn now(&self) -> SyncStatus {
        self.0.borrow().clone()
    }

    /// Conditions that need an operator's attention.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        let status = self.0.borrow();
        let failing = status.last_error.iter().map(|error| format!("KAZOO cannot be followed: {error}"));
        // If nothing can be read, one notice is enough.
        let feed = status.feed_errors.iter().flatten().take(usize::from(status.last_error.is_none()));
        let feed = feed.map(|error| {
            format!(
                "CouchDB's feed of changes cannot be read, so changes come with full readings only: {error}"
            )
        });
        let refused = (status.refused > 0).then(|| {
            format!(
                "{} changes of KAZOO's were refused here; the log names them with the reason",
                status.refused
            )
        });
        failing.chain(feed).chain(refused).chain(status.kept.clone()).collect()
    }
}
