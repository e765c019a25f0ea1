//! Finds the sessions that may want an event by its account, so that an event wakes only these.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

use super::subscriptions::Reach;
use crate::model::{AccountId, EventOffset};

const NOTHING: u64 = u64::MAX;

/// Wakes one session and holds the lowest offset at which there may be an event for the session.
#[derive(Debug)]
pub(super) struct Bell {
    from: AtomicU64,
    notify: Notify,
}

impl Bell {
    pub(super) fn new() -> Self {
        Self { from: AtomicU64::new(NOTHING), notify: Notify::new() }
    }

    /// Wakes the session: there may be an event for it at `from` or later.
    fn ring(&self, from: EventOffset) {
        // The offset first, then the wake-up: a session that wakes finds the offset. `Notify` stores a wake-up when nobody
        // waits, so none is lost.
        self.from.fetch_min(from.0, Ordering::AcqRel);
        self.notify.notify_one();
    }

    /// Resolves when the bell has been rung since the last call.
    pub(super) async fn rung(&self) {
        self.notify.notified().await;
    }

    /// Takes the offset for which the bell was rung since the last call, if any. No event between the session's
    /// position at that call and this offset belongs to the session's accounts.
    pub(super) fn take(&self) -> Option<EventOffset> {
        Some(self.from.swap(NOTHING, Ordering::AcqRel)).filter(|from| *from != NOTHING).map(EventOffset)
    }
}

/// The bells of all sessions, by the accounts whose events the sessions want.
#[derive(Debug, Default)]
pub(super) struct Interest {
    by_account: HashMap<AccountId, Vec<Arc<Bell>>>,
    all: Vec<Arc<Bell>>,
}

impl Interest {
    pub(super) fn is_empty(&self) -> bool {
        self.by_account.is_empty() && self.all.is_empty()
    }

    pub(super) fn wants(&self, account: Option<AccountId>) -> bool {
        !self.all.is_empty() || account.is_some_and(|account| self.by_account.contains_key(&account))
    }

    pub(super) fn insert(&mut self, bell: &Arc<Bell>, reaches: &BTreeSet<Reach>) {
        for reach in reaches {
            self.bells_of(*reach).push(Arc::clone(bell));
        }
    }

    pub(super) fn remove(&mut self, bell: &Arc<Bell>, reaches: &BTreeSet<Reach>) {
        for reach in reaches {
            let bells = self.bells_of(*reach);
            bells.retain(|other| !Arc::ptr_eq(other, bell));
            if let (true, Reach::One(account)) = (bells.is_empty(), reach) {
                self.by_account.remove(account);
            }
        }
    }

    fn bells_of(&mut self, reach: Reach) -> &mut Vec<Arc<Bell>> {
        match reach {
            Reach::One(account) => self.by_account.entry(account).or_default(),
            Reach::All => &mut self.all,
        }
    }

    /// Wakes all sessions that may want events of these accounts. `from` is the first offset of the batch.
    pub(super) fn ring_bells(&self, accounts: &BTreeSet<Option<AccountId>>, from: EventOffset) {
        if accounts.is_empty() {
            return;
        }
        let of_accounts = accounts.iter().flatten().filter_map(|account| self.by_account.get(account));
        for bell in of_accounts.flatten().chain(&self.all) {
            bell.ring(from);
        }
    }
}
