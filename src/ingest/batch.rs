//! Batches of messages: appended to the log together, and acknowledged together.

use std::collections::VecDeque;

use crate::log::{AppendError, NewRecord, Synced};

/// The messages that waited in the queue when the connection was made.
#[derive(Debug, Default)]
pub(super) struct Backlog {
    /// Messages of the backlog that have not arrived.
    pub(super) left: u64,
    /// Messages of the backlog when the connection was made.
    pub(super) waiting: u64,
    pub(super) bytes: u64,
}

impl Backlog {
    /// Counts one arrived message. Returns the bytes of the whole backlog when this message is its last.
    pub(super) fn take(&mut self, bytes: usize) -> Option<u64> {
        self.left = self.left.checked_sub(1)?;
        self.bytes = self.bytes.saturating_add(bytes as u64);
        (self.left == 0).then_some(self.bytes)
    }
}

/// A batch of messages between the broker and the disk.
#[derive(Default)]
pub(super) struct Batch {
    /// The highest delivery tag. Acknowledging it acknowledges all earlier messages too.
    pub(super) tag: u64,
    pub(super) messages: usize,
    /// Records that are not on disk yet.
    pub(super) records: Vec<NewRecord>,
    /// The keys of the messages in the window of seen messages. They are marked as stored after the sync.
    pub(super) keys: Vec<u64>,
    /// The append under way.
    pub(super) appending: Option<Synced>,
}

impl Batch {
    /// Waits for the append under way, if there is one. The future may be dropped and called again.
    pub(super) async fn appended(&mut self) -> Result<(), AppendError> {
        if let Some(appending) = self.appending.as_mut() {
            let result = appending.await;
            self.appending = None;
            result.unwrap_or(Err(AppendError::Closed))?;
            // Not before: records that the log refused are appended again once there is room.
            self.records.clear();
        }
        Ok(())
    }
}

/// Waits for the append of the oldest batch. `None` when no batch waits.
pub(super) async fn first_appended(waiting: &mut VecDeque<Batch>) -> Option<Result<(), AppendError>> {
    Some(waiting.front_mut()?.appended().await)
}
