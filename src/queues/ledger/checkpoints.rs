//! Finds the checkpoint from which on a start has to read the ledger.

use super::record::{CHECKPOINT_END_TAG, LedgerRecord};
use crate::log::{ReadError, ReaderOf};
use crate::model::LedgerOffset;
use crate::queues::rules::partitions::Partitions;

/// The records and bytes of one read.
const BATCH_RECORDS: usize = 4096;
const BATCH_BYTES: usize = 1 << 20;

/// The largest ledger offset such that every partition has a complete checkpoint from there on. `None` if a partition has
/// none.
///
/// A checkpoint with a damaged record is not complete. The damaged record may have been a queue, and a queue that a
/// checkpoint does not contain counts as settled, so its deliveries would be lost.
pub fn last_checkpoint(ledger: &ReaderOf<LedgerOffset>) -> Result<Option<LedgerOffset>, ReadError> {
    checkpoint_of(ledger, Partitions::ALL)
}

/// The same for some partitions only.
pub(super) fn checkpoint_of(
    ledger: &ReaderOf<LedgerOffset>,
    partitions: Partitions,
) -> Result<Option<LedgerOffset>, ReadError> {
    let (mut before, mut missing) = (ledger.end(), partitions);
    // From the newest checkpoint back, until every partition is covered. Shards write checkpoints of their own partitions,
    // so several of them may be needed.
    loop {
        let last = ledger.read_tags_back(&[CHECKPOINT_END_TAG], before, 1)?;
        before = last.next;
        let Some(last) = last.records.first() else {
            if last.damaged.is_empty() {
                return Ok(None);
            }
            // The last record of a checkpoint is damaged. An earlier checkpoint may be complete.
            continue;
        };
        let Ok(LedgerRecord::CheckpointEnd { back }) = LedgerRecord::decode(&last.payload) else { continue };
        let begin = last.offset - back;
        // If the first record is damaged, it is unknown which partitions the checkpoint covers. Then it covers none.
        let covers = covered(ledger, begin)?;
        // Its partitions are not asked for, or a later checkpoint covers them already. Then its state does not matter.
        if covers.is_some_and(|covers| covers.within(missing).is_empty()) {
            continue;
        }
        match covers {
            Some(covers) if is_whole(ledger, begin, last.offset)? => {
                missing = missing.without(covers);
                if missing.is_empty() {
                    return Ok(Some(begin));
                }
            }
            _ => tracing::error!(
                begin = begin.0,
                end = last.offset.0,
                "a checkpoint of the ledger is damaged; an earlier one is used"
            ),
        }
    }
}

/// What the checkpoint covers that begins at this offset. `None` if there is no sound first record of a checkpoint.
fn covered(ledger: &ReaderOf<LedgerOffset>, begin: LedgerOffset) -> Result<Option<Partitions>, ReadError> {
    let batch = ledger.read(begin, 1, BATCH_BYTES)?;
    let first = batch.records.first().filter(|record| record.offset == begin);
    Ok(match first.map(|record| LedgerRecord::decode(&record.payload)) {
        Some(Ok(LedgerRecord::CheckpointBegin { covers, .. })) => Some(covers),
        _ => None,
    })
}

/// Whether all records of a checkpoint before its last one are sound and of the right kind.
fn is_whole(
    ledger: &ReaderOf<LedgerOffset>,
    begin: LedgerOffset,
    end: LedgerOffset,
) -> Result<bool, ReadError> {
    let mut at = begin;
    while at < end {
        let batch = ledger.read(at, BATCH_RECORDS, BATCH_BYTES)?;
        for record in batch.records.iter().take_while(|record| record.offset < end) {
            let is_part = match LedgerRecord::decode(&record.payload) {
                Ok(LedgerRecord::CheckpointBegin { .. }) => record.offset == begin,
                Ok(LedgerRecord::CheckpointQueue(_)) => record.offset > begin,
                _ => false,
            };
            if !is_part || record.offset != at {
                return Ok(false);
            }
            at = at + 1;
        }
        if at < end && (batch.next != at || batch.records.is_empty()) {
            return Ok(false);
        }
    }
    Ok(true)
}
