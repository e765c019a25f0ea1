//! Time as a value: microseconds since 1970, handed to whoever needs it, and KAZOO's Gregorian seconds.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Seconds from year 0 to 1970: KAZOO counts from the former (`docs/kazoo/index.md#names-and-moments`).
pub const GREGORIAN_OFFSET_S: u64 = 62_167_219_200;

/// Gregorian seconds of a time in microseconds since 1970.
#[must_use]
pub fn gregorian_seconds(unix_us: u64) -> u64 {
    unix_us / 1_000_000 + GREGORIAN_OFFSET_S
}

/// The same moment as `2026-11-23T09:58:36Z` (whole seconds, UTC).
#[must_use]
pub fn iso8601(unix_us: u64) -> String {
    let seconds = unix_us / 1_000_000;
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    // Howard Hinnant's days-to-civil, for days since 1970 and non-negative input.
    let z = days + 719_468;
    let era = z / 146_097;
    let day_of_era = z % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest / 60 % 60, rest % 60)
}

/// Where the program gets the time from; tests hand in their own.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> u64 + Send + Sync>);

impl Clock {
    /// The machine's wall clock.
    #[must_use]
    pub fn system() -> Self {
        Self::new(|| {
            #[expect(clippy::disallowed_methods, reason = "the one place that asks the machine for the time")]
            let now = SystemTime::now();
            now.duration_since(UNIX_EPOCH).map_or(0, |d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX))
        })
    }

    /// A clock that never goes back, whatever happens to the wall clock. It begins at 0 when it is made.
    #[must_use]
    pub fn steady() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that asks the machine for a steady time"
        )]
        let began = Instant::now();
        Self::new(move || u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// A clock that answers what `now_us` says, in microseconds since 1970.
    pub fn new(now_us: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_us))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        (self.0)()
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_moments_are_written_in_iso_8601() {
        assert_eq!(iso8601(0), "1970-01-01T00:00:00Z");
        assert_eq!(iso8601(1_709_164_800_000_000), "2024-02-29T00:00:00Z");
        assert_eq!(iso8601(1_760_000_000_999_999), "2025-10-09T08:53:20Z");
    }

    #[test]
    fn gregorian_seconds_start_at_year_zero() {
        assert_eq!(gregorian_seconds(1_760_000_000_000_000), 63_927_219_200);
    }
}
