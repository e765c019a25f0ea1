//! What the sync tells of itself: to `/admin/status`, to `/health/ready` and to `/metrics`.

use serde::Serialize;
use tokio::sync::watch;

/// What the sync does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Doing {
    /// It has read nothing yet.
    #[default]
    Starting,
    /// What was read last is here.
    Current,
    /// The last attempt failed; another one will be made.
    Failing,
}

/// The state of the sync.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct SyncStatus {
    /// What it does.
    pub state: Doing,
    /// When everything was read last, in seconds since 1970.
    pub last_full_reading_s: Option<u64>,
    /// When something was changed here last, in seconds since 1970.
    pub last_change_s: Option<u64>,
    /// Accounts that KAZOO has.
    pub accounts: usize,
    /// Hooks that KAZOO has.
    pub hooks: usize,
    /// Accounts and hooks that are to be read again.
    pub pending: usize,
    /// Accounts that wait because they are being moved.
    pub half_moved: usize,
    /// What is odd, as of the last full reading.
    pub odd: usize,
    /// Changes that were refused here at the last full reading.
    pub refused: usize,
    /// Changes that were made since the start.
    pub changes: u64,
    /// Accounts and hooks that were deleted since the start.
    pub deleted: u64,
    /// Full readings since the start.
    pub full_readings: u64,
    /// Attempts that failed since the start.
    pub failures: u64,
    /// What is missing in KAZOO and was not deleted, with the reason.
    pub kept: Option<String>,
    /// Why the last attempt failed; `None`: it did not.
    pub last_error: Option<String>,
    /// Why CouchDB's feeds of changes (of accounts, of hooks) cannot be read, if they cannot.
    pub feed_errors: [Option<String>; 2],
}

/// A look at the state; cheap to clone.
#[derive(Debug, Clone)]
pub struct SyncWatch(pub(super) watch::Receiver<SyncStatus>);

impl SyncWatch {
    /// The state now.
    #[must_use]
    pub fn now(&self) -> SyncStatus {
        self.0.borrow().clone()
    }

    /// What a person should look at.
    #[must_use]
    pub fn notices(&self) -> Vec<String> {
        let status = self.0.borrow();
        let failing = status.last_error.iter().map(|error| format!("KAZOO cannot be read: {error}"));
        // While nothing can be read, that says enough.
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
