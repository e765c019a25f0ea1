//! Reads records in order and by offset; `times` finds them by time, `tags` by tag. A reader never changes a file.
//!
//! All methods block on the disk or the page cache, usually for a few microseconds for each block.

use std::io;
use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;

use super::bytes::{size, small};
use super::damage::{Damage, LogHealth, ReadError};
use super::names;
use super::options::Record;
use super::record::{Header, RECORD_HEADER};
use super::scan::{Scanner, Span, Step};
use super::store::{Located, Segment, Store};
use crate::metrics::Observed;

const CHUNK: usize = 256 << 10;
const SMALL_CHUNK: usize = 32 << 10;
pub(super) const BLOCK_CHUNK: usize = 64 << 10;

/// The result of one read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Batch<O = u64> {
    /// In order.
    pub records: Vec<Record<O>>,
    /// The offset at which the next read should start.
    pub next: O,
    /// Damage between the start of the read and `next`.
    pub damaged: Vec<Damage>,
}

/// Figures of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogStats {
    /// The oldest retained offset.
    pub first: u64,
    /// The offset of the next record to be appended.
    pub end: u64,
    /// Number of segments.
    pub segments: usize,
    /// Size of all segments.
    pub bytes: u64,
    /// Health of the log.
    pub health: LogHealth,
}

/// A segment's range of offsets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SegmentRange {
    /// Its first offset.
    pub first: u64,
    /// The offset behind the last record.
    pub end: u64,
    /// Size in bytes.
    pub bytes: u64,
    /// Time of creation, microseconds since 1970.
    pub created_us: u64,
    /// Whether the segment is closed; only the last one is open.
    pub closed: bool,
}

/// Bounds of one read.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReadLimits {
    pub(super) records: usize,
    pub(super) bytes: usize,
}

/// A scanner's step as readers see it.
#[derive(Debug)]
pub(super) enum ReadStep {
    Record(Header, Bytes),
    Damage(Damage),
    End,
}

/// A handle for reading; cheap to clone, usable from any thread.
#[derive(Debug, Clone)]
pub struct Reader {
    pub(super) store: Arc<Store>,
}

impl Reader {
    /// The oldest retained offset.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.store.first()
    }

    /// The durable end: every offset from `first` up to, but excluding, this one can be read.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.store.end()
    }

    /// A channel that follows the durable end.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.store.end.subscribe()
    }

    /// Figures of the log, without disk access.
    #[must_use]
    pub fn stats(&self) -> LogStats {
        let (segments, bytes) =
            self.store.with_segments(|all| (all.len(), all.iter().map(|segment| segment.len()).sum()));
        LogStats { first: self.first(), end: self.end(), segments, bytes, health: self.health() }
    }

    /// The segments, oldest first, without disk access.
    #[must_use]
    pub fn segments(&self) -> Vec<SegmentRange> {
        let end = self.end();
        let segments = self.store.segments();
        let ends = segments.iter().skip(1).map(|next| (next.first, true)).chain([(end, false)]);
        let range = |(segment, (end, closed)): (&Arc<Segment>, _)| SegmentRange {
            first: segment.first,
            end,
            bytes: segment.len(),
            created_us: segment.created_us,
            closed,
        };
        segments.iter().zip(ends).map(range).collect()
    }

    /// Health of the log.
    #[must_use]
    pub fn health(&self) -> LogHealth {
        self.store.health().clone()
    }

    /// Reads records from `from` on (from `first()` when that is later): at most `max_records`, and at most
    /// `max_bytes` of payload unless the first record alone is larger. May return fewer records than exist; returns
    /// none only when `next` has reached the end.
    ///
    /// Payloads share one buffer of up to 256 KiB; copy a payload that is to be kept for long.
    pub fn read(&self, from: u64, max_records: usize, max_bytes: usize) -> Result<Batch, ReadError> {
        let limits = ReadLimits { records: max_records, bytes: max_bytes };
        let end = self.end();
        let mut batch = Batch { next: from.max(self.first()), ..Batch::default() };
        // Usually one turn. More turns are needed when a segment has only damage left, or when retention removes the
        // segment between `locate` and the read; then reading continues at the oldest segment.
        while batch.next < end && batch.records.is_empty() && max_records > 0 {
            let from = batch.next;
            let Some(place) = self.store.locate(from, end) else {
                batch.next = self.first().max(from);
                continue;
            };
            match self.read_segment(&place, limits, &mut batch) {
                Ok(()) => {}
                Err(e) if e.is_gone() && from < self.first() => batch.next = self.first(),
                Err(e) => return Err(e),
            }
        }
        Ok(batch)
    }

    fn read_segment(&self, place: &Located, limits: ReadLimits, batch: &mut Batch) -> Result<(), ReadError> {
        let first = place.segment.first;
        let seq = small(batch.next - first);
        // Read about 4 KiB for each requested record, so that a small request does not read a large chunk.
        let by_count = limits.records.saturating_mul(4 << 10);
        let want = limits.bytes.min(by_count).saturating_add(SMALL_CHUNK / 2).clamp(SMALL_CHUNK, CHUNK);
        let mut scanner = self.seek(place, seq, want)?;
        let mut bytes = 0;
        loop {
            let some = !batch.records.is_empty();
            // Return the records of one read of the disk rather than wait for another one.
            if some && (batch.records.len() >= limits.records || !scanner.is_buffered()) {
                return Ok(());
            }
            match self.step(&mut scanner, place)? {
                ReadStep::Record(header, _) if header.seq < seq => {}
                ReadStep::Record(header, payload) => {
                    bytes += payload.len();
                    if some && bytes > limits.bytes {
                        return Ok(());
                    }
                    batch.next = first + u64::from(header.seq) + 1;
                    batch.records.push(record(first, &header, payload));
                }
                // Damage before the start of the read, which the scanner had to cross.
                ReadStep::Damage(damage) if damage.offsets.end <= batch.next => {}
                ReadStep::Damage(damage) => {
                    batch.next = damage.offsets.end;
                    batch.damaged.push(damage);
                }
                ReadStep::End => {
                    batch.next = batch.next.max(place.end);
                    return Ok(());
                }
            }
        }
    }

    /// The record at `offset`; `None` when it has been removed or does not exist yet.
    pub fn get(&self, offset: u64) -> Result<Option<Record>, ReadError> {
        let end = self.end();
        if offset >= end || offset < self.first() {
            return Ok(None);
        }
        let Some(place) = self.store.locate(offset, end) else { return Ok(None) };
        match self.get_in(&place, offset) {
            Err(e) if e.is_gone() && offset < self.first() => Ok(None),
            found => found,
        }
    }

    fn get_in(&self, place: &Located, offset: u64) -> Result<Option<Record>, ReadError> {
        let first = place.segment.first;
        let seq = small(offset - first);
        let mut scanner = self.seek(place, seq, 0)?;
        loop {
            match self.step(&mut scanner, place)? {
                ReadStep::Record(header, _) if header.seq < seq => {}
                ReadStep::Record(header, payload) => {
                    return Ok(Some(record(first, &header, Bytes::copy_from_slice(&payload))));
                }
                ReadStep::Damage(damage) if damage.offsets.contains(&offset) => {
                    return Err(ReadError::Damaged(damage));
                }
                ReadStep::Damage(_) => {}
                ReadStep::End => return Ok(None),
            }
        }
    }

    /// The number and durations of syncs.
    #[must_use]
    pub fn syncs(&self) -> Observed {
        self.store.syncs.observed()
    }

    /// A scanner at record `seq`, or before it when damage lies between. It reads `chunk` bytes at a time; with 0,
    /// the record's whole block.
    pub(super) fn seek(&self, place: &Located, seq: u32, chunk: usize) -> Result<Scanner, ReadError> {
        let segment = &place.segment;
        let (start, block_end) = self.store.block_of(segment, seq)?;
        let (first, limit) = (segment.first, segment.len());
        let chunk = match (chunk, block_end) {
            (0, Some(end)) => size(u64::from(end - start.pos)),
            (0, None) => BLOCK_CHUNK,
            (chunk, _) => chunk,
        };
        let span = Span {
            seed: self.store.seed(first),
            pos: u64::from(start.pos),
            seq: start.seq,
            limit,
            seq_end: small(place.end.saturating_sub(first)),
        };
        let mut scanner = Scanner::new(self.store.file(first)?, span, chunk);
        scanner.hop_to(seq).map_err(|e| self.failed(first, e))?;
        Ok(scanner)
    }

    /// The next record or damage. Damage is also added to the log's health.
    pub(super) fn step(&self, scanner: &mut Scanner, place: &Located) -> Result<ReadStep, ReadError> {
        let first = place.segment.first;
        let before = scanner.seq();
        let step = scanner.step().map_err(|e| self.failed(first, e))?;
        let (position, bytes, until) = match step {
            Step::Record { header, payload, .. } => return Ok(ReadStep::Record(header, payload)),
            Step::End => return Ok(ReadStep::End),
            Step::Damage { pos, bytes, seqs, .. } => (pos, bytes, first + u64::from(seqs.end)),
            Step::Tail { pos } => (pos, place.segment.len().saturating_sub(pos), place.end),
        };
        let file = names::segment(&self.store.dir, first);
        let damage = Damage { file, position, bytes, offsets: first + u64::from(before)..until };
        self.store.health().note(&damage);
        Ok(ReadStep::Damage(damage))
    }

    pub(super) fn failed(&self, first: u64, source: io::Error) -> ReadError {
        ReadError::Io { file: names::segment(&self.store.dir, first), source }
    }
}

pub(super) fn record(first: u64, header: &Header, payload: Bytes) -> Record {
    debug_assert_eq!(payload.len() + RECORD_HEADER, header.record_len(), "payload is the record's");
    Record {
        offset: first + u64::from(header.seq),
        time_us: header.time_us,
        tag: header.tag,
        flags: header.flags,
        payload,
    }
}
