//! Who asks too often: one bucket for each address and account, as KAZOO has it (`webhooks.md` 5.6), and another
//! for each address that sends wrong credentials.

use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::bucket::Buckets;
use super::{Auth, Options};
use crate::model::AccountId;

/// What a request took, and what its bucket still holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tokens {
    /// Taken by this request.
    pub consumed: u32,
    /// Left in the bucket.
    pub remaining: u32,
}

/// Who shares a bucket of requests.
type Client = (IpAddr, Option<AccountId>);

/// The buckets.
#[derive(Debug)]
pub(super) struct Limits {
    requests: Option<Mutex<Buckets<Client>>>,
    wrong: Option<Mutex<Buckets<IpAddr>>>,
}

impl Limits {
    pub(super) fn new(options: &Options) -> Self {
        let most = options.most_buckets;
        Self {
            requests: options.requests.map(|rate| Mutex::new(Buckets::new(rate, most))),
            wrong: options.wrong_credentials.map(|rate| Mutex::new(Buckets::new(rate, most))),
        }
    }
}

impl Auth {
    /// Takes a request's cost out of the bucket of its address and its caller's account. `Ok(None)`: there is no
    /// limit; an error holds what is left, which is too little.
    pub fn spend(
        &self,
        address: Option<IpAddr>,
        account: Option<AccountId>,
        cost: u32,
    ) -> Result<Option<Tokens>, Tokens> {
        let Some(requests) = &self.limits.requests else { return Ok(None) };
        let key = (network(address), account);
        match lock(requests).take(key, cost, self.options.steady.now_us()) {
            Ok(remaining) => Ok(Some(Tokens { consumed: cost, remaining })),
            Err(remaining) => Err(Tokens { consumed: 0, remaining }),
        }
    }

    /// Whether credentials from this address are looked at.
    #[must_use]
    pub fn may_try(&self, address: Option<IpAddr>) -> bool {
        let now_us = self.options.steady.now_us();
        self.limits.wrong.as_ref().is_none_or(|wrong| lock(wrong).has_any(&network(address), now_us))
    }

    /// Remembers that this address sent wrong credentials.
    pub fn tried_in_vain(&self, address: Option<IpAddr>) {
        if let Some(wrong) = &self.limits.wrong {
            // What is left does not matter: an empty bucket is seen by the next try.
            let _left: Result<u32, u32> = lock(wrong).take(network(address), 1, self.options.steady.now_us());
        }
    }
}

/// Whose bucket: an address, or the /64 network of a version 6 address, which one client may hold as a whole.
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
