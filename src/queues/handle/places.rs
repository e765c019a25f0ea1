//! Places for long readings of the logs, for each account: its further ones wait for its own, and not for others'.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::AccountId;

/// Readings of one account at a time.
const AT_ONCE: usize = 2;
/// Readings of one account that are under way or wait; more are refused.
const MOST: usize = 16;

/// Who reads.
#[derive(Debug, Default)]
pub(super) struct Places(Mutex<HashMap<AccountId, Own>>);

/// One account's places.
#[derive(Debug)]
struct Own {
    places: Arc<Semaphore>,
    /// Readings under way and waiting.
    lined_up: usize,
}

/// A place in the line of an account, given back when this is dropped.
#[derive(Debug)]
pub struct Place {
    of: Arc<Places>,
    account: AccountId,
    permit: Option<OwnedSemaphorePermit>,
}

impl Places {
    /// Waits for a place among the account's own; `None`: too many wait already.
    pub(super) async fn take(self: &Arc<Self>, account: AccountId) -> Option<Place> {
        let (mut place, places) = self.line_up(account)?;
        place.permit = Some(places.acquire_owned().await.ok()?);
        Some(place)
    }

    fn line_up(self: &Arc<Self>, account: AccountId) -> Option<(Place, Arc<Semaphore>)> {
        let mut all = self.lock();
        let new = || Own { places: Arc::new(Semaphore::new(AT_ONCE)), lined_up: 0 };
        let own = all.entry(account).or_insert_with(new);
        if own.lined_up == MOST {
            return None;
        }
        own.lined_up += 1;
        Some((Place { of: Arc::clone(self), account, permit: None }, Arc::clone(&own.places)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Own>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(self.permit.take());
        let mut all = self.of.lock();
        if let Some(own) = all.get_mut(&self.account) {
            own.lined_up -= 1;
            if own.lined_up == 0 {
                all.remove(&self.account);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::model::Id;

    #[test]
    fn an_account_s_further_readings_wait_for_its_own_and_not_for_others() {
        let places = Arc::new(Places::default());
        let take = |account| places.take(Id(account)).now_or_never();
        let held: Vec<_> = (0..AT_ONCE).map(|_| take(1).flatten().unwrap()).collect();
        assert!(take(1).is_none(), "the account's places are taken");
        assert!(take(2).flatten().is_some(), "another account has its own");
        drop(held);
        assert!(take(1).flatten().is_some());
        assert!(places.lock().is_empty(), "nothing is kept of who reads no more");
    }

    #[test]
    fn so_many_wait_and_the_next_is_refused() {
        let places = Arc::new(Places::default());
        let mut waiting: Vec<_> = (0..MOST).map(|_| Box::pin(places.take(Id(1)))).collect();
        let held: Vec<_> = waiting.iter_mut().filter_map(FutureExt::now_or_never).collect();
        assert_eq!(held.len(), AT_ONCE);
        assert!(places.take(Id(1)).now_or_never().is_some_and(|refused| refused.is_none()));
        drop(held);
    }
}
