//! Damage found in segments, why a read fails, and how well the log is.

use std::fmt;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

/// Places of damage remembered; what exceeds them is still reported by the read that meets it.
const REMEMBERED: usize = 64;

/// Bytes of a segment that should be records and are not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// The segment.
    pub file: PathBuf,
    /// Where the damage begins.
    pub position: u64,
    /// Bytes up to the next sound record; 0 when the segment is too short or the extent was not looked for.
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
    /// The record asked for is damaged.
    #[error("{0}")]
    Damaged(Damage),
    /// An index made anew could not be read.
    #[error("{} cannot be made anew", file.display())]
    Index {
        /// The index file.
        file: PathBuf,
    },
}

impl ReadError {
    pub(super) fn io(file: &Path, source: io::Error) -> Self {
        Self::Io { file: file.to_owned(), source }
    }

    /// Whether the file is not there, as when retention removed it a moment ago.
    pub(super) fn is_gone(&self) -> bool {
        matches!(self, Self::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }
}

/// Whether the log accepts appends and is whole.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Health {
    /// Why nothing is accepted until the log is opened anew.
    pub poisoned: Option<String>,
    /// The last append was refused for want of space.
    pub full: bool,
    /// Damage met so far, at opening and by readers.
    pub damage: Vec<Damage>,
}

impl Health {
    pub(super) fn note(&mut self, damage: &Damage) {
        let known = self.damage.iter().any(|d| d.file == damage.file && d.position == damage.position);
        if !known && self.damage.len() < REMEMBERED {
            tracing::error!(offsets = ?damage.offsets, "log {damage}");
            self.damage.push(damage.clone());
        }
    }
}
