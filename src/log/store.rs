//! The list of segments, how far they are durable, and the place of each record.
//!
//! The writer and the readers share the store; only the writer changes the list of segments. Indexes of closed
//! segments are loaded on demand and cached. A missing or damaged index is rebuilt from its segment.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock};

use tokio::sync::watch;

use super::bytes::small;
use super::cache::{Cache, Key, Part};
use super::damage::{Damage, LogHealth, ReadError};
use super::index::{Directory, InMemory, Index, IndexFile};
use super::names;
use super::postings::{Postings, RecordPlace};
use super::record::{SEGMENT_HEADER, Seed};
use super::scan::{Scanner, Span, Step};
use super::shares::{self, Shares};
use super::sparse::{Sparse, Times};
use crate::disk::{Disk, File};
use crate::metrics::Histogram;

/// Bytes read at a time when a whole segment is scanned.
pub(super) const SCAN_CHUNK: usize = 1 << 20;

/// Buckets for the durations of syncs: from a cache protected against power loss to a failing disk.
const SYNCS_US: &[u64] = &[
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    5_000_000,
];

#[derive(Debug)]
pub(super) struct Segment {
    pub(super) first: u64,
    pub(super) created_us: u64,
    /// Durable bytes.
    pub(super) len: AtomicU64,
    /// The times of the records, once known; only for closed segments.
    pub(super) times: OnceLock<Times>,
    /// The bytes of each tag, once computed; only for closed segments.
    pub(super) shares: OnceLock<Shares>,
}

impl Segment {
    pub(super) fn new(first: u64, created_us: u64, len: u64) -> Arc<Self> {
        let (times, shares) = (OnceLock::new(), OnceLock::new());
        Arc::new(Self { first, created_us, len: AtomicU64::new(len), times, shares })
    }

    pub(super) fn len(&self) -> u64 {
        self.len.load(Ordering::Acquire)
    }
}

/// The segment to which the writer appends.
#[derive(Debug)]
pub(super) struct Active {
    pub(super) first: u64,
    pub(super) file: Arc<dyn File>,
    pub(super) index: Index,
}

/// A segment, and the offset behind the last record in it that a reader may see.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) segment: Arc<Segment>,
    pub(super) end: u64,
}

impl Located {
    /// The number of the record at `offset` within the segment.
    pub(super) fn seq_of(&self, offset: u64) -> u32 {
        small(offset - self.segment.first)
    }
}

#[derive(Debug)]
pub(super) struct Store {
    pub(super) disk: Arc<dyn Disk>,
    pub(super) dir: PathBuf,
    pub(super) salt: u32,
    pub(super) segments: RwLock<Vec<Arc<Segment>>>,
    pub(super) active: RwLock<Active>,
    pub(super) end: watch::Sender<u64>,
    cache: Mutex<Cache>,
    /// A rebuilt index, until the writer has written it. Locked during the rebuild, so that two readers do not
    /// rebuild the same index.
    mended: Mutex<Option<(u64, Arc<InMemory>)>>,
    health: Mutex<LogHealth>,
    /// How long the writer's syncs take.
    pub(super) syncs: Histogram,
}

/// The state that recovery found and the store starts with.
#[derive(Debug)]
pub(super) struct RecoveredState {
    pub(super) salt: u32,
    pub(super) segments: Vec<Arc<Segment>>,
    pub(super) active: Active,
    pub(super) damage: Vec<Damage>,
    pub(super) end: u64,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Store {
    pub(super) fn new(disk: Arc<dyn Disk>, dir: PathBuf, start: RecoveredState, cache_bytes: usize) -> Self {
        let store = Self {
            disk,
            dir,
            salt: start.salt,
            segments: RwLock::new(start.segments),
            active: RwLock::new(start.active),
            end: watch::Sender::new(start.end),
            cache: Mutex::new(Cache::new(cache_bytes)),
            mended: Mutex::new(None),
            health: Mutex::new(LogHealth::default()),
            syncs: Histogram::new(SYNCS_US),
        };
        for damage in &start.damage {
            store.health().note(damage);
        }
        store
    }

    pub(super) fn health(&self) -> MutexGuard<'_, LogHealth> {
        lock(&self.health)
    }

    /// Start value of a segment's checksums.
    pub(super) fn seed(&self, first: u64) -> Seed {
        Seed::new(first, self.salt)
    }

    pub(super) fn end(&self) -> u64 {
        *self.end.borrow()
    }

    pub(super) fn first(&self) -> u64 {
        self.with_segments(|segments| segments.first().map_or(0, |segment| segment.first))
    }

    pub(super) fn with_segments<T>(&self, look: impl FnOnce(&[Arc<Segment>]) -> T) -> T {
        look(&self.segments.read().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn segments(&self) -> Vec<Arc<Segment>> {
        self.with_segments(<[_]>::to_vec)
    }

    pub(super) fn with_active<T>(&self, first: u64, look: impl FnOnce(&Active) -> T) -> Option<T> {
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
        (active.first == first).then(|| look(&active))
    }

    /// The segment that contains `offset`, for a reader that has seen the durable end `end`.
    pub(super) fn locate(&self, offset: u64, end: u64) -> Option<Located> {
        self.with_segments(|segments| {
            // Sorted by first offset: the segment is the last one that does not start behind `offset`.
            let after = segments.partition_point(|segment| segment.first <= offset);
            let segment = Arc::clone(segments.get(after.checked_sub(1)?)?);
            Some(Located { segment, end: segments.get(after).map_or(end, |next| next.first.min(end)) })
        })
    }

    pub(super) fn forget(&self, first: u64) {
        lock(&self.cache).forget(first);
    }

    /// An index that a reader had to rebuild, for the writer to write. Does not wait for a rebuild in progress.
    pub(super) fn take_mended(&self) -> Option<(u64, Arc<InMemory>)> {
        self.mended.try_lock().ok()?.take()
    }

    pub(super) fn file(&self, first: u64) -> Result<Arc<dyn File>, ReadError> {
        if let Some(file) = self.with_active(first, |active| Arc::clone(&active.file)) {
            return Ok(file);
        }
        if let Some(file) = lock(&self.cache).file(first) {
            return Ok(file);
        }
        let path = names::segment(&self.dir, first);
        let file = self.disk.open_read(&path).map_err(|e| ReadError::io(&path, e))?;
        lock(&self.cache).put_file(first, Arc::clone(&file));
        Ok(file)
    }

    /// The start of the block that contains a record, and its end unless it is the last block.
    pub(super) fn block_of(
        &self,
        segment: &Segment,
        seq: u32,
    ) -> Result<(RecordPlace, Option<u32>), ReadError> {
        let block = self.with_sparse(segment, |sparse| sparse.block_of(seq))?;
        Ok(block.unwrap_or((RecordPlace { seq: 0, pos: small(SEGMENT_HEADER as u64) }, None)))
    }

    fn sparse(&self, segment: &Segment) -> Result<Arc<Sparse>, ReadError> {
        let key = Key::Sparse(segment.first);
        if let Some(Part::Sparse(part)) = lock(&self.cache).get(key) {
            return Ok(part);
        }
        let part = Arc::new(self.with_index(segment, IndexFile::sparse)?);
        lock(&self.cache).put(key, Part::Sparse(Arc::clone(&part)));
        Ok(part)
    }

    fn directory(&self, segment: &Segment) -> Result<Arc<Directory>, ReadError> {
        let key = Key::Directory(segment.first);
        if let Some(Part::Directory(part)) = lock(&self.cache).get(key) {
            return Ok(part);
        }
        let part = Arc::new(self.with_index(segment, IndexFile::directory)?);
        lock(&self.cache).put(key, Part::Directory(Arc::clone(&part)));
        Ok(part)
    }

    /// The places of a tag's records in a closed segment.
    pub(super) fn postings(&self, segment: &Segment, tag: u64) -> Result<Option<Arc<Postings>>, ReadError> {
        let key = Key::Postings(segment.first, tag);
        if let Some(Part::Postings(part)) = lock(&self.cache).get(key) {
            return Ok(Some(part));
        }
        if self.directory(segment)?.find(tag).is_none() {
            return Ok(None);
        }
        // Read the directory again instead of using the cached one: a rebuilt index may have another layout.
        let part = Arc::new(self.with_index(segment, |index| {
            let Some(directory) = index.directory()? else { return Ok(None) };
            let Some(entry) = directory.find(tag) else { return Ok(Some(Postings::default())) };
            index.postings(&directory, &entry)
        })?);
        lock(&self.cache).put(key, Part::Postings(Arc::clone(&part)));
        Ok(Some(part))
    }

    /// A tag's bytes in the active segment.
    pub(super) fn active_bytes_of(&self, tag: u64) -> u64 {
        let len = self.with_segments(|segments| segments.last().map_or(0, |segment| segment.len()));
        let active = self.active.read().unwrap_or_else(PoisonError::into_inner);
        active.index.bytes_of(tag, len)
    }

    /// Computes the bytes of each tag in a closed segment from its index.
    pub(super) fn weigh(&self, segment: &Segment) -> Result<(), ReadError> {
        if segment.shares.get().is_some() {
            return Ok(());
        }
        let positions = self.with_index(segment, |index| {
            let Some(directory) = index.directory()? else { return Ok(None) };
            let mut positions = Vec::new();
            for entry in directory.entries() {
                let Some(list) = index.postings(&directory, entry)? else { return Ok(None) };
                positions.extend(list.from(0).map(|place| (place.pos, entry.tag)));
            }
            Ok(Some(positions))
        })?;
        segment.shares.get_or_init(|| shares::of_positions(positions, segment.len()));
        Ok(())
    }

    /// The earliest and the latest time in a segment.
    pub(super) fn times(&self, segment: &Segment) -> Result<Times, ReadError> {
        if let Some(times) = self.with_active(segment.first, |active| active.index.sparse.times()) {
            return Ok(times);
        }
        if let Some(times) = segment.times.get() {
            return Ok(*times);
        }
        let times = self.with_index(segment, |index| Ok(Some(index.times)))?;
        Ok(*segment.times.get_or_init(|| times))
    }

    /// Calls `look` with the sparse table of a segment.
    pub(super) fn with_sparse<T>(
        &self,
        segment: &Segment,
        look: impl Fn(&Sparse) -> Option<T>,
    ) -> Result<Option<T>, ReadError> {
        match self.with_active(segment.first, |active| look(&active.index.sparse)) {
            Some(seen) => Ok(seen),
            None => Ok(look(&*self.sparse(segment)?)),
        }
    }

    /// Reads a part of a closed segment's index: from the file or, when the file is missing or damaged, from a
    /// rebuilt index.
    fn with_index<T>(
        &self,
        segment: &Segment,
        look: impl Fn(&IndexFile) -> io::Result<Option<T>>,
    ) -> Result<T, ReadError> {
        let path = names::index(&self.dir, segment.first);
        let ask = |file: Arc<dyn File>| match IndexFile::open(file, segment.first, segment.len())? {
            Some(index) => look(&index),
            None => Ok(None),
        };
        // Any fault of the file, including one of the disk, is treated like a missing index: it can be rebuilt.
        if let Ok(file) = self.disk.open_read(&path)
            && let Ok(Some(part)) = ask(file)
        {
            return Ok(part);
        }
        // Held during the rebuild: other readers of this segment wait for the result instead of rebuilding it too.
        let mut mended = lock(&self.mended);
        let made = match mended.take_if(|(first, _)| *first == segment.first) {
            Some((_, made)) => made,
            None => Arc::new(InMemory(self.rebuild(segment)?)),
        };
        // Read back through the same code as a file, so that there is one way to interpret an index.
        let part = ask(made.clone());
        *mended = Some((segment.first, made));
        part.map_err(|e| ReadError::io(&path, e))?.ok_or(ReadError::Index { file: path })
    }

    /// Builds the index file of a closed segment from the segment itself.
    fn rebuild(&self, segment: &Segment) -> Result<Vec<u8>, ReadError> {
        let end = self.with_segments(|all| all.iter().map(|s| s.first).find(|first| *first > segment.first));
        let len = segment.len();
        let path = names::segment(&self.dir, segment.first);
        tracing::warn!(
            segment = segment.first,
            "rebuilding a log index that is missing, damaged or of an earlier version"
        );
        // The next segment's first offset says how many records this one must have, so that a lost end is noticed.
        let span = Span {
            seed: self.seed(segment.first),
            pos: SEGMENT_HEADER as u64,
            seq: 0,
            limit: len,
            seq_end: end.map_or(u32::MAX, |end| small(end - segment.first)),
        };
        let mut scanner = Scanner::new(self.file(segment.first)?, span, SCAN_CHUNK);
        let mut index = Index::default();
        loop {
            match scanner.step().map_err(|e| ReadError::io(&path, e))? {
                Step::Record { pos, header, .. } => {
                    index.add(RecordPlace { seq: header.seq, pos: small(pos) }, header.time_us, header.tag);
                }
                Step::Damage { headers, .. } => index.add_damaged(&headers),
                Step::Tail { .. } | Step::End => break,
            }
        }
        Ok(index.encode(segment.first, len))
    }
}
