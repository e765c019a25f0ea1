//! A token bucket for the frames of one client (`docs/kazoo/websockets.md#limits`).

const SECOND_US: u64 = 1_000_000;

/// A token bucket with a size and a rate.
#[derive(Debug, Clone)]
pub(super) struct Bucket {
    size: u64,
    per_second: u64,
    /// Millionths of a token.
    level: u64,
    filled_us: u64,
}

impl Bucket {
    /// A full bucket.
    pub(super) fn new(size: u32, per_second: u32, now_us: u64) -> Self {
        let size = u64::from(size) * SECOND_US;
        Self { size, per_second: per_second.into(), level: size, filled_us: now_us }
    }

    /// Takes one token; false when the bucket is empty.
    pub(super) fn take(&mut self, now_us: u64) -> bool {
        let passed = now_us.saturating_sub(self.filled_us);
        // Never back, or the same time would fill the bucket twice.
        self.filled_us = now_us.max(self.filled_us);
        self.level = self.level.saturating_add(passed.saturating_mul(self.per_second)).min(self.size);
        let has_one = self.level >= SECOND_US;
        if has_one {
            self.level -= SECOND_US;
        }
        has_one
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_is_allowed_once_and_then_the_steady_rate() {
        let mut bucket = Bucket::new(3, 2, 0);
        let taken: Vec<bool> = [0, 0, 0, 0, 499_999, 500_000, 500_001].map(|at| bucket.take(at)).to_vec();
        assert_eq!(taken, [true, true, true, false, false, true, false]);
        let after_an_hour = 3_600 * SECOND_US;
        assert_eq!((0..5).filter(|_| bucket.take(after_an_hour)).count(), 3);
        assert!(!bucket.take(0), "a clock that goes back fills nothing");
    }
}
