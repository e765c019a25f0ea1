//! Times by two clocks that must not be mixed up: the time of day, and the steady time by which the queues work.
//!
//! Somebody may set the machine's clock. So what is due, and how long something has lasted, is measured with [`Moment`]s;
//! [`WallTime`] is for records and for people.

use std::fmt;
use std::num::NonZeroU64;
use std::ops::{Add, AddAssign, Sub};
use std::time::Duration;

use serde::{Serialize, Serializer};

/// A time by the steady clock: microseconds that begin with the time of day of the program's start and never go back.
///
/// Arithmetic saturates. Moments of an earlier run are comparable only as far as the machine's clock was right in both.
// The number is one more than the microseconds, so that it is never 0: an `Option<Moment>` then needs no more memory than a
// moment. The queues hold hundreds of thousands of them while receivers are down.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Moment(NonZeroU64);

/// The time of day in microseconds since 1970. It goes back when the machine's clock is set back.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize)]
#[serde(transparent)]
pub struct WallTime(u64);

/// One reading of both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Now {
    /// By the steady clock.
    pub moment: Moment,
    /// The time of day.
    pub wall: WallTime,
}

impl Moment {
    /// Microseconds of the steady clock. The largest number means the moment before it.
    #[must_use]
    pub const fn from_micros(us: u64) -> Self {
        Self(NonZeroU64::MIN.saturating_add(us))
    }

    /// The microseconds, as records and the API store them.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0.get() - 1
    }

    /// The time since an earlier moment; zero if that one is later.
    #[must_use]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.micros().saturating_sub(earlier.micros()))
    }

    /// The moment at which an earlier run of the program wrote a record at this time of day.
    #[must_use]
    pub fn recorded_at(wall: WallTime) -> Self {
        Self::from_micros(wall.0)
    }
}

impl Default for Moment {
    fn default() -> Self {
        Self::from_micros(0)
    }
}

impl Serialize for Moment {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.micros())
    }
}

impl WallTime {
    /// Microseconds since 1970.
    #[must_use]
    pub const fn from_micros(us: u64) -> Self {
        Self(us)
    }

    /// The microseconds since 1970.
    #[must_use]
    pub const fn micros(self) -> u64 {
        self.0
    }

    /// The time since an earlier reading of the clock. `None`: the clock has been set back behind that reading.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        self.0.checked_sub(earlier.0).map(Duration::from_micros)
    }
}

impl Add<Duration> for WallTime {
    type Output = Self;

    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(micros(length)))
    }
}

impl Add<Duration> for Moment {
    type Output = Self;

    fn add(self, length: Duration) -> Self {
        Self(self.0.saturating_add(micros(length)))
    }
}

impl AddAssign<Duration> for Moment {
    fn add_assign(&mut self, length: Duration) {
        *self = *self + length;
    }
}

impl Sub<Duration> for Moment {
    type Output = Self;

    fn sub(self, length: Duration) -> Self {
        Self::from_micros(self.micros().saturating_sub(micros(length)))
    }
}

fn micros(length: Duration) -> u64 {
    u64::try_from(length.as_micros()).unwrap_or(u64::MAX)
}

impl fmt::Debug for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} us", self.micros())
    }
}

impl fmt::Debug for WallTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} us since 1970", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arithmetic_with_moments_saturates() {
        let (early, late) = (Moment::from_micros(5), Moment::from_micros(u64::MAX - 1));
        assert_eq!(early + Duration::from_millis(2), Moment::from_micros(2_005));
        assert_eq!((early - Duration::from_secs(1)).micros(), 0);
        assert_eq!((late + Duration::MAX).micros(), u64::MAX - 1);
        assert_eq!(early.since(late), Duration::ZERO);
        assert_eq!((early + Duration::from_secs(3)).since(early), Duration::from_secs(3));
    }

    #[test]
    fn a_moment_that_may_be_missing_needs_no_more_memory() {
        assert_eq!(size_of::<Option<Moment>>(), size_of::<Moment>());
        for us in [0, 1, 1_790_000_000_000_000, u64::MAX - 1] {
            let moment = Moment::from_micros(us);
            assert_eq!((moment.micros(), serde_json::to_value(moment).unwrap()), (us, us.into()));
        }
        assert!(
            Moment::default() == Moment::from_micros(0) && Moment::from_micros(0) < Moment::from_micros(1)
        );
    }
}
