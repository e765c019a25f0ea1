//! Unreadable records: an error is shown in place of each, and nothing else is missing.

use serde_json::{Map, Value};

use crate::log::{Batch, ReadError, Record};
use crate::model::Offset;

/// The `error` of a damaged event.
pub(super) const EVENT_DAMAGED: &str = "event cannot be read: its record in the log is damaged";
/// The `error` of a damaged attempt.
pub(super) const LEDGER_DAMAGED: &str = "attempt cannot be read: its record in the ledger is damaged";

/// A record, or the damage in its place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found<'a, O> {
    Record(&'a Record<O>),
    /// The offset that cannot be read.
    Damaged(O),
}

impl<O: Offset> Found<'_, O> {
    pub(super) fn offset(&self) -> O {
        match self {
            Self::Record(record) => record.offset,
            Self::Damaged(offset) => *offset,
        }
    }
}

/// The records and the damage of a batch, in reading order.
pub(super) fn found<O: Offset>(batch: &Batch<O>, ascending: bool) -> impl Iterator<Item = Found<'_, O>> {
    let damaged = batch.damaged.iter().flat_map(|damage| damage.offsets.clone());
    let damaged = damaged.map(|offset| Found::Damaged(O::of_number(offset)));
    let mut all: Vec<Found<'_, O>> = batch.records.iter().map(Found::Record).chain(damaged).collect();
    all.sort_unstable_by_key(Found::offset);
    if !ascending {
        all.reverse();
    }
    all.into_iter()
}

/// The row of an unreadable record.
pub(super) fn unreadable(error: &str) -> Map<String, Value> {
    Map::from_iter([("error".to_owned(), error.into())])
}

/// The error of an event, without positions and file names, which only operators need. They are in the log and in the
/// notices of `/health/ready`.
pub(super) fn error_of_event(error: &ReadError) -> &'static str {
    match error {
        ReadError::Damaged(_) => EVENT_DAMAGED,
        ReadError::Io { .. } | ReadError::Index { .. } => {
            tracing::error!(%error, "an event cannot be read");
            "event cannot be read: its file in the log cannot be read"
        }
    }
}
