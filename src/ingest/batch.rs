//! Messages on their way to the disk: what came together is appended together and acknowledged together.

use std::collections::VecDeque;

use crate::log::{AppendError, NewRecord, Synced};

/// What waited when the connection was made, as far as it has not come.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    pub(super) left: u64,
    pub(super) waiting: u64,
    pub(super) bytes: u64,
}

impl Backlog {
    /// One more message; its bytes when it was the last that had waited.
    pub(super) fn take(&mut self, bytes: usize) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        self.bytes = self.bytes.saturating_add(bytes as u64);
        (self.left == 0).then_some(self.bytes)
    }
}

/// A batch on its way to the disk.
#[derive(Default)]
pub(super) struct Batch {
    /// The highest delivery tag: acknowledging it acknowledges all before.
    pub(super) tag: u64,
    /// What is not on disk yet.
    pub(super) records: Vec<NewRecord>,
    /// For the window, once they are on disk.
    pub(super) keys: Vec<u64>,
    /// Under way.
    pub(super) appending: Option<Synced>,
}

impl Batch {
    /// Waits for the append under way, if there is one. May be dropped and called again.
    pub(super) async fn appended(&mut self) -> Result<(), AppendError> {
        if let Some(appending) = self.appending.as_mut() {
            let result = appending.await;
            self.appending = None;
            result.unwrap_or(Err(AppendError::Closed))?;
            self.records.clear();
        }
        Ok(())
    }
}

/// When the first batch's append has ended: how. `None` when nothing waits.
pub(super) async fn first_appended(waiting: &mut VecDeque<Batch>) -> Option<Result<(), AppendError>> {
    Some(waiting.front_mut()?.appended().await)
}
