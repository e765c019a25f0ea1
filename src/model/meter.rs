//! Limits the bytes per second of each account, and of each tenant with all its accounts. Pure: time is an argument
//! from any monotonic clock.

use std::collections::HashMap;
use std::time::Duration;

use super::AccountId;

/// Above this number of holders, those that owe nothing are removed.
const FORGET_ABOVE: usize = 1024;

/// A tenant with all its accounts may use this many times the rate, and hold this many times the share, of one
/// account.
pub const TENANT_MULTIPLE: u64 = 4;

/// The account and tenant that use bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Payer {
    /// The account.
    pub account: AccountId,
    /// The account's tenant: the account directly below the master account.
    pub tenant: AccountId,
}

/// A rate in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRate {
    /// Bytes at once, at least 1.
    pub burst: u64,
    /// Bytes regained each second, at least 1.
    pub per_second: u64,
}

/// The used part of the rate of each account, and of each tenant with all its accounts. A tenant cannot multiply its
/// rate by creating accounts.
#[derive(Debug)]
pub struct ByteMeter {
    burst: u64,
    accounts: Used,
    tenants: Used,
}

impl ByteMeter {
    /// A meter without any use. `rate` is the rate of an account; a tenant's is [`TENANT_MULTIPLE`] times as much.
    #[must_use]
    pub fn new(rate: ByteRate) -> Self {
        let rate = ByteRate { burst: rate.burst.max(1), per_second: rate.per_second.max(1) };
        let of_tenant = ByteRate {
            burst: rate.burst.saturating_mul(TENANT_MULTIPLE),
            per_second: rate.per_second.saturating_mul(TENANT_MULTIPLE),
        };
        Self { burst: rate.burst, accounts: Used::new(rate), tenants: Used::new(of_tenant) }
    }

    /// Uses all of these bytes or none. The error is the time to wait for them. A request larger than an account's
    /// burst costs as much as the burst.
    pub fn take(&mut self, payer: Payer, bytes: u64, now: Duration) -> Result<(), Duration> {
        let (account, tenant) = self.after(payer, bytes, now)?;
        self.accounts.note(payer.account, account, now);
        self.tenants.note(payer.tenant, tenant, now);
        Ok(())
    }

    /// Checks whether the bytes could be used now, without using them.
    pub fn check(&self, payer: Payer, bytes: u64, now: Duration) -> Result<(), Duration> {
        self.after(payer, bytes, now).map(drop)
    }

    /// The times at which account and tenant will have paid for these bytes too.
    fn after(&self, payer: Payer, bytes: u64, now: Duration) -> Result<(Duration, Duration), Duration> {
        let bytes = bytes.min(self.burst);
        let account = self.accounts.after(payer.account, bytes, now);
        let tenant = self.tenants.after(payer.tenant, bytes, now);
        match (account, tenant) {
            (Ok(account), Ok(tenant)) => Ok((account, tenant)),
            (account, tenant) => Err(account.err().max(tenant.err()).unwrap_or_default()),
        }
    }
}

/// The used part of one rate for each holder. A holder that owes nothing takes no memory.
#[derive(Debug)]
struct Used {
    rate: ByteRate,
    /// The time at which the holder will have paid for its use.
    paid_at: HashMap<AccountId, Duration>,
    forget_above: usize,
}

impl Used {
    fn new(rate: ByteRate) -> Self {
        Self { rate, paid_at: HashMap::new(), forget_above: FORGET_ABOVE }
    }

    /// The time at which the holder will have paid for these bytes too; the error is the time to wait for them.
    fn after(&self, holder: AccountId, bytes: u64, now: Duration) -> Result<Duration, Duration> {
        let paid_at = self.paid_at.get(&holder).copied().unwrap_or(now).max(now);
        let after = paid_at.saturating_add(self.time_for(bytes));
        let most = now.saturating_add(self.time_for(self.rate.burst));
        if after > most { Err(after.saturating_sub(most)) } else { Ok(after) }
    }

    fn note(&mut self, holder: AccountId, paid_at: Duration, now: Duration) {
        self.forget(now);
        self.paid_at.insert(holder, paid_at);
    }

    /// The time that these bytes take at the rate.
    fn time_for(&self, bytes: u64) -> Duration {
        let us = u128::from(bytes) * 1_000_000 / u128::from(self.rate.per_second);
        Duration::from_micros(u64::try_from(us).unwrap_or(u64::MAX))
    }

    fn forget(&mut self, now: Duration) {
        if self.paid_at.len() > self.forget_above {
            self.paid_at.retain(|_, paid_at| *paid_at > now);
            self.forget_above = FORGET_ABOVE.max(self.paid_at.len().saturating_mul(2));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::AccountId;

    fn alone(id: u128) -> Payer {
        Payer { account: AccountId(id), tenant: AccountId(id) }
    }

    #[test]
    fn a_tenant_cannot_multiply_its_rate_by_creating_accounts() {
        let (mut meter, at) = (meter(), Duration::from_secs);
        let child = |id: u128| Payer { account: AccountId(id), tenant: AccountId(1) };
        let taken = (2..1000).filter(|id| meter.take(child(*id), 1000, at(0)).is_ok()).count();
        assert_eq!(taken, 4);
        assert_eq!(meter.take(child(1000), 400, at(0)), Err(at(1)));
        assert_eq!(meter.take(child(1000), 400, at(1)), Ok(()));
        assert_eq!(meter.take(alone(5000), 1000, at(0)), Ok(()), "another tenant has its own");
    }

    fn meter() -> ByteMeter {
        ByteMeter::new(ByteRate { burst: 1000, per_second: 100 })
    }

    #[test]
    fn an_account_has_its_burst_and_then_its_rate() {
        let (mut meter, at) = (meter(), Duration::from_secs);
        assert_eq!(meter.take(alone(1), 1000, at(5)), Ok(()));
        assert_eq!(meter.take(alone(1), 100, at(5)), Err(at(1)));
        assert_eq!(meter.take(alone(1), 100, at(6)), Ok(()));
        assert_eq!(meter.take(alone(1), 300, at(7)), Err(at(2)), "a refusal costs nothing");
        assert_eq!(meter.take(alone(1), 300, at(9)), Ok(()));
    }

    #[test]
    fn accounts_do_not_share_and_a_large_request_waits_for_the_whole_burst() {
        let (mut meter, at) = (meter(), Duration::from_secs);
        assert_eq!(meter.take(alone(1), 5000, at(0)), Ok(()));
        assert_eq!(meter.take(alone(2), 1000, at(0)), Ok(()));
        assert_eq!(meter.take(alone(1), 5000, at(4)), Err(at(6)));
        assert_eq!(meter.take(alone(1), 5000, at(10)), Ok(()));
    }

    #[test]
    fn accounts_that_owe_nothing_are_removed() {
        let mut meter = meter();
        for id in 0..10_000_u64 {
            assert_eq!(meter.take(alone(u128::from(id)), 1, Duration::from_secs(id)), Ok(()));
        }
        assert!(meter.accounts.paid_at.len() <= FORGET_ABOVE + 1, "{}", meter.accounts.paid_at.len());
    }
}
