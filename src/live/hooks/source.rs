//! The source of news: the queues and the ledger, which this room does not depend on.

use std::fmt::Debug;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use tokio::sync::watch;

use super::scopes::Scopes;
use crate::model::{AttemptNewsPage, EventNewsPage, EventOffset, Hook, LedgerOffset, Pulse, QueueStatus};

/// A hook with its queue's present state.
#[derive(Debug, Clone)]
pub struct HookQueue {
    /// The hook.
    pub hook: Arc<Hook>,
    /// Its queue.
    pub status: QueueStatus,
    /// The last activity of the queue.
    pub pulse: Option<Pulse>,
}

/// Answers questions about hooks. Errors are texts for the program's log.
pub trait HookSource: Debug + Send + Sync {
    /// The end of the ledger; changes as the ledger grows.
    fn ledger(&self) -> watch::Receiver<u64>;
    /// Attempts of these hooks among a bounded number of ledger records from an offset on.
    fn attempts(&self, from: LedgerOffset, of: Arc<Scopes>)
    -> BoxFuture<'_, Result<AttemptNewsPage, String>>;
    /// Events of these accounts among a bounded number of the log's records from an offset on.
    fn events(&self, from: EventOffset, of: Arc<Scopes>) -> BoxFuture<'_, Result<EventNewsPage, String>>;
    /// The present queues of these hooks.
    fn queues(&self, of: Arc<Scopes>) -> BoxFuture<'_, Result<Vec<HookQueue>, String>>;
}
