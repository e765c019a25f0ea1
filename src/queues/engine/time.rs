//! The engine's two clocks: a steady one for everything that becomes due, and the time of day for records.

use std::time::Duration;

use crate::model::{Clock, Moment, Now, WallTime};

/// Both clocks of an engine.
#[derive(Debug)]
pub(super) struct Time {
    wall: Clock,
    steady: Clock,
    /// The moment at which the steady clock showed 0.
    origin: Moment,
}

impl Time {
    /// Moments begin with the time of day of now, so that due times of an earlier run keep their meaning.
    pub(super) fn new(wall: Clock, steady: Clock) -> Self {
        let started = Moment::recorded_at(wall.wall());
        let origin = started - Duration::from_micros(steady.now_us());
        Self { wall, steady, origin }
    }

    /// The steady clock. It never goes back, so due times are not affected when the system's clock is set.
    pub(super) fn now(&self) -> Moment {
        self.origin + Duration::from_micros(self.steady.now_us())
    }

    /// The time of day, which may go back.
    pub(super) fn wall(&self) -> WallTime {
        self.wall.wall()
    }

    /// Both.
    pub(super) fn both(&self) -> Now {
        Now { moment: self.now(), wall: self.wall() }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    fn at(moment: u64, wall: u64) -> Now {
        Now { moment: Moment::from_micros(moment), wall: WallTime::from_micros(wall) }
    }

    #[test]
    fn due_times_do_not_follow_a_clock_that_is_set_back() {
        let (wall, steady) = (Arc::new(AtomicU64::new(5_000)), Arc::new(AtomicU64::new(10)));
        let clock = |of: &Arc<AtomicU64>| {
            let of = Arc::clone(of);
            Clock::new(move || of.load(Ordering::Relaxed))
        };
        let time = Time::new(clock(&wall), clock(&steady));
        assert_eq!(time.both(), at(5_000, 5_000));
        wall.store(1_000, Ordering::Relaxed);
        steady.store(30, Ordering::Relaxed);
        assert_eq!(time.both(), at(5_020, 1_000));
    }
}
