//! Shares of resources that tenants use together: each tenant gets at most its share, so none can take everything.
//!
//! A tenant's share is a semaphore. A request takes a permit of the share before one of the whole, so the number of
//! requests that wait for the whole is bounded per tenant, too.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Above this number, unused shares are removed.
const TIDY_ABOVE: usize = 1024;

/// The shares of all holders, each of the same size.
pub struct Shares<K> {
    each: usize,
    parts: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl<K: Eq + Hash> Shares<K> {
    /// Creates shares of size `each`, or one if that is 0.
    #[must_use]
    pub fn new(each: usize) -> Self {
        Self { each: each.clamp(1, Semaphore::MAX_PERMITS), parts: Mutex::default() }
    }

    /// The size of a share.
    #[must_use]
    pub fn each(&self) -> usize {
        self.each
    }

    /// The share of a holder.
    #[must_use]
    pub fn of(&self, holder: K) -> Arc<Semaphore> {
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        if parts.len() >= TIDY_ABOVE {
            parts.retain(|_, part| Arc::strong_count(part) > 1);
        }
        Arc::clone(parts.entry(holder).or_insert_with(|| Arc::new(Semaphore::new(self.each))))
    }

    /// Takes one permit of a holder's share, if one is left.
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
    fn a_holder_gets_its_share_and_leaves_others_theirs() {
        let shares = Shares::new(2);
        let held = [shares.try_one(1), shares.try_one(1)];
        assert!(held.iter().all(Option::is_some) && shares.try_one(1).is_none());
        assert!(shares.try_one(2).is_some());
        drop(held);
        assert!(shares.try_one(1).is_some());
    }

    #[test]
    fn unused_shares_are_removed_and_used_ones_are_not() {
        let shares = Shares::new(1);
        let held = shares.try_one(0);
        for holder in 1..3000 {
            assert!(shares.try_one(holder).is_some());
        }
        assert!(shares.parts.lock().unwrap().len() <= TIDY_ABOVE + 1);
        assert!(held.is_some() && shares.try_one(0).is_none());
    }
}
