//! How much of what is shared a hook has had lately: what its place among its neighbours follows from. Pure.
//!
//! A place follows from the time for which permits are held. A receiver that answers within milliseconds holds a permit for
//! milliseconds, however often it is asked; one that hangs holds each for its whole timeout.

/// Half of what was held this long ago is forgotten.
const HALF_LIFE_US: f64 = 10_000_000.0;
/// A receiver whose attempts take longer than this on average is slow.
const SLOW_US: u64 = 1_000_000;
/// The part of the permits that slow hooks leave to quick ones, and twice that: to hooks of which nothing is known yet.
const LEFT_BY_SLOW: u32 = 8;
const LEFT_BY_UNKNOWN: u32 = 16;

/// Where a hook stands in a line: the one that has held less goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(i64);

/// The permits that a hook has held, and how long its attempts take.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Occupancy {
    /// Permits held on average, recent ones counting more.
    lately: f64,
    /// When `lately` was brought up to date (µs).
    at_us: u64,
    /// How long attempts take on average (µs), recent ones counting more. `None`: none has ended yet.
    took_us: Option<u64>,
}

impl Occupancy {
    /// Takes note that `held` permits were held since the last note.
    pub(super) fn note(&mut self, held: u32, now_us: u64) {
        let passed_us = now_us.saturating_sub(self.at_us);
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 microseconds")]
        let kept = (-(passed_us as f64) / HALF_LIFE_US).exp2();
        self.lately = self.lately * kept + f64::from(held) * (1.0 - kept);
        self.at_us = self.at_us.max(now_us);
    }

    /// An attempt has ended that took this long.
    pub(super) fn ended(&mut self, took_us: u64) {
        self.took_us = Some(self.took_us.map_or(took_us, |before| (before.saturating_mul(3) + took_us) / 4));
    }

    /// Its place in a line. While a hook holds nothing, its rank stays the same: what is forgotten of it is forgotten
    /// of the others, too.
    pub(super) fn rank(&self) -> Rank {
        if self.lately <= 0.0 {
            return Rank(i64::MIN);
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52 microseconds")]
        let halvings = self.at_us as f64 / HALF_LIFE_US;
        #[expect(clippy::cast_possible_truncation, reason = "a float beyond the range is cut to its end")]
        let rank = ((self.lately.log2() + halvings) * f64::from(1 << 20)) as i64;
        Rank(rank)
    }

    /// The part of `all` permits that this hook leaves to hooks that are quicker.
    pub(super) fn leaves(&self, all: u32) -> u32 {
        match self.took_us {
            None => all / LEFT_BY_UNKNOWN,
            Some(took_us) if took_us > SLOW_US => all / LEFT_BY_SLOW,
            Some(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START_US: u64 = 1_760_000_000_000_000;

    /// A hook that makes `attempts` attempts of this length, one a second.
    fn after(attempts: u64, took_us: u64) -> Occupancy {
        let mut occupancy = Occupancy::default();
        for n in 0..attempts {
            occupancy.note(0, START_US + n * 1_000_000);
            occupancy.note(1, START_US + n * 1_000_000 + took_us);
            occupancy.ended(took_us);
        }
        occupancy
    }

    #[test]
    fn the_time_for_which_permits_are_held_decides_and_not_how_often_they_are_asked_for() {
        let (often, seldom) = (after(10, 5_000), after(3, 900_000));
        assert!(often.rank() < seldom.rank());
        assert!(Occupancy::default().rank() < often.rank(), "a hook that has had nothing goes first");
    }

    #[test]
    fn a_rank_stays_while_nothing_is_held_and_what_was_long_ago_counts_less() {
        let (before, mut later) = (after(3, 900_000), after(3, 900_000));
        later.note(0, START_US + 40_000_000);
        assert!(before.rank().0.abs_diff(later.rank().0) < 100, "{before:?}, {later:?}");
        let mut recent = Occupancy::default();
        recent.note(0, START_US + 39_000_000);
        recent.note(1, START_US + 40_000_000);
        assert!(before.rank() < recent.rank(), "three seconds then are less than one second now");
    }

    #[test]
    fn slow_hooks_leave_an_eighth_and_unknown_ones_a_sixteenth() {
        let mut occupancy = Occupancy::default();
        assert_eq!(occupancy.leaves(2048), 128);
        occupancy.ended(10_000_000);
        assert_eq!(occupancy.leaves(2048), 256);
        (0..9).for_each(|_| occupancy.ended(5_000));
        assert_eq!(occupancy.leaves(2048), 0);
        assert_eq!(Occupancy::default().leaves(1), 0, "the only permit is for everybody");
    }
}
