//! Compaction of the journal: all documents are written again as a snapshot, then older segments are removed.
//!
//! Older segments are removed only after the snapshot is durable. So a crash at any moment leaves a journal that gives
//! the same documents.

use std::sync::atomic::Ordering;

use serde_json::Value;

use super::document::{JournalEntry, Kind};
use super::journal;
use super::options::StateOptions;
use super::shared::Shared;
use super::write::WriteError;
use crate::log;
use crate::model::Clock;

/// The limits of one record of the snapshot. A single document may exceed the bytes.
const DOCUMENTS_PER_RECORD: usize = 64;
const BYTES_PER_RECORD: usize = 1 << 20;

/// Whether the journal is much larger than its documents and compaction would remove at least its oldest segment.
/// Segments with unannounced changes must stay; without this check a snapshot that removes nothing would be repeated.
pub(super) fn is_due(shared: &Shared, options: &StateOptions) -> bool {
    let Ok(index) = shared.index() else { return false };
    let bytes = shared.journal.stats().bytes;
    if bytes <= options.compact_min_bytes.max(index.live_bytes().saturating_mul(options.compact_factor)) {
        return false;
    }
    let announced = shared.announced.load(Ordering::Relaxed);
    shared.journal.segments().first().is_some_and(|oldest| oldest.end <= announced)
}

/// Writes the snapshot and removes the segments that it replaces. Runs in the owner task, so nothing changes meanwhile.
pub(super) async fn run(appender: &log::Appender, shared: &Shared, clock: &Clock) -> Result<(), WriteError> {
    let index = shared.index()?;
    // The snapshot begins a new segment. All older segments are removed once it is durable.
    let start = appender.roll().await?;
    for kind in Kind::ALL {
        let documents = index.all(kind)?;
        let mut rest = documents.into_iter().peekable();
        while rest.peek().is_some() {
            let (mut entries, mut bytes) = (Vec::new(), 0);
            while entries.len() < DOCUMENTS_PER_RECORD
                && bytes < BYTES_PER_RECORD
                && let Some(doc) = rest.next()
            {
                let Some(id) = doc.get("_id").and_then(Value::as_str).map(str::to_owned) else { continue };
                bytes += serde_json::to_vec(&doc).map_or(0, |text| text.len());
                entries.push(JournalEntry { kind, id, doc: Some(doc) });
            }
            let (payload, hash) =
                journal::encode(&entries, &[]).map_err(|e| WriteError::TooLarge(e.to_string()))?;
            let record = log::NewRecord { tag: 0, flags: 0, time_us: clock.now_us(), payload };
            let offsets = appender.append(vec![record]).await?;
            // The documents are in the index already. Only its mark moves on, so that the next start does not
            // apply the snapshot.
            index.apply(&[], offsets.end, hash)?;
            shared.applied.send_replace(offsets.end);
        }
    }
    // A notice that has not been announced is only in its own record, and not in the snapshot.
    appender.retain_from(start.min(shared.announced.load(Ordering::Relaxed))).await?;
    Ok(())
}
