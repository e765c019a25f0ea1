//! Partitions that an engine gives up.

use tokio::sync::oneshot;

use crate::queues::rules::partitions::Partitions;

/// Partitions that are given up: nothing of them is started any more.
#[derive(Debug)]
pub(super) struct Leaving {
    /// Which.
    pub(super) set: Partitions,
    /// Told when a checkpoint of them is on disk and nothing of them is left.
    pub(super) answer: oneshot::Sender<()>,
    /// The ledger's records that have to be on disk, once their checkpoint has been written.
    pub(super) written: Option<u64>,
}
