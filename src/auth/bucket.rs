//! Token buckets (pure): time is an argument, and the number of buckets is bounded.

use std::collections::HashMap;
use std::hash::Hash;

/// Levels are counted in millionths of a token, so that slow rates need no fractions.
const TOKEN: u64 = 1_000_000;
/// The shortest time between two sweeps that drop full buckets, in microseconds.
const SWEEP_US: u64 = 1_000_000;

/// The rate of a bucket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// The tokens of a full bucket; at least 1.
    pub burst: u32,
    /// The tokens that return each minute.
    pub per_minute: u32,
}

/// The level of a bucket at a time.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    level: u64,
    at_us: u64,
}

impl Rate {
    fn most(self) -> u64 {
        u64::from(self.burst) * TOKEN
    }

    /// The level now. A clock that goes back adds nothing.
    fn level(self, bucket: Option<&Bucket>, now_us: u64) -> u64 {
        let Some(bucket) = bucket else { return self.most() };
        let came = now_us.saturating_sub(bucket.at_us).saturating_mul(u64::from(self.per_minute)) / 60;
        bucket.level.saturating_add(came).min(self.most())
    }
}

/// A bucket per key. A full bucket need not be stored, because a missing bucket counts as full. When the most buckets
/// are stored, all new keys share one bucket.
#[derive(Debug)]
pub(super) struct Buckets<K> {
    rate: Rate,
    most: usize,
    kept: HashMap<K, Bucket>,
    shared: Option<Bucket>,
    swept_us: u64,
}

impl<K: Hash + Eq> Buckets<K> {
    pub(super) fn new(rate: Rate, most: usize) -> Self {
        Self { rate, most, kept: HashMap::new(), shared: None, swept_us: 0 }
    }

    /// Takes `cost` tokens, or none if there are fewer, and returns how many are left. A cost above a full bucket
    /// counts as a full bucket.
    pub(super) fn take(&mut self, key: K, cost: u32, now_us: u64) -> Result<u32, u32> {
        self.make_room(now_us);
        // Without room, all new keys share one bucket. So a flood of addresses slows down its own kind, and not
        // the clients that are known already.
        let has_room = self.kept.len() < self.most || self.kept.contains_key(&key);
        let bucket = if has_room { self.kept.get(&key) } else { self.shared.as_ref() };
        let level = self.rate.level(bucket, now_us);
        let cost = u64::from(cost.min(self.rate.burst)) * TOKEN;
        let left = level.checked_sub(cost);
        let bucket = Bucket { level: left.unwrap_or(level), at_us: now_us };
        if has_room {
            self.kept.insert(key, bucket);
        } else {
            self.shared = Some(bucket);
        }
        left.map(tokens).ok_or_else(|| tokens(level))
    }

    /// Whether the bucket has at least one token.
    pub(super) fn has_any(&self, key: &K, now_us: u64) -> bool {
        let is_full = self.kept.len() >= self.most;
        let bucket = self.kept.get(key).or_else(|| self.shared.as_ref().filter(|_| is_full));
        self.rate.level(bucket, now_us) >= TOKEN
    }

    fn make_room(&mut self, now_us: u64) {
        if self.kept.len() < self.most || now_us.saturating_sub(self.swept_us) < SWEEP_US {
            return;
        }
        self.swept_us = now_us;
        let rate = self.rate;
        // A full bucket behaves like a missing one, so it can be dropped without an effect.
        self.kept.retain(|_, bucket| rate.level(Some(bucket), now_us) < rate.most());
    }
}

fn tokens(level: u64) -> u32 {
    u32::try_from(level / TOKEN).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000;

    fn kazoo() -> Buckets<u32> {
        Buckets::new(Rate { burst: 100, per_minute: 600 }, 2)
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_the_tokens_that_return() {
        let mut buckets = kazoo();
        assert_eq!(buckets.take(1, 99, SECOND), Ok(1));
        assert_eq!(buckets.take(1, 1, SECOND), Ok(0));
        assert_eq!(buckets.take(1, 1, SECOND), Err(0));
        assert_eq!(buckets.take(1, 10, 2 * SECOND), Ok(0), "ten tokens return each second");
        assert_eq!(buckets.take(1, 35, 4 * SECOND), Err(20), "a refused cost takes nothing");
        assert_eq!(buckets.take(1, 0, 600 * SECOND), Ok(100), "a bucket is never more than full");
        assert_eq!(
            buckets.take(2, 1000, SECOND),
            Ok(0),
            "a cost above a full bucket counts as a full bucket"
        );
    }

    #[test]
    fn a_clock_that_goes_back_adds_and_removes_nothing() {
        let mut buckets = kazoo();
        assert_eq!(buckets.take(1, 50, 10 * SECOND), Ok(50));
        assert_eq!(buckets.take(1, 1, SECOND), Ok(49));
    }

    #[test]
    fn the_number_of_buckets_is_bounded_and_new_keys_share_one() {
        let mut buckets = kazoo();
        for key in [1, 2, 3, 4] {
            assert_eq!(buckets.take(key, 60, SECOND), if key < 4 { Ok(40) } else { Err(40) });
        }
        assert_eq!(buckets.kept.len(), 2);
        assert_eq!(buckets.take(4, 10, 60 * SECOND), Ok(90), "full buckets were dropped");
        assert_eq!(buckets.kept.len(), 1);
    }

    #[test]
    fn slow_rates_count_parts_of_a_token() {
        let mut buckets = Buckets::new(Rate { burst: 1, per_minute: 6 }, 8);
        assert_eq!(buckets.take(1, 1, SECOND), Ok(0));
        assert!(!buckets.has_any(&1, 10 * SECOND));
        assert!(buckets.has_any(&1, 11 * SECOND));
    }
}
