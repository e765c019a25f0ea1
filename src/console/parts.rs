//! Small parts of many pages: badges, tokens of forms, pages of lists, errors, notices.

use maud::{Markup, html};

use super::session::Session;
use crate::http::ApiResponse;

/// The hidden field with a token, so that the form can be sent once.
pub(super) fn token(session: &Session<'_>) -> Markup {
    html! { input type="hidden" name="form" value=(session.form); }
}

/// The form that deletes something after the person has ticked the box beside `sure`.
pub(super) fn deletion(session: &Session<'_>, path: &str, title: &str, sure: &str) -> Markup {
    html! {
        form.card.delete method="post" action=(path) {
            h2 { (title) }
            (token(session))
            label.check { input type="checkbox" name="sure" value="yes" required; (sure) }
            div.actions { button.danger { "Delete" } }
        }
    }
}

/// A button for one action. Its key keeps an open page from turning it into another button under a person's hand.
pub(super) fn button(session: &Session<'_>, path: &str, text: &str, class: &str) -> Markup {
    html! {
        form.inline method="post" action=(path) data-key=(path) {
            (token(session))
            button class=(class) { (text) }
        }
    }
}

/// A queue's state, as a sign and a word.
pub(super) fn state(state: &str) -> Markup {
    let (class, sign, word) = match state {
        "idle" => ("ok", "●", "up to date"),
        "active" | "delivering" => ("ok", "▶", "delivering"),
        "waiting" => ("warn", "…", "waiting"),
        "retrying" => ("warn", "↻", "retrying"),
        "failing" => ("warn", "↻", "failing, retrying"),
        "given_up" => ("bad", "✕", "failed, given up"),
        "auto_disabled" => ("bad", "✕", "failed, disabled"),
        "disabled" => ("off", "○", "disabled"),
        "account_disabled" => ("off", "○", "account disabled"),
        "paused" => ("off", "‖", "paused"),
        other => ("off", "?", other),
    };
    html! { span.badge.(class) { span aria-hidden="true" { (sign) } " " (word) } }
}

/// Why a delivery has not ended, as a sign and a word.
pub(super) fn waiting(state: &str) -> Markup {
    let (class, sign, word) = match state {
        "under_way" => ("ok", "▶", "under way"),
        "retrying" => ("warn", "↻", "failed, to be tried again"),
        "set_aside" => ("bad", "‖", "out of tries, set aside"),
        _ => ("off", "…", "waiting"),
    };
    html! { span.badge.(class) { span aria-hidden="true" { (sign) } " " (word) } }
}

/// The result of an attempt, as a sign and a word.
pub(super) fn result(result: &str) -> Markup {
    let (class, sign, word) = match result {
        "success" => ("ok", "●", "delivered"),
        "shadow" => ("off", "○", "shadow, not sent"),
        _ => ("bad", "✕", "failed"),
    };
    html! { span.badge.(class) { span aria-hidden="true" { (sign) } " " (word) } }
}

/// The links to the other pages of a list. `query` has the page's other parameters.
pub(super) fn pager(path: &str, query: &[(&str, &str)], response: &ApiResponse, is_first: bool) -> Markup {
    let with = |more: Option<(&str, &str)>| {
        let kept = query.iter().filter(|(name, value)| !value.is_empty() && *name != "start_key");
        let text = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(kept)
            .extend_pairs(more)
            .finish();
        if text.is_empty() { path.to_owned() } else { format!("{path}?{text}") }
    };
    html! {
        @if !is_first || response.next().is_some() {
            nav.pager aria-label="Pages of this list" {
                @if !is_first { a href=(with(None)) { "« First page" } }
                @if let Some(next) = response.next() {
                    a rel="next" href=(with(Some(("start_key", next)))) { "Next page ›" }
                }
            }
        }
    }
}

/// The errors by field.
pub(super) fn faults(fields: &[(String, String)]) -> Markup {
    html! {
        @if !fields.is_empty() {
            ul.faults { @for (field, text) in fields { li {
                @match super::pages::hook_form::label(field) {
                    Some(label) => { strong { (label) } " (" code { (field) } "): " (text) }
                    None => { code { (field) } ": " (text) }
                }
            } } }
        }
    }
}

/// The text for the last action, which the address names.
pub(super) fn notice(word: &str) -> Option<&'static str> {
    Some(match word {
        "enabled" => "Enabled. If events wait, one is tried first; when it succeeds, the rest follows.",
        "disabled" => "Disabled. Nothing is delivered until somebody enables the hook.",
        "paused" => "Paused. Everything is kept until you resume.",
        "resumed" => "Resumed. If the hook is enabled, what waited is being delivered.",
        "deleted" => "Deleted.",
        "created" => "Created.",
        "saved" => "Saved. The change holds for every event from now on.",
        "again" => {
            "The delivery is made again, as soon as the hook may deliver. Replays shows how far it is."
        }
        "replay" => "The replay has started.",
        "cancelled" => "The replay was cancelled.",
        "probed" => "A probe is on its way.",
        "bulk" => "Done for the hooks that were listed.",
        "closed" => "The websocket session was closed.",
        "retained" => "Retention was applied.",
        "first" => "Made. Send a test to see what arrives.",
        "revoked" => "The link was revoked. What it opened has ended.",
        "released" => "The event was handed in again.",
        _ => return None,
    })
}

/// A page without content yet, with the next step.
pub(super) fn empty(text: &str, next: &Markup) -> Markup {
    html! { div.empty { p { (text) } (next) } }
}

/// Whether something is enabled, as a sign and a word.
pub(super) fn switched(enabled: bool) -> Markup {
    if enabled {
        html! { span.badge.ok { span aria-hidden="true" { "●" } " enabled" } }
    } else {
        html! { span.badge.off { span aria-hidden="true" { "○" } " disabled" } }
    }
}

/// A field for a line of text.
pub(super) fn input(name: &str, label: &str, value: &str, hint: &str) -> Markup {
    let id = format!("{name}-hint");
    html! {
        div.field {
            label for=(name) { (label) }
            input #(name) name=(name) value=(value) autocomplete="off" aria-describedby=[(!hint.is_empty()).then_some(&id)];
            @if !hint.is_empty() { p.hint id=(id) { (hint) } }
        }
    }
}
