//! Limits the memory of attempts at large events: in total, and to an eighth of the total for one hook.
//!
//! Small events are not counted: even with all permits in use they need little memory. An attempt at a large event
//! waits with only the event's offset in memory.

use tokio::sync::{Semaphore, SemaphorePermit};

/// Records above this size count as large.
pub(super) const LARGE: usize = 64 << 10;
/// A hook may use at most 1/`SHARE` of the total.
const SHARE: usize = 8;
/// Bytes of one permit.
const UNIT: usize = 1 << 10;

/// The memory of all hooks.
#[derive(Debug)]
pub(super) struct Room {
    total: Semaphore,
    units: u32,
}

/// The share of one hook.
#[derive(Debug)]
pub(super) struct Share {
    own: Semaphore,
    units: u32,
}

/// Reserved memory, which is released when this is dropped.
#[derive(Debug)]
pub(super) struct Reservation<'a> {
    _own: SemaphorePermit<'a>,
    _total: SemaphorePermit<'a>,
}

impl Room {
    /// A total of `bytes` bytes.
    pub(super) fn new(bytes: usize) -> Self {
        let units = units(bytes);
        Self { total: Semaphore::new(units as usize), units }
    }

    /// The share of a new hook.
    pub(super) fn share(&self) -> Share {
        let units = (self.units / u32::try_from(SHARE).unwrap_or(u32::MAX)).max(1);
        Share { own: Semaphore::new(units as usize), units }
    }

    /// Waits for memory, first in the hook's share, then in the total. A request larger than all of it takes all of
    /// it. Never returns `None`, because the semaphores are never closed.
    pub(super) async fn take<'a>(&'a self, share: &'a Share, bytes: usize) -> Option<Reservation<'a>> {
        let units = units(bytes);
        // In this order, so that attempts that wait for their hook's share hold nothing of the total.
        let own = share.own.acquire_many(units.min(share.units)).await.ok()?;
        let total = self.total.acquire_many(units.min(self.units)).await.ok()?;
        Some(Reservation { _own: own, _total: total })
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
    fn one_hook_leaves_memory_for_others_and_its_own_is_released() {
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
    fn a_request_larger_than_the_total_takes_all_and_gets_its_turn() {
        let room = Room::new(1 << 20);
        let (one, other) = (room.share(), room.share());
        let all = room.take(&one, 1 << 30).now_or_never().unwrap();
        assert!(room.take(&other, 1).now_or_never().is_none());
        drop(all);
        assert!(room.take(&other, 1 << 30).now_or_never().is_some());
    }
}
