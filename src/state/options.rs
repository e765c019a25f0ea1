//! The limits of the state, each with a name.

use std::path::PathBuf;
use std::time::Duration;

use super::limits::Limits;
use crate::model::AccountId;

/// How the state is kept.
#[derive(Debug, Clone)]
pub struct Options {
    /// The data directory; the journal, the index and the first API key lie in it.
    pub data_dir: PathBuf,
    /// The id that the first start gives the master account; `None`: a random one. Later starts refuse another one.
    pub master: Option<AccountId>,
    /// The master account's API key, instead of the one made on the first start (which then does not work).
    pub master_api_key: Option<String>,
    /// How we name ourselves in what is told of changes: `app@host`.
    pub node: String,
    /// Writes that may wait for the owner task.
    pub queue: usize,
    /// Changes that may wait to be taken from the feed; when it is full, writes wait.
    pub changes: usize,
    /// Size of a journal segment.
    pub segment_bytes: u64,
    /// Free space below which changes are refused, but for the master account's and those that clean up: documents that
    /// are deleted or disabled.
    pub reserve_bytes: u64,
    /// What one account may keep and how fast it may change it.
    pub limits: Limits,
    /// Largest change, as JSON text.
    pub max_record_bytes: u32,
    /// Age at which entries of the audit trail go, in microseconds, …
    pub audit_max_age_us: u64,
    /// … and how large it may become; whole segments go.
    pub audit_max_bytes: u64,
    /// Of the older entries that are kept, the part in percent that one tenant with all its accounts may hold.
    pub audit_max_tenant_percent: u64,
    /// The journal is compacted when it is this many times larger than what it holds …
    pub compact_factor: u64,
    /// … and at least this large (several segments: only whole ones are dropped).
    pub compact_min_bytes: u64,
    /// Changes between two checkpoints of the index.
    pub checkpoint_every: u64,
    /// A checkpoint is made, too, when no change has come for so long.
    pub checkpoint_idle: Duration,
}

impl Options {
    /// The usual limits for a data directory.
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
            limits: Limits::default(),
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
