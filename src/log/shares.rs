//! The bytes that each tag occupies in the log, from the indexes of the segments.
//!
//! A segment that was closed before the log was opened counts once `Reader::weigh` has read its index. To keep memory
//! small, a tag with less than a thousandth of a closed segment's bytes counts as 0 there.

use super::damage::ReadError;
use super::reader::Reader;
use super::store::Segment;

/// Tags with less than 1/`PARTS` of a closed segment are left out.
const PARTS: u64 = 1024;

/// Tags and their bytes, sorted by tag.
pub(super) type Shares = Box<[(u64, u64)]>;

/// The shares of a segment of `segment_bytes` bytes that are large enough to keep.
pub(super) fn large(shares: impl Iterator<Item = (u64, u64)>, segment_bytes: u64) -> Shares {
    let mut large: Vec<_> = shares.filter(|(_, bytes)| *bytes >= segment_bytes / PARTS).collect();
    large.sort_unstable();
    large.into()
}

/// The bytes of each tag, computed from the positions and tags of all records and the segment's length.
pub(super) fn of_positions(mut positions: Vec<(u32, u64)>, segment_bytes: u64) -> Shares {
    positions.sort_unstable();
    let mut bytes = std::collections::HashMap::new();
    let ends = positions.iter().skip(1).map(|(pos, _)| u64::from(*pos)).chain([segment_bytes]);
    for ((pos, tag), end) in positions.iter().zip(ends) {
        *bytes.entry(*tag).or_insert(0) += end.saturating_sub(u64::from(*pos));
    }
    large(bytes.into_iter(), segment_bytes)
}

impl Segment {
    /// A tag's bytes; 0 until the segment has been weighed.
    fn share(&self, tag: u64) -> u64 {
        let shares = self.shares.get().map(|shares| &**shares).unwrap_or_default();
        let found = shares.binary_search_by_key(&tag, |(tag, _)| *tag).ok().and_then(|at| shares.get(at));
        found.map_or(0, |(_, bytes)| *bytes)
    }
}

impl Reader {
    /// Bytes of a tag's records, without disk access.
    #[must_use]
    pub fn bytes_of(&self, tag: u64) -> u64 {
        let closed: u64 =
            self.store.with_segments(|segments| segments.iter().map(|segment| segment.share(tag)).sum());
        closed + self.store.active_bytes_of(tag)
    }

    /// Computes the shares of the closed segments that do not have them yet, newest first. Blocks.
    pub fn weigh(&self) -> Result<(), ReadError> {
        let segments = self.store.segments();
        for segment in segments.iter().rev().skip(1) {
            self.store.weigh(segment)?;
        }
        Ok(())
    }
}
