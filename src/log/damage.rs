//! Damage in segments, errors of reads, and the health of a log.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Damaged positions listed in the health of a log. Reads that meet further damage still report it.
const REMEMBERED: usize = 64;

/// A part of a segment that should contain records and does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment's file.
    pub file: PathBuf,
    /// Byte at which the damage begins.
    pub position: u64,
    /// Bytes up to the next sound record; 0 when the segment is too short or the extent is unknown.
    pub bytes: u64,
    /// The records that cannot be read; empty when only the segment's header is damaged.
    pub offsets: Range<u64>,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (file, Range { start, end }) = (self.file.display(), &self.offsets);
        write!(f, "{file} is damaged at byte {}: ", self.position)?;
        if start == end { write!(f, "its header") } else { write!(f, "offsets {start} to {}", end - 1) }
    }
}

/// Why a read failed.
#[derive(Debug, thiserror::Error)]
pub enum ReadError {
    /// The file system answered with an error.
    #[error("{} cannot be read: {source}", file.display())]
    Io {
        /// The file.
        file: PathBuf,
        /// The answer.
        source: io::Error,
    },
    /// The requested record is damaged.
    #[error("{0}")]
    Damaged(Damage),
    /// A rebuilt index could not be read.
    #[error("{} cannot be rebuilt", file.display())]
    Index {
        /// The index file.
        file: PathBuf,
    },
}

impl ReadError {
    pub(super) fn io(file: &Path, source: io::Error) -> Self {
        Self::Io { file: file.to_owned(), source }
    }

    /// Whether the file does not exist, for example because retention has just removed it.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Whether the log accepts appends, and the damage found in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogHealth {
    /// The failure because of which the log refuses appends until it is reopened.
    pub poisoned: Option<String>,
    /// Whether the disk has too little free space for appends.
    pub full: bool,
    /// Damage found so far, at opening and by readers.
    pub damage: Vec<Damage>,
}

impl LogHealth {
    pub(super) fn note(&mut self, damage: &Damage) {
        // Every read across the damage meets it again; it is logged and listed only once.
        let known = self.damage.iter().any(|d| d.file == damage.file && d.position == damage.position);
        if !known && self.damage.len() < REMEMBERED {
            tracing::error!(offsets = ?damage.offsets, "log {damage}");
            self.damage.push(damage.clone());
        }
    }
}
