//! Rate limits. Requests: one bucket per address and account, as in KAZOO (`docs/kazoo/webhooks.md#rate-limit`). Wrong
//! credentials: one bucket per address and account, and one per account for guesses from all addresses together. The
//! latter does not apply to addresses from which somebody has logged in to that account.

use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bucket::{Buckets, Rate};
use super::{Auth, AuthOptions};
use crate::model::AccountId;

/// The tokens of a request's bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    /// Taken by this request.
    pub consumed: u32,
    /// Left in the bucket.
    pub remaining: u32,
}

/// The key of a bucket of requests.
type Client = (IpAddr, Purpose);

/// What a request counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// A request with a token of this account.
    Of(AccountId),
    /// A request without a valid token.
    Nobody,
    /// A log-in to the account that it names. So log-ins to different accounts from one address have separate buckets.
    /// `None` for an unknown account: all these log-ins share one bucket, so that invented names use no memory.
    LogIn(Option<AccountId>),
}

/// How many times more guesses at one account are allowed from all addresses together than from one address.
const FROM_ALL: u32 = 10;
/// The most addresses that are remembered for an account, the latest log-ins first.
const MOST_KNOWN: usize = 32;

/// The address of wrong credentials, and the account if they name one.
type Tried = (IpAddr, Option<AccountId>);

/// The buckets of all rate limits.
#[derive(Debug)]
pub(super) struct LogInLimits {
    requests: Option<Mutex<Buckets<Client>>>,
    wrong: Option<Mutex<Buckets<Tried>>>,
    wrong_at: Option<Mutex<Buckets<AccountId>>>,
    known: Mutex<KnownAddresses>,
}

/// The addresses from which somebody has logged in to each account.
#[derive(Debug)]
struct KnownAddresses {
    of: HashMap<AccountId, VecDeque<IpAddr>>,
    /// The most accounts.
    most: usize,
}

impl KnownAddresses {
    fn has(&self, account: AccountId, address: IpAddr) -> bool {
        self.of.get(&account).is_some_and(|known| known.contains(&address))
    }

    fn add(&mut self, account: AccountId, address: IpAddr) {
        if self.of.len() >= self.most && !self.of.contains_key(&account) {
            // Any account will do: its log-ins count as those from new addresses until the next one succeeds.
            let any = self.of.keys().next().copied();
            any.map(|any| self.of.remove(&any));
        }
        let known = self.of.entry(account).or_default();
        known.retain(|other| *other != address);
        known.push_back(address);
        if known.len() > MOST_KNOWN {
            known.pop_front();
        }
    }
}

impl LogInLimits {
    pub(super) fn new(options: &AuthOptions) -> Self {
        let most = options.most_buckets;
        let from_all = |rate: Rate| Rate {
            burst: rate.burst.saturating_mul(FROM_ALL),
            per_minute: rate.per_minute.saturating_mul(FROM_ALL),
        };
        Self {
            requests: options.requests.map(|rate| Mutex::new(Buckets::new(rate, most))),
            wrong: options.wrong_credentials.map(|rate| Mutex::new(Buckets::new(rate, most))),
            wrong_at: options.wrong_credentials.map(|rate| Mutex::new(Buckets::new(from_all(rate), most))),
            known: Mutex::new(KnownAddresses { of: HashMap::new(), most }),
        }
    }
}

impl Auth {
    /// The tokens that a request costs.
    #[must_use]
    pub fn cost(&self, is_log_in: bool) -> u32 {
        if is_log_in { self.options.log_in_cost } else { self.options.request_cost }
    }

    /// Takes the cost of a request from its bucket. `Ok(None)` without a limit; an error has the remaining tokens,
    /// which are too few.
    pub fn spend(
        &self,
        address: Option<IpAddr>,
        purpose: Purpose,
        cost: u32,
    ) -> Result<Option<Tokens>, Tokens> {
        let Some(requests) = &self.limits.requests else { return Ok(None) };
        let key = (network(address), purpose);
        match lock(requests).take(key, cost, self.options.steady.now_us()) {
            Ok(remaining) => Ok(Some(Tokens { consumed: cost, remaining })),
            Err(remaining) => Err(Tokens { consumed: 0, remaining }),
        }
    }

    /// Whether a password for an account may be checked from this address. Wrong passwords for other accounts do not
    /// count. Wrong passwords from other addresses count only if nobody has logged in to the account from this
    /// address.
    #[must_use]
    pub fn may_try(&self, address: Option<IpAddr>, account: Option<AccountId>) -> bool {
        let (network, now_us) = (network(address), self.options.steady.now_us());
        let is_own = |wrong: &Mutex<Buckets<Tried>>| lock(wrong).has_any(&(network, account), now_us);
        let is_open = |account: AccountId| {
            let wrong_at = self.limits.wrong_at.as_ref();
            wrong_at.is_none_or(|wrong| lock(wrong).has_any(&account, now_us))
                || lock(&self.limits.known).has(account, network)
        };
        self.limits.wrong.as_ref().is_none_or(is_own) && account.is_none_or(is_open)
    }

    /// Remembers a successful log-in to an account from this address.
    pub(super) fn logged_in(&self, address: Option<IpAddr>, account: AccountId) {
        if self.limits.wrong.is_some() {
            lock(&self.limits.known).add(account, network(address));
        }
    }

    /// Counts wrong credentials from this address, for the account that they name. Returns false when there were too
    /// many.
    #[must_use]
    pub fn note_wrong(&self, address: Option<IpAddr>, account: Option<AccountId>) -> bool {
        let (network, now_us) = (network(address), self.options.steady.now_us());
        if let (Some(account), Some(wrong_at)) = (account, &self.limits.wrong_at)
            && !lock(&self.limits.known).has(account, network)
        {
            // The result does not matter here: `may_try` checks the bucket before the next password.
            let _left: Result<u32, u32> = lock(wrong_at).take(account, 1, now_us);
        }
        let key = (network, account);
        self.limits.wrong.as_ref().is_none_or(|wrong| lock(wrong).take(key, 1, now_us).is_ok())
    }
}

/// The address as a key of buckets. Of a version 6 address, the /64 network, all of which one client may own.
fn network(address: Option<IpAddr>) -> IpAddr {
    match address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)) {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => match address.to_ipv4_mapped() {
            Some(address) => IpAddr::V4(address),
            None => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64))),
        },
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_version_6_network_share_a_bucket() {
        let of = |text: &str| network(Some(text.parse().unwrap()));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff::9"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
