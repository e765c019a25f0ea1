//! Formats numbers and times for people. Pure: the present time is an argument.

use maud::{Markup, html};

use crate::model::{GREGORIAN_OFFSET_S, iso8601};

/// A moment of the API, in Gregorian seconds, as seconds since 1970.
pub(super) fn unix_s(gregorian_s: u64) -> u64 {
    gregorian_s.saturating_sub(GREGORIAN_OFFSET_S)
}

/// A duration in its largest whole unit: `43 s`, `12 min`, `3 h`, `5 d`.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..=99 => format!("{seconds} s"),
        100..=5_999 => format!("{} min", (seconds + 30) / 60),
        6_000..=172_799 => format!("{} h", (seconds + 1_800) / 3_600),
        _ => format!("{} d", seconds / 86_400),
    }
}

/// A time relative to the present: `12 min ago`, `in 43 s`, `just now`.
pub(super) fn relative(at_s: u64, now_s: u64) -> String {
    match (now_s.checked_sub(at_s), at_s.saturating_sub(now_s)) {
        (Some(0), _) => "just now".to_owned(),
        (Some(past), _) => format!("{} ago", span(past)),
        (None, ahead) => format!("in {}", span(ahead)),
    }
}

/// A relative time, with the absolute time on hover. The module converts that to the visitor's time zone.
pub(super) fn moment(gregorian_s: Option<u64>, now_us: u64) -> Markup {
    let Some(at_s) = gregorian_s.map(unix_s) else { return html! { span.dim { "–" } } };
    let text = iso8601(at_s.saturating_mul(1_000_000));
    html! {
        time datetime=(text) title=(text.replace('T', " ").replace('Z', " UTC")) {
            (relative(at_s, now_us / 1_000_000))
        }
    }
}

/// The time of something that is still to happen: `in 43 s`, or `now`, also when the time is over.
pub(super) fn ahead(gregorian_s: u64, now_us: u64) -> Markup {
    let (at_s, now_s) = (unix_s(gregorian_s), now_us / 1_000_000);
    let text = iso8601(at_s.saturating_mul(1_000_000));
    html! {
        time data-ahead datetime=(text) title=(text.replace('T', " ").replace('Z', " UTC")) {
            (if at_s > now_s { relative(at_s, now_s) } else { "now".to_owned() })
        }
    }
}

/// A number with thin spaces between groups of three digits.
pub(super) fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A number of bytes in the unit that makes it short.
pub(super) fn bytes(number: u64) -> String {
    const UNITS: [&str; 5] = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut whole = number;
    let mut tenths = 0;
    let mut unit = 0;
    while whole >= 1024 && unit + 1 < UNITS.len() {
        tenths = whole % 1024 * 10 / 1024;
        whole /= 1024;
        unit += 1;
    }
    let name = UNITS.get(unit).copied().unwrap_or_default();
    if unit == 0 || whole >= 100 { format!("{whole} {name}") } else { format!("{whole}.{tenths} {name}") }
}

/// Milliseconds: `8 ms`, `1.2 s`.
pub(super) fn duration(ms: u64) -> String {
    if ms < 1000 { format!("{ms} ms") } else { format!("{}.{} s", ms / 1000, ms % 1000 / 100) }
}

/// Microseconds as milliseconds: `0.3 ms`, `12 ms`.
pub(super) fn fine(us: u64) -> String {
    if us < 10_000 { format!("{}.{} ms", us / 1000, us % 1000 / 100) } else { duration(us / 1000) }
}

/// A number with its noun: `1 event`, `5 events`.
pub(super) fn counted(number: u64, noun: &str) -> String {
    let number_text = count(number);
    match noun.strip_suffix('y') {
        _ if number == 1 => format!("{number_text} {noun}"),
        Some(stem) => format!("{number_text} {stem}ies"),
        None => format!("{number_text} {noun}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_numbers_have_units_and_stay_short() {
        assert_eq!(
            (counted(1, "delivery"), counted(2, "delivery")),
            ("1 delivery".into(), "2 deliveries".into())
        );
        assert_eq!(counted(0, "hook"), "0 hooks");
        assert_eq!(relative(100, 100), "just now");
        assert_eq!(relative(57, 100), "43 s ago");
        assert_eq!(relative(143, 100), "in 43 s");
        assert_eq!((span(99).as_str(), span(100).as_str()), ("99 s", "2 min"));
        assert_eq!((span(7_200).as_str(), span(200_000).as_str()), ("2 h", "2 d"));
        assert_eq!(count(1_234_567), "1\u{202f}234\u{202f}567");
        assert_eq!((count(0).as_str(), count(999).as_str()), ("0", "999"));
        assert_eq!((bytes(0).as_str(), bytes(1536).as_str()), ("0 B", "1.5 KiB"));
        assert_eq!(bytes(500 << 20), "500 MiB");
        assert_eq!((duration(8).as_str(), duration(1_250).as_str()), ("8 ms", "1.2 s"));
        assert_eq!((fine(310).as_str(), fine(12_040).as_str()), ("0.3 ms", "12 ms"));
        assert_eq!((counted(1, "event"), counted(0, "event")), ("1 event".into(), "0 events".into()));
    }
}
