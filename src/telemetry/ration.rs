//! Limits the log lines of one call site, so that outsiders cannot fill a disk with them.
//!
//! Pure: time is an argument. Withheld lines are counted.

/// Lines of one call site per period.
const LINES: u64 = 200;
/// Microseconds.
pub(super) const PERIOD_US: u64 = 10_000_000;

/// The lines of one call site within a period.
#[derive(Debug, Default)]
pub(super) struct Ration {
    /// Start of the period.
    began_us: u64,
    written: u64,
    withheld: u64,
}

impl Ration {
    /// Whether the call site may write a line now.
    pub(super) fn take(&mut self, now_us: u64) -> bool {
        // A clock that was set back starts a new period too.
        if now_us.abs_diff(self.began_us) >= PERIOD_US {
            (self.began_us, self.written) = (now_us, 0);
        }
        if self.written < LINES {
            self.written += 1;
            true
        } else {
            self.withheld += 1;
            false
        }
    }

    /// Lines withheld since the last call.
    pub(super) fn withheld(&mut self) -> u64 {
        std::mem::take(&mut self.withheld)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_site_writes_its_lines_in_each_period_and_further_ones_are_counted_once() {
        let mut ration = Ration::default();
        let (mut written, mut withheld) = (0, 0);
        for now_us in (1_000_000_000..1_000_000_000 + 3 * PERIOD_US).step_by(10_000) {
            written += u64::from(ration.take(now_us));
            withheld += ration.withheld();
        }
        assert_eq!((written, withheld), (3 * LINES, 3 * (1000 - LINES)));
        assert_eq!(ration.withheld(), 0);
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_silence_a_call_site() {
        let mut ration = Ration::default();
        for _ in 0..=LINES {
            ration.take(10 * PERIOD_US);
        }
        assert!(!ration.take(10 * PERIOD_US));
        assert!(ration.take(8 * PERIOD_US));
    }
}
