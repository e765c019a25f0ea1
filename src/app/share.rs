//! What one account may hold of the events log: when the log is nearly as large as it may be, an account that holds more
//! than its part hands in nothing more over HTTP, so that retention by size drops nobody else's events for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::log::Reader;
use crate::model::AccountId;

/// The rule, over the log as it is.
#[derive(Debug, Clone)]
pub(super) struct AccountShare {
    pub(super) events: Reader,
    /// Size of the log above which retention drops segments.
    pub(super) max_bytes: Arc<AtomicU64>,
    /// Of that, the part of one account.
    pub(super) percent: u64,
    /// The operator's own account, which decides what it keeps: the rule does not bind it.
    pub(super) master: AccountId,
}

impl AccountShare {
    /// Whether further events of the account would cost others theirs.
    pub(super) fn is_used_up(&self, account: AccountId, bytes: u64) -> bool {
        let most = self.max_bytes.load(Ordering::Relaxed);
        let used = self.events.stats().bytes.saturating_add(bytes);
        let part = |percent: u64| most / 100 * percent;
        self.percent < 100
            && account != self.master
            && used > part(90)
            && self.events.bytes_of(account.tag()).saturating_add(bytes) > part(self.percent)
    }
}
