//! Idempotency keys of HTTP requests with events: a repeated request gets the answer of the first one.
//!
//! The number of keys is bounded per account and in total, and each key expires. An account with too many keys loses
//! its own oldest keys. When the total is reached, the tenant with the most keys makes room, however many accounts the
//! tenant has. After a restart, the keys among the last events of the log are known again.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::handle::Tenants;
use crate::model::{AccountId, Clock, EventOffset, HandedIn};

/// The most keys of one account.
const OF_ACCOUNT: usize = 1024;
/// The most keys of all accounts together.
const OF_ALL: usize = 65_536;
/// How long a key is known, in microseconds.
const KNOWN_US: u64 = 24 * 3_600_000_000;

/// The key of a request, and a digest that distinguishes its body from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestKey {
    /// The account that the client acts for. Each account has its own keys.
    pub account: AccountId,
    /// The key as the client sent it.
    pub key: String,
    /// SHA-256 of all events of the request.
    pub digest: [u8; 32],
}

/// Why a request with a known key is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// The first request with this key has not been answered.
    #[error("request with this key is being stored; ask again")]
    UnderWay,
    /// The first request with this key had other events.
    #[error("key was used for other events")]
    OtherEvents,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct UsedKey {
    digest: [u8; 32],
    /// `None` while the events are not on disk.
    offsets: Option<Range<EventOffset>>,
    at_us: u64,
}

/// The keys of one account; `order` has the oldest first.
#[derive(Debug, Default)]
struct OfAccount {
    known: HashMap<String, UsedKey>,
    order: VecDeque<String>,
}

impl OfAccount {
    fn drop_oldest(&mut self) {
        if let Some(oldest) = self.order.pop_front() {
            self.known.remove(&oldest);
        }
    }

    fn remove(&mut self, key: &str) {
        if self.known.remove(key).is_some() {
            self.order.retain(|other| other != key);
        }
    }
}

/// The known requests with keys.
#[derive(Debug)]
pub struct Requests {
    keys: Mutex<Keys>,
    clock: Clock,
    tenants: Tenants,
}

impl Requests {
    pub(super) fn new(clock: Clock, tenants: Tenants) -> Self {
        Self { keys: Mutex::default(), clock, tenants }
    }

    /// Begins a request. Returns the offsets of the first request with this key, or `None` when this request is the
    /// first; then the caller must call [`Self::end`].
    pub fn begin(&self, request: &RequestKey) -> Result<Option<Range<EventOffset>>, KeyError> {
        let tenant = self.tenants.of(request.account);
        self.keys().begin(tenant, request, self.clock.now_us())
    }

    /// Ends a request that was begun: its events are on disk at `offsets`, or (`None`) it was refused.
    pub fn end(&self, request: &RequestKey, offsets: Option<Range<EventOffset>>) {
        match offsets {
            Some(offsets) => self.keys().done(request, offsets),
            None => self.keys().given_up(request),
        }
    }

    /// Learns a key from the log, from the first event of its request.
    pub(super) fn learn(&self, handed_in: &HandedIn<'_>, first: EventOffset, at_us: u64) {
        let tenant = self.tenants.of(handed_in.account);
        self.keys().learn(tenant, handed_in, first, at_us);
    }

    fn keys(&self) -> MutexGuard<'_, Keys> {
        self.keys.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keys of all accounts.
#[derive(Debug, Default)]
struct Keys {
    /// Keys by tenant, then by account.
    tenants: HashMap<AccountId, OfTenant>,
    /// The tenant that an account's keys are counted for. They stay there when the account moves to another tenant.
    tenant_of: HashMap<AccountId, AccountId>,
    count: usize,
}

/// The keys of one tenant's accounts, with their number.
#[derive(Debug, Default)]
struct OfTenant {
    accounts: BTreeMap<AccountId, OfAccount>,
    count: usize,
}

impl Keys {
    /// Begins a request. Returns the offsets of an earlier request with this key, or `None` when this request is the
    /// first; then [`Self::done`] or [`Self::given_up`] must follow.
    fn begin(
        &mut self,
        tenant: AccountId,
        request: &RequestKey,
        now_us: u64,
    ) -> Result<Option<Range<EventOffset>>, KeyError> {
        self.forget_late(request.account, now_us);
        // After the expired keys were dropped, so that a key older than a day begins a new request.
        let known = self.of(request.account).and_then(|of| of.known.get(&request.key));
        match known {
            Some(known) if known.digest != request.digest => Err(KeyError::OtherEvents),
            Some(UsedKey { offsets: Some(offsets), .. }) => Ok(Some(offsets.clone())),
            Some(_) => Err(KeyError::UnderWay),
            None => {
                // Entered before its events are on disk, so that the same request at the same time stores nothing.
                let known = UsedKey { digest: request.digest, offsets: None, at_us: now_us };
                self.put(tenant, request.account, &request.key, known);
                Ok(None)
            }
        }
    }

    /// The events of the first request are on disk.
    fn done(&mut self, request: &RequestKey, offsets: Range<EventOffset>) {
        self.change(request.account, |of| {
            if let Some(known) = of.known.get_mut(&request.key) {
                known.offsets = Some(offsets);
            }
        });
    }

    /// The first request was refused, so the next one with this key counts as the first.
    fn given_up(&mut self, request: &RequestKey) {
        self.change(request.account, |of| of.remove(&request.key));
    }

    /// Learns a key from the log, from the first event of its request.
    fn learn(&mut self, tenant: AccountId, handed_in: &HandedIn<'_>, first: EventOffset, at_us: u64) {
        let offsets = Some(first..first + u64::from(handed_in.count));
        let known = UsedKey { digest: handed_in.digest, offsets, at_us };
        self.put(tenant, handed_in.account, handed_in.key, known);
    }

    fn of(&self, account: AccountId) -> Option<&OfAccount> {
        self.tenants.get(self.tenant_of.get(&account)?)?.accounts.get(&account)
    }

    /// Changes the keys of an account and updates the counts. Removes the account when it has no keys left.
    fn change(&mut self, account: AccountId, change: impl FnOnce(&mut OfAccount)) {
        let Some(tenant) = self.tenant_of.get(&account).copied() else { return };
        let Some(of_tenant) = self.tenants.get_mut(&tenant) else { return };
        let Some(of) = of_tenant.accounts.get_mut(&account) else { return };
        let before = of.known.len();
        change(of);
        let after = of.known.len();
        of_tenant.count = of_tenant.count + after - before;
        self.count = self.count + after - before;
        if after == 0 {
            of_tenant.accounts.remove(&account);
            self.tenant_of.remove(&account);
        }
        if of_tenant.accounts.is_empty() {
            self.tenants.remove(&tenant);
        }
    }

    fn put(&mut self, tenant: AccountId, account: AccountId, key: &str, known: UsedKey) {
        if self.count >= OF_ALL {
            self.make_room();
        }
        // The tenant of its first key: `change` subtracts from the same count to which the keys were added.
        let tenant = *self.tenant_of.entry(account).or_insert(tenant);
        self.tenants.entry(tenant).or_default().accounts.entry(account).or_default();
        self.change(account, |of| {
            of.remove(key);
            if of.known.len() >= OF_ACCOUNT {
                of.drop_oldest();
            }
            of.order.push_back(key.to_owned());
            of.known.insert(key.to_owned(), known);
        });
    }

    /// Drops the oldest key of the account that has the most keys, within the tenant that has the most keys.
    fn make_room(&mut self) {
        // A search through all tenants, but only while the total is used up. A sorted set would cost something at
        // every request.
        let most = self.tenants.values().max_by_key(|of| of.count);
        let account = most.and_then(|of| of.accounts.iter().max_by_key(|(_, of)| of.known.len()));
        if let Some(account) = account.map(|(account, _)| *account) {
            self.change(account, OfAccount::drop_oldest);
        }
    }

    fn forget_late(&mut self, account: AccountId, now_us: u64) {
        self.change(account, |of| {
            while let Some(known) = of.order.front().and_then(|key| of.known.get(key))
                && known.at_us.saturating_add(KNOWN_US) <= now_us
            {
                of.drop_oldest();
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(account: u128, key: &str, digest: u8) -> RequestKey {
        RequestKey { account: AccountId(account), key: key.to_owned(), digest: [digest; 32] }
    }

    #[test]
    fn a_repeated_request_gets_the_first_answer_until_the_key_is_a_day_old() {
        let mut keys = Keys::default();
        let first = request(1, "k", 1);
        assert_eq!(keys.begin(AccountId(1), &first, 5), Ok(None));
        assert_eq!(keys.begin(AccountId(1), &first, 6), Err(KeyError::UnderWay));
        keys.done(&first, EventOffset(7)..EventOffset(9));
        assert_eq!(keys.begin(AccountId(1), &first, 6), Ok(Some(EventOffset(7)..EventOffset(9))));
        assert_eq!(keys.begin(AccountId(1), &request(1, "k", 2), 6), Err(KeyError::OtherEvents));
        assert_eq!(
            keys.begin(AccountId(2), &request(2, "k", 2), 6),
            Ok(None),
            "another account's key is another key"
        );
        assert_eq!(keys.begin(AccountId(1), &first, 5 + KNOWN_US), Ok(None));
    }

    #[test]
    fn the_key_of_a_refused_request_can_be_used_again() {
        let mut keys = Keys::default();
        assert_eq!(keys.begin(AccountId(1), &request(1, "k", 1), 5), Ok(None));
        keys.given_up(&request(1, "k", 1));
        assert_eq!(keys.begin(AccountId(1), &request(1, "k", 2), 6), Ok(None));
        assert_eq!(keys.count, 1);
    }

    #[test]
    fn an_account_with_too_many_keys_loses_its_own_oldest() {
        let mut keys = Keys::default();
        assert_eq!(keys.begin(AccountId(2), &request(2, "mine", 1), 1), Ok(None));
        keys.done(&request(2, "mine", 1), EventOffset(0)..EventOffset(1));
        for n in 0..OF_ACCOUNT * 2 {
            let one = request(1, &n.to_string(), 1);
            assert_eq!(keys.begin(AccountId(1), &one, 2), Ok(None));
            keys.done(&one, EventOffset(0)..EventOffset(1));
        }
        assert_eq!(keys.count, OF_ACCOUNT + 1);
        assert_eq!(
            keys.begin(AccountId(2), &request(2, "mine", 1), 3),
            Ok(Some(EventOffset(0)..EventOffset(1)))
        );
        assert_eq!(keys.begin(AccountId(1), &request(1, "0", 1), 3), Ok(None));
    }

    #[test]
    fn a_tenant_with_a_few_keys_in_each_of_many_accounts_loses_its_own() {
        let mut keys = Keys::default();
        let mine: Vec<RequestKey> = (0..100).map(|n| request(2, &n.to_string(), 1)).collect();
        for one in &mine {
            assert_eq!(keys.begin(AccountId(2), one, 1), Ok(None));
            keys.done(one, EventOffset(0)..EventOffset(1));
        }
        for account in 10..10 + OF_ALL as u128 / 8 {
            for n in 0..8 {
                let one = request(account, &n.to_string(), 1);
                assert_eq!(keys.begin(AccountId(1), &one, 2), Ok(None));
                keys.done(&one, EventOffset(0)..EventOffset(1));
            }
        }
        assert_eq!(keys.count, OF_ALL);
        for one in &mine {
            assert_eq!(
                keys.begin(AccountId(2), one, 3),
                Ok(Some(EventOffset(0)..EventOffset(1))),
                "another tenant's keys stay"
            );
        }
        assert_eq!(keys.tenants.values().map(|of| of.count).sum::<usize>(), keys.count);
    }
}
