//! Finds records by time, although the clock may have been wrong for a while.
//!
//! Record times do not always rise with offsets, because a wrong clock may be corrected at any moment. So a range of
//! time is not a range of offsets. The ranges returned here contain every record that is sought and may contain
//! others; callers must check each record's own time.

use std::ops::Range;

use super::damage::ReadError;
use super::reader::{BLOCK_CHUNK, ReadStep, Reader};
use super::store::Segment;

impl Reader {
    /// The first offset whose record has this time or a later one; the log's end when there is none.
    pub fn offset_at_time(&self, time_us: u64) -> Result<u64, ReadError> {
        let end = self.end();
        for segment in self.store.segments() {
            match self.first_from(&segment, time_us, end) {
                Ok(Some(offset)) => return Ok(offset),
                Ok(None) => {}
                Err(e) if e.is_gone() && segment.first < self.first() => {}
                Err(e) => return Err(e),
            }
        }
        Ok(end)
    }

    /// The offsets from the first to the last record with a time in `times`. Records of other times may lie between.
    pub fn offsets_in(&self, times: Range<u64>) -> Result<Range<u64>, ReadError> {
        let start = self.offset_at_time(times.start)?.max(self.first());
        Ok(start..self.end_before(times.end)?.max(start))
    }

    /// The offset behind the last record from before this time; `first()` when there is none.
    fn end_before(&self, time_us: u64) -> Result<u64, ReadError> {
        let end = self.end();
        for segment in self.store.segments().into_iter().rev() {
            match self.last_before(&segment, time_us, end) {
                Ok(Some(offset)) => return Ok(offset + 1),
                Ok(None) => {}
                Err(e) if e.is_gone() && segment.first < self.first() => break,
                Err(e) => return Err(e),
            }
        }
        Ok(self.first())
    }

    /// The approximate time of the record at `offset`: the earliest time in its block of a few kilobytes, which the
    /// index knows without reading the record. `None` when the record has been removed or does not exist yet.
    pub fn time_near(&self, offset: u64) -> Result<Option<u64>, ReadError> {
        let end = self.end();
        if offset >= end || offset < self.first() {
            return Ok(None);
        }
        let Some(place) = self.store.locate(offset, end) else { return Ok(None) };
        let seq = place.seq_of(offset);
        match self.store.with_sparse(&place.segment, |sparse| sparse.low_near(seq)) {
            Err(e) if e.is_gone() && offset < self.first() => Ok(None),
            found => found,
        }
    }

    /// A lower bound for the times of all records from `offset` on; `None` when there are none.
    pub fn earliest_from(&self, offset: u64) -> Result<Option<u64>, ReadError> {
        let (first, end) = (offset.max(self.first()), self.end());
        let Some(place) = self.store.locate(first, end) else { return Ok(None) };
        let seq = place.seq_of(first);
        let mut earliest = self.store.with_sparse(&place.segment, |sparse| sparse.low_from(seq))?;
        for segment in self.store.segments().iter().filter(|segment| segment.first > place.segment.first) {
            earliest = earliest.into_iter().chain([self.store.times(segment)?.low_us]).min();
        }
        Ok(earliest)
    }

    fn first_from(&self, segment: &Segment, time_us: u64, end: u64) -> Result<Option<u64>, ReadError> {
        if self.store.times(segment)?.peak_us < time_us {
            return Ok(None);
        }
        let block = self.store.with_sparse(segment, |sparse| sparse.block_at_time(time_us))?;
        let (Some(block), Some(place)) = (block, self.store.locate(segment.first, end)) else {
            return Ok(None);
        };
        let mut scanner = self.seek(&place, block.seq, BLOCK_CHUNK)?;
        loop {
            match self.step(&mut scanner, &place)? {
                ReadStep::Record(header, _) if header.time_us >= time_us => {
                    return Ok(Some(segment.first + u64::from(header.seq)));
                }
                ReadStep::Record(..) | ReadStep::Damage(_) => {}
                ReadStep::End => return Ok(None),
            }
        }
    }

    fn last_before(&self, segment: &Segment, time_us: u64, end: u64) -> Result<Option<u64>, ReadError> {
        if self.store.times(segment)?.low_us >= time_us {
            return Ok(None);
        }
        let block = self.store.with_sparse(segment, |sparse| sparse.last_block_before(time_us))?;
        let (Some(block), Some(place)) = (block, self.store.locate(segment.first, end)) else {
            return Ok(None);
        };
        let (_, block_end) = self.store.block_of(segment, block.seq)?;
        let mut scanner = self.seek(&place, block.seq, BLOCK_CHUNK)?;
        let mut last = None;
        loop {
            match self.step(&mut scanner, &place)? {
                ReadStep::Record(header, _) if header.time_us < time_us => {
                    last = Some(segment.first + u64::from(header.seq));
                }
                ReadStep::Record(..) => {}
                // The damaged record may have been from before that time.
                ReadStep::Damage(damage) => last = damage.offsets.end.checked_sub(1).or(last),
                ReadStep::End => return Ok(last),
            }
            // The blocks behind this one hold no record from before that time.
            if block_end.is_some_and(|end| scanner.pos() >= u64::from(end)) {
                return Ok(last);
            }
        }
    }
}
