//! A range of time as people choose it: the last hours or days, or from one time to another in UTC. Pure.

use maud::{Markup, html};

use super::session::Session;
use crate::model::GREGORIAN_OFFSET_S;

/// The lengths of time that can be chosen, as in the address, with words for people and in seconds.
const SPANS: [(&str, &str, u64); 5] = [
    ("15m", "Last 15 min", 900),
    ("1h", "Last hour", 3_600),
    ("24h", "Last 24 hours", 86_400),
    ("7d", "Last 7 days", 604_800),
    ("all", "All that is kept", 0),
];

/// The first and last second, in Gregorian seconds, as the API accepts them; empty without a bound.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Range {
    pub(super) from: String,
    pub(super) to: String,
}

impl Range {
    /// The chosen range: `since` a length of time ago, unless `from` or `to` is given.
    pub(super) fn of(since: &str, from: &str, to: &str, now_us: u64) -> Self {
        let bound = |text: &str| unix_of(text).map(gregorian).unwrap_or_default();
        if !from.is_empty() || !to.is_empty() {
            return Self { from: bound(from), to: bound(to) };
        }
        let span = SPANS.iter().find(|(name, ..)| *name == since).map_or(0, |(.., seconds)| *seconds);
        let start = (span > 0).then(|| gregorian((now_us / 1_000_000).saturating_sub(span)));
        Self { from: start.unwrap_or_default(), to: String::new() }
    }
}

impl Range {
    /// Whether a Gregorian second is within it.
    pub(super) fn contains(&self, at_s: u64) -> bool {
        let bound = |text: &str| text.parse::<u64>().ok();
        bound(&self.from).is_none_or(|from| at_s >= from) && bound(&self.to).is_none_or(|to| at_s <= to)
    }
}

fn gregorian(unix_s: u64) -> String {
    unix_s.saturating_add(GREGORIAN_OFFSET_S).to_string()
}

/// Seconds since 1970 of `2026-11-28T13:05` or `2026-11-28T13:05:59`, in UTC.
fn unix_of(text: &str) -> Option<u64> {
    let (date, time) = text.split_once('T')?;
    let mut date = date.split('-').map(str::parse::<u64>);
    let (year, month, day) = (date.next()?.ok()?, date.next()?.ok()?, date.next()?.ok()?);
    let mut time = time.trim_end_matches('Z').split(':').map(str::parse::<u64>);
    let (hour, minute) = (time.next()?.ok()?, time.next()?.ok()?);
    let second = time.next().transpose().ok()?.unwrap_or(0);
    let is_sound = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    if !is_sound || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days of the Gregorian calendar, with years that begin in March.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days = year * 365 + year / 4 - year / 100 + year / 400 + (month * 153 + 2) / 5 + day - 1;
    days.checked_sub(719_468).map(|days| ((days * 24 + hour) * 60 + minute) * 60 + second)
}

/// The form fields that choose a range.
pub(super) fn fields(session: &Session<'_>, usual: &str) -> Markup {
    let since = session.query("since");
    let since = if since.is_empty() { usual } else { since };
    html! {
        select name="since" aria-label="Time" {
            @for (name, label, _) in SPANS { option value=(name) selected[name == since] { (label) } }
        }
        details.between open[!session.query("from").is_empty() || !session.query("to").is_empty()] {
            summary { "Between …" }
            label { "From (UTC) " input type="datetime-local" step="1" name="from" value=(session.query("from")); }
            label { "To (UTC) " input type="datetime-local" step="1" name="to" value=(session.query("to")); }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_read_in_utc() {
        for (text, seconds) in [
            ("1970-01-01T00:00", Some(0)),
            ("2000-02-29T12:30", Some(951_827_400)),
            ("2026-11-28T13:33:03", Some(1_795_872_783)),
            ("2026-13-01T00:00", None),
            ("2026-11-28", None),
            ("x", None),
        ] {
            assert_eq!(unix_of(text), seconds, "{text}");
        }
    }

    #[test]
    fn a_given_time_takes_precedence_over_a_length() {
        let now_us = 10_000_000_000;
        let last = Range::of("15m", "", "", now_us);
        assert_eq!(last, Range { from: gregorian(9_100), to: String::new() });
        let between = Range::of("15m", "1970-01-01T00:01", "", now_us);
        assert_eq!(between, Range { from: gregorian(60), to: String::new() });
        assert_eq!(Range::of("all", "", "", now_us), Range::default());
    }
}
