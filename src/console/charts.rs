//! Charts as inline SVG, made on the server. Each chart also has its numbers as text, for people who cannot see it.

use maud::{Markup, html};

use super::format::{self, duration, relative, unix_s};
use super::json::{number, text};
use serde_json::Value;

const WIDTH: u64 = 240;
const HEIGHT: u64 = 36;

/// A line through values, oldest first. The label is the chart's title.
pub(super) fn sparkline(values: &[u64], label: &str, class: &str) -> Markup {
    let most = values.iter().copied().max().unwrap_or(0).max(1);
    let steps = u64::try_from(values.len().saturating_sub(1)).unwrap_or(1).max(1);
    let at = |(index, value): (usize, &u64)| {
        let x = u64::try_from(index).unwrap_or(0) * WIDTH / steps;
        let y = HEIGHT - 2 - value.saturating_mul(HEIGHT - 4) / most;
        format!("{x},{y}")
    };
    let points: Vec<String> = values.iter().enumerate().map(at).collect();
    let points = points.join(" ");
    html! {
        svg.spark.(class) viewBox={ "0 0 " (WIDTH) " " (HEIGHT) } preserveAspectRatio="none" role="img" aria-label=(label) {
            title { (label) }
            @if values.len() > 1 {
                polygon points={ "0," (HEIGHT) " " (points) " " (WIDTH) "," (HEIGHT) } {}
                polyline points=(points) {}
            }
        }
    }
}

/// The last attempts as marks, oldest first. Failed ones are taller and have a notch, so that colour is not needed.
pub(super) fn strip(attempts: &[Value], now_us: u64, path: impl Fn(&Value) -> String) -> Markup {
    html! {
        ol.strip {
            @for attempt in attempts.iter().rev() {
                @let is_good = text(attempt, "result") != "failure";
                @let said = said(attempt, now_us);
                li {
                    a.mark.good[is_good].bad[!is_good] href=(path(attempt)) title=(said) aria-label=(said) {
                        span aria-hidden="true" { @if !is_good { "✕" } }
                    }
                }
            }
        }
    }
}

fn said(attempt: &Value, now_us: u64) -> String {
    let when =
        number(attempt, "timestamp").map(|at| relative(unix_s(at), now_us / 1_000_000)).unwrap_or_default();
    let took = duration(number(attempt, "duration_ms").unwrap_or(0));
    let result = match text(attempt, "result") {
        "success" => "delivered",
        "shadow" => "shadow",
        _ => "failed",
    };
    format!("{result}: {}, {took}, {when}", outcome(attempt))
}

/// The receiver's answer, or why there was no answer.
pub(super) fn outcome(attempt: &Value) -> String {
    let (status, detail, error) = (
        text(attempt, "resp_status_code"),
        text(attempt, "client_error_detail"),
        text(attempt, "client_error"),
    );
    match (status, detail, error) {
        ("", "", "") if text(attempt, "result") == "shadow" => "not sent".to_owned(),
        ("", "", "") => "no answer".to_owned(),
        ("", "", error) => in_words(error),
        ("", detail, _) => detail.to_owned(),
        (status, ..) => format!("status {status}"),
    }
}

/// The API's `client_error`, for people.
pub(super) fn in_words(error: &str) -> String {
    let words = match error.strip_prefix("failed_connect: ").unwrap_or(error) {
        "econnrefused" => "connection refused",
        "ehostunreach" => "no route to the address",
        "nxdomain" => "unknown host name",
        "timeout" if error != "timeout" => "no connection in time",
        "timeout" => "no answer in time",
        "socket_closed_remotely" => "connection closed without an answer",
        "not_tls" => "no TLS at this port",
        "tls" => "TLS failed",
        other => return other.replace('_', " "),
    };
    words.to_owned()
}

/// The durations of the last attempts, oldest first, with the median and the longest.
pub(super) fn latency(attempts: &[Value]) -> Markup {
    let times: Vec<u64> =
        attempts.iter().rev().filter_map(|attempt| number(attempt, "duration_ms")).collect();
    let mut sorted = times.clone();
    sorted.sort_unstable();
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(0);
    let longest = sorted.last().copied().unwrap_or(0);
    let label = format!("median {}, longest {}", duration(middle), duration(longest));
    html! { (sparkline(&times, &format!("Time per attempt: {label}"), "time")) p.dim { (label) } }
}

/// Consecutive phases as bars on one scale, with their durations.
pub(super) fn phases(known: &[(&str, u64)]) -> Markup {
    let total: u64 = known.iter().map(|(_, us)| *us).sum::<u64>().max(1);
    let mut from = 0;
    let bars: Vec<(&str, u64, u64)> = known
        .iter()
        .map(|(label, us)| {
            let start = from;
            from += us;
            (*label, start, *us)
        })
        .collect();
    html! {
        table.phases {
            tbody { @for (label, start, us) in bars {
                tr {
                    th scope="row" { (label) }
                    td.num { (format::fine(us)) }
                    td.bar aria-hidden="true" {
                        svg viewBox="0 0 1000 10" preserveAspectRatio="none" {
                            rect x=(start * 1000 / total) y="0" width=((us * 1000 / total).max(3)) height="10" {}
                        }
                    }
                }
            } }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_line_goes_through_all_values_from_its_bottom_to_its_top() {
        let line = sparkline(&[0, 5, 10], "Received <in> each minute, 10 at most", "").into_string();
        assert!(line.contains(r#"<polyline points="0,34 120,18 240,2">"#), "{line}");
        assert!(line.contains("Received &lt;in&gt; each minute"), "{line}");
        // Nothing happened: a line at the bottom. One value: no line yet.
        assert!(sparkline(&[0, 0], "x", "").into_string().contains(r#"points="0,34 240,34""#));
        assert!(!sparkline(&[7], "x", "").into_string().contains("polyline"));
    }

    #[test]
    fn the_marks_of_attempts_begin_with_the_oldest_and_say_what_happened() {
        let at = crate::model::gregorian_seconds(100_000_000);
        let newest = json!({"result": "failure", "client_error_detail": "status 500", "timestamp": at, "duration_ms": 9});
        let oldest =
            json!({"result": "success", "resp_status_code": "200", "timestamp": at - 60, "duration_ms": 4});
        let marks = strip(&[newest, oldest], 100_000_000, |_| "/x".to_owned()).into_string();
        let (first, last) = marks.split_once("</li>").expect("two marks");
        assert!(first.contains("delivered") && first.contains("60 s ago") && !first.contains('✕'), "{first}");
        assert!(last.contains("failed: status 500, 9 ms, just now") && last.contains('✕'), "{last}");
    }
}
