//! The journal: every change of a document, in order, synced before it is answered.
//!
//! A record holds the entries of one change and counts as a whole. Records are idempotent: applying a
//! journal from any point at or before the applied one gives the same documents, which is what makes the
//! snapshot of a compaction safe to read together with older records that are still there.

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::document::{Entry, sha256};
use super::notices::Notice;
use crate::log;

const VERSION: u32 = 1;
const READ_RECORDS: usize = 1024;
const READ_BYTES: usize = 4 * 1024 * 1024;

#[derive(Serialize)]
struct Written<'a> {
    v: u32,
    entries: &'a [Entry],
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    notices: &'a [Notice],
}

#[derive(Deserialize)]
struct Read {
    v: u32,
    entries: Vec<Entry>,
    #[serde(default)]
    notices: Vec<Notice>,
}

/// A record of the journal that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The log cannot be read.
    #[error("journal cannot be read: {0}")]
    Read(#[from] log::ReadError),
    /// The record is none of ours.
    #[error("journal record {offset} is not understood: {reason}")]
    Record {
        /// Its offset.
        offset: u64,
        /// What is wrong with it.
        reason: String,
    },
}

/// A change as read back.
#[derive(Debug)]
pub(super) struct Change {
    pub(super) offset: u64,
    pub(super) hash: [u8; 32],
    pub(super) entries: Vec<Entry>,
    pub(super) notices: Vec<Notice>,
}

/// The bytes of a record, and their hash.
pub(super) fn encode(entries: &[Entry], notices: &[Notice]) -> Result<(Bytes, [u8; 32]), serde_json::Error> {
    let bytes = serde_json::to_vec(&Written { v: VERSION, entries, notices })?;
    let hash = sha256(&bytes);
    Ok((bytes.into(), hash))
}

/// Reads a record.
pub(super) fn decode(record: &log::Record) -> Result<Change, JournalError> {
    let refuse = |reason: String| JournalError::Record { offset: record.offset, reason };
    let read: Read = serde_json::from_slice(&record.payload).map_err(|e| refuse(e.to_string()))?;
    if read.v != VERSION {
        return Err(refuse(format!("version {}", read.v)));
    }
    let (offset, hash) = (record.offset, sha256(&record.payload));
    Ok(Change { offset, hash, entries: read.entries, notices: read.notices })
}

/// Reads every change from an offset on and hands it over in order.
pub(super) fn read_from<E: From<JournalError>>(
    reader: &log::Reader,
    from: u64,
    mut take: impl FnMut(Change) -> Result<(), E>,
) -> Result<(), E> {
    let mut next = from;
    while next < reader.end() {
        let batch = reader.read(next, READ_RECORDS, READ_BYTES).map_err(JournalError::from)?;
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

/// What the journal says about the record at an offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Known {
    /// It is there, with this hash.
    Hash([u8; 32]),
    /// It should be there and cannot be read.
    Damaged,
    /// The journal does not reach there.
    Outside,
}

pub(super) fn known_at(reader: &log::Reader, offset: u64) -> Result<Known, JournalError> {
    match reader.get(offset) {
        Ok(Some(record)) => Ok(Known::Hash(sha256(&record.payload))),
        Ok(None) => Ok(Known::Outside),
        Err(log::ReadError::Damaged(_)) => Ok(Known::Damaged),
        Err(other) => Err(other.into()),
    }
}
