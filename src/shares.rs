//! What tenants share: each holds a part of it at most, so that none can hold all of it.
//!
//! A tenant's part is a semaphore. Whoever takes from the whole takes from the tenant's part first, so what waits for
//! the whole is bounded for each tenant, too.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Above this number, parts without a user are removed.
const TIDY_ABOVE: usize = 1024;

/// The parts of all holders, all of one size.
pub struct Shares<K> {
    each: usize,
    parts: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl<K: Eq + Hash> Shares<K> {
    /// Every holder gets at most `each`, at least one.
    #[must_use]
    pub fn new(each: usize) -> Self {
        Self { each: each.clamp(1, Semaphore::MAX_PERMITS), parts: Mutex::default() }
    }

    /// How much a holder gets at most.
    #[must_use]
    pub fn each(&self) -> usize {
        self.each
    }

    /// The part of a holder.
    #[must_use]
    pub fn of(&self, holder: K) -> Arc<Semaphore> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if parts.len() >= TIDY_ABOVE {
            parts.retain(|_, part| Arc::strong_count(part) > 1);
        }
        Arc::clone(parts.entry(holder).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }

    /// One of a holder's part, if there is one left.
    #[must_use]
    pub fn try_one(&self, holder: K) -> Option<OwnedSemaphorePermit> {
        self.of(holder).try_acquire_owned().ok()
    }
}

impl<K> fmt::Debug for Shares<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shares").field("each", &self.each).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_holder_gets_its_part_and_leaves_others_theirs() {
        let shares = Shares::new(2);
        let held = [shares.try_one(1), shares.try_one(1)];
        assert!(held.iter().all(Option::is_some) && shares.try_one(1).is_none());
        assert!(shares.try_one(2).is_some());
        drop(held);
        assert!(shares.try_one(1).is_some());
    }

    #[test]
    fn parts_that_nobody_uses_are_forgotten_and_used_ones_are_not() {
        let shares = Shares::new(1);
        let held = shares.try_one(0);
        for holder in 1..3000 {
            assert!(shares.try_one(holder).is_some());
        }
        assert!(shares.parts.lock().unwrap().len() <= TIDY_ABOVE + 1);
        assert!(held.is_some() && shares.try_one(0).is_none());
    }
}
