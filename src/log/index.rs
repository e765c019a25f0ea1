//! A segment's index: in memory while the segment grows, in a file once the segment is closed.
//!
//! The index is derived data and can always be rebuilt from the segment. Each part of the file has its own checksum,
//! so that a reader can load and check one part without the others.
//!
//! ```text
//! magic 8 | version u32 | records u32 | first offset u64 | segment bytes u64 | earliest and
//!   latest time µs u64 each | sparse bytes u32 | its CRC u32 | directory bytes u32 | its CRC u32 | head CRC-32C u32
//! sparse table | directory: (tag u64, count u32, start u32, bytes u32, CRC u32)* sorted by tag | postings
//! ```

use std::collections::HashMap;
use std::io;
use std::sync::Arc;

use super::bytes::{size, small, take, take_u32, take_u64};
use super::postings::{Postings, RecordPlace};
use super::record::Header;
use super::sparse::{Sparse, Times};
use crate::disk::File;

const MAGIC: [u8; 8] = *b"SWHKIDX\n";
/// Version 1 had no earliest times. Such an index is rebuilt when it is first read.
const VERSION: u32 = 2;
const HEAD: usize = 68;
const CHECKED: usize = HEAD - 4;

/// The index of the active segment, complete in memory.
#[derive(Debug, Clone, Default)]
pub(super) struct Index {
    pub(super) records: u32,
    pub(super) sparse: Sparse,
    pub(super) tags: HashMap<u64, Postings>,
    /// Bytes of each tag's records, without the segment's last record, whose length is not known yet. Not in the
    /// file.
    bytes: HashMap<u64, u64>,
    last: Option<(u64, u32)>,
}

impl Index {
    /// Adds a record. Must be called for every record, in order.
    pub(super) fn add(&mut self, place: RecordPlace, time_us: u64, tag: u64) {
        self.records += 1;
        if let Some((tag, pos)) = self.last.replace((tag, place.pos)) {
            *self.bytes.entry(tag).or_default() += u64::from(place.pos.saturating_sub(pos));
        }
        self.sparse.add(place, time_us);
        self.tags.entry(tag).or_default().push(place);
    }

    /// Adds damaged records whose headers are sound. They stay in the postings of their tag, so that a reader of the
    /// tag meets the damage and reports it.
    pub(super) fn add_damaged(&mut self, headers: &[(u64, Header)]) {
        for (pos, header) in headers {
            self.add(RecordPlace { seq: header.seq, pos: small(*pos) }, header.time_us, header.tag);
        }
    }

    /// Size of a tag's records in a segment of `segment_len` bytes.
    pub(super) fn bytes_of(&self, tag: u64, segment_len: u64) -> u64 {
        let last = self.last.filter(|(last, _)| *last == tag);
        let last = last.map_or(0, |(_, pos)| segment_len.saturating_sub(u64::from(pos)));
        self.bytes.get(&tag).copied().unwrap_or(0) + last
    }

    /// Encodes the index file of a segment of `segment_len` bytes.
    pub(super) fn encode(&self, first: u64, segment_len: u64) -> Vec<u8> {
        let mut tags: Vec<(&u64, &Postings)> = self.tags.iter().collect();
        // Sorted, so that a reader can use a binary search.
        tags.sort_unstable_by_key(|(tag, _)| **tag);
        let mut directory = Vec::with_capacity(tags.len() * 24);
        let mut postings = Vec::new();
        for (tag, list) in tags {
            let (bytes, count) = list.encoded();
            directory.extend_from_slice(&tag.to_le_bytes());
            for number in
                [count, small(postings.len() as u64), small(bytes.len() as u64), crc32c::crc32c(bytes)]
            {
                directory.extend_from_slice(&number.to_le_bytes());
            }
            postings.extend_from_slice(bytes);
        }
        let sparse = self.sparse.encode();
        let mut out = Vec::with_capacity(HEAD + sparse.len() + directory.len() + postings.len());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&self.records.to_le_bytes());
        let Times { low_us, peak_us } = self.sparse.times();
        for number in [first, segment_len, low_us, peak_us] {
            out.extend_from_slice(&number.to_le_bytes());
        }
        for part in [&sparse, &directory] {
            out.extend_from_slice(&small(part.len() as u64).to_le_bytes());
            out.extend_from_slice(&crc32c::crc32c(part).to_le_bytes());
        }
        let crc = crc32c::crc32c(&out);
        out.extend_from_slice(&crc.to_le_bytes());
        out.extend_from_slice(&sparse);
        out.extend_from_slice(&directory);
        out.extend_from_slice(&postings);
        out
    }
}

/// A tag's entry in the directory.
#[derive(Debug, Clone, Copy)]
pub(super) struct TagEntry {
    pub(super) tag: u64,
    count: u32,
    start: u32,
    len: u32,
    crc: u32,
}

/// The tags of a segment, sorted.
#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    entries: Vec<TagEntry>,
    postings_at: u64,
}

impl Directory {
    pub(super) fn entries(&self) -> &[TagEntry] {
        &self.entries
    }

    pub(super) fn find(&self, tag: u64) -> Option<TagEntry> {
        let at = self.entries.binary_search_by_key(&tag, |entry| entry.tag).ok()?;
        self.entries.get(at).copied()
    }

    pub(super) fn weight(&self) -> usize {
        self.entries.capacity() * size_of::<TagEntry>() + size_of::<Self>()
    }
}

/// An open index file, or its bytes in memory, with a checked head. A method returns `None` when its part is damaged.
#[derive(Debug)]
pub(super) struct IndexFile {
    file: Arc<dyn File>,
    pub(super) times: Times,
    sparse: (u32, u32),
    directory: (u32, u32),
}

impl IndexFile {
    /// Opens the file if it is the index of this segment at its present length.
    pub(super) fn open(file: Arc<dyn File>, first: u64, segment_len: u64) -> io::Result<Option<Self>> {
        let head = read(&*file, 0, HEAD)?;
        let parse = || {
            let mut rest = head.as_slice();
            let checked = head.get(..CHECKED)?;
            let ours = take::<8>(&mut rest)? == MAGIC && take_u32(&mut rest)? == VERSION;
            take_u32(&mut rest)?;
            // The length too: an index written for a shorter segment lacks the records behind.
            let same = take_u64(&mut rest)? == first && take_u64(&mut rest)? == segment_len;
            let times = Times { low_us: take_u64(&mut rest)?, peak_us: take_u64(&mut rest)? };
            let sparse = (take_u32(&mut rest)?, take_u32(&mut rest)?);
            let directory = (take_u32(&mut rest)?, take_u32(&mut rest)?);
            let sound = take_u32(&mut rest)? == crc32c::crc32c(checked);
            (ours && same && sound).then_some((times, sparse, directory))
        };
        Ok(parse().map(|(times, sparse, directory)| Self { file, times, sparse, directory }))
    }

    pub(super) fn sparse(&self) -> io::Result<Option<Sparse>> {
        let (len, crc) = self.sparse;
        let bytes = read(&*self.file, HEAD as u64, len as usize)?;
        Ok(if crc32c::crc32c(&bytes) == crc { Sparse::decode(&bytes) } else { None })
    }

    pub(super) fn directory(&self) -> io::Result<Option<Directory>> {
        let at = HEAD as u64 + u64::from(self.sparse.0);
        let (len, crc) = self.directory;
        let bytes = read(&*self.file, at, len as usize)?;
        if crc32c::crc32c(&bytes) != crc || bytes.len() != len as usize {
            return Ok(None);
        }
        let mut rest = bytes.as_slice();
        let mut entries = Vec::with_capacity(bytes.len() / 24);
        while let Some(tag) = take_u64(&mut rest) {
            let mut number = || take_u32(&mut rest).unwrap_or(0);
            entries.push(TagEntry { tag, count: number(), start: number(), len: number(), crc: number() });
        }
        Ok(Some(Directory { entries, postings_at: at + u64::from(len) }))
    }

    pub(super) fn postings(&self, directory: &Directory, entry: &TagEntry) -> io::Result<Option<Postings>> {
        let at = directory.postings_at + u64::from(entry.start);
        let bytes = read(&*self.file, at, entry.len as usize)?;
        let sound = crc32c::crc32c(&bytes) == entry.crc;
        Ok(if sound { Postings::decode(&bytes, entry.count) } else { None })
    }
}

/// Reads up to `len` bytes at `pos`. A length from a damaged file cannot make the buffer larger than the file.
fn read(file: &dyn File, pos: u64, len: usize) -> io::Result<Vec<u8>> {
    let there = size(file.len()?.saturating_sub(pos));
    let mut buf = vec![0; len.min(there)];
    let read = file.read_at(&mut buf, pos)?;
    buf.truncate(read);
    Ok(buf)
}

/// The bytes of an index file that has not been written yet.
#[derive(Debug)]
pub(super) struct InMemory(pub(super) Vec<u8>);

impl File for InMemory {
    fn read_at(&self, buf: &mut [u8], pos: u64) -> io::Result<usize> {
        let rest = self.0.get(size(pos)..).unwrap_or(&[]);
        let len = rest.len().min(buf.len());
        if let (Some(to), Some(from)) = (buf.get_mut(..len), rest.get(..len)) {
            to.copy_from_slice(from);
        }
        Ok(len)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync_data(&self) -> io::Result<()> {
        Ok(())
    }

    fn truncate(&self, _: u64) -> io::Result<()> {
        Err(io::ErrorKind::ReadOnlyFilesystem.into())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.0.len() as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn index() -> Index {
        let mut index = Index::default();
        for seq in 0..1000 {
            index.add(RecordPlace { seq, pos: 32 + seq * 100 }, u64::from(seq), u64::from(seq % 7));
        }
        index
    }

    #[test]
    fn a_decoded_index_file_equals_the_index() {
        let index = index();
        let file = Arc::new(InMemory(index.encode(9, 5000)));
        let read = IndexFile::open(file.clone(), 9, 5000).unwrap().unwrap();
        assert_eq!(read.times, Times { low_us: 0, peak_us: 999 });
        assert_eq!(read.sparse().unwrap().unwrap(), index.sparse);
        let directory = read.directory().unwrap().unwrap();
        for tag in 0..7 {
            let list = read.postings(&directory, &directory.find(tag).unwrap()).unwrap().unwrap();
            assert!(list.from(0).eq(index.tags[&tag].from(0)));
        }
        assert!(directory.find(7).is_none());
    }

    #[test]
    fn an_index_of_another_segment_or_another_length_is_not_used() {
        let file = Arc::new(InMemory(index().encode(9, 5000)));
        assert!(IndexFile::open(file.clone(), 8, 5000).unwrap().is_none());
        assert!(IndexFile::open(file.clone(), 9, 5001).unwrap().is_none());
    }

    #[test]
    fn every_flipped_byte_of_an_index_file_is_noticed() {
        let clean = index().encode(9, 5000);
        for at in 0..clean.len() {
            let mut bytes = clean.clone();
            bytes[at] ^= 0x40;
            let file = Arc::new(InMemory(bytes));
            let all_sound = || {
                let read = IndexFile::open(file.clone(), 9, 5000).ok()??;
                read.sparse().ok()??;
                let directory = read.directory().ok()??;
                for tag in 0..7 {
                    read.postings(&directory, &directory.find(tag)?).ok()??;
                }
                Some(())
            };
            assert!(all_sound().is_none(), "byte {at}");
        }
    }
}
