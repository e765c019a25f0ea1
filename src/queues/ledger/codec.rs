//! The fields of ledger records: numbers of variable length, ids, times and byte strings.

use crate::model::{EventOffset, Moment};

/// A ledger record that cannot be decoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeRecordError {
    /// The record ends early.
    #[error("ledger record ends early")]
    Short,
    /// The record contains an unknown code.
    #[error("ledger record has an unknown {0}")]
    Unknown(&'static str),
}

/// The kinds of records: the first byte of each. Kinds of earlier versions are still read.
pub(in crate::queues) mod kind {
    pub(in crate::queues) const ATTEMPT_1: u8 = 1;
    pub(in crate::queues) const SETTLED: u8 = 2;
    pub(in crate::queues) const GAP: u8 = 3;
    pub(in crate::queues) const CHECKPOINT_BEGIN_1: u8 = 4;
    pub(in crate::queues) const CHECKPOINT_QUEUE_1: u8 = 5;
    pub(in crate::queues) const CHECKPOINT_END: u8 = 6;
    pub(in crate::queues) const REFRESHED: u8 = 7;
    pub(in crate::queues) const ATTEMPT_2: u8 = 8;
    pub(in crate::queues) const HOOK_REVISION: u8 = 9;
    pub(in crate::queues) const ATTEMPT_3: u8 = 10;
    pub(in crate::queues) const CHECKPOINT_BEGIN: u8 = 11;
    pub(in crate::queues) const CHECKPOINT_QUEUE: u8 = 12;
    pub(in crate::queues) const ATTEMPT_4: u8 = 13;
}

/// Appends a number, seven bits in each byte, the least significant first.
pub(in crate::queues) fn put_number(out: &mut Vec<u8>, mut n: u64) {
    loop {
        let low = (n & 0x7f) as u8;
        n >>= 7;
        if n == 0 {
            out.push(low);
            return;
        }
        out.push(low | 0x80);
    }
}

/// Appends a time that may be missing, which is stored as 0.
pub(in crate::queues) fn put_time(out: &mut Vec<u8>, time: Option<Moment>) {
    put_number(out, time.map_or(0, Moment::micros));
}

pub(in crate::queues) fn put_offset(out: &mut Vec<u8>, offset: EventOffset) {
    put_number(out, offset.0);
}

/// Appends the 16 bytes of an id.
pub(in crate::queues) fn put_id(out: &mut Vec<u8>, id: u128) {
    out.extend_from_slice(&id.to_be_bytes());
}

pub(in crate::queues) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// The fields of a record that have not been read yet.
#[derive(Debug)]
pub(in crate::queues) struct Fields<'a>(pub(in crate::queues) &'a [u8]);

impl<'a> Fields<'a> {
    pub(in crate::queues) fn byte(&mut self) -> Result<u8, DecodeRecordError> {
        let (byte, rest) = self.0.split_first().ok_or(DecodeRecordError::Short)?;
        self.0 = rest;
        Ok(*byte)
    }

    pub(in crate::queues) fn number(&mut self) -> Result<u64, DecodeRecordError> {
        let mut n = 0;
        // A number of 64 bits has at most ten bytes. More are damage.
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            n |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(DecodeRecordError::Unknown("number"))
    }

    /// A time that may be missing, as [`put_time`] wrote it.
    pub(in crate::queues) fn time(&mut self) -> Result<Option<Moment>, DecodeRecordError> {
        Ok(Some(self.number()?).filter(|us| *us > 0).map(Moment::from_micros))
    }

    pub(in crate::queues) fn offset(&mut self) -> Result<EventOffset, DecodeRecordError> {
        Ok(EventOffset(self.number()?))
    }

    /// A number of 16 bits. A larger one becomes the largest.
    pub(in crate::queues) fn small(&mut self) -> Result<u16, DecodeRecordError> {
        Ok(u16::try_from(self.number()?).unwrap_or(u16::MAX))
    }

    /// An id; the caller gives it its type.
    pub(in crate::queues) fn id(&mut self) -> Result<u128, DecodeRecordError> {
        let (id, rest) = self.0.split_first_chunk::<16>().ok_or(DecodeRecordError::Short)?;
        self.0 = rest;
        Ok(u128::from_be_bytes(*id))
    }

    pub(in crate::queues) fn eight(&mut self) -> Result<u64, DecodeRecordError> {
        let (bytes, rest) = self.0.split_first_chunk::<8>().ok_or(DecodeRecordError::Short)?;
        self.0 = rest;
        Ok(u64::from_be_bytes(*bytes))
    }

    pub(in crate::queues) fn thirty_two(&mut self) -> Result<[u8; 32], DecodeRecordError> {
        let (bytes, rest) = self.0.split_first_chunk::<32>().ok_or(DecodeRecordError::Short)?;
        self.0 = rest;
        Ok(*bytes)
    }

    pub(in crate::queues) fn bytes(&mut self) -> Result<&'a [u8], DecodeRecordError> {
        let len = usize::try_from(self.number()?).map_err(|_| DecodeRecordError::Short)?;
        let (bytes, rest) = self.0.split_at_checked(len).ok_or(DecodeRecordError::Short)?;
        self.0 = rest;
        Ok(bytes)
    }

    pub(in crate::queues) fn text(&mut self) -> Result<String, DecodeRecordError> {
        Ok(String::from_utf8_lossy(self.bytes()?).into_owned())
    }
}
