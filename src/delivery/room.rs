//! Memory for attempts at large events: so many bytes in all, and for one hook an eighth of them at the most.
//!
//! Small events do without: as many of them as there are permits for attempts are little. A large one waits for room
//! with nothing in memory but its place in the log.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Records above this size wait for room.
pub(super) const LARGE: usize = 64 << 10;
/// Of the total, for one hook: one part of so many.
const SHARE: usize = 8;
/// Bytes of one permit.
const UNIT: usize = 1 << 10;

/// The total.
#[derive(Debug)]
pub(super) struct Room {
    total: Semaphore,
    units: u32,
}

/// What one hook may take of it.
#[derive(Debug)]
pub(super) struct Share {
    own: Semaphore,
    units: u32,
}

/// Room that is given back when this is dropped.
#[derive(Debug)]
pub(super) struct Taken<'a> {
    _own: SemaphorePermit<'a>,
    _total: SemaphorePermit<'a>,
}

impl Room {
    /// So many bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let units = units(bytes);
        Self { total: Semaphore::new(units as usize), units }
    }

    /// A hook's share.
    pub(super) fn share(&self) -> Share {
        let units = (self.units / u32::try_from(SHARE).unwrap_or(u32::MAX)).max(1);
        Share { own: Semaphore::new(units as usize), units }
    }

    /// Waits for so many bytes: first among the hook's own attempts, then among all. What is larger than all there is
    /// takes all there is. Never `None`: nothing closes a semaphore here.
    pub(super) async fn take<'a>(&'a self, share: &'a Share, bytes: usize) -> Option<Taken<'a>> {
        let units = units(bytes);
        let own = share.own.acquire_many(units.min(share.units)).await.ok()?;
        let total = self.total.acquire_many(units.min(self.units)).await.ok()?;
        Some(Taken { _own: own, _total: total })
    }
}

fn units(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).max(1)
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn one_hook_leaves_room_for_others_and_gets_its_own_back() {
        let room = Room::new(8 << 20);
        let (one, other) = (room.share(), room.share());
        let full = room.take(&one, 1 << 20).now_or_never().unwrap();
        assert!(room.take(&one, 1).now_or_never().is_none(), "an eighth is taken");
        let others = room.take(&other, 1 << 20).now_or_never().unwrap();
        drop(full);
        assert!(room.take(&one, 1).now_or_never().is_some());
        drop(others);
    }

    #[test]
    fn what_is_larger_than_all_there_is_takes_it_all_and_gets_its_turn() {
        let room = Room::new(1 << 20);
        let (one, other) = (room.share(), room.share());
        let all = room.take(&one, 1 << 30).now_or_never().unwrap();
        assert!(room.take(&other, 1).now_or_never().is_none());
        drop(all);
        assert!(room.take(&other, 1 << 30).now_or_never().is_some());
    }
}
