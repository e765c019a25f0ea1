//! A pace: at most a number of starts in each second, evenly spaced.

use std::time::Duration;

use crate::model::Moment;

/// The most lateness of one start that the following starts make up for. Timers fire late, and that must not cost throughput.
const CATCH_UP: Duration = Duration::from_millis(10);

/// When the next start may happen. A restart forgets it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::queues) struct Pace {
    /// The time between two starts. `None`: no limit.
    interval: Option<Duration>,
    /// When the next start is due if all starts are evenly spaced.
    next: Moment,
    /// Whether a start was refused and waits for `next`.
    waits: bool,
}

impl Pace {
    /// At most `per_second` starts in each second; `None`: no limit.
    pub(in crate::queues) fn new(per_second: Option<u32>) -> Self {
        let interval = per_second.map(|rate| Duration::from_micros(1_000_000 / u64::from(rate.max(1))));
        Self { interval, ..Self::default() }
    }

    /// Whether a start may happen now. If not, `due` says when.
    pub(in crate::queues) fn admits(&mut self, now: Moment) -> bool {
        self.waits = self.next > now;
        !self.waits
    }

    /// A start happens now, so the next one is due one interval later.
    pub(in crate::queues) fn started(&mut self, now: Moment) {
        if let Some(interval) = self.interval {
            // Counted from when the start was due and not from now, or each late timer would lower the rate for
            // good.
            self.next = self.next.max(now - CATCH_UP) + interval;
        }
    }

    /// When a refused start may be tried again.
    pub(in crate::queues) fn due(&self) -> Option<Moment> {
        self.waits.then_some(self.next)
    }

    /// Forgets a refused start whose time has come.
    pub(in crate::queues) fn wake(&mut self, now: Moment) {
        self.waits &= self.next > now;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_allows_its_number_of_starts_in_a_second() {
        for rate in [1, 5, 100, 1000] {
            let mut pace = Pace::new(Some(rate));
            let mut started = 0;
            for now in (0..2_000_000).step_by(700).map(Moment::from_micros) {
                if pace.admits(now) {
                    pace.started(now);
                    started += 1;
                }
            }
            assert!((2 * rate..=2 * rate + 1).contains(&started), "{started} at {rate} a second");
        }
    }

    #[test]
    fn without_a_pace_every_start_is_admitted() {
        let mut pace = Pace::new(None);
        let now = Moment::from_micros(5);
        pace.started(now);
        assert!(pace.admits(now) && pace.due().is_none());
    }

    #[test]
    fn a_refused_start_is_due_until_its_time_has_come() {
        let (mut pace, second) = (Pace::new(Some(10)), Moment::from_micros(1_000_000));
        pace.started(second);
        let due = second + Duration::from_millis(90);
        assert_eq!(pace.due(), None);
        assert!(!pace.admits(second + Duration::from_millis(50)));
        assert_eq!(pace.due(), Some(due));
        pace.wake(due);
        assert_eq!(pace.due(), None);
    }
}
