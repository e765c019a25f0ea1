//! Damage found in segments, and how well the log is.

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;

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
