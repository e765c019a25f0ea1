//! The waits between attempts to connect: longer after each failure, with jitter, without end.

use std::time::Duration;

use backoff::backoff::Backoff;
use backoff::{ExponentialBackoff, ExponentialBackoffBuilder};

/// Waits that grow from `initial` to about `most`, each with a random part.
#[derive(Debug)]
pub struct Waits(ExponentialBackoff);

impl Waits {
    /// Waits that start with `initial`.
    #[must_use]
    pub fn new(initial: Duration, most: Duration) -> Self {
        let waits = ExponentialBackoffBuilder::new()
            .with_initial_interval(initial)
            .with_max_interval(most)
            .with_multiplier(2.0)
            .with_randomization_factor(0.3)
            .with_max_elapsed_time(None)
            .build();
        Self(waits)
    }

    /// The wait after one more failure.
    pub fn after_failure(&mut self) -> Duration {
        self.0.next_backoff().unwrap_or(self.0.max_interval)
    }

    /// Returns to the initial wait.
    pub fn after_success(&mut self) {
        self.0.reset();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_their_limit_and_never_end() {
        let mut waits = Waits::new(Duration::from_millis(500), Duration::from_secs(30));
        let all: Vec<Duration> = (0..100).map(|_| waits.after_failure()).collect();
        assert!(all[0] <= Duration::from_millis(650), "{:?}", all[0]);
        assert!(all[20..].iter().all(|w| (21_000..=39_000).contains(&w.as_millis())), "{all:?}");
        waits.after_success();
        assert!(waits.after_failure() <= Duration::from_millis(650));
    }
}
