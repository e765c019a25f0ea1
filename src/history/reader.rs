//! Blocking reads of the logs for the API. The other files of this room add one kind of question each.

use crate::queues::Logs;

/// Bytes of rows after which a page ends: a row holds what was sent.
pub(super) const ROWS_BYTES: usize = 1 << 20;

/// Answers questions from the logs. Every method blocks on the disk.
#[derive(Debug, Clone)]
pub(super) struct HistoryReader {
    pub(super) logs: Logs,
    /// Whether successful attempts are listed.
    pub(super) shows_successes: bool,
}
