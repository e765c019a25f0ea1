//! Opens a log: lists the segments, scans the last one, cuts its torn tail, and returns the writer.
//!
//! The time depends on the size of one segment, not of the log. Damage in other segments is found and reported by
//! readers.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::sync::mpsc;

use super::appender::Appender;
use super::begin;
use super::bytes::small;
use super::damage::Damage;
use super::index::Index;
use super::names::{self, Kind};
use super::options::LogOptions;
use super::postings::RecordPlace;
use super::reader::Reader;
use super::record::{self, HeaderState, SEGMENT_HEADER, Seed, SegmentHeader};
use super::salt;
use super::scan::{Scanner, Span, Step};
use super::store::{Active, RecoveredState, SCAN_CHUNK, Segment, Store};
use super::writer::Writer;
use crate::disk::{Disk, File};
use crate::model::Clock;

/// Why a log could not be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The file system answered with an error.
    #[error("{} cannot be opened: {source}", file.display())]
    Io {
        /// The file or directory.
        file: PathBuf,
        /// The answer.
        source: io::Error,
    },
    /// Written by a newer version of the program, or by one that was never released.
    #[error("{} has log format version {version}, which this program does not know", file.display())]
    Version {
        /// The segment.
        file: PathBuf,
        /// Its version.
        version: u32,
    },
}

impl OpenError {
    fn io(file: &Path, source: io::Error) -> Self {
        Self::Io { file: file.to_owned(), source }
    }
}

/// An open log: the writer, which the caller must run, and the first handles.
#[derive(Debug)]
pub struct OpenedLog {
    /// Owns the files. Appends wait until the writer runs.
    pub writer: Writer,
    /// Sends records to the writer.
    pub appender: Appender,
    /// Reads records.
    pub reader: Reader,
    /// What opening found.
    pub recovered: Recovered,
}

/// What opening found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Number of segments.
    pub segments: usize,
    /// Number of offsets in the retained segments.
    pub records: u64,
    /// Bytes of a torn tail that were cut. They belong to records that were never acknowledged, unless the disk lost
    /// data that it had reported as synced.
    pub cut_bytes: u64,
    /// Whether the last segment had no header and was reset. A power cut during the creation of a segment has this
    /// effect; otherwise the disk has lost the segment's contents.
    pub begun_anew: bool,
    /// Damage found in the last segment and in segment headers.
    pub damage: Vec<Damage>,
    /// Duration of opening.
    pub duration_us: u64,
}

/// Opens the log in `dir`, or creates it there.
pub fn open(
    disk: Arc<dyn Disk>,
    dir: &Path,
    options: LogOptions,
    clock: Clock,
) -> Result<OpenedLog, OpenError> {
    let started_us = clock.now_us();
    let mut recovery = Recovery {
        disk,
        dir: dir.to_owned(),
        now_us: started_us,
        at_least: options.at_least,
        salt: 0,
        found: Recovered::default(),
    };
    let start = recovery.run()?;
    let Recovery { disk, mut found, .. } = recovery;
    found.segments = start.segments.len();
    found.records = start.end - start.segments.first().map_or(0, |segment| segment.first);
    found.duration_us = clock.now_us().saturating_sub(started_us);
    let store = Arc::new(Store::new(disk, dir.to_owned(), start, options.cache_bytes));
    let (sender, requests) = mpsc::channel(options.queue.max(1));
    Ok(OpenedLog {
        appender: Appender::new(sender, Arc::clone(&store), options.max_record_bytes),
        reader: Reader { store: Arc::clone(&store) },
        writer: Writer::new(store, requests, options, clock),
        recovered: found,
    })
}

/// A segment file found in the directory.
#[derive(Debug, Default)]
struct SegmentFile {
    first: u64,
    len: u64,
    /// `None` when it is damaged.
    header: Option<SegmentHeader>,
}

#[derive(Debug)]
struct Recovery {
    disk: Arc<dyn Disk>,
    dir: PathBuf,
    now_us: u64,
    at_least: u64,
    salt: u32,
    found: Recovered,
}

impl Recovery {
    fn run(&mut self) -> Result<RecoveredState, OpenError> {
        let dir = self.dir.clone();
        self.disk.create_dir_all(&dir).map_err(|e| OpenError::io(&dir, e))?;
        let mut files = self.segment_files()?;
        self.miss_oldest(&files)?;
        let is_known = self.find_salt(&files)?;
        let last = files.pop().unwrap_or_default();
        let mut segments: Vec<_> = files.into_iter().map(|file| self.closed(file)).collect();
        let room = record::room(last.len);
        // With a new salt, records of an old salt look like damage. So a new salt is safe only if the last segment
        // is too short for a record.
        let (segment, active, end) = if is_known || room == 0 {
            let (segment, active, end) = self.last(last.first, last.header)?;
            // The ledger refers to offsets that are missing here. Were they used again, new events would
            // count as settled and never be delivered.
            if end < self.at_least {
                self.note_lost(last.first, segment.len(), end);
                segments.push(segment);
                self.last(self.at_least, None)?
            } else {
                (segment, active, end)
            }
        } else {
            // Without the salt no record can be checked. So nothing is cut, and the new segment starts behind the
            // highest offset that this one can contain, so that no offset is used twice.
            let end = self.at_least.max(last.first + u64::from(room));
            self.note_unreadable(last.first, last.len, end);
            segments.push(self.closed(last));
            self.last(end, None)?
        };
        segments.push(segment);
        // Makes created and removed names durable before anything is appended.
        self.disk.sync_dir(&dir).map_err(|e| OpenError::io(&dir, e))?;
        Ok(RecoveredState { salt: self.salt, segments, active, damage: self.found.damage.clone(), end })
    }

    /// Reports segments that are missing before the oldest one. A log of an earlier version has no file with its first
    /// offset; the file is written now.
    fn miss_oldest(&mut self, files: &[SegmentFile]) -> Result<(), OpenError> {
        let path = names::begin(&self.dir);
        let begun = begin::read(&*self.disk, &self.dir).map_err(|e| OpenError::io(&path, e))?;
        let oldest = files.first().map(|file| file.first);
        match (begun, oldest) {
            (Some(begun), Some(oldest)) if begun < oldest => {
                let (file, offsets) = (names::segment(&self.dir, begun), begun..oldest);
                tracing::error!(file = %file.display(), ?offsets, "the start of a log is missing: its records are lost");
                self.found.damage.push(Damage { file, position: 0, bytes: 0, offsets });
            }
            (Some(_), _) => {}
            (None, oldest) => {
                if let Err(e) = begin::write(&*self.disk, &self.dir, oldest.unwrap_or(0)) {
                    // Not fatal: the file only serves to notice a loss.
                    tracing::warn!(file = %path.display(), error = %e, "cannot write the first offset of a log");
                }
            }
        }
        Ok(())
    }

    /// Takes the salt from the newest sound header, or from the salt file, or draws a new one; writes the salt file
    /// if it differs. False when no salt was found.
    fn find_salt(&mut self, files: &[SegmentFile]) -> Result<bool, OpenError> {
        let path = names::salt(&self.dir);
        // The salt is stored twice, in a file and in each header, because without it no record of the log can be
        // checked.
        let filed = salt::read(&*self.disk, &self.dir).map_err(|e| OpenError::io(&path, e))?;
        let known = files.iter().rev().find_map(|file| file.header).map(|header| header.salt).or(filed);
        self.salt = known.unwrap_or_else(rand::random);
        if filed != Some(self.salt)
            && let Err(e) = salt::write(&*self.disk, &self.dir, self.salt)
        {
            // Not fatal: one sound segment header is enough to find the salt again.
            tracing::warn!(file = %path.display(), error = %e, "cannot write a log's salt");
        }
        Ok(known.is_some())
    }

    fn closed(&mut self, SegmentFile { first, len, header }: SegmentFile) -> Arc<Segment> {
        if header.is_none() {
            self.note_header(first);
        }
        // A segment of unknown age counts as new; otherwise retention might remove it at once.
        Segment::new(first, header.map_or(self.now_us, |header| header.created_us), len)
    }

    /// Lists the segments in order. Removes indexes without a segment, and one of the last segment, which still
    /// grows.
    fn segment_files(&self) -> Result<Vec<SegmentFile>, OpenError> {
        let listed = self.disk.list(&self.dir).map_err(|e| OpenError::io(&self.dir, e))?;
        let (mut segments, mut indexes) = (Vec::new(), Vec::new());
        for entry in listed {
            match names::parse(&entry.name) {
                Some(Kind::Segment(first)) => segments.push((first, entry.len)),
                Some(Kind::Index(first)) => indexes.push(first),
                None => {}
            }
        }
        segments.sort_unstable();
        let last = segments.last().map(|(first, _)| *first);
        // The last segment may still change, so an index file of it would be wrong.
        for first in indexes {
            let closed = segments.binary_search_by_key(&first, |(first, _)| *first).is_ok();
            if !closed || Some(first) == last {
                let path = names::index(&self.dir, first);
                self.disk.remove(&path).map_err(|e| OpenError::io(&path, e))?;
            }
        }
        let known = |(first, len)| Ok(SegmentFile { first, len, header: self.header(first)? });
        segments.into_iter().map(known).collect()
    }

    /// Reads a segment's header; `None` when it is damaged.
    fn header(&self, first: u64) -> Result<Option<SegmentHeader>, OpenError> {
        let path = names::segment(&self.dir, first);
        let mut bytes = [0; SEGMENT_HEADER];
        let opened = self.disk.open_read(&path);
        let read =
            opened.and_then(|file| file.read_at(&mut bytes, 0)).map_err(|e| OpenError::io(&path, e))?;
        match SegmentHeader::decode(bytes.get(..read).unwrap_or(&[])) {
            // The first offset must match the file's name; a renamed or copied segment counts as damaged.
            HeaderState::Sound(header) if header.first == first => Ok(Some(header)),
            HeaderState::Version(version) => Err(OpenError::Version { file: path, version }),
            HeaderState::Sound(_) | HeaderState::Bad => Ok(None),
        }
    }

    /// Reports the offsets from `end` up to `at_least`, which should follow the last segment and are missing.
    fn note_lost(&mut self, first: u64, position: u64, end: u64) {
        let (file, offsets) = (names::segment(&self.dir, first), end..self.at_least);
        tracing::error!(file = %file.display(), ?offsets, "the end of a log is missing: these records are lost");
        self.found.damage.push(Damage { file, position, bytes: 0, offsets });
    }

    /// Reports the last segment of a log whose salt is lost. The segment may contain records up to `end`.
    fn note_unreadable(&mut self, first: u64, len: u64, end: u64) {
        let (file, offsets) = (names::segment(&self.dir, first), first..end);
        tracing::error!(file = %file.display(), ?offsets, "cannot read a segment: no copy of the log's salt is left");
        let position = SEGMENT_HEADER as u64;
        self.found.damage.push(Damage { file, position, bytes: len - position, offsets });
    }

    fn note_header(&mut self, first: u64) {
        let file = names::segment(&self.dir, first);
        let bytes = SEGMENT_HEADER as u64;
        self.found.damage.push(Damage { file, position: 0, bytes, offsets: first..first });
    }

    /// Opens or creates the active segment. Returns the segment, its active part and the end of the log.
    fn last(
        &mut self,
        first: u64,
        header: Option<SegmentHeader>,
    ) -> Result<(Arc<Segment>, Active, u64), OpenError> {
        let path = names::segment(&self.dir, first);
        let failed = |e| OpenError::io(&path, e);
        let (file, is_new) = match self.disk.open(&path) {
            Ok(file) => (file, false),
            Err(e) if e.kind() == io::ErrorKind::NotFound => (self.disk.create(&path).map_err(failed)?, true),
            Err(e) => return Err(failed(e)),
        };
        let (index, end, len) = self.read_through(&file, first).map_err(failed)?;
        let (created_us, len) = match header {
            Some(header) => (header.created_us, len),
            None if index.records > 0 => {
                self.note_header(first);
                (self.now_us, len)
            }
            None => {
                // Power was lost before the header was synced, so no record here was ever acknowledged.
                if !is_new {
                    self.found.begun_anew = true;
                    tracing::warn!(
                        segment = first,
                        bytes = len,
                        "the last segment of a log had no header and was reset"
                    );
                }
                let header = SegmentHeader { first, created_us: self.now_us, salt: self.salt }.encode();
                file.truncate(0).and_then(|()| file.write_at(&header, 0)).map_err(failed)?;
                (self.now_us, SEGMENT_HEADER as u64)
            }
        };
        // The records just read may exist only in the page cache. Sync them before anyone relies on them.
        file.sync_data().map_err(failed)?;
        Ok((Segment::new(first, created_us, len), Active { first, file, index }, end))
    }

    /// Scans the last segment and cuts its torn tail. Returns the segment's index, the log's end and the segment's
    /// length.
    fn read_through(&mut self, file: &Arc<dyn File>, first: u64) -> io::Result<(Index, u64, u64)> {
        let limit = file.len()?;
        let seed = Seed::new(first, self.salt);
        // Nothing says how many records the last segment should have: its last sound record is the end of the log.
        let span = Span { seed, pos: SEGMENT_HEADER as u64, seq: 0, limit, seq_end: u32::MAX };
        let mut scanner = Scanner::new(Arc::clone(file), span, SCAN_CHUNK);
        let mut index = Index::default();
        let mut end = first;
        loop {
            match scanner.step()? {
                Step::Record { pos, header, .. } => {
                    index.add(RecordPlace { seq: header.seq, pos: small(pos) }, header.time_us, header.tag);
                    end = first + u64::from(header.seq) + 1;
                }
                Step::Damage { pos, bytes, seqs, headers } => {
                    index.add_damaged(&headers);
                    self.found.damage.push(Damage {
                        file: names::segment(&self.dir, first),
                        position: pos,
                        bytes,
                        offsets: first + u64::from(seqs.start)..first + u64::from(seqs.end),
                    });
                }
                // No sound record follows, so this is an interrupted write. Damage that has a sound record
                // behind it is never cut: the records behind it may have been acknowledged.
                Step::Tail { pos } => {
                    self.found.cut_bytes = limit - pos;
                    tracing::warn!(
                        segment = first,
                        position = pos,
                        bytes = limit - pos,
                        "cut the torn tail of the log"
                    );
                    file.truncate(pos)?;
                    return Ok((index, end, pos));
                }
                Step::End => return Ok((index, end, limit)),
            }
        }
    }
}
