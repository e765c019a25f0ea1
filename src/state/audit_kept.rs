//! The second part of the audit trail (`audit-kept/`): older entries for which the first part has no room.
//!
//! The first part, `audit/`, removes whole segments when it is too large, so a tenant that makes many changes could
//! drive out the entries of all other tenants. Therefore, before a segment is removed, its entries are copied here,
//! in order, except those of tenants that already hold their share. So a tenant that floods the trail loses only its
//! own entries. All entries here are older than those in `audit/`.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::audit::{TENANT, WAS};
use super::owner::StateTask;
use crate::log::{AppendError, Appender, LogOptions, NewRecord, ReadError, Reader, Record, SegmentRange};
use crate::model::AccountId;

/// The most records and bytes of one read.
const STEP: usize = 256;
const STEP_BYTES: usize = 1 << 20;

/// How the two parts divide the size of the trail, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Sizes {
    /// The first part's size above which its oldest segment is copied and removed.
    pub(super) first: u64,
    /// The first part's size above which its oldest segment is removed without copying. Reached only when copying is
    /// impossible or too slow.
    pub(super) first_at_most: u64,
    /// The size of the kept entries.
    pub(super) kept: u64,
    /// The size of a segment of either part.
    pub(super) segment: u64,
}

impl Sizes {
    /// Divides a trail of `total` bytes.
    pub(super) fn of(total: u64, segment_bytes: u64) -> Self {
        // At its largest, the first part has five eighths and the kept entries three. Copying begins at four eighths,
        // so that an eighth is left for changes that arrive while it runs; a segment is small enough that several fit
        // into it.
        let eighth = total / 8;
        let segment = segment_bytes.min((total / 32).max(16 << 10));
        Self { first: eighth * 4, first_at_most: eighth * 5, kept: eighth * 3, segment }
    }
}

/// Both parts of the trail, for moving entries from the first to the second.
#[derive(Debug)]
pub(super) struct TrailParts {
    pub(super) first: (Appender, Reader),
    pub(super) kept: (Appender, Reader),
    pub(super) sizes: Sizes,
    /// Bytes of kept entries that one tenant may have.
    pub(super) share: u64,
}

/// Why entries could not be copied.
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
    /// Copies entries out of the oldest segments and removes the segments, until the first part is small enough.
    pub(super) async fn shrink_trail(&self) {
        while let Some(oldest) = self.trail_parts.due() {
            if let Err(error) = self.keep(oldest).await {
                // The next change tries again. Until copying succeeds, `first_at_most` bounds the first part.
                tracing::warn!(%error, "old entries of the audit trail could not be copied");
                return;
            }
        }
    }

    async fn keep(&self, oldest: SegmentRange) -> Result<(), KeepError> {
        let (first, kept, share) =
            (self.trail_parts.first.1.clone(), self.trail_parts.kept.1.clone(), self.trail_parts.share);
        let read = self.tasks.spawn_blocking(move || worth_keeping(&first, &kept, share, oldest));
        let records = read.await.map_err(|_| KeepError::Ending)??;
        if !records.is_empty() {
            // Copied before it is removed: a crash in between leaves entries twice for a while, but loses none.
            self.trail_parts.kept.0.append(records).await?;
        }
        self.trail_parts.first.0.retain_from(oldest.end).await?;
        Ok(())
    }
}

impl TrailParts {
    /// The oldest segment of the first part, if it must be removed.
    fn due(&self) -> Option<SegmentRange> {
        if self.first.1.stats().bytes <= self.sizes.first {
            return None;
        }
        self.first.1.segments().into_iter().next().filter(|oldest| oldest.closed)
    }
}

/// The options for the log of kept entries. `like` are the options of the first part.
pub(super) fn options(like: &LogOptions, sizes: Sizes) -> LogOptions {
    LogOptions { max_bytes: Some(sizes.kept), ..like.clone() }
}

/// The entries of a segment that are kept, as records for the second part.
fn worth_keeping(
    first: &Reader,
    kept: &Reader,
    share: u64,
    oldest: SegmentRange,
) -> Result<Vec<NewRecord>, ReadError> {
    kept.weigh()?;
    // After a crash between copying and removing, some of the segment's entries have already been copied.
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

/// The offset in the first part after the last entry that was copied.
fn next_to_keep(kept: &Reader) -> Result<u64, ReadError> {
    let Some(last) = kept.end().checked_sub(1) else { return Ok(0) };
    let last = match kept.get(last) {
        // Then the whole segment is copied again: an entry that is kept twice does less harm than a lost one.
        Err(ReadError::Damaged(_)) => None,
        found => found?,
    };
    let entry = last.and_then(|record| serde_json::from_slice::<Map<String, Value>>(&record.payload).ok());
    Ok(entry.and_then(|entry| entry.get(WAS)?.as_u64()).map_or(0, |was| was + 1))
}

/// An entry as a record for the second part, with the tenant whose share it uses (`None` for the operator). The record
/// is tagged with the tenant, so the log knows how much a tenant holds, whatever accounts it creates and deletes.
fn moved(record: &Record) -> Option<(Option<AccountId>, NewRecord)> {
    let mut entry: Map<String, Value> = serde_json::from_slice(&record.payload).ok()?;
    let id = |name: &str| entry.get(name).and_then(Value::as_str).and_then(|id| id.parse::<AccountId>().ok());
    // Entries of version 1 do not name the tenant.
    let tenant = if entry.contains_key(TENANT) { id(TENANT) } else { id("account_id") };
    entry.insert(WAS.to_owned(), record.offset.into());
    let payload = serde_json::to_vec(&entry).ok()?.into();
    let tag = tenant.map_or(0, AccountId::tag);
    Some((tenant, NewRecord { tag, flags: record.flags, time_us: record.time_us, payload }))
}
