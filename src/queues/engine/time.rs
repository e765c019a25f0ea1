//! The engine's two clocks: a steady one for everything that becomes due, and the time of day for what is written down.

use crate::model::Clock;

/// Both clocks of an engine.
#[derive(Debug)]
pub(super) struct Time {
    wall: Clock,
    steady: Clock,
    /// Added to the steady clock, so that it reads as microseconds since 1970.
    started_us: u64,
}

/// One moment by both clocks, in microseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Moment {
    /// By the steady clock.
    pub(super) now_us: u64,
    /// By the time of day.
    pub(super) wall_us: u64,
}

impl Time {
    /// The steady clock continues from the time of day of this moment.
    pub(super) fn new(wall: Clock, steady: Clock) -> Self {
        let started_us = wall.now_us().saturating_sub(steady.now_us());
        Self { wall, steady, started_us }
    }

    /// The steady clock. It never goes back, so due times are not affected when the system's clock is set.
    pub(super) fn now_us(&self) -> u64 {
        self.started_us + self.steady.now_us()
    }

    /// The time of day, which may go back.
    pub(super) fn wall_us(&self) -> u64 {
        self.wall.now_us()
    }

    /// Both.
    pub(super) fn moment(&self) -> Moment {
        Moment { now_us: self.now_us(), wall_us: self.wall_us() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn due_times_do_not_follow_a_clock_that_is_set_back() {
        let (wall, steady) = (Arc::new(AtomicU64::new(5_000)), Arc::new(AtomicU64::new(10)));
        let clock = |of: &Arc<AtomicU64>| {
            let of = Arc::clone(of);
            Clock::new(move || of.load(Ordering::Relaxed))
        };
        let time = Time::new(clock(&wall), clock(&steady));
        assert_eq!(time.moment(), Moment { now_us: 5_000, wall_us: 5_000 });
        wall.store(1_000, Ordering::Relaxed);
        steady.store(30, Ordering::Relaxed);
        assert_eq!(time.moment(), Moment { now_us: 5_020, wall_us: 1_000 });
    }
}
