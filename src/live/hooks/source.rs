//! Where the state of hooks comes from: the queues and the ledger, which this room does not know.

use std::fmt::Debug;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::scopes::Scopes;
use crate::model::{AttemptNewsPage, Hook, Pulse, QueueStatus};

/// A hook and its queue at one moment.
#[derive(Debug, Clone)]
pub struct HookQueue {
    /// The hook.
    pub hook: Arc<Hook>,
    /// Its queue.
    pub status: QueueStatus,
    /// What the queue did last.
    pub pulse: Option<Pulse>,
}

/// Answers what hooks do. The errors are texts for the program's log.
pub trait HookSource: Debug + Send + Sync {
    /// The end of the ledger, as it grows.
    fn ledger(&self) -> watch::Receiver<u64>;
    /// Attempts of these hooks among a bounded number of ledger records from an offset on.
    fn attempts(&self, from: u64, of: Arc<Scopes>) -> BoxFuture<'_, Result<AttemptNewsPage, String>>;
    /// The queues of these hooks now.
    fn queues(&self, of: Arc<Scopes>) -> BoxFuture<'_, Result<Vec<HookQueue>, String>>;
}
