//! Time: a clock that is passed to the code that needs it, microseconds since 1970, and KAZOO's Gregorian seconds.

use std::fmt;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use super::WallTime;

/// Seconds from year 0 to 1970. KAZOO counts from year 0 (`docs/kazoo/index.md#names-and-moments`).
pub const GREGORIAN_OFFSET_S: u64 = 62_167_219_200;

/// Gregorian seconds of a time in microseconds since 1970.
#[must_use]
pub fn gregorian_seconds(unix_us: u64) -> u64 {
    unix_us / 1_000_000 + GREGORIAN_OFFSET_S
}

/// Formats a time as `2026-11-23T09:58:36Z` (whole seconds, UTC).
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

/// Parses `2026-11-23T09:58:36Z`, or a number of seconds, to seconds since 1970.
#[must_use]
pub fn seconds_of(text: &str) -> Option<u64> {
    if let Ok(seconds) = text.parse() {
        return Some(seconds);
    }
    let (date, time) = text.strip_suffix('Z')?.split_once('T')?;
    let ([year, month, day], [hour, minute, second]) = (numbers(date, '-')?, numbers(time, ':')?);
    let is_in_range = year >= 1970 && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_in_range || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Howard Hinnant's civil-to-days, for years from 1970 on.
    let shifted_year = if month <= 2 { year - 1 } else { year };
    let era = shifted_year / 400;
    let year_of_era = shifted_year % 400;
    let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    let days = (era * 146_097 + day_of_era).checked_sub(719_468)?;
    let seconds = days * 86_400 + hour * 3600 + minute * 60 + second;
    // A day that its month does not have (February 30) yields another text when formatted again.
    (iso8601(seconds.saturating_mul(1_000_000)) == text).then_some(seconds)
}

/// Three numbers with a separator.
fn numbers(text: &str, sign: char) -> Option<[u64; 3]> {
    let mut parts = text.split(sign).map(|part| part.parse::<u32>().ok().map(u64::from));
    let numbers = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(numbers)
}

/// The program's source of time; tests pass their own.
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

    /// A monotonic clock, independent of the wall clock. It starts at 0 when it is created.
    #[must_use]
    pub fn steady() -> Self {
        #[expect(
            clippy::disallowed_methods,
            reason = "the one place that asks the machine for a steady time"
        )]
        let began = Instant::now();
        Self::new(move || u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX))
    }

    /// A clock that returns the value of `now_us`, in microseconds since 1970.
    pub fn new(now_us: impl Fn() -> u64 + Send + Sync + 'static) -> Self {
        Self(Arc::new(now_us))
    }

    /// Microseconds since 1970.
    #[must_use]
    pub fn now_us(&self) -> u64 {
        (self.0)()
    }

    /// The time of day, if this is a wall clock.
    #[must_use]
    pub fn wall(&self) -> WallTime {
        WallTime::from_micros(self.now_us())
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
    fn known_times_are_formatted_in_iso_8601() {
        assert_eq!(iso8601(0), "1970-01-01T00:00:00Z");
        assert_eq!(iso8601(1_709_164_800_000_000), "2024-02-29T00:00:00Z");
        assert_eq!(iso8601(1_760_000_000_999_999), "2025-10-09T08:53:20Z");
    }

    #[test]
    fn a_formatted_time_can_be_parsed() {
        for moment in [0, 951_782_400, 1_709_164_800, 1_709_251_199, 1_760_000_000, 4_102_444_800] {
            assert_eq!(seconds_of(&iso8601(moment * 1_000_000)), Some(moment));
            assert_eq!(seconds_of(&moment.to_string()), Some(moment));
        }
        for text in
            ["", "now", "2026-02-30T00:00:00Z", "2026-11-28", "2026-11-28T24:00:00Z", "-5", "2026-1-1T0:0:0Z"]
        {
            assert_eq!(seconds_of(text), None, "{text}");
        }
    }

    #[test]
    fn gregorian_seconds_start_at_year_zero() {
        assert_eq!(gregorian_seconds(1_760_000_000_000_000), 63_927_219_200);
    }
}
