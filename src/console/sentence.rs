//! Describes a hook's state in a sentence: what it does, why it waits, how much waits since when, and what happens
//! next. Pure.

use maud::{Markup, html};
use serde_json::Value;

use super::charts::outcome;
use super::format::{ahead, counted, moment};
use super::json::{flag, number, text};
use crate::model::gregorian_seconds;

/// The API's reason for a hook that failures have disabled.
pub(super) const TOO_MANY_FAILURES: &str = "too many failed attempts";

/// The API's reason for a hook whose receiver answered 410.
const GONE: &str = "receiver answered 410 gone";

/// The state of a hook's queue. `attempts` has the last attempts, newest first. `is_held`: after a person has disabled
/// and enabled the hook, it continues where it stopped.
pub(super) fn of(queue: &Value, is_held: bool, attempts: &[Value], now_us: u64) -> Markup {
    let waiting = number(queue, "waiting").unwrap_or(0);
    let state = text(queue, "state");
    html! {
        @if state == "disabled" { (by_a_person(queue, is_held)) } @else { (doing(queue, attempts, now_us)) }
        @if flag(queue, "paused") && state != "paused" { " It is also paused: it needs " strong { "Resume" } ", too." }
        @if waiting > 0 && (state != "disabled" || is_held) {
            " " (waits(queue, now_us))
        }
        @if let Some(at) = number(queue, "next_try_at").filter(|_| ["auto_disabled", "retrying"].contains(&state)) {
            " " (if state == "auto_disabled" { "Next probe" } else { "Next attempt" }) " " (ahead(at, now_us)) "."
        }
        @if let Some(dead) = number(queue, "dead_left").filter(|dead| *dead > 0) {
            " " strong { @if !flag(queue, "dead_left_exact") { "At least " } (counted(dead, "delivery")) } " "
            (if dead == 1 { "is" } else { "are" })
            " dead: out of tries, and not delivered since."
        }
        @if let Some(gap) = queue.get("gap").filter(|gap| !gap.is_null()) {
            " Retention dropped " (counted(gap_size(gap), "event")) " of the log before this hook could get them."
        }
    }
}

/// The state to show as a mark. A hook whose attempts fail is not well, even if it makes attempts or nothing waits.
pub(super) fn mark<'a>(queue: &'a Value, attempts: &[Value]) -> &'a str {
    let has_failed = || attempts.first().is_some_and(|last| text(last, "result") == "failure");
    match text(queue, "state") {
        "active" if text(queue, "status") == "failing" => "failing",
        "idle" if has_failed() => "given_up",
        state => state,
    }
}

fn doing(queue: &Value, attempts: &[Value], now_us: u64) -> Markup {
    let failure = attempts.iter().find(|attempt| text(attempt, "result") == "failure");
    let last = attempts.first();
    let because = |failure: Option<&Value>| {
        html! { @if let Some(failure) = failure { ": " strong { (outcome(failure)) } } }
    };
    match mark(queue, attempts) {
        "auto_disabled" => html! {
            "Disabled by Switchhook"
            @if let Some(at) = number(queue, "disabled_at") { " " (moment(Some(at), now_us)) }
            @if text(queue, "disable_reason") == GONE {
                ": " strong { "the receiver answered 410" } ", which means that it wants no more events. It is not probed."
            } @else { " after " (failures(queue, attempts)) (because(failure)) "." }
        },
        "account_disabled" => {
            html! { "Its account is disabled, so nothing is delivered. What it misses is kept." }
        }
        "paused" => html! { "Paused by a person. Everything is kept." },
        "retrying" => html! {
            "The last attempt failed" (because(failure)) ". It is tried again."
            @if let Some(failures) = number(queue, "recent_failures").filter(|number| *number > 0) {
                " " (counted(failures, "failed attempt")) " lately."
            }
        },
        "failing" => html! {
            "Its attempts fail" (because(failure)) ". A delivery that has used up its tries is set aside, until another one "
            "succeeds or the time for disabling ends; then it is given up."
        },
        "active" => html! { "Delivering." },
        _ => match last {
            Some(last) if text(last, "result") == "failure" => html! {
                "Nothing waits, but the last attempt, " (moment(number(last, "timestamp"), now_us)) ", failed"
                (because(Some(last))) "."
            },
            Some(last) => {
                html! {
                    "Up to date. The last attempt was " (moment(number(last, "timestamp"), now_us)) ": " (outcome(last)) "."
                    @if number(queue, "dead_left") == Some(0) && flag(queue, "dead_left_exact") { " No delivery is dead." }
                }
            }
            None => {
                html! { "Up to date. No attempt was made yet: no event has matched since the hook was made." }
            }
        },
    }
}

/// A hook that a person has disabled skips what came since, unless its setting `resume` holds it.
fn by_a_person(queue: &Value, is_held: bool) -> Markup {
    let missed = number(queue, "waiting").unwrap_or(0);
    let at_least = if flag(queue, "waiting_exact") { "" } else { "At least " };
    html! {
        "Disabled by a person."
        @if is_held { " Everything is kept." } @else if missed > 0 {
            " When it is enabled, it begins with the events that come then. "
            strong { (at_least) (counted(missed, "event")) } " that it did not get would be skipped; a replay can send them."
        } @else { " It gets only events that come after it is enabled." }
    }
}

/// What disabled the hook: the failures in a row up to then, as far as the attempts show them.
fn failures(queue: &Value, attempts: &[Value]) -> String {
    let reason = text(queue, "disable_reason");
    if !reason.is_empty() && reason != TOO_MANY_FAILURES {
        return reason.to_owned();
    }
    // Probes follow after it.
    let disabled_at = number(queue, "disabled_at").unwrap_or(u64::MAX);
    let is_later = |attempt: &&Value| number(attempt, "timestamp").is_some_and(|at| at > disabled_at);
    let before = attempts.iter().skip_while(is_later);
    let failed = before.take_while(|attempt| text(attempt, "result") == "failure").count();
    match u64::try_from(failed).unwrap_or(0) {
        0 | 1 => TOO_MANY_FAILURES.to_owned(),
        _ if failed == attempts.len() && failed >= 50 => format!("at least {failed} failed attempts"),
        failed => counted(failed, "failed attempt"),
    }
}

fn waits(queue: &Value, now_us: u64) -> Markup {
    let waiting = number(queue, "waiting").unwrap_or(0);
    let at_least = if flag(queue, "waiting_exact") { "" } else { "At least " };
    let verb = if waiting == 1 { "waits" } else { "wait" };
    html! {
        strong { (at_least) (counted(waiting, "event")) } " " (verb)
        @if let Some(age_ms) = number(queue, "oldest_waiting_age_ms") {
            ", the oldest came " (moment(Some(gregorian_seconds(now_us.saturating_sub(age_ms * 1000))), now_us))
        }
        "."
    }
}

fn gap_size(gap: &Value) -> u64 {
    number(gap, "until").unwrap_or(0).saturating_sub(number(gap, "from").unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_hook_whose_attempts_fail_is_never_said_to_be_well() {
        let failed = [json!({"result": "failure", "client_error_detail": "status 500", "timestamp": 5})];
        let active = json!({"state": "active", "status": "failing", "waiting": 3, "waiting_exact": true});
        let text = of(&active, false, &failed, 0).into_string();
        assert!(
            text.contains("attempts fail") && text.contains("status 500") && text.contains("3 events"),
            "{text}"
        );
        assert!(!text.contains("Delivering"), "{text}");
        let idle = json!({"state": "idle", "waiting": 0, "dead_left": 3, "dead_left_exact": true});
        let text = of(&idle, false, &failed, 0).into_string();
        assert!(
            text.contains("failed") && text.contains("3 deliver") && !text.contains("Up to date"),
            "{text}"
        );
    }

    #[test]
    fn what_a_disabled_hook_did_not_get_waits_only_if_it_is_held() {
        let queue = json!({"state": "disabled", "waiting": 44, "waiting_exact": false});
        let skipped = of(&queue, false, &[], 0).into_string();
        assert!(skipped.contains("At least 44 events") && skipped.contains("skipped"), "{skipped}");
        assert!(!skipped.contains("wait"), "{skipped}");
        let held = of(&queue, true, &[], 0).into_string();
        assert!(held.contains("Everything is kept") && held.contains("wait"), "{held}");
        let gone = json!({"state": "auto_disabled", "disable_reason": GONE});
        let failed = [json!({"result": "failure", "resp_status_code": "410"})];
        let text = of(&gone, false, &failed, 0).into_string();
        assert!(text.contains("answered 410") && !text.contains("status 410"), "{text}");
    }

    #[test]
    fn the_sentence_names_cause_count_age_and_the_next_event() {
        let now_us = 1_000_000_000;
        let at = crate::model::gregorian_seconds(now_us);
        let queue = json!({
            "state": "auto_disabled", "disable_reason": "too many failed attempts", "waiting": 418,
            "waiting_exact": true, "oldest_waiting_age_ms": 720_000, "next_try_at": at + 43, "disabled_at": at - 100,
        });
        let failed = |ago: u64| {
            json!({
                "result": "failure", "client_error_detail": "certificate <expired>", "timestamp": at - ago,
            })
        };
        // Two probes, six failures, and what was before them.
        let mut attempts = [1, 50, 100, 101, 101, 102, 103, 104].map(failed).to_vec();
        attempts.extend([json!({"result": "success", "timestamp": at - 105}), failed(106)]);
        let text = of(&queue, false, &attempts, now_us).into_string();
        for part in
            ["after 6 failed attempts", "certificate &lt;expired&gt;", "418 events", "12 min ago", "in 43 s"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
