//! Which closed segments may go: by age, by the size of all, and below an offset. Never the active one.

use std::io;
use std::sync::PoisonError;

use super::names;
use super::options::Options;
use super::store::Store;

/// How many of the oldest segments are to be removed. `segments` are (created, bytes), oldest first.
pub(super) fn expired(segments: &[(u64, u64)], now_us: u64, options: &Options) -> usize {
    let mut total: u64 = segments.iter().map(|(_, bytes)| bytes).sum();
    let mut gone = 0;
    for pair in segments.windows(2) {
        let [(_, bytes), (closed_us, _)] = pair else { break };
        let old = options.max_age_us.is_some_and(|age| closed_us.saturating_add(age) < now_us);
        let large = options.max_bytes.is_some_and(|most| total > most);
        if !old && !large {
            break;
        }
        total -= bytes;
        gone += 1;
    }
    gone
}

impl Store {
    /// Removes what `expired` says, and closed segments wholly below `from`.
    pub(super) fn retain(&self, now_us: u64, options: &Options, from: u64) -> io::Result<()> {
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
        // Readers must not be sent there any more before the file goes.
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
    fn the_oldest_go_until_age_and_size_are_right_and_the_active_stays() {
        let segments = [(0, 100), (10, 100), (20, 100), (30, 100)];
        let by = |max_age_us, max_bytes| {
            let options = Options { max_age_us, max_bytes, ..Options::default() };
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
}
