//! The sparse table of a segment: for about every 8 KiB, a record's number, position and times.
//!
//! The table reduces the search for an offset, or for the first or last record of a range of time, to one block.
//! Times need not rise with offsets: a wrong clock makes a search slower, but no record is missed.

use super::bytes::{put_varint, take_varint};
use super::postings::RecordPlace;

/// Bytes between two entries. One block takes a microsecond or two to read.
const STRIDE: u32 = 8 << 10;

/// A block of records, from `place` to the place of the next entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Block {
    place: RecordPlace,
    /// The latest time of all records before this block. Never falls from block to block, although record times may.
    peak_us: u64,
    /// The earliest time in this block.
    low_us: u64,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Sparse {
    entries: Vec<Block>,
    peak_us: u64,
}

/// The earliest and the latest time of a set of records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) low_us: u64,
    pub(super) peak_us: u64,
}

impl Sparse {
    /// Adds a record. Must be called for every record, in order.
    pub(super) fn add(&mut self, place: RecordPlace, time_us: u64) {
        let due = self.entries.last().is_none_or(|last| place.pos - last.place.pos >= STRIDE);
        if due {
            self.entries.push(Block { place, peak_us: self.peak_us, low_us: time_us });
        } else if let Some(block) = self.entries.last_mut() {
            block.low_us = block.low_us.min(time_us);
        }
        self.peak_us = self.peak_us.max(time_us);
    }

    /// The times of the segment's records. For a segment without records the range is empty.
    pub(super) fn times(&self) -> Times {
        let low_us = self.entries.iter().map(|entry| entry.low_us).min().unwrap_or(u64::MAX);
        Times { low_us, peak_us: self.peak_us }
    }

    /// The start of the block with record `seq` and, unless it is the last block, its end.
    pub(super) fn block_of(&self, seq: u32) -> Option<(RecordPlace, Option<u32>)> {
        let after = self.entries.partition_point(|entry| entry.place.seq <= seq);
        let block = self.entries.get(after.checked_sub(1)?)?;
        Some((block.place, self.entries.get(after).map(|next| next.place.pos)))
    }

    /// The earliest time in the block with record `seq`.
    pub(super) fn low_near(&self, seq: u32) -> Option<u64> {
        let after = self.entries.partition_point(|entry| entry.place.seq <= seq);
        self.entries.get(after.checked_sub(1)?).map(|entry| entry.low_us)
    }

    /// The earliest time from the block with record `seq` on.
    pub(super) fn low_from(&self, seq: u32) -> Option<u64> {
        let after = self.entries.partition_point(|entry| entry.place.seq <= seq);
        self.entries.get(after.saturating_sub(1)..)?.iter().map(|entry| entry.low_us).min()
    }

    /// The start of the last block that holds a record from before `time_us`.
    pub(super) fn last_block_before(&self, time_us: u64) -> Option<RecordPlace> {
        // `low_us` may rise and fall, so a binary search would not work here.
        self.entries.iter().rfind(|entry| entry.low_us < time_us).map(|entry| entry.place)
    }

    /// The start of the first block that may hold a record of `time_us` or later.
    pub(super) fn block_at_time(&self, time_us: u64) -> Option<RecordPlace> {
        if self.peak_us < time_us {
            return None;
        }
        // `peak_us` never falls, so a binary search works. The entry before the found one is the block in which the
        // time was reached.
        let after = self.entries.partition_point(|entry| entry.peak_us < time_us);
        self.entries.get(after.saturating_sub(1)).map(|entry| entry.place)
    }

    /// Approximate size in memory.
    pub(super) fn weight(&self) -> usize {
        self.entries.capacity() * size_of::<Block>() + size_of::<Self>()
    }

    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.entries.len() * 8 + 16);
        put_varint(&mut out, self.entries.len() as u64);
        let mut last = Block::default();
        for entry in &self.entries {
            put_varint(&mut out, u64::from(entry.place.seq - last.place.seq));
            put_varint(&mut out, u64::from(entry.place.pos - last.place.pos));
            put_varint(&mut out, entry.peak_us - last.peak_us);
            // Usually a small number: a block is much earlier than the records before it only when the clock was set
            // back.
            put_varint(&mut out, zigzag(entry.low_us.wrapping_sub(entry.peak_us)));
            last = *entry;
        }
        put_varint(&mut out, self.peak_us - last.peak_us);
        out
    }

    /// Decodes the bytes that `encode` returned; `None` when they are malformed.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut rest = bytes;
        let count = usize::try_from(take_varint(&mut rest)?).ok().filter(|n| *n <= bytes.len())?;
        let mut entries = Vec::with_capacity(count);
        let mut last = Block::default();
        for _ in 0..count {
            let seq = u32::try_from(take_varint(&mut rest)?).ok()?;
            let pos = u32::try_from(take_varint(&mut rest)?).ok()?;
            let place =
                RecordPlace { seq: last.place.seq.checked_add(seq)?, pos: last.place.pos.checked_add(pos)? };
            let peak_us = last.peak_us.checked_add(take_varint(&mut rest)?)?;
            let low_us = peak_us.wrapping_add(unzigzag(take_varint(&mut rest)?));
            last = Block { place, peak_us, low_us };
            entries.push(last);
        }
        let peak_us = last.peak_us.checked_add(take_varint(&mut rest)?)?;
        rest.is_empty().then_some(Self { entries, peak_us })
    }
}

/// Maps a signed difference to a number that is small when the difference is small in either direction.
fn zigzag(difference: u64) -> u64 {
    let signed = difference.cast_signed();
    ((signed << 1) ^ (signed >> 63)).cast_unsigned()
}

fn unzigzag(number: u64) -> u64 {
    (number >> 1) ^ (number & 1).wrapping_neg()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(times: &[u64]) -> Sparse {
        let mut table = Sparse::default();
        for (seq, time) in (0u32..).zip(times) {
            table.add(RecordPlace { seq, pos: 32 + seq * 10_000 }, *time);
        }
        table
    }

    #[test]
    fn the_block_found_for_a_record_contains_it() {
        let table = table(&[1; 50]);
        for seq in 0..50 {
            let (start, end) = table.block_of(seq).unwrap();
            let pos = 32 + seq * 10_000;
            assert!(start.seq <= seq && start.pos <= pos && end.is_none_or(|end| pos < end), "{seq}");
        }
    }

    #[test]
    fn a_time_is_found_although_record_times_step_back() {
        let times: Vec<u64> = (0..60).map(|n| if n % 7 == 3 { 5 } else { n * 10 }).collect();
        let table = table(&times);
        for time in 0..620 {
            let first = times.iter().position(|t| *t >= time);
            let block = table.block_at_time(time);
            assert_eq!(block.is_some(), first.is_some(), "{time}");
            if let (Some(block), Some(first)) = (block, first) {
                assert!(block.seq as usize <= first && first < block.seq as usize + 2, "{time}");
            }
        }
    }

    #[test]
    fn the_last_record_before_a_time_is_found_although_the_clock_was_wrong() {
        for wrong in [5, 100_000] {
            let times: Vec<u64> = (0..60).map(|n| if n % 7 == 3 { wrong } else { n * 10 }).collect();
            let table = table(&times);
            for time in 0..620 {
                let last = times.iter().rposition(|t| *t < time);
                let block = table.last_block_before(time).map(|place| place.seq as usize);
                assert_eq!(block, last, "{time}");
                let low = times.iter().skip(20).min().copied();
                assert_eq!((table.low_near(20), table.low_from(20)), (Some(times[20]), low));
            }
        }
    }

    #[test]
    fn a_decoded_table_equals_the_encoded_one() {
        let table = table(&[3, 1, 9, u64::MAX, 2, 0, 100]);
        assert_eq!(Sparse::decode(&table.encode()), Some(table.clone()));
        assert_eq!(Sparse::decode(&table.encode()[1..]), None);
    }
}
