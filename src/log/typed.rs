//! A reader of a log whose offsets have a type of their own, so that they cannot be confused with those of another log.

use std::fmt;
use std::marker::PhantomData;
use std::ops::Range;

use tokio::sync::watch;

use super::damage::ReadError;
use super::options::Record;
use super::reader::{Batch, Reader};
use crate::model::Offset;

/// A reader of the log with the offsets `O`. Cheap to clone. The methods are those of [`Reader`].
pub struct ReaderOf<O> {
    reader: Reader,
    offsets: PhantomData<fn() -> O>,
}

impl<O> Clone for ReaderOf<O> {
    fn clone(&self) -> Self {
        Self { reader: self.reader.clone(), offsets: PhantomData }
    }
}

impl<O> fmt::Debug for ReaderOf<O> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.reader.fmt(f)
    }
}

impl<O> ReaderOf<O> {
    /// Says which log a reader reads. To be done where the log is opened, and nowhere else.
    #[must_use]
    pub fn new(reader: Reader) -> Self {
        Self { reader, offsets: PhantomData }
    }

    /// The reader, for what is the same for all logs.
    #[must_use]
    pub fn untyped(&self) -> &Reader {
        &self.reader
    }
}

impl<O: Offset> ReaderOf<O> {
    /// See [`Reader::first`].
    #[must_use]
    pub fn first(&self) -> O {
        O::of_number(self.reader.first())
    }

    /// See [`Reader::end`].
    #[must_use]
    pub fn end(&self) -> O {
        O::of_number(self.reader.end())
    }

    /// See [`Reader::subscribe`].
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<u64> {
        self.reader.subscribe()
    }

    /// See [`Reader::read`].
    pub fn read(&self, from: O, max_records: usize, max_bytes: usize) -> Result<Batch<O>, ReadError> {
        self.reader.read(from.number(), max_records, max_bytes).map(typed)
    }

    /// See [`Reader::read_tags`].
    #[expect(clippy::too_many_arguments, reason = "those of `Reader::read_tags`")]
    pub fn read_tags(
        &self,
        tags: &[u64],
        from: O,
        until: O,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Batch<O>, ReadError> {
        self.reader.read_tags(tags, from.number(), until.number(), max_records, max_bytes).map(typed)
    }

    /// See [`Reader::read_tags_back`].
    pub fn read_tags_back(&self, tags: &[u64], before: O, max_records: usize) -> Result<Batch<O>, ReadError> {
        self.reader.read_tags_back(tags, before.number(), max_records).map(typed)
    }

    /// See [`Reader::get`].
    pub fn get(&self, offset: O) -> Result<Option<Record<O>>, ReadError> {
        Ok(self.reader.get(offset.number())?.map(typed_record))
    }

    /// See [`Reader::offset_at_time`].
    pub fn offset_at_time(&self, time_us: u64) -> Result<O, ReadError> {
        self.reader.offset_at_time(time_us).map(O::of_number)
    }

    /// See [`Reader::offsets_in`].
    pub fn offsets_in(&self, times: Range<u64>) -> Result<Range<O>, ReadError> {
        let Range { start, end } = self.reader.offsets_in(times)?;
        Ok(O::of_number(start)..O::of_number(end))
    }

    /// See [`Reader::time_near`].
    pub fn time_near(&self, offset: O) -> Result<Option<u64>, ReadError> {
        self.reader.time_near(offset.number())
    }

    /// See [`Reader::earliest_from`].
    pub fn earliest_from(&self, offset: O) -> Result<Option<u64>, ReadError> {
        self.reader.earliest_from(offset.number())
    }
}

fn typed<O: Offset>(batch: Batch) -> Batch<O> {
    let Batch { records, next, damaged } = batch;
    // Both records have the same layout, so the vector keeps its memory.
    let records = records.into_iter().map(typed_record).collect();
    Batch { records, next: O::of_number(next), damaged }
}

fn typed_record<O: Offset>(record: Record) -> Record<O> {
    let Record { offset, time_us, tag, flags, payload } = record;
    Record { offset: O::of_number(offset), time_us, tag, flags, payload }
}
