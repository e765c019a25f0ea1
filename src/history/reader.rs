//! Blocking reads of the logs for the API. Each other file of this room adds one kind of query.

use super::dead_index::DeadIndex;
use crate::queues::Logs;

/// The bytes of rows after which a page ends. Rows contain requests, so they can be large.
pub(super) const ROWS_BYTES: usize = 1 << 20;

/// Reads the logs. Every method blocks on the disk.
#[derive(Debug, Clone)]
pub(super) struct HistoryReader {
    pub(super) logs: Logs,
    /// Whether successful attempts are listed.
    pub(super) shows_successes: bool,
    pub(super) dead: DeadIndex,
}
