//! Version 2 of the segment format: the header at a segment's start and the records behind it.
//!
//! ```text
//! segment header   magic 8 | version u32 | first offset u64 | created µs u64 | salt u32 | CRC-32C u32 over the rest
//! record           length u32 | CRC-32C u32 | seq u32 | time µs u64 | tag u64 | flags u8 | head u32 | payload
//! ```
//!
//! All numbers are little-endian. `seq` counts from the segment's first offset. A record's CRC covers the segment's
//! first offset, the log's salt, the length, and everything after the CRC except `head`. `head` is a CRC over the
//! header alone. It follows that a record is valid in one segment only, that a payload from outside can never pass
//! for a record (see `salt`), and that a false header is recognised without reading the payload it claims to have.

use std::ops::Range;

use super::bytes::{size, small, take, take_u32, take_u64};

/// The version this program writes.
pub(super) const VERSION: u32 = 2;
/// Bytes of a segment header.
pub(super) const SEGMENT_HEADER: usize = 36;
/// Bytes of a record before its payload.
pub(super) const RECORD_HEADER: usize = 33;
/// Bytes of a record before `head`.
const HEAD: usize = 29;
/// Upper bound of any payload, whatever the options say; a longer length in a header is damage.
pub(super) const MAX_PAYLOAD: u32 = 64 << 20;

const MAGIC: [u8; 8] = *b"SWHKLOG\n";
/// Bytes before the checksum of a segment header; version 1 had no salt.
const CHECKED: usize = 32;
const CHECKED_1: usize = 28;

/// The contents of a segment header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct SegmentHeader {
    pub(super) first: u64,
    pub(super) created_us: u64,
    /// The log's salt; the same in every segment.
    pub(super) salt: u32,
}

/// The result of decoding a segment header.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeaderState {
    Sound(SegmentHeader),
    /// A sound header of another format version.
    Version(u32),
    Bad,
}

impl SegmentHeader {
    pub(super) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(SEGMENT_HEADER);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.first.to_le_bytes());
        out.extend_from_slice(&self.created_us.to_le_bytes());
        out.extend_from_slice(&self.salt.to_le_bytes());
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> HeaderState {
        Self::fields(bytes).unwrap_or(HeaderState::Bad)
    }

    fn fields(bytes: &[u8]) -> Option<HeaderState> {
        let mut rest = bytes;
        let magic = take::<8>(&mut rest)?;
        let version = take_u32(&mut rest)?;
        let (checked, mut crc) = bytes.split_at_checked(if version == 1 { CHECKED_1 } else { CHECKED })?;
        if magic != MAGIC || take_u32(&mut crc)? != crc32c::crc32c(checked) {
            return None;
        }
        if version != VERSION {
            return Some(HeaderState::Version(version));
        }
        let (first, created_us) = (take_u64(&mut rest)?, take_u64(&mut rest)?);
        Some(HeaderState::Sound(Self { first, created_us, salt: take_u32(&mut rest)? }))
    }
}

/// A record's fixed part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) len: u32,
    pub(super) crc: u32,
    pub(super) seq: u32,
    pub(super) time_us: u64,
    pub(super) tag: u64,
    pub(super) flags: u8,
}

impl Header {
    /// Reads the fields without checking them; `None` when `bytes` is too short.
    pub(super) fn peek(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        Some(Self {
            len: take_u32(&mut rest)?,
            crc: take_u32(&mut rest)?,
            seq: take_u32(&mut rest)?,
            time_us: take_u64(&mut rest)?,
            tag: take_u64(&mut rest)?,
            flags: take::<1>(&mut rest)?.first().copied()?,
        })
    }

    /// Length of the whole record in bytes.
    pub(super) fn record_len(&self) -> usize {
        RECORD_HEADER + size(u64::from(self.len))
    }
}

/// The initial CRC value of a segment's records, made of its first offset and the log's salt.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seed(u32);

impl Seed {
    pub(super) fn new(first: u64, salt: u32) -> Self {
        Self(crc32c::crc32c_append(crc32c::crc32c(&first.to_le_bytes()), &salt.to_le_bytes()))
    }

    /// The CRC of a whole record: its length, the header fields after the CRC, and the payload.
    fn record(self, len: u32, rest: &[u8], payload: &[u8]) -> u32 {
        let crc = crc32c::crc32c_append(self.0, &len.to_le_bytes());
        crc32c::crc32c_append(crc32c::crc32c_append(crc, rest), payload)
    }

    /// The CRC of a record's header alone.
    fn head(self, head: &[u8]) -> u32 {
        crc32c::crc32c_append(self.0, head)
    }
}

/// The largest number of records that a segment of `bytes` bytes can hold.
pub(super) fn room(bytes: u64) -> u32 {
    small(bytes.saturating_sub(SEGMENT_HEADER as u64) / RECORD_HEADER as u64)
}

/// Appends one record to `out`.
pub(super) fn encode(out: &mut Vec<u8>, seed: Seed, header: &Header, payload: &[u8]) {
    let start = out.len();
    out.extend_from_slice(&header.len.to_le_bytes());
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&header.seq.to_le_bytes());
    out.extend_from_slice(&header.time_us.to_le_bytes());
    out.extend_from_slice(&header.tag.to_le_bytes());
    out.push(header.flags);
    let crc = seed.record(header.len, out.get(start + 8..).unwrap_or(&[]), payload);
    if let Some(place) = out.get_mut(start + 4..start + 8) {
        place.copy_from_slice(&crc.to_le_bytes());
    }
    let head = seed.head(out.get(start..).unwrap_or(&[]));
    out.extend_from_slice(&head.to_le_bytes());
    out.extend_from_slice(payload);
}

/// The result of decoding the bytes at a position.
#[derive(Debug)]
pub(super) enum Decoded {
    /// A record with a correct checksum, and the range of its payload within `bytes`.
    Sound(Header, Range<usize>),
    /// `bytes` is too short; the record needs this many bytes.
    Short(usize),
    /// Not a record.
    Bad,
}

/// The header at the start of `bytes` if the header's own checksum is correct. The payload may be damaged.
pub(super) fn sound_header(bytes: &[u8], seed: Seed) -> Option<Header> {
    let (header, head) = (Header::peek(bytes)?, bytes.get(HEAD..RECORD_HEADER)?);
    let is_sound = seed.head(bytes.get(..HEAD)?).to_le_bytes() == head && header.len <= MAX_PAYLOAD;
    is_sound.then_some(header)
}

/// Decodes the record at the start of `bytes` and checks both checksums.
pub(super) fn decode(bytes: &[u8], seed: Seed) -> Decoded {
    if bytes.len() < RECORD_HEADER {
        return Decoded::Short(RECORD_HEADER);
    }
    let Some(header) = sound_header(bytes, seed) else { return Decoded::Bad };
    let (Some(rest), Some(payload)) = (bytes.get(8..HEAD), bytes.get(RECORD_HEADER..header.record_len()))
    else {
        return Decoded::Short(header.record_len());
    };
    if seed.record(header.len, rest, payload) != header.crc {
        return Decoded::Bad;
    }
    Decoded::Sound(header, RECORD_HEADER..header.record_len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_valid_only_in_its_own_segment_and_log() {
        let header = Header { len: 3, crc: 0, seq: 7, time_us: 8, tag: 9, flags: 1 };
        let mut out = Vec::new();
        encode(&mut out, Seed::new(5, 1), &header, b"abc");
        let Decoded::Sound(read, payload) = decode(&out, Seed::new(5, 1)) else { panic!("not sound") };
        assert_eq!((read.seq, read.time_us, read.tag, read.flags, &out[payload]), (7, 8, 9, 1, &b"abc"[..]));
        assert!(matches!(decode(&out, Seed::new(6, 1)), Decoded::Bad));
        assert!(matches!(decode(&out, Seed::new(5, 2)), Decoded::Bad));
        assert!(matches!(decode(&out[..35], Seed::new(5, 1)), Decoded::Short(36)));
    }

    #[test]
    fn a_false_header_is_rejected_without_reading_its_payload() {
        let header = Header { len: 1 << 20, crc: 0, seq: 7, time_us: 8, tag: 9, flags: 1 };
        let mut out = Vec::new();
        encode(&mut out, Seed::new(5, 1), &header, &vec![0; 1 << 20]);
        let head = &out[..RECORD_HEADER];
        assert!(matches!(decode(head, Seed::new(5, 1)), Decoded::Short(need) if need == out.len()));
        assert!(matches!(decode(head, Seed::new(5, 2)), Decoded::Bad));
    }

    #[test]
    fn every_flipped_bit_of_a_record_is_noticed() {
        let header = Header { len: 3, crc: 0, seq: 7, time_us: 8, tag: 9, flags: 1 };
        let mut out = Vec::new();
        encode(&mut out, Seed::new(5, 1), &header, b"abc");
        for bit in 0..out.len() * 8 {
            out[bit / 8] ^= 1 << (bit % 8);
            assert!(!matches!(decode(&out, Seed::new(5, 1)), Decoded::Sound(..)), "bit {bit}");
            out[bit / 8] ^= 1 << (bit % 8);
        }
    }

    #[test]
    fn a_segment_header_names_its_version() {
        let header = SegmentHeader { first: 4, created_us: 5, salt: 6 };
        let mut bytes = header.encode();
        assert_eq!(SegmentHeader::decode(&bytes), HeaderState::Sound(header));
        bytes[8] = 3;
        assert_eq!(SegmentHeader::decode(&bytes), HeaderState::Bad);
        let crc = crc32c::crc32c(&bytes[..CHECKED]).to_le_bytes();
        bytes[CHECKED..].copy_from_slice(&crc);
        assert_eq!(SegmentHeader::decode(&bytes), HeaderState::Version(3));
    }

    #[test]
    fn a_segment_header_of_version_1_is_reported_as_another_version() {
        let mut bytes = SegmentHeader { first: 4, created_us: 5, salt: 6 }.encode();
        bytes.truncate(CHECKED_1);
        bytes[8] = 1;
        bytes.extend(crc32c::crc32c(&bytes).to_le_bytes());
        assert_eq!(SegmentHeader::decode(&bytes), HeaderState::Version(1));
        bytes[12] ^= 1;
        assert_eq!(SegmentHeader::decode(&bytes), HeaderState::Bad);
    }
}
