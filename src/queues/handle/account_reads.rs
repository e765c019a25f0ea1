//! Long reads of the logs, account by account: the reads of one account wait only for each other.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::model::AccountId;

/// The reads of one account at a time.
const AT_ONCE: usize = 2;
/// The reads of one account that are under way or wait. Further ones are refused.
const MOST: usize = 16;

/// The accounts with reads.
#[derive(Debug, Default)]
pub(super) struct AccountReads(Mutex<HashMap<AccountId, Own>>);

/// The reads of one account.
#[derive(Debug)]
struct Own {
    turns: Arc<Semaphore>,
    /// The reads that are under way or wait.
    lined_up: usize,
}

/// The right to make one long read for an account. It ends when this is dropped.
#[derive(Debug)]
pub struct AccountRead {
    of: Arc<AccountReads>,
    account: AccountId,
    permit: Option<OwnedSemaphorePermit>,
}

impl AccountReads {
    /// Waits until the account may make another read. `None`: too many of its reads wait already.
    pub(super) async fn take(self: &Arc<Self>, account: AccountId) -> Option<AccountRead> {
        let (mut read, turns) = self.line_up(account)?;
        read.permit = Some(turns.acquire_owned().await.ok()?);
        Some(read)
    }

    fn line_up(self: &Arc<Self>, account: AccountId) -> Option<(AccountRead, Arc<Semaphore>)> {
        let mut all = self.lock();
        let new = || Own { turns: Arc::new(Semaphore::new(AT_ONCE)), lined_up: 0 };
        let own = all.entry(account).or_insert_with(new);
        if own.lined_up == MOST {
            return None;
        }
        own.lined_up += 1;
        Some((AccountRead { of: Arc::clone(self), account, permit: None }, Arc::clone(&own.turns)))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AccountId, Own>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for AccountRead {
    fn drop(&mut self) {
        // Also runs for a read that was given up while it waited. The permit goes back before the account is
        // forgotten: the next entry of the account has its own semaphore, which must not admit reads beside this one.
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

    #[test]
    fn the_reads_of_an_account_wait_only_for_each_other() {
        let reads = Arc::new(AccountReads::default());
        let take = |account| reads.take(AccountId(account)).now_or_never();
        let held: Vec<_> = (0..AT_ONCE).map(|_| take(1).flatten().unwrap()).collect();
        assert!(take(1).is_none(), "the account makes as many reads as it may");
        assert!(take(2).flatten().is_some(), "another account has its own");
        drop(held);
        assert!(take(1).flatten().is_some());
        assert!(reads.lock().is_empty(), "an account without reads takes no memory");
    }

    #[test]
    fn when_too_many_reads_wait_the_next_one_is_refused() {
        let reads = Arc::new(AccountReads::default());
        let mut waiting: Vec<_> = (0..MOST).map(|_| Box::pin(reads.take(AccountId(1)))).collect();
        let held: Vec<_> = waiting.iter_mut().filter_map(FutureExt::now_or_never).collect();
        assert_eq!(held.len(), AT_ONCE);
        assert!(reads.take(AccountId(1)).now_or_never().is_some_and(|refused| refused.is_none()));
        drop(held);
    }
}
