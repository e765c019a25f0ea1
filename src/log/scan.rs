//! Walks through a segment record by record. No other code turns a segment's bytes into records.
//!
//! The scanner never yields a record with a wrong checksum or number. It reports all damage and continues at the next
//! sound record.

use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::bytes::{size, small};
use super::record::{self, Decoded, Header, MAX_PAYLOAD, RECORD_HEADER, Seed};
use crate::disk::File;

/// Bytes read at a time while searching for the next sound record after damage.
const RESYNC_WINDOW: usize = 1 << 20;

/// What the scanner found at its position.
#[derive(Debug)]
pub(super) enum Step {
    /// A sound record, `pos` bytes into the segment.
    Record { pos: u64, header: Header, payload: Bytes },
    /// Damaged bytes followed by a sound record; `seqs` are the lost records. `headers` has the positions and headers
    /// of those lost records at the front whose headers are sound, so that their tags are known.
    Damage { pos: u64, bytes: u64, seqs: Range<u32>, headers: Vec<(u64, Header)> },
    /// A record was expected, but no sound one follows up to the limit.
    Tail { pos: u64 },
    /// The scan has reached the end of its span.
    End,
}

/// The part of a segment to walk through.
#[derive(Debug, Clone)]
pub(super) struct Span {
    /// Start value of the segment's checksums.
    pub(super) seed: Seed,
    /// Position of the first record.
    pub(super) pos: u64,
    /// Number of the first record.
    pub(super) seq: u32,
    /// Stop at this byte.
    pub(super) limit: u64,
    /// Stop before this record; `u32::MAX` when the number is unknown, then `limit` alone decides.
    pub(super) seq_end: u32,
}

#[derive(Debug)]
pub(super) struct Scanner {
    file: Arc<dyn File>,
    span: Span,
    chunk_size: usize,
    chunk: Bytes,
    chunk_pos: u64,
}

impl Scanner {
    /// Reads `chunk_size` bytes at a time.
    pub(super) fn new(file: Arc<dyn File>, span: Span, chunk_size: usize) -> Self {
        Self { file, span, chunk_size, chunk: Bytes::new(), chunk_pos: 0 }
    }

    /// The number of the next record.
    pub(super) fn seq(&self) -> u32 {
        self.span.seq
    }

    /// The position of the next record in the segment.
    pub(super) fn pos(&self) -> u64 {
        self.span.pos
    }

    /// Whether the next record is in memory already.
    pub(super) fn is_buffered(&self) -> bool {
        let bytes = self.buffered(self.span.pos);
        Header::peek(bytes).is_some_and(|header| header.record_len() <= bytes.len())
    }

    /// Skips to record `seq` by following the lengths in the headers. False, without moving, when they do not lead
    /// there.
    pub(super) fn hop_to(&mut self, seq: u32) -> io::Result<bool> {
        // The headers are not checked here. A wrong length leads to a wrong number, and then the caller scans from
        // the old position, where damage is found and reported.
        let (pos, from) = (self.span.pos, self.span.seq);
        while self.span.seq < seq {
            let header = Header::peek(self.window(self.span.pos, RECORD_HEADER)?);
            match header.filter(|h| h.seq == self.span.seq && h.len <= MAX_PAYLOAD) {
                Some(header) if self.span.pos < self.span.limit => self.pass(&header),
                _ => {
                    (self.span.pos, self.span.seq) = (pos, from);
                    return Ok(false);
                }
            }
        }
        let arrived = Header::peek(self.window(self.span.pos, RECORD_HEADER)?);
        if arrived.is_some_and(|header| header.seq == seq) {
            return Ok(true);
        }
        (self.span.pos, self.span.seq) = (pos, from);
        Ok(false)
    }

    /// Moves on by one record. After `Tail` or `End` every step is `End`.
    pub(super) fn step(&mut self) -> io::Result<Step> {
        let Span { pos, limit, seq, seq_end, .. } = self.span;
        if seq >= seq_end || (pos >= limit && seq_end == u32::MAX) {
            return Ok(Step::End);
        }
        if let Some((header, payload)) = self.sound_at(pos)?.filter(|(header, _)| header.seq == seq) {
            self.pass(&header);
            return Ok(Step::Record { pos, header, payload });
        }
        if let Some((next, found)) = self.resync()? {
            let headers = self.headers_before(next)?;
            (self.span.pos, self.span.seq) = (next, found);
            return Ok(Step::Damage { pos, bytes: next - pos, seqs: seq..found, headers });
        }
        // After this, `step` finds its span exhausted, so a caller that goes on gets `End` and not the same tail
        // again.
        self.span.seq = seq_end;
        self.span.pos = limit.max(pos);
        Ok(Step::Tail { pos })
    }

    /// Sound headers between here and `end`, each found through the length in the one before it.
    fn headers_before(&mut self, end: u64) -> io::Result<Vec<(u64, Header)>> {
        let Span { mut pos, mut seq, seed, .. } = self.span;
        let mut found = Vec::new();
        while pos < end
            && let Some(header) = record::sound_header(self.window(pos, RECORD_HEADER)?, seed)
            && header.seq == seq
        {
            found.push((pos, header));
            pos += header.record_len() as u64;
            seq += 1;
        }
        Ok(found)
    }

    fn pass(&mut self, header: &Header) {
        self.span.pos += header.record_len() as u64;
        self.span.seq += 1;
    }

    fn buffered(&self, pos: u64) -> &[u8] {
        pos.checked_sub(self.chunk_pos).and_then(|at| self.chunk.get(size(at)..)).unwrap_or(&[])
    }

    /// At least `need` bytes from `pos`, or all bytes before the limit if there are fewer.
    fn window(&mut self, pos: u64, need: usize) -> io::Result<&[u8]> {
        if self.buffered(pos).len() < need {
            let len = self.chunk_size.max(need).min(size(self.span.limit.saturating_sub(pos)));
            let mut buf = vec![0; len];
            let read = self.file.read_at(&mut buf, pos)?;
            buf.truncate(read);
            self.chunk = Bytes::from(buf);
            self.chunk_pos = pos;
        }
        Ok(self.buffered(pos))
    }

    fn sound_at(&mut self, pos: u64) -> io::Result<Option<(Header, Bytes)>> {
        let seed = self.span.seed;
        let mut decoded = record::decode(self.window(pos, RECORD_HEADER)?, seed);
        if let Decoded::Short(need) = decoded {
            // The record would end behind the limit: it is torn or damaged.
            if pos + need as u64 > self.span.limit {
                return Ok(None);
            }
            decoded = record::decode(self.window(pos, need)?, seed);
        }
        let Decoded::Sound(header, payload) = decoded else { return Ok(None) };
        let at = size(pos - self.chunk_pos);
        Ok(Some((header, self.chunk.slice(at + payload.start..at + payload.end))))
    }

    /// Searches forward, byte by byte, for the next sound record with a plausible number.
    fn resync(&mut self) -> io::Result<Option<(u64, u32)>> {
        let Span { pos, limit, seq, seq_end, .. } = self.span;
        // A number is plausible when the records lost up to it fit into the remaining bytes. The cheap test on the
        // fields comes first: checksums are computed only for the few positions that pass it.
        let room = small((limit.saturating_sub(pos)) / RECORD_HEADER as u64);
        let most = seq.saturating_add(room).min(seq_end.saturating_sub(1));
        let plausible = |header: &Header, at: u64| {
            header.len <= MAX_PAYLOAD
                && (seq..=most).contains(&header.seq)
                && at + header.record_len() as u64 <= limit
        };
        let chunk_size = std::mem::replace(&mut self.chunk_size, RESYNC_WINDOW);
        let mut at = pos;
        let mut found = None;
        'search: while at + RECORD_HEADER as u64 <= limit {
            let bytes = self.window(at, RECORD_HEADER)?;
            let candidates: Vec<u64> = bytes
                .windows(RECORD_HEADER)
                .zip(at..)
                .filter(|(bytes, at)| Header::peek(bytes).is_some_and(|h| plausible(&h, *at)))
                .map(|(_, at)| at)
                .collect();
            let seen = bytes.len();
            if seen < RECORD_HEADER {
                break;
            }
            for candidate in candidates {
                if let Some((header, _)) = self.sound_at(candidate)?.filter(|(h, _)| plausible(h, candidate))
                {
                    found = Some((candidate, header.seq));
                    break 'search;
                }
            }
            // Windows overlap by a header less one byte, so a header across the border is not missed.
            at += (seen - RECORD_HEADER + 1) as u64;
        }
        self.chunk_size = chunk_size;
        Ok(found)
    }
}
