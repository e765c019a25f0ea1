//! Where the checkpoints of the ledger are, and whether they are complete: from where on a start has to read it.

use super::record::{CHECKPOINT_END_TAG, LedgerRecord};
use crate::log::{ReadError, Reader};
use crate::queues::rules::partitions::Partitions;

const BATCH_RECORDS: usize = 4096;
const BATCH_BYTES: usize = 1 << 20;

/// The ledger offset from which on every partition has a complete checkpoint; `None` when one of them has none. One with
/// a damaged record is passed by: a queue that it does not name would count as one that has nothing left to do.
pub fn last_checkpoint(ledger: &Reader) -> Result<Option<u64>, ReadError> {
    checkpoint_of(ledger, Partitions::ALL)
}

/// The same for some partitions.
pub(super) fn checkpoint_of(ledger: &Reader, partitions: Partitions) -> Result<Option<u64>, ReadError> {
    let (mut before, mut missing) = (ledger.end(), partitions);
    loop {
        let last = ledger.read_tags_back(&[CHECKPOINT_END_TAG], before, 1)?;
        before = last.next;
        let Some(last) = last.records.first() else {
            if last.damaged.is_empty() {
                return Ok(None);
            }
            // One that is damaged is passed by, too.
            continue;
        };
        let Ok(LedgerRecord::CheckpointEnd { back }) = LedgerRecord::decode(&last.payload) else { continue };
        let begin = last.offset.saturating_sub(back);
        // Without its first record nobody knows what it covers: what it may cover is looked for further back.
        let covers = covered(ledger, begin)?;
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
                begin,
                end = last.offset,
                "a checkpoint of the ledger is damaged; an earlier one is used"
            ),
        }
    }
}

/// What the checkpoint that begins here covers; `None` when its first record is damaged or something else.
fn covered(ledger: &Reader, begin: u64) -> Result<Option<Partitions>, ReadError> {
    let batch = ledger.read(begin, 1, BATCH_BYTES)?;
    let first = batch.records.first().filter(|record| record.offset == begin);
    Ok(match first.map(|record| LedgerRecord::decode(&record.payload)) {
        Some(Ok(LedgerRecord::CheckpointBegin { covers, .. })) => Some(covers),
        _ => None,
    })
}

/// Whether every record of a checkpoint before its last one is there and is what it should be.
fn is_whole(ledger: &Reader, begin: u64, end: u64) -> Result<bool, ReadError> {
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
            at += 1;
        }
        if at < end && (batch.next != at || batch.records.is_empty()) {
            return Ok(false);
        }
    }
    Ok(true)
}
