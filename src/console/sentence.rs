//! Describes a hook's state in a sentence: what it does, why it waits, how much waits since when, and what happens
//! next. Pure.

use maud::{Markup, html};
use serde_json::Value;

use super::charts::outcome;
use super::format::{counted, moment, span};
use super::json::{flag, number, text};

/// The state of a hook's queue. `attempts` has the last attempts, newest first.
pub(super) fn of(queue: &Value, attempts: &[Value], now_us: u64) -> Markup {
    let waiting = number(queue, "waiting").unwrap_or(0);
    let state = text(queue, "state");
    html! {
        (doing(queue, attempts, now_us))
        @if waiting > 0 {
            " " (waits(queue))
        }
        @if number(queue, "next_try_at").is_some() && ["auto_disabled", "retrying"].contains(&state) {
            " " (if state == "auto_disabled" { "Next probe" } else { "Next attempt" }) " "
            (moment(number(queue, "next_try_at"), now_us)) "."
        }
        @if let Some(gap) = queue.get("gap").filter(|gap| !gap.is_null()) {
            " Retention dropped " (counted(gap_size(gap), "event")) " of the log before this hook could get them."
        }
    }
}

fn doing(queue: &Value, attempts: &[Value], now_us: u64) -> Markup {
    let failure = attempts.iter().find(|attempt| text(attempt, "result") == "failure");
    let last = attempts.first();
    let because = |failure: Option<&Value>| {
        html! { @if let Some(failure) = failure { ": " strong { (outcome(failure)) } } }
    };
    match text(queue, "state") {
        "auto_disabled" => html! {
            "Disabled by Switchhook"
            @if let Some(at) = number(queue, "disabled_at") { " " (moment(Some(at), now_us)) }
            @let reason = text(queue, "disable_reason");
            " after " (if reason.is_empty() { "failed attempts" } else { reason }) (because(failure)) "."
        },
        "disabled" => {
            html! { "Disabled by a person. Events are not kept for it unless its setting " code { "resume" } " says so." }
        }
        "account_disabled" => html! { "Its account is disabled. What it misses is kept." },
        "paused" => html! { "Paused by a person. Everything is kept." },
        "retrying" => html! {
            "The last attempt failed" (because(failure)) ". It is tried again."
            @if let Some(failures) = number(queue, "recent_failures").filter(|number| *number > 0) {
                " " (counted(failures, "failed attempt")) " lately."
            }
        },
        "active" => html! { "Delivering." },
        _ => match last {
            Some(last) => {
                html! { "Up to date. The last attempt was " (moment(number(last, "timestamp"), now_us)) ": " (outcome(last)) "." }
            }
            None => {
                html! { "Up to date. No attempt was made yet: no event has matched since the hook was made." }
            }
        },
    }
}

fn waits(queue: &Value) -> Markup {
    let waiting = number(queue, "waiting").unwrap_or(0);
    let at_least = if flag(queue, "waiting_exact") { "" } else { "At least " };
    let verb = if waiting == 1 { "waits" } else { "wait" };
    html! {
        strong { (at_least) (counted(waiting, "event")) } " " (verb)
        @if let Some(age) = number(queue, "oldest_waiting_age_ms") { ", the oldest for " (span(age / 1000)) }
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
    fn the_sentence_names_cause_count_age_and_the_next_event() {
        let now_us = 1_000_000_000;
        let at = crate::model::gregorian_seconds(now_us);
        let queue = json!({
            "state": "auto_disabled", "disable_reason": "too many failed attempts", "waiting": 418,
            "waiting_exact": true, "oldest_waiting_age_ms": 720_000, "next_try_at": at + 43,
        });
        let attempts = [json!({"result": "failure", "client_error_detail": "certificate <expired>"})];
        let text = of(&queue, &attempts, now_us).into_string();
        for part in
            ["too many failed attempts", "certificate &lt;expired&gt;", "418 events", "for 12 min", "in 43 s"]
        {
            assert!(text.contains(part), "{part} in {text}");
        }
    }
}
