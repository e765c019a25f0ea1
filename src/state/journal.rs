//! The journal: every change of a document, in order, synced before the change is answered.
//!
//! A record holds all entries of one change, so a change is applied whole or not at all. Applying records again gives
//! the same documents. Therefore a snapshot can be read together with older records that compaction has not removed
//! yet.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::document::{JournalEntry, sha256};
use super::notices::Notice;
use crate::log;

const VERSION: u32 = 1;
const READ_RECORDS: usize = 1024;
const READ_BYTES: usize = 4 * 1024 * 1024;

#[derive(Serialize)]
struct EncodedChange<'a> {
    v: u32,
    entries: &'a [JournalEntry],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    notices: &'a [Notice],
}

#[derive(Deserialize)]
struct Read {
    v: u32,
    entries: Vec<JournalEntry>,
    #[serde(default)]
    notices: Vec<Notice>,
}

/// Why a record of the journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The log cannot be read.
    #[error("journal cannot be read: {0}")]
    Read(#[from] log::ReadError),
    /// The record has an unknown format.
    #[error("journal record {offset} cannot be understood: {reason}")]
    Record {
        /// The offset of the record.
        offset: u64,
        /// What is wrong with the record.
        reason: String,
    },
}

/// A change, read from the journal.
#[derive(Debug)]
pub(super) struct JournalChange {
    pub(super) offset: u64,
    pub(super) hash: [u8; 32],
    pub(super) entries: Vec<JournalEntry>,
    pub(super) notices: Vec<Notice>,
}

/// Encodes a record. Returns its bytes and their hash.
pub(super) fn encode(
    entries: &[JournalEntry],
    notices: &[Notice],
) -> Result<(Bytes, [u8; 32]), serde_json::Error> {
    let bytes = serde_json::to_vec(&EncodedChange { v: VERSION, entries, notices })?;
    let hash = sha256(&bytes);
    Ok((bytes.into(), hash))
}

/// Reads a record.
pub(super) fn decode(record: &log::Record) -> Result<JournalChange, JournalError> {
    let refuse = |reason: String| JournalError::Record { offset: record.offset, reason };
    let read: Read = serde_json::from_slice(&record.payload).map_err(|e| refuse(e.to_string()))?;
    // Not skipped: a record of a later version holds changes, which would be lost without a word.
    if read.v != VERSION {
        return Err(refuse(format!("version {}", read.v)));
    }
    let (offset, hash) = (record.offset, sha256(&record.payload));
    Ok(JournalChange { offset, hash, entries: read.entries, notices: read.notices })
}

/// Reads every change from an offset on and passes it to `take`, in order.
pub(super) fn read_from<E: From<JournalError>>(
    reader: &log::Reader,
    from: u64,
    mut take: impl FnMut(JournalChange) -> Result<(), E>,
) -> Result<(), E> {
    let mut next = from;
    while next < reader.end() {
        let batch = reader.read(next, READ_RECORDS, READ_BYTES).map_err(JournalError::from)?;
        // Not an error: a start without the changes that were written there is better than none.
        for damage in &batch.damaged {
            tracing::error!(%damage, "the journal is damaged; changes written there are lost: {damage}");
        }
        for record in &batch.records {
            take(decode(record)?)?;
        }
        if batch.next <= next {
            break;
        }
        next = batch.next;
    }
    Ok(())
}

/// What the journal knows about the record at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RecordState {
    /// The record exists and has this hash.
    Hash([u8; 32]),
    /// The record is damaged.
    Damaged,
    /// The journal has no such offset.
    Outside,
}

pub(super) fn known_at(reader: &log::Reader, offset: u64) -> Result<RecordState, JournalError> {
    match reader.get(offset) {
        Ok(Some(record)) => Ok(RecordState::Hash(sha256(&record.payload))),
        Ok(None) => Ok(RecordState::Outside),
        Err(log::ReadError::Damaged(_)) => Ok(RecordState::Damaged),
        Err(other) => Err(other.into()),
    }
}
