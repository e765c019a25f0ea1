//! The only place that knows how the log's files are called.
//!
//! A segment is named by its first offset, 20 digits, so that names sort like offsets.

use std::path::{Path, PathBuf};

const DIGITS: usize = 20;
const SEGMENT: &str = ".log";
const INDEX: &str = ".index";
const SALT: &str = "salt";

/// What a file in a log's directory is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Records from this offset on.
    Segment(u64),
    /// The index of the segment with this first offset.
    Index(u64),
}

pub(super) fn segment(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:0DIGITS$}{SEGMENT}"))
}

pub(super) fn index(dir: &Path, first: u64) -> PathBuf {
    dir.join(format!("{first:0DIGITS$}{INDEX}"))
}

pub(super) fn salt(dir: &Path) -> PathBuf {
    dir.join(SALT)
}

/// `None` for the salt, and for files that are not ours; those are left alone.
pub(super) fn parse(name: &str) -> Option<Kind> {
    let (digits, suffix) = name.split_at_checked(DIGITS)?;
    if !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let first = digits.parse().ok()?;
    match suffix {
        SEGMENT => Some(Kind::Segment(first)),
        INDEX => Some(Kind::Index(first)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_was_written() {
        let name = segment(Path::new(""), 42).display().to_string();
        assert_eq!(name, "00000000000000000042.log");
        assert_eq!(parse(&name), Some(Kind::Segment(42)));
        assert_eq!(parse("00000000000000000042.index"), Some(Kind::Index(42)));
    }

    #[test]
    fn foreign_files_are_not_ours() {
        for name in ["", "42.log", "00000000000000000042.log~", "+0000000000000000042.log", "README.md"] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
