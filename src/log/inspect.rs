//! Inspects a log that no program has open, for `switchhook log stat`, `cat` and `verify`.
//!
//! Files are opened for reading only; nothing is changed.

use std::io;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use super::bytes::small;
use super::damage::{Damage, ReadError};
use super::index::IndexFile;
use super::names::{self, Kind};
use super::options::Record;
use super::reader;
use super::record::{self, HeaderState, SEGMENT_HEADER, Seed, SegmentHeader};
use super::salt;
use super::scan::{Scanner, Span, Step};
use super::store::SCAN_CHUNK;
use crate::disk::Disk;

/// What a segment's file, header and index say, without its records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentStat {
    /// The segment's file.
    pub file: PathBuf,
    /// First offset.
    pub first: u64,
    /// The first offset of the next segment; `None` for the last segment.
    pub end: Option<u64>,
    /// Size in bytes.
    pub bytes: u64,
    /// Time of creation, microseconds since 1970; `None` when the header is damaged.
    pub created_us: Option<u64>,
    /// Format version; `None` when the header is damaged.
    pub version: Option<u32>,
    /// Whether the index file exists and matches; the last segment has none.
    pub indexed: bool,
    /// The log's salt, from the segment's header.
    salt: Option<u32>,
}

/// The result of `verify`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Segments read.
    pub segments: usize,
    /// Sound records.
    pub records: u64,
    /// Bytes read.
    pub bytes: u64,
    /// All damage.
    pub damage: Vec<Damage>,
    /// Bytes at the end of the last segment that opening the log would cut.
    pub torn_bytes: u64,
    /// Closed segments whose index is missing or damaged; the program rebuilds such an index when it needs it.
    pub without_index: Vec<PathBuf>,
}

impl Report {
    /// Whether every record of the log is sound.
    #[must_use]
    pub fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

/// The segments of the log in `dir`, oldest first. Reads only their headers.
pub fn stat(disk: &dyn Disk, dir: &Path) -> Result<Vec<SegmentStat>, ReadError> {
    let listed = disk.list(dir).map_err(|e| ReadError::io(dir, e))?;
    let mut found: Vec<(u64, u64)> = listed
        .iter()
        .filter_map(|entry| match names::parse(&entry.name)? {
            Kind::Segment(first) => Some((first, entry.len)),
            Kind::Index(_) => None,
        })
        .collect();
    found.sort_unstable();
    let ends = found.iter().skip(1).map(|(first, _)| Some(*first)).chain([None]);
    found.iter().zip(ends).map(|(&(first, bytes), end)| stat_segment(disk, dir, first, bytes, end)).collect()
}

/// Whether the log in `dir` contains anything beyond segment headers, sound or not. A missing directory contains
/// nothing.
pub fn has_records(disk: &dyn Disk, dir: &Path) -> io::Result<bool> {
    let listed = match disk.list(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        listed => listed?,
    };
    Ok(listed.iter().any(|entry| {
        matches!(names::parse(&entry.name), Some(Kind::Segment(_))) && entry.len > SEGMENT_HEADER as u64
    }))
}

fn stat_segment(
    disk: &dyn Disk,
    dir: &Path,
    first: u64,
    bytes: u64,
    end: Option<u64>,
) -> Result<SegmentStat, ReadError> {
    let file = names::segment(dir, first);
    let mut head = [0; SEGMENT_HEADER];
    let read =
        disk.open_read(&file).and_then(|f| f.read_at(&mut head, 0)).map_err(|e| ReadError::io(&file, e))?;
    let (created_us, version, salt) = match SegmentHeader::decode(head.get(..read).unwrap_or(&[])) {
        HeaderState::Sound(header) if header.first == first => {
            (Some(header.created_us), Some(record::VERSION), Some(header.salt))
        }
        HeaderState::Version(version) => (None, Some(version), None),
        HeaderState::Sound(_) | HeaderState::Bad => (None, None, None),
    };
    let index = disk.open_read(&names::index(dir, first));
    let indexed = index.is_ok_and(|index| matches!(IndexFile::open(index, first, bytes), Ok(Some(_))));
    Ok(SegmentStat { file, first, end, bytes, created_us, version, indexed, salt })
}

/// The salt of a log with these segments; `None` when no copy is left.
fn find_salt(disk: &dyn Disk, dir: &Path, segments: &[SegmentStat]) -> Result<Option<u32>, ReadError> {
    match segments.iter().rev().find_map(|segment| segment.salt) {
        None => salt::read(disk, dir).map_err(|e| ReadError::io(&names::salt(dir), e)),
        found => Ok(found),
    }
}

/// Calls `print` with each record from `from` on, until `print` breaks; returns the damage met on the way.
pub fn cat(
    disk: &dyn Disk,
    dir: &Path,
    from: u64,
    mut print: impl FnMut(Record) -> ControlFlow<()>,
) -> Result<Vec<Damage>, ReadError> {
    let mut report = Report::default();
    let segments = stat(disk, dir)?;
    let salt = find_salt(disk, dir, &segments)?;
    for segment in segments {
        if segment.end.is_some_and(|end| end <= from) {
            continue;
        }
        let flow = walk(disk, &segment, salt, &mut report, |record| {
            if record.offset < from { ControlFlow::Continue(()) } else { print(record) }
        })?;
        if flow.is_break() {
            break;
        }
    }
    report.damage.retain(|damage| damage.offsets.end > from);
    Ok(report.damage)
}

/// Reads every byte of the log in `dir` and checks every checksum.
pub fn verify(disk: &dyn Disk, dir: &Path) -> Result<Report, ReadError> {
    let mut report = Report::default();
    let segments = stat(disk, dir)?;
    let salt = find_salt(disk, dir, &segments)?;
    for segment in segments {
        report.segments += 1;
        report.bytes += segment.bytes;
        if segment.created_us.is_none() {
            report.damage.push(Damage {
                file: segment.file.clone(),
                position: 0,
                bytes: SEGMENT_HEADER as u64,
                offsets: segment.first..segment.first,
            });
        }
        if segment.end.is_some() && !segment.indexed {
            report.without_index.push(segment.file.clone());
        }
        let mut records = 0;
        let flow = walk(disk, &segment, salt, &mut report, |_| {
            records += 1;
            ControlFlow::Continue(())
        })?;
        debug_assert!(flow.is_continue(), "nothing breaks the walk");
        report.records += records;
    }
    Ok(report)
}

fn walk(
    disk: &dyn Disk,
    segment: &SegmentStat,
    salt: Option<u32>,
    report: &mut Report,
    mut see: impl FnMut(Record) -> ControlFlow<()>,
) -> Result<ControlFlow<()>, ReadError> {
    let failed = |e| ReadError::io(&segment.file, e);
    let first = segment.first;
    // Without the salt, unreadable bytes are not a torn tail: opening the log would not cut them.
    let unreadable = || salt.is_none().then(|| first + u64::from(record::room(segment.bytes)));
    let end = segment.end.or_else(unreadable);
    let span = Span {
        // Under a random salt no record is sound, so everything is reported as damage.
        seed: Seed::new(first, salt.unwrap_or_else(rand::random)),
        pos: SEGMENT_HEADER as u64,
        seq: 0,
        limit: segment.bytes,
        seq_end: end.map_or(u32::MAX, |end| small(end - first)),
    };
    let mut scanner = Scanner::new(disk.open_read(&segment.file).map_err(failed)?, span, SCAN_CHUNK);
    loop {
        let before = first + u64::from(scanner.seq());
        let (position, bytes, until) = match scanner.step().map_err(failed)? {
            Step::Record { header, payload, .. } => {
                if see(reader::record(first, &header, payload)).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                continue;
            }
            Step::Damage { pos, bytes, seqs, .. } => (pos, bytes, first + u64::from(seqs.end)),
            Step::Tail { pos } => {
                let bytes = segment.bytes.saturating_sub(pos);
                let Some(end) = end else {
                    report.torn_bytes = bytes;
                    return Ok(ControlFlow::Continue(()));
                };
                (pos, bytes, end)
            }
            Step::End => return Ok(ControlFlow::Continue(())),
        };
        let file = segment.file.clone();
        report.damage.push(Damage { file, position, bytes, offsets: before..until });
    }
}
