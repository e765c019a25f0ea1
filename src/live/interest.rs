//! Which sessions an event may be for: a lookup by account, so that an event wakes only those.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::subscriptions::Reach;
use crate::model::AccountId;

const NOTHING: u64 = u64::MAX;

/// Wakes one session, and tells it from where on there may be something.
#[derive(Debug)]
pub(super) struct Waker {
    from: AtomicU64,
    bell: Notify,
}

impl Waker {
    pub(super) fn new() -> Self {
        Self { from: AtomicU64::new(NOTHING), bell: Notify::new() }
    }

    /// There may be something from `from` on.
    fn ring(&self, from: u64) {
        self.from.fetch_min(from, Ordering::AcqRel);
        self.bell.notify_one();
    }

    /// Resolves when it was rung since the last time.
    pub(super) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// From where on there may be something, if it was rung since this was last asked: nothing before it, back
    /// to the ring's end of then, is of the session's accounts.
    pub(super) fn take(&self) -> Option<u64> {
        Some(self.from.swap(NOTHING, Ordering::AcqRel)).filter(|from| *from != NOTHING)
    }
}

/// All wakers, by what they are for.
#[derive(Debug, Default)]
pub(super) struct Interest {
    by_account: HashMap<AccountId, Vec<Arc<Waker>>>,
    all: Vec<Arc<Waker>>,
}

impl Interest {
    pub(super) fn is_empty(&self) -> bool {
        self.by_account.is_empty() && self.all.is_empty()
    }

    pub(super) fn wants(&self, account: Option<AccountId>) -> bool {
        !self.all.is_empty() || account.is_some_and(|account| self.by_account.contains_key(&account))
    }

    pub(super) fn insert(&mut self, waker: &Arc<Waker>, reaches: &BTreeSet<Reach>) {
        for reach in reaches {
            self.list(*reach).push(Arc::clone(waker));
        }
    }

    pub(super) fn remove(&mut self, waker: &Arc<Waker>, reaches: &BTreeSet<Reach>) {
        for reach in reaches {
            let list = self.list(*reach);
            list.retain(|other| !Arc::ptr_eq(other, waker));
            if let (true, Reach::One(account)) = (list.is_empty(), reach) {
                self.by_account.remove(account);
            }
        }
    }

    fn list(&mut self, reach: Reach) -> &mut Vec<Arc<Waker>> {
        match reach {
            Reach::One(account) => self.by_account.entry(account).or_default(),
            Reach::All => &mut self.all,
        }
    }

    /// Wakes everybody that events of these accounts may be for.
    pub(super) fn ring(&self, accounts: &BTreeSet<Option<AccountId>>, from: u64) {
        if accounts.is_empty() {
            return;
        }
        let of_accounts = accounts.iter().flatten().filter_map(|account| self.by_account.get(account));
        for waker in of_accounts.flatten().chain(&self.all) {
            waker.ring(from);
        }
    }
}
