//! Where a record is in the ledger.

use crate::log::Record;
use crate::model::{LedgerOffset, Moment, WallTime};
use crate::queues::rules::partitions::Partition;

/// Where in the ledger a record is, and when it was written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Filing {
    pub(super) at: LedgerOffset,
    pub(super) partition: Partition,
    pub(super) written: Moment,
}

impl Filing {
    pub(super) fn of(record: &Record<LedgerOffset>) -> Self {
        let written = Moment::recorded_at(WallTime::from_micros(record.time_us));
        Self { at: record.offset, partition: Partition::of_tag(record.tag), written }
    }
}
