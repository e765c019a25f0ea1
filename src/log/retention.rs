//! Removes closed segments by age, by total size, or below an offset. The active segment is never removed.

use std::io;
use std::sync::PoisonError;

use super::begin;
use super::names;
use super::options::LogOptions;
use super::reader::Reader;
use super::store::Store;

/// The time at which each segment was closed. A segment is closed when the next one is created; the last one is still
/// open, so its time is now.
///
/// A clock that was wrong for a while must neither keep segments too long nor remove them too early. A creation time
/// in the future is therefore ignored in favour of the next segment's, and a segment never counts as closed before
/// it, or a segment before it, was created.
fn closings(created: &[u64], now_us: u64) -> Vec<u64> {
    let is_known = |us: &u64| *us <= now_us;
    let mut latest = 0;
    let closed = created.iter().enumerate().map(|(at, begun)| {
        // A time that goes back means that the clock was wrong at one of the two moments. The later time is the
        // safe one, because it keeps the segment longer.
        latest = latest.max(Some(*begun).filter(is_known).unwrap_or(0));
        created.iter().skip(at + 1).copied().find(is_known).unwrap_or(now_us).max(latest)
    });
    closed.collect()
}

/// The number of oldest segments to remove. `segments` are (time of creation, bytes), oldest first.
pub(super) fn expired(segments: &[(u64, u64)], now_us: u64, options: &LogOptions) -> usize {
    let created: Vec<u64> = segments.iter().map(|(created_us, _)| *created_us).collect();
    let mut total: u64 = segments.iter().map(|(_, bytes)| bytes).sum();
    let closed = segments.len().saturating_sub(1);
    let mut gone = 0;
    for ((_, bytes), closed_us) in segments.iter().zip(closings(&created, now_us)).take(closed) {
        let old = options.max_age_us.is_some_and(|age| closed_us.saturating_add(age) < now_us);
        let large = options.max_bytes.is_some_and(|most| total > most);
        // Only from the oldest on: removing a later segment would leave a gap in the offsets.
        if !old && !large {
            break;
        }
        total -= bytes;
        gone += 1;
    }
    gone
}

impl Reader {
    /// The first offset of the oldest segment that was still open at `time_us` or later. Every record before it is
    /// older than `time_us`, even if the clock was wrong for a while.
    #[must_use]
    pub fn open_at(&self, time_us: u64, now_us: u64) -> u64 {
        let segments = self.segments();
        let created: Vec<u64> = segments.iter().map(|segment| segment.created_us).collect();
        let mut open =
            segments.iter().zip(closings(&created, now_us)).filter(|(_, closed)| *closed >= time_us);
        open.next().or(segments.last().zip(Some(now_us))).map_or(0, |(segment, _)| segment.first)
    }
}

impl Store {
    /// Removes expired segments, and closed segments that lie completely below `from`.
    pub(super) fn retain(&self, now_us: u64, options: &LogOptions, from: u64) -> io::Result<()> {
        let (sizes, firsts): (Vec<_>, Vec<_>) = self
            .segments()
            .iter()
            .map(|segment| ((segment.created_us, segment.len()), segment.first))
            .unzip();
        let below = firsts.iter().skip(1).take_while(|first| **first <= from).count();
        let gone = expired(&sizes, now_us, options).max(below);
        for first in firsts.into_iter().take(gone) {
            self.remove_oldest(first)?;
        }
        Ok(())
    }

    fn remove_oldest(&self, first: u64) -> io::Result<()> {
        if let Some(next) =
            self.with_segments(|all| all.iter().map(|segment| segment.first).find(|other| *other > first))
        {
            begin::write(&*self.disk, &self.dir, next)?;
        }
        // Remove the segment from the list first, so that no reader is sent to a file that is about to disappear.
        {
            let mut segments = self.segments.write().unwrap_or_else(PoisonError::into_inner);
            segments.retain(|segment| segment.first != first);
        }
        self.forget(first);
        self.disk.remove(&names::segment(&self.dir, first))?;
        match self.disk.remove(&names::index(&self.dir, first)) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        // One by one: should the power go, what is left has no hole.
        self.disk.sync_dir(&self.dir)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_segments_are_removed_by_age_and_size_but_never_the_active_one() {
        let segments = [(0, 100), (10, 100), (20, 100), (30, 100)];
        let by = |max_age_us, max_bytes| {
            let options = LogOptions { max_age_us, max_bytes, ..LogOptions::default() };
            expired(&segments, 50, &options)
        };
        assert_eq!(by(None, None), 0);
        assert_eq!(by(None, Some(400)), 0);
        assert_eq!(by(None, Some(399)), 1);
        assert_eq!(by(None, Some(0)), 3);
        assert_eq!(by(Some(0), None), 3);
        assert_eq!(by(Some(25), None), 2, "a segment is as young as its last record");
        assert_eq!(by(Some(100), None), 0);
    }

    #[test]
    fn a_wrong_clock_neither_delays_nor_hastens_removal() {
        let by = |created: [u64; 5], now_us| {
            let options = LogOptions { max_age_us: Some(25), ..LogOptions::default() };
            expired(&created.map(|us| (us, 100)), now_us, &options)
        };
        assert_eq!(by([0, 10, 20, 30, 40], 50), 2);
        assert_eq!(by([0, 9_000, 20, 30, 40], 50), 2);
        assert_eq!(by([0, 9_000, 20, 30, 40], 70), 4, "the wrong time keeps nothing");
        assert_eq!(by([0, 10, 1, 30, 40], 50), 2, "nor does one from the past remove what is young");
        assert_eq!(by([20, 30, 0, 0, 40], 50), 0);
    }
}
