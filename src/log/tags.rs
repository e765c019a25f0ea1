//! Reads only the records with certain tags, through the segments' indexes.
//!
//! A segment without such records costs one lookup in the directory of its index.

use std::sync::Arc;

use bytes::Bytes;

use super::bytes::{size, small};
use super::damage::{Damage, ReadError};
use super::names;
use super::options::Record;
use super::postings::{Postings, RecordPlace, first_places, last_places};
use super::reader::{Batch, ReadLimits, Reader, record};
use super::record::{Decoded, Header, RECORD_HEADER, Seed, decode};
use super::store::Located;
use crate::disk::File;

/// Bytes read for the first record, in the hope that they contain all of it. For later records, see `guess_after`.
const GUESS: u64 = 2 << 10;
/// Records closer together than this are read at once.
const NEAR: u32 = 8 << 10;
/// Most bytes read at once.
const SPAN: u32 = 128 << 10;

impl Reader {
    /// Reads records with one of these tags, from `from` and before `until`, in order: at most `max_records`, and at
    /// most `max_bytes` of payload unless the first record alone is larger. `next` is where the next read should
    /// start; when no records are left it is `min(until, end())`. Payloads do not share a buffer.
    #[expect(clippy::too_many_arguments, reason = "a range and two limits, as plain numbers like in `read`")]
    pub fn read_tags(
        &self,
        tags: &[u64],
        from: u64,
        until: u64,
        max_records: usize,
        max_bytes: usize,
    ) -> Result<Batch, ReadError> {
        let until = until.min(self.end());
        let limits = ReadLimits { records: max_records, bytes: max_bytes };
        let mut batch = Batch { next: from.max(self.first()), ..Batch::default() };
        while batch.next < until && batch.records.len() < limits.records {
            let from = batch.next;
            let Some(place) = self.store.locate(from, until) else {
                batch.next = self.first().max(from);
                continue;
            };
            match self.read_tags_in(&place, tags, limits, &mut batch) {
                Ok(true) => {}
                Ok(false) => break,
                Err(e) if e.is_gone() && from < self.first() => batch.next = self.first(),
                Err(e) => return Err(e),
            }
        }
        Ok(batch)
    }

    /// Reads from one segment. False when the byte limit is reached.
    fn read_tags_in(
        &self,
        place: &Located,
        tags: &[u64],
        limits: ReadLimits,
        batch: &mut Batch,
    ) -> Result<bool, ReadError> {
        let first = place.segment.first;
        let most = limits.records - batch.records.len();
        let (from, until) = (small(batch.next - first), small(place.end - first));
        let places = self.places(place, tags, |lists| first_places(lists, from..until, most))?;
        // Fewer places than requested: the segment has no further ones.
        let all = places.len() < most;
        // The limit counts for the whole batch, which may already have records of earlier segments.
        let mut bytes: usize = batch.records.iter().map(|record| record.payload.len()).sum();
        let mut fetch =
            Fetch::new(self.store.file(first)?, first, self.store.seed(first), place.segment.len());
        let mut rest = places.as_slice();
        while let Some((wanted, behind)) = rest.split_first() {
            rest = behind;
            let found = fetch.record(*wanted, rest).map_err(|e| self.failed(first, e))?;
            if let Some(found) = found {
                bytes += found.payload.len();
                if !batch.records.is_empty() && bytes > limits.bytes {
                    batch.next = found.offset;
                    return Ok(false);
                }
                batch.records.push(found);
            } else {
                batch.damaged.push(self.damaged(first, *wanted));
            }
            batch.next = first + u64::from(wanted.seq) + 1;
        }
        if all {
            batch.next = place.end;
        }
        Ok(true)
    }

    /// The last `max_records` records with one of these tags before offset `before`, newest first. A damaged record
    /// counts and is listed in `damaged`. `next` is the `before` of the next read; it is `first()` when no records
    /// are left.
    pub fn read_tags_back(&self, tags: &[u64], before: u64, max_records: usize) -> Result<Batch, ReadError> {
        let mut batch = Batch { next: before.min(self.end()), ..Batch::default() };
        while batch.next > self.first() {
            let most = max_records.saturating_sub(batch.records.len() + batch.damaged.len());
            let Some(place) = self.store.locate(batch.next - 1, batch.next).filter(|_| most > 0) else {
                break;
            };
            let first = place.segment.first;
            match self.read_tags_back_in(&place, tags, most, &mut batch) {
                Ok(()) => {}
                Err(e) if e.is_gone() && first < self.first() => batch.next = self.first(),
                Err(e) => return Err(e),
            }
        }
        Ok(batch)
    }

    fn read_tags_back_in(
        &self,
        place: &Located,
        tags: &[u64],
        most: usize,
        batch: &mut Batch,
    ) -> Result<(), ReadError> {
        let first = place.segment.first;
        let until = small(place.end - first);
        let places = self.places(place, tags, |lists| last_places(lists, until, most))?;
        // Fewer places than requested: the segment has no further ones.
        let all = places.len() < most;
        let mut fetch =
            Fetch::new(self.store.file(first)?, first, self.store.seed(first), place.segment.len());
        // Read in the order of the file, so that neighbouring records are read at once.
        let (of_records, of_damage) = (batch.records.len(), batch.damaged.len());
        let mut rest = places.as_slice();
        while let Some((wanted, behind)) = rest.split_first() {
            rest = behind;
            match fetch.record(*wanted, rest).map_err(|e| self.failed(first, e))? {
                Some(record) => batch.records.push(record),
                None => batch.damaged.push(self.damaged(first, *wanted)),
            }
        }
        batch.records.get_mut(of_records..).into_iter().for_each(<[Record]>::reverse);
        batch.damaged.get_mut(of_damage..).into_iter().for_each(<[Damage]>::reverse);
        if let Some(oldest) = places.first() {
            batch.next = first + u64::from(oldest.seq);
        }
        if all {
            batch.next = first;
        }
        Ok(())
    }

    /// What `choose` takes from the lists of these tags in one segment.
    fn places(
        &self,
        place: &Located,
        tags: &[u64],
        choose: impl Fn(&[&Postings]) -> Vec<RecordPlace>,
    ) -> Result<Vec<RecordPlace>, ReadError> {
        let in_memory = self.store.with_active(place.segment.first, |active| {
            let lists: Vec<&Postings> = tags.iter().filter_map(|tag| active.index.tags.get(tag)).collect();
            choose(&lists)
        });
        if let Some(places) = in_memory {
            return Ok(places);
        }
        let mut lists = Vec::new();
        for tag in tags {
            lists.extend(self.store.postings(&place.segment, *tag)?);
        }
        Ok(choose(&lists.iter().map(Arc::as_ref).collect::<Vec<_>>()))
    }

    fn damaged(&self, first: u64, place: RecordPlace) -> Damage {
        let offset = first + u64::from(place.seq);
        // The length of the record is unknown, because its header may be what is damaged.
        let damage = Damage {
            file: names::segment(&self.store.dir, first),
            position: u64::from(place.pos),
            bytes: 0,
            offsets: offset..offset + 1,
        };
        self.store.health().note(&damage);
        damage
    }
}

/// Reads single records of a segment, and neighbouring ones at once.
#[derive(Debug)]
struct Fetch {
    file: Arc<dyn File>,
    first: u64,
    seed: Seed,
    limit: u64,
    /// A buffer that never shrinks; its valid bytes end at `chunk_len`.
    chunk: Vec<u8>,
    chunk_pos: u64,
    chunk_len: usize,
    guess: u64,
}

impl Fetch {
    fn new(file: Arc<dyn File>, first: u64, seed: Seed, limit: u64) -> Self {
        Self { file, first, seed, limit, chunk: Vec::new(), chunk_pos: 0, chunk_len: 0, guess: GUESS }
    }

    /// The record at `place`; `None` when it is damaged. `rest` are the places that will be requested next.
    fn record(&mut self, place: RecordPlace, rest: &[RecordPlace]) -> std::io::Result<Option<Record>> {
        let pos = u64::from(place.pos);
        if self.chunk_from(pos).len() < RECORD_HEADER {
            self.load(pos, near(place, rest) + self.guess)?;
        }
        if let Decoded::Short(need) = self.decode(pos) {
            if pos + need as u64 > self.limit {
                return Ok(None);
            }
            self.load(pos, (need as u64).max(near(place, rest) + self.guess))?;
        }
        let Decoded::Sound(header, payload) = self.decode(pos) else { return Ok(None) };
        self.guess = guess_after(header.record_len());
        // The number is compared too: a sound record at this position may be another than the index claims.
        let payload = self.chunk_from(pos).get(payload).map(Bytes::copy_from_slice);
        Ok(payload.filter(|_| header.seq == place.seq).map(|bytes| self.found(&header, bytes)))
    }

    fn found(&self, header: &Header, payload: Bytes) -> Record {
        record(self.first, header, payload)
    }

    fn decode(&self, pos: u64) -> Decoded {
        decode(self.chunk_from(pos), self.seed)
    }

    fn chunk_from(&self, pos: u64) -> &[u8] {
        let from = pos.checked_sub(self.chunk_pos).map(size);
        from.and_then(|at| self.chunk.get(at..self.chunk_len)).unwrap_or(&[])
    }

    fn load(&mut self, pos: u64, len: u64) -> std::io::Result<()> {
        let len = size(len.min(self.limit.saturating_sub(pos)));
        if self.chunk.len() < len {
            self.chunk.resize(len, 0);
        }
        self.chunk_len = 0;
        if let Some(room) = self.chunk.get_mut(..len) {
            self.chunk_len = self.file.read_at(room, pos)?;
        }
        self.chunk_pos = pos;
        Ok(())
    }
}

/// Bytes to read for the next record: a little more than the last record had. Reading too much costs by the byte;
/// reading too little costs a second read, which is as expensive as a few kilobytes.
fn guess_after(record_len: usize) -> u64 {
    (record_len as u64 / 4 * 5).next_multiple_of(256).clamp(512, 8 << 10)
}

/// Distance from `place` to the last of `rest` that is worth reading at once with it.
fn near(place: RecordPlace, rest: &[RecordPlace]) -> u64 {
    let mut last = place.pos;
    for next in rest {
        if next.pos - last > NEAR || next.pos - place.pos > SPAN {
            break;
        }
        last = next.pos;
    }
    u64::from(last - place.pos)
}
