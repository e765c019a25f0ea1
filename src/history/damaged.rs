//! Records that cannot be read: what is wrong with one is shown in its place, and nothing else is missing.

use serde_json::{Map, Value};

use crate::log::{Batch, ReadError, Record};

/// The `error` of an event that is damaged.
pub(super) const EVENT_DAMAGED: &str = "event cannot be read: its record in the log is damaged";
/// The `error` of an attempt that is damaged.
pub(super) const LEDGER_DAMAGED: &str = "attempt cannot be read: its record in the ledger is damaged";

/// A record in its place, or the damage there.
#[derive(Debug, Clone, Copy)]
pub(super) enum Found<'a> {
    Record(&'a Record),
    /// The offset that cannot be read.
    Damaged(u64),
}

impl Found<'_> {
    pub(super) fn offset(&self) -> u64 {
        match self {
            Self::Record(record) => record.offset,
            Self::Damaged(offset) => *offset,
        }
    }
}

/// All of a batch in the order in which it was read.
pub(super) fn found(batch: &Batch, ascending: bool) -> impl Iterator<Item = Found<'_>> {
    let damaged = batch.damaged.iter().flat_map(|damage| damage.offsets.clone()).map(Found::Damaged);
    let mut all: Vec<Found<'_>> = batch.records.iter().map(Found::Record).chain(damaged).collect();
    all.sort_unstable_by_key(Found::offset);
    if !ascending {
        all.reverse();
    }
    all.into_iter()
}

/// What is shown of a record of which nothing is known.
pub(super) fn unreadable(error: &str) -> Map<String, Value> {
    Map::from_iter([("error".to_owned(), error.into())])
}

/// Why an event is not shown, without the places and files that are the operator's business: those are in the log
/// and in the notices of `/health/ready`.
pub(super) fn error_of_event(error: &ReadError) -> &'static str {
    match error {
        ReadError::Damaged(_) => EVENT_DAMAGED,
        ReadError::Io { .. } | ReadError::Index { .. } => {
            tracing::error!(%error, "an event cannot be read: {error}");
            "event cannot be read: its file in the log cannot be read"
        }
    }
}
