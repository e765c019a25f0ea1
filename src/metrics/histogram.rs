//! A histogram of durations with fixed buckets. An observation is two atomic additions, without a lock.

use std::sync::atomic::{AtomicU64, Ordering};

/// Durations counted in buckets.
#[derive(Debug)]
pub struct Histogram {
    /// Upper bounds in microseconds, inclusive, ascending; a last bucket takes the rest.
    bounds_us: &'static [u64],
    counts: Box<[AtomicU64]>,
    sum_us: AtomicU64,
}

/// The observations of a histogram.
#[derive(Debug, Clone, PartialEq)]
pub struct Observed {
    /// Upper bound in seconds and the number of observations in the bucket; the last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    /// Sum of all durations, in seconds.
    pub sum_s: f64,
    /// Number of observations.
    pub count: u64,
}

impl Histogram {
    /// An empty histogram; `bounds_us` are upper bounds in microseconds, ascending.
    #[must_use]
    pub fn new(bounds_us: &'static [u64]) -> Self {
        let counts = (0..=bounds_us.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds_us, counts, sum_us: AtomicU64::new(0) }
    }

    /// Adds an observation.
    pub fn observe_us(&self, us: u64) {
        let at = self.bounds_us.partition_point(|bound| *bound < us);
        if let Some(count) = self.counts.get(at) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// The observations so far. The count is the sum of the buckets, so that both agree under concurrent use.
    #[must_use]
    pub fn observed(&self) -> Observed {
        let bounds = self.bounds_us.iter().map(|us| seconds(*us)).chain([f64::INFINITY]);
        let counts = self.counts.iter().map(|count| count.load(Ordering::Relaxed));
        let buckets: Vec<_> = bounds.zip(counts).collect();
        let count = buckets.iter().map(|(_, count)| count).sum();
        Observed { buckets, sum_s: seconds(self.sum_us.load(Ordering::Relaxed)), count }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a sum of microseconds is exact up to 285 years")]
fn seconds(us: u64) -> f64 {
    us as f64 / 1e6
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_is_counted_in_the_first_bucket_that_fits() {
        let histogram = Histogram::new(&[1_000, 10_000]);
        for us in [0, 1_000, 1_001, 10_000, 5_000_000] {
            histogram.observe_us(us);
        }
        let seen = histogram.observed();
        assert_eq!(seen.buckets, [(0.001, 2), (0.01, 2), (f64::INFINITY, 1)]);
        assert_eq!((seen.count, seen.sum_s), (5, 5.012_001));
    }
}
