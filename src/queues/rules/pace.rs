//! A pace: so many starts a second at most, evenly spaced.

/// So much of the time lost by starting late is made up for: timers wake late, and that must cost no throughput.
const MADE_UP_US: u64 = 10_000;

/// When the next start may be made. Forgotten in a restart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::queues) struct Pace {
    /// Between two starts. `None`: as fast as they come.
    interval_us: Option<u64>,
    /// When the next start would be due if all came evenly.
    next_us: u64,
    /// Whether a start was refused and waits for `next_us`.
    waits: bool,
}

impl Pace {
    /// A pace of so many starts a second; `None`: as fast as they come.
    pub(in crate::queues) fn new(per_second: Option<u32>) -> Self {
        let interval_us = per_second.map(|rate| 1_000_000 / u64::from(rate.max(1)));
        Self { interval_us, ..Self::default() }
    }

    /// Whether a start may be made now; if not, `due` tells when.
    pub(in crate::queues) fn admits(&mut self, now_us: u64) -> bool {
        self.waits = self.next_us > now_us;
        !self.waits
    }

    /// A start is made now: the next one is due an interval later.
    pub(in crate::queues) fn started(&mut self, now_us: u64) {
        if let Some(interval_us) = self.interval_us {
            self.next_us = self.next_us.max(now_us.saturating_sub(MADE_UP_US)) + interval_us;
        }
    }

    /// When a start that was refused may be asked for again.
    pub(in crate::queues) fn due(&self) -> Option<u64> {
        self.waits.then_some(self.next_us)
    }

    /// Forgets a refused start whose time has come.
    pub(in crate::queues) fn wake(&mut self, now_us: u64) {
        self.waits &= self.next_us > now_us;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn starts_of_a_second_are_as_many_as_the_pace_allows() {
        for rate in [1, 5, 100, 1000] {
            let mut pace = Pace::new(Some(rate));
            let mut started = 0;
            for now_us in (0..2_000_000).step_by(700) {
                if pace.admits(now_us) {
                    pace.started(now_us);
                    started += 1;
                }
            }
            assert!((2 * rate..=2 * rate + 1).contains(&started), "{started} at {rate} a second");
        }
    }

    #[test]
    fn without_a_pace_every_start_is_admitted() {
        let mut pace = Pace::new(None);
        pace.started(5);
        assert!(pace.admits(5) && pace.due().is_none());
    }

    #[test]
    fn a_refused_start_is_due_until_its_time_has_come() {
        let mut pace = Pace::new(Some(10));
        pace.started(1_000_000);
        assert_eq!((pace.due(), pace.admits(1_050_000), pace.due()), (None, false, Some(1_090_000)));
        pace.wake(1_090_000);
        assert_eq!(pace.due(), None);
    }
}
