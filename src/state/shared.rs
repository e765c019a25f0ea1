//! What the owner task and the handles share: index, view and journal, and whether the index has failed.

use std::sync::atomic::AtomicU64;
use std::sync::{OnceLock, PoisonError, RwLock, RwLockReadGuard};

use tokio::sync::watch;

use super::allowance::Allowance;
use super::document::JournalEntry;
use super::index::{Index, IndexError};
use super::view::{Change, View};
use crate::log;

/// The shared parts of one state.
#[derive(Debug)]
pub(super) struct Shared {
    index: Index,
    view: RwLock<View>,
    failed: OnceLock<String>,
    /// Locked by every change of the account tree, so that what was checked still holds when the change is written.
    pub(super) tree: tokio::sync::Mutex<()>,
    pub(super) journal: log::Reader,
    pub(super) allowance: Allowance,
    /// Changes before this offset of the journal can be read and have been passed to the queues.
    pub(super) applied: watch::Sender<u64>,
    /// Notices before this offset of the journal have been logged as events. The largest number when notices are not
    /// used.
    pub(super) announced: AtomicU64,
    /// The number of syncs of the index since the start.
    pub(super) checkpoints: AtomicU64,
}

impl Shared {
    pub(super) fn new(index: Index, view: View, journal: log::Reader, allowance: Allowance) -> Self {
        let (view, failed) = (RwLock::new(view), OnceLock::new());
        let tree = tokio::sync::Mutex::default();
        let applied = watch::Sender::new(journal.end());
        Self {
            index,
            view,
            failed,
            tree,
            journal,
            allowance,
            applied,
            announced: AtomicU64::new(u64::MAX),
            checkpoints: AtomicU64::new(0),
        }
    }

    /// The index, unless it failed.
    pub(super) fn index(&self) -> Result<&Index, IndexError> {
        match self.failed.get() {
            Some(reason) => Err(IndexError::Failed(reason.clone())),
            None => Ok(&self.index),
        }
    }

    /// Stops using the index after a failure, because it no longer follows the journal.
    pub(super) fn give_up(&self, reason: &IndexError) {
        self.failed.get_or_init(|| reason.to_string());
    }

    /// Why the index is no longer used, if so.
    pub(super) fn failure(&self) -> Option<&str> {
        self.failed.get().map(String::as_str)
    }

    pub(super) fn view(&self) -> RwLockReadGuard<'_, View> {
        self.view.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn apply_to_view(&self, entries: &[JournalEntry]) -> Vec<Change> {
        // Locked once for all entries of a change, so that no reader sees half of a moved branch.
        let mut view = self.view.write().unwrap_or_else(PoisonError::into_inner);
        entries.iter().filter_map(|entry| view.apply(entry)).collect()
    }
}
