//! File names of a log. No other module knows them.
//!
//! A segment is named by its first offset with 20 digits, so that names sort like offsets.

use std::path::{Path, PathBuf};

const DIGITS: usize = 20;
const SEGMENT: &str = ".log";
const INDEX: &str = ".index";
const SALT: &str = "salt";
const BEGIN: &str = "begin";

/// Kinds of files in a log's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A segment, by its first offset.
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

pub(super) fn begin(dir: &Path) -> PathBuf {
    dir.join(BEGIN)
}

/// `None` for the files of the salt and of the first offset, and for files that the log did not write. The log never
/// touches the latter.
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
    fn a_parsed_name_equals_the_written_one() {
        let name = segment(Path::new(""), 42).display().to_string();
        assert_eq!(name, "00000000000000000042.log");
        assert_eq!(parse(&name), Some(Kind::Segment(42)));
        assert_eq!(parse("00000000000000000042.index"), Some(Kind::Index(42)));
    }

    #[test]
    fn files_of_other_programs_are_ignored() {
        for name in ["", "42.log", "00000000000000000042.log~", "+0000000000000000042.log", "README.md"] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
