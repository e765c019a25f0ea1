//! A rate in bytes for each account, pure: time is an argument and may come from any clock that never goes back.

use std::collections::HashMap;
use std::time::Duration;

use super::AccountId;

/// Accounts remembered before those that owe nothing are forgotten.
const FORGET_ABOVE: usize = 1024;

/// How many bytes an account may use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ByteRate {
    /// Bytes at once, at least 1.
    pub burst: u64,
    /// Bytes that come back each second, at least 1.
    pub per_second: u64,
}

/// What each account has used of its rate. An account that owes nothing takes no memory.
#[derive(Debug)]
pub struct ByteMeter {
    rate: ByteRate,
    /// When the account will have paid for what it used.
    paid_at: HashMap<AccountId, Duration>,
    forget_above: usize,
}

impl ByteMeter {
    /// A meter on which nothing has been used.
    #[must_use]
    pub fn new(rate: ByteRate) -> Self {
        let rate = ByteRate { burst: rate.burst.max(1), per_second: rate.per_second.max(1) };
        Self { rate, paid_at: HashMap::new(), forget_above: FORGET_ABOVE }
    }

    /// Uses all of these bytes, or none: the error says how long the account has to wait for them. More than the burst costs
    /// as much as the burst.
    pub fn take(&mut self, account: AccountId, bytes: u64, now: Duration) -> Result<(), Duration> {
        self.forget(now);
        let paid_at = self.paid_at.get(&account).copied().unwrap_or(now).max(now);
        let after = paid_at.saturating_add(self.time_for(bytes.min(self.rate.burst)));
        let most = now.saturating_add(self.time_for(self.rate.burst));
        if after > most {
            return Err(after.saturating_sub(most));
        }
        self.paid_at.insert(account, after);
        Ok(())
    }

    /// How long these bytes take at the rate.
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
    use crate::model::Id;

    fn meter() -> ByteMeter {
        ByteMeter::new(ByteRate { burst: 1000, per_second: 100 })
    }

    #[test]
    fn an_account_has_its_burst_and_then_its_rate() {
        let (mut meter, at) = (meter(), Duration::from_secs);
        assert_eq!(meter.take(Id(1), 1000, at(5)), Ok(()));
        assert_eq!(meter.take(Id(1), 100, at(5)), Err(at(1)));
        assert_eq!(meter.take(Id(1), 100, at(6)), Ok(()));
        assert_eq!(meter.take(Id(1), 300, at(7)), Err(at(2)), "a refusal costs nothing");
        assert_eq!(meter.take(Id(1), 300, at(9)), Ok(()));
    }

    #[test]
    fn accounts_do_not_share_and_a_large_request_waits_for_the_whole_burst() {
        let (mut meter, at) = (meter(), Duration::from_secs);
        assert_eq!(meter.take(Id(1), 5000, at(0)), Ok(()));
        assert_eq!(meter.take(Id(2), 1000, at(0)), Ok(()));
        assert_eq!(meter.take(Id(1), 5000, at(4)), Err(at(6)));
        assert_eq!(meter.take(Id(1), 5000, at(10)), Ok(()));
    }

    #[test]
    fn accounts_that_owe_nothing_are_forgotten() {
        let mut meter = meter();
        for id in 0..10_000_u64 {
            assert_eq!(meter.take(Id(u128::from(id)), 1, Duration::from_secs(id)), Ok(()));
        }
        assert!(meter.paid_at.len() <= FORGET_ABOVE + 1, "{}", meter.paid_at.len());
    }
}
