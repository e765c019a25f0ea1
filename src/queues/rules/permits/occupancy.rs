//! How much of the shared permits a hook has used lately. Its rank among the other hooks follows from that. Pure.
//!
//! What counts is the time for which permits are held. A receiver that responds within milliseconds holds a permit for
//! milliseconds, however often it is asked; a receiver that hangs holds each permit until the timeout.

use std::time::Duration;

use crate::model::Moment;

/// After this time, half of the permits that were held is forgotten.
const HALF_LIFE: Duration = Duration::from_secs(10);
/// A receiver whose attempts take longer than this on average is slow.
const SLOW: Duration = Duration::from_secs(1);
/// Slow hooks leave an eighth of the permits to quick ones.
const LEFT_BY_SLOW: u32 = 8;
/// Hooks without an ended attempt leave a sixteenth, because they may be slow.
const LEFT_BY_UNKNOWN: u32 = 16;

/// The rank of a hook: the hook with the lower rank goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Rank(i64);

/// The permits that a hook has held, and how long its attempts take.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Occupancy {
    /// The permits held on average; recent ones count more.
    lately: f64,
    /// When `lately` was updated.
    updated: Moment,
    /// How long attempts take on average; recent ones count more. `None`: no attempt has ended yet.
    took: Option<Duration>,
}

impl Occupancy {
    /// Updates the average: `held` permits have been held since the last call.
    pub(super) fn note(&mut self, held: u32, now: Moment) {
        let half_lives = now.since(self.updated).as_secs_f64() / HALF_LIFE.as_secs_f64();
        // An exponential average needs no history, and forgets at the same rate however often it is updated.
        let kept = (-half_lives).exp2();
        self.lately = self.lately * kept + f64::from(held) * (1.0 - kept);
        self.updated = self.updated.max(now);
    }

    /// Notes how long an attempt took.
    pub(super) fn ended(&mut self, took: Duration) {
        self.took =
            Some(self.took.map_or(took, |before| (before.saturating_mul(3).saturating_add(took)) / 4));
    }

    /// The rank. It stays the same while the hook holds nothing, so ranks of waiting hooks need no update: time makes all
    /// hooks forget equally.
    pub(super) fn rank(&self) -> Rank {
        if self.lately <= 0.0 {
            return Rank(i64::MIN);
        }
        // The logarithm of what `lately` would be at one common moment for all hooks.
        let half_lives = self.updated.since(Moment::default()).as_secs_f64() / HALF_LIFE.as_secs_f64();
        #[expect(
            clippy::cast_possible_truncation,
            reason = "a float beyond the range becomes the end of the range"
        )]
        let rank = ((self.lately.log2() + half_lives) * f64::from(1 << 20)) as i64;
        Rank(rank)
    }

    /// Whether attempts have lately taken at most this long on average. Not before the first one has ended.
    pub(super) fn takes_at_most(&self, limit: Duration) -> bool {
        self.took.is_some_and(|took| took <= limit)
    }

    /// How many of `all` permits this hook leaves to quicker hooks.
    pub(super) fn leaves(&self, all: u32) -> u32 {
        match self.took {
            None => all / LEFT_BY_UNKNOWN,
            Some(took) if took > SLOW => all / LEFT_BY_SLOW,
            Some(_) => 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at_ms(ms: u64) -> Moment {
        Moment::from_micros(1_760_000_000_000_000) + Duration::from_millis(ms)
    }

    /// A hook that makes `attempts` attempts of this length, one a second.
    fn after(attempts: u64, took_ms: u64) -> Occupancy {
        let mut occupancy = Occupancy::default();
        for n in 0..attempts {
            occupancy.note(0, at_ms(n * 1_000));
            occupancy.note(1, at_ms(n * 1_000 + took_ms));
            occupancy.ended(Duration::from_millis(took_ms));
        }
        occupancy
    }

    #[test]
    fn the_rank_follows_from_the_time_of_held_permits_and_not_from_the_number_of_attempts() {
        let (often, seldom) = (after(10, 5), after(3, 900));
        assert!(often.rank() < seldom.rank());
        assert!(Occupancy::default().rank() < often.rank(), "a hook that has had nothing goes first");
    }

    #[test]
    fn a_rank_stays_while_nothing_is_held_and_old_permits_count_less() {
        let (before, mut later) = (after(3, 900), after(3, 900));
        later.note(0, at_ms(40_000));
        assert!(before.rank().0.abs_diff(later.rank().0) < 100, "{before:?}, {later:?}");
        let mut recent = Occupancy::default();
        recent.note(0, at_ms(39_000));
        recent.note(1, at_ms(40_000));
        assert!(before.rank() < recent.rank(), "three seconds then are less than one second now");
    }

    #[test]
    fn slow_hooks_leave_an_eighth_and_unknown_ones_a_sixteenth() {
        let mut occupancy = Occupancy::default();
        assert_eq!(occupancy.leaves(2048), 128);
        occupancy.ended(Duration::from_secs(10));
        assert_eq!(occupancy.leaves(2048), 256);
        (0..9).for_each(|_| occupancy.ended(Duration::from_millis(5)));
        assert_eq!(occupancy.leaves(2048), 0);
        assert_eq!(Occupancy::default().leaves(1), 0, "the only permit is for everybody");
    }
}
