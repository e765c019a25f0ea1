//! The memory for request bodies: a common bound for all bodies that are being received or answered.
//!
//! Promise: small bodies do not wait for large ones. A large body gets memory before it is read, and separate memory
//! before its values are parsed, so no two bodies wait for each other.

use std::num::NonZero;
use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory is taken in pieces of this many bytes.
const PIECE: usize = 1 << 10;
/// The most memory that one JSON value needs in addition to its text (in the worst case `0,0,0,…`), in bytes.
const VALUE_BYTES: usize = 160;
/// A body with more values than this is heavy: parsing and checking it takes milliseconds, for which all other
/// requests on the serving threads would have to wait.
const HEAVY: usize = 10_000;

/// The memory of all bodies. Cheap to clone.
#[derive(Debug, Clone)]
pub(super) struct Memory {
    /// A third of the memory: small bodies and their values.
    small: Pool,
    /// A sixth: large bodies as received.
    large: Pool,
    /// Half: the values of large bodies.
    values: Pool,
    /// Permits for heavy bodies, one per core.
    heavy: Arc<Semaphore>,
}

/// A number of pieces of memory.
#[derive(Debug, Clone)]
struct Pool {
    free: Arc<Semaphore>,
    bytes: usize,
}

/// The memory of one body. Dropping it returns the memory.
#[derive(Debug)]
pub(super) struct BodyMemory {
    pool: Pool,
    pool_of_values: Pool,
    /// The part of its tenant's memory, for a large body.
    of_tenant: Option<OwnedSemaphorePermit>,
    received: Option<OwnedSemaphorePermit>,
    values: Option<OwnedSemaphorePermit>,
    heavy: Option<OwnedSemaphorePermit>,
}

impl Memory {
    /// Creates memory of `bytes` for all bodies. The values of one body may use half of it.
    pub(super) fn new(bytes: usize) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
        Self {
            small: Pool::new(bytes / 3),
            large: Pool::new(bytes / 6),
            values: Pool::new(bytes / 2),
            heavy: Arc::new(Semaphore::new(cores)),
        }
    }

    /// The memory of a new body; empty at first.
    pub(super) fn hold(&self, is_small: bool) -> BodyMemory {
        // Two pools, so that large bodies which wait for memory never keep a small one from being answered.
        let pools = if is_small { (&self.small, &self.small) } else { (&self.large, &self.values) };
        let (pool, pool_of_values) = (pools.0.clone(), pools.1.clone());
        BodyMemory { pool, pool_of_values, of_tenant: None, received: None, values: None, heavy: None }
    }
}

impl Pool {
    fn new(bytes: usize) -> Self {
        // Rounded up, because the largest allowed body must fit.
        let pieces = bytes.div_ceil(PIECE).clamp(1, Semaphore::MAX_PERMITS);
        Self { free: Arc::new(Semaphore::new(pieces)), bytes: pieces * PIECE }
    }

    /// Waits until this many pieces are free.
    async fn take(&self, pieces: usize) -> Option<OwnedSemaphorePermit> {
        let pieces = u32::try_from(pieces).unwrap_or(u32::MAX);
        // Fails only if the semaphore is closed, which never happens.
        Arc::clone(&self.free).acquire_many_owned(pieces).await.ok()
    }
}

impl BodyMemory {
    /// Whether the request must be answered on a separate thread.
    pub(super) fn is_heavy(&self) -> bool {
        self.heavy.is_some()
    }

    /// The most values of one body. A body with more is refused.
    pub(super) fn most_values(&self) -> usize {
        self.pool_of_values.bytes / VALUE_BYTES
    }

    /// Holds the part of the tenant's memory until the body is answered.
    pub(super) fn keep(&mut self, of_tenant: Option<OwnedSemaphorePermit>) {
        self.of_tenant = of_tenant;
    }

    /// Waits until there is memory for this many bytes of the body in total.
    pub(super) async fn grow_to(&mut self, bytes: usize) {
        let had = self.received.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let more = bytes.div_ceil(PIECE).saturating_sub(had);
        if more == 0 {
            return;
        }
        let got = self.pool.take(more).await;
        match (&mut self.received, got) {
            (Some(received), Some(got)) => received.merge(got),
            (received, got) => *received = got,
        }
    }

    /// Waits until there is memory for this many values and, for a heavy body, a permit.
    pub(super) async fn take_values(&mut self, memory: &Memory, values: usize) {
        // Taken only when the whole body is there and its values are counted. A body never waits for its values
        // while another waits for its bytes, because the two are in different pools.
        self.values = self.pool_of_values.take((values * VALUE_BYTES).div_ceil(PIECE)).await;
        if values > HEAVY {
            // Fails only if the semaphore is closed, which never happens.
            self.heavy = Arc::clone(&memory.heavy).acquire_owned().await.ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    /// The values that take this many pieces.
    fn values(pieces: usize) -> usize {
        pieces * PIECE / VALUE_BYTES
    }

    #[tokio::test]
    async fn bodies_wait_for_each_other_and_return_their_memory() {
        let memory = Memory::new(30 * PIECE);
        let (mut one, mut other) = (memory.hold(true), memory.hold(true));
        one.grow_to(1).await;
        one.grow_to(4 * PIECE).await;
        other.grow_to(6 * PIECE).await;
        assert_eq!(memory.small.free.available_permits(), 0);
        let waits = timeout(Duration::from_millis(1), one.grow_to(5 * PIECE)).await;
        assert!(waits.is_err());
        drop(other);
        one.grow_to(5 * PIECE).await;
        drop(one);
        assert_eq!(memory.small.free.available_permits(), 10);
    }

    #[tokio::test]
    async fn the_largest_body_fits_into_the_smallest_configurable_memory() {
        for most in [1024, 1025, 8_000_000] {
            let memory = Memory::new(6 * most);
            let mut held = memory.hold(false);
            let fits = timeout(Duration::from_secs(5), held.grow_to(most)).await;
            assert!(fits.is_ok(), "{most}");
        }
    }

    #[tokio::test]
    async fn small_bodies_do_not_wait_for_large_ones() {
        let memory = Memory::new(30 * PIECE);
        let (mut large, mut small) = (memory.hold(false), memory.hold(true));
        large.grow_to(5 * PIECE).await;
        large.take_values(&memory, values(15)).await;
        assert_eq!((memory.large.free.available_permits(), memory.values.free.available_permits()), (0, 0));
        small.grow_to(PIECE).await;
        small.take_values(&memory, values(9)).await;
        assert_eq!(memory.small.free.available_permits(), 0);
    }

    #[tokio::test]
    async fn as_many_heavy_bodies_are_answered_at_once_as_there_are_cores() {
        let memory = Memory::new(8 * HEAVY * VALUE_BYTES);
        let cores = memory.heavy.available_permits();
        assert!(cores > 0);
        let (mut light, mut heavy) = (memory.hold(true), memory.hold(true));
        light.take_values(&memory, HEAVY).await;
        heavy.take_values(&memory, HEAVY + 1).await;
        assert!(!light.is_heavy() && heavy.is_heavy());
        assert_eq!(memory.heavy.available_permits(), cores - 1);
        drop(heavy);
        assert_eq!(memory.heavy.available_permits(), cores);
    }
}
