//! The settings of the state.

use std::path::PathBuf;
use std::time::Duration;

use super::limits::DocumentLimits;
use crate::model::AccountId;

/// The settings of the state.
#[derive(Debug, Clone)]
pub struct StateOptions {
    /// The data directory with the journal, the index and the file of the first API key.
    pub data_dir: PathBuf,
    /// The id of the master account on the first start; random when `None`. Later starts refuse a different id.
    pub master: Option<AccountId>,
    /// An API key of the master account that replaces the one made on the first start.
    pub master_api_key: Option<String>,
    /// The name of this node in the events about documents: `app@host`.
    pub node: String,
    /// The most writes that may wait for the owner task.
    pub queue: usize,
    /// The most changes that may wait in the channel to the queues. When it is full, writes wait.
    pub changes: usize,
    /// The size of a journal segment in bytes.
    pub segment_bytes: u64,
    /// The free space on disk, in bytes, below which changes are refused. Deleting and disabling, and all changes of
    /// the master account, are still accepted.
    pub reserve_bytes: u64,
    /// The limits of accounts and tenants.
    pub limits: DocumentLimits,
    /// The largest change, in bytes of JSON.
    pub max_record_bytes: u32,
    /// The age at which entries of the audit trail are removed, in microseconds.
    pub audit_max_age_us: u64,
    /// The largest size of the audit trail in bytes. Whole segments are removed.
    pub audit_max_bytes: u64,
    /// The part of the kept older entries, in percent, that one tenant with all its accounts may use.
    pub audit_max_tenant_percent: u64,
    /// Compaction runs when the journal is this many times larger than the stored documents,
    pub compact_factor: u64,
    /// and at least this large in bytes: several segments, because only whole segments are removed.
    pub compact_min_bytes: u64,
    /// The number of changes after which the index is synced.
    pub checkpoint_every: u64,
    /// The time without a change after which the index is synced.
    pub checkpoint_idle: Duration,
}

impl StateOptions {
    /// Default settings for a data directory.
    #[must_use]
    pub fn new(data_dir: impl Into<PathBuf>) -> Self {
        Self {
            data_dir: data_dir.into(),
            master: None,
            master_api_key: None,
            node: "switchhook@localhost".to_owned(),
            queue: 256,
            changes: 4096,
            segment_bytes: 4 * 1024 * 1024,
            reserve_bytes: 16 * 1024 * 1024,
            limits: DocumentLimits::default(),
            max_record_bytes: 16 * 1024 * 1024,
            audit_max_age_us: 365 * 24 * 3_600_000_000,
            audit_max_bytes: 1 << 30,
            audit_max_tenant_percent: 25,
            compact_factor: 4,
            compact_min_bytes: 16 * 1024 * 1024,
            checkpoint_every: 1024,
            checkpoint_idle: Duration::from_secs(1),
        }
    }
}
