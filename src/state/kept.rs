//! The second part of the audit trail: entries that the first part no longer has room for (`audit-kept/`).
//!
//! The first part, `audit/`, drops whole segments when it is too large, so a tenant that makes many changes could drive
//! out every other tenant's entries. Before a segment goes, the entries of each tenant that holds less than its share of
//! the kept ones are copied over, in their order. A tenant that floods the trail thus loses entries of its own.
//! Everything here is older than everything in `audit/`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::audit::{TENANT, WAS};
use super::owner::StateTask;
use crate::log::{AppendError, Appender, NewRecord, Options, ReadError, Reader, Record, SegmentRange};
use crate::model::{AccountId, Id};

/// Records and bytes read in one step.
const STEP: usize = 256;
const STEP_BYTES: usize = 1 << 20;

/// How the two parts share the size that the trail may have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// Above this the oldest segment of the first part is copied over and removed.
    pub(super) first: u64,
    /// Above this the first part drops its oldest segment unread: when copying is impossible or too slow.
    pub(super) first_at_most: u64,
    /// What the kept entries may take.
    pub(super) kept: u64,
    /// A segment of either part.
    pub(super) segment: u64,
}

impl Sizes {
    /// The parts of a trail of `total` bytes.
    pub(super) fn of(total: u64, segment_bytes: u64) -> Self {
        let eighth = total / 8;
        let segment = segment_bytes.min((total / 32).max(16 << 10));
        Self { first: eighth * 4, first_at_most: eighth * 5, kept: eighth * 3, segment }
    }
}

/// Both parts, for the one who moves entries from the first to the second.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) first: (Appender, Reader),
    pub(super) kept: (Appender, Reader),
    pub(super) sizes: Sizes,
    /// Bytes of kept entries that one tenant may hold.
    pub(super) share: u64,
}

/// Why a segment could not be copied over.
#[derive(Debug, thiserror::Error)]
enum KeepError {
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Append(#[from] AppendError),
    #[error("the program is ending")]
    Ending,
}

impl StateTask {
    /// Copies over what is worth it of the oldest segments, and removes them, until the first part is small enough.
    pub(super) async fn keep_trail(&self) {
        while let Some(oldest) = self.keeper.due() {
            if let Err(error) = self.keep(oldest).await {
                tracing::warn!(%error, "old entries of the audit trail were not copied over: {error}");
                return;
            }
        }
    }

    async fn keep(&self, oldest: SegmentRange) -> Result<(), KeepError> {
        let (first, kept, share) =
            (self.keeper.first.1.clone(), self.keeper.kept.1.clone(), self.keeper.share);
        let read = self.tasks.spawn_blocking(move || worth_keeping(&first, &kept, share, oldest));
        let records = read.await.map_err(|_| KeepError::Ending)??;
        if !records.is_empty() {
            self.keeper.kept.0.append(records).await?;
        }
        self.keeper.first.0.retain_from(oldest.end).await?;
        Ok(())
    }
}

impl Keeper {
    /// The oldest segment of the first part, if it has to go.
    fn due(&self) -> Option<SegmentRange> {
        if self.first.1.stats().bytes <= self.sizes.first {
            return None;
        }
        self.first.1.segments().into_iter().next().filter(|oldest| oldest.closed)
    }
}

/// The options of the log of kept entries; `like` are those of the first part.
pub(super) fn options(like: &Options, sizes: Sizes) -> Options {
    Options { max_bytes: Some(sizes.kept), ..like.clone() }
}

/// The entries of a segment that stay, as the log of kept entries has them.
fn worth_keeping(
    first: &Reader,
    kept: &Reader,
    share: u64,
    oldest: SegmentRange,
) -> Result<Vec<NewRecord>, ReadError> {
    kept.weigh()?;
    // A crash may have come between copying and removing.
    let mut at = oldest.first.max(next_to_keep(kept)?);
    let mut added: HashMap<AccountId, u64> = HashMap::new();
    let mut records = Vec::new();
    while at < oldest.end {
        let batch = first.read(at, STEP, STEP_BYTES)?;
        for record in batch.records.iter().filter(|record| record.offset < oldest.end) {
            let Some((tenant, entry)) = moved(record) else { continue };
            if let Some(tenant) = tenant {
                let used = added.entry(tenant).or_default();
                if kept.bytes_of(tenant.tag()) + *used + entry.payload.len() as u64 > share {
                    continue;
                }
                *used += entry.payload.len() as u64;
            }
            records.push(entry);
        }
        at = batch.next.max(at + 1);
    }
    Ok(records)
}

/// The offset in the first part behind the last entry that was copied over.
fn next_to_keep(kept: &Reader) -> Result<u64, ReadError> {
    let Some(last) = kept.end().checked_sub(1) else { return Ok(0) };
    let last = match kept.get(last) {
        Err(ReadError::Damaged(_)) => None,
        found => found?,
    };
    let entry = last.and_then(|record| serde_json::from_slice::<Map<String, Value>>(&record.payload).ok());
    Ok(entry.and_then(|entry| entry.get(WAS)?.as_u64()).map_or(0, |was| was + 1))
}

/// An entry as it is kept, and the tenant whose share it takes; `None`: it is the operator's. Its tag is the tenant's, so
/// that the log knows what a tenant holds, whatever accounts it makes and deletes.
fn moved(record: &Record) -> Option<(Option<AccountId>, NewRecord)> {
    let mut entry: Map<String, Value> = serde_json::from_slice(&record.payload).ok()?;
    let id = |name: &str| entry.get(name).and_then(Value::as_str).and_then(|id| id.parse::<Id>().ok());
    // Version 1 did not say it.
    let tenant = if entry.contains_key(TENANT) { id(TENANT) } else { id("account_id") };
    entry.insert(WAS.to_owned(), record.offset.into());
    let payload = serde_json::to_vec(&entry).ok()?.into();
    let tag = tenant.map_or(0, AccountId::tag);
    Some((tenant, NewRecord { tag, flags: record.flags, time_us: record.time_us, payload }))
}
