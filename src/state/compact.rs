//! Keeping the journal small: everything that is stored is written once more, then older segments go.
//!
//! Segments are dropped only after the snapshot is durable, so that a crash at any moment leaves a journal
//! that gives the same documents.

use std::sync::atomic::Ordering;

use serde_json::Value;

use super::document::{Entry, Kind};
use super::journal;
use super::options::Options;
use super::shared::Shared;
use super::write::WriteError;
use crate::log;
use crate::model::Clock;

/// Of one record of the snapshot: documents, and bytes unless the first document alone is larger.
const DOCUMENTS_PER_RECORD: usize = 64;
const BYTES_PER_RECORD: usize = 1 << 20;

/// Whether the journal is much larger than what it holds, and at least its oldest segment can go: what is not told
/// is kept, and a snapshot that replaces nothing would be made again and again.
pub(super) fn is_due(shared: &Shared, options: &Options) -> bool {
    let Ok(index) = shared.index() else { return false };
    let bytes = shared.journal.stats().bytes;
    if bytes <= options.compact_min_bytes.max(index.live_bytes().saturating_mul(options.compact_factor)) {
        return false;
    }
    let told = shared.told.load(Ordering::Relaxed);
    shared.journal.segments().first().is_some_and(|oldest| oldest.end <= told)
}

/// Writes the snapshot and drops what it replaces. Runs in the owner task: nothing changes meanwhile.
pub(super) async fn run(appender: &log::Appender, shared: &Shared, clock: &Clock) -> Result<(), WriteError> {
    let index = shared.index()?;
    // From here on a fresh segment: all older ones go once the snapshot is durable.
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
                entries.push(Entry { kind, id, doc: Some(doc) });
            }
            let (payload, hash) =
                journal::encode(&entries, &[]).map_err(|e| WriteError::TooLarge(e.to_string()))?;
            let record = log::NewRecord { tag: 0, flags: 0, time_us: clock.now_us(), payload };
            let offsets = appender.append(vec![record]).await?;
            index.apply(&[], offsets.end, hash)?;
            shared.applied.send_replace(offsets.end);
        }
    }
    appender.retain_from(start.min(shared.told.load(Ordering::Relaxed))).await?;
    Ok(())
}
