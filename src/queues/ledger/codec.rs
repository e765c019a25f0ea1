//! Reading and writing the ledger's small fields: variable-length integers and byte strings.

use crate::model::Id;

/// A ledger record that does not decode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeRecordError {
    /// It ends early.
    #[error("ledger record ends early")]
    Short,
    /// A code in it is unknown.
    #[error("ledger record has an unknown {0}")]
    Unknown(&'static str),
}

/// Appends a number, seven bits a byte, least significant first.
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

pub(in crate::queues) fn put_id(out: &mut Vec<u8>, id: Id) {
    out.extend_from_slice(&id.0.to_be_bytes());
}

pub(in crate::queues) fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

/// Reads fields off the front of a record.
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
        for shift in (0..70).step_by(7) {
            let byte = self.byte()?;
            n |= u64::from(byte & 0x7f).checked_shl(shift).unwrap_or(0);
            if byte & 0x80 == 0 {
                return Ok(n);
            }
        }
        Err(DecodeRecordError::Unknown("number"))
    }

    /// A time (µs) that may be missing, which is stored as 0.
    pub(in crate::queues) fn time(&mut self) -> Result<Option<u64>, DecodeRecordError> {
        Ok(Some(self.number()?).filter(|time_us| *time_us > 0))
    }

    /// A number that must fit 16 bits; larger ones are taken as the largest.
    pub(in crate::queues) fn small(&mut self) -> Result<u16, DecodeRecordError> {
        Ok(u16::try_from(self.number()?).unwrap_or(u16::MAX))
    }

    pub(in crate::queues) fn id(&mut self) -> Result<Id, DecodeRecordError> {
        let (id, rest) = self.0.split_first_chunk::<16>().ok_or(DecodeRecordError::Short)?;
        self.0 = rest;
        Ok(Id(u128::from_be_bytes(*id)))
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
