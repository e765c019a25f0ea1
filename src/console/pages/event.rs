//! Shows an event: its body, and its result at each hook.

use maud::{Markup, html};
use serde_json::Value;

use super::account_of;
use super::events::call_path;
use crate::console::charts::outcome;
use crate::console::format::{bytes, count, moment};
use crate::console::json::{flag, items, number, text};
use crate::console::parts;
use crate::console::reply::{Live, Problem, View};
use crate::console::session::Session;

/// `accounts/{A}/events/{E}`
pub(in crate::console) async fn show(
    session: &Session<'_>,
    account: &str,
    id: &str,
) -> Result<View, Problem> {
    let state = [("state", session.query("state"))];
    let response = session.page(&["v2", "accounts", account, "events", id], &state).await?;
    let event = response.data();
    let path = format!("/console/accounts/{account}/events/{id}");
    let body = event.get("body").map(|body| format!("{body:#}")).unwrap_or_default();
    Ok(View {
        title: text(event, "event_name").to_owned(),
        here: "events",
        account: Some(account_of(session, account).await?),
        trail: vec![("Events".into(), format!("/console/accounts/{account}/events"))],
        live: Some(Live { every_ms: 2000, ..Live::watching([format!("{account}/webhook.attempt.*")]) }),
        body: html! {
            section.card { (facts(session, account, event)) }
            section #deliveries {
                h2 { "What became of it" }
                (states(session, &path, event))
                (deliveries(session, account, event))
                (parts::pager(&path, &state, &response, session.query("start_key").is_empty()))
            }
            section.card {
                h2 { "Body as it came" }
                div.copied {
                    button.quiet data-copy="event-body" hidden { "Copy" }
                    pre #event-body tabindex="0" { (body) }
                }
            }
        },
    })
}

fn facts(session: &Session<'_>, account: &str, event: &Value) -> Markup {
    let subject = text(event, "subject");
    html! {
        dl.fields {
            dt { "Received" } dd { (moment(number(event, "timestamp"), session.now_us())) " from " (text(event, "source")) }
            dt { "Event" } dd { code { (text(event, "event_category")) " / " (text(event, "event_name")) } }
            @if !text(event, "hook_event").is_empty() { dt { "For hooks of" } dd { code { (text(event, "hook_event")) } } }
            @if !subject.is_empty() {
                dt { "Subject" } dd { code { (subject) } " " a href=(call_path(account, subject)) { "all its events" } }
            }
            dt { "Id" } dd { code { (text(event, "id")) } }
            @if !text(event, "msg_id").is_empty() { dt { "Message id" } dd { code { (text(event, "msg_id")) } } }
            dt { "Size" } dd { (bytes(number(event, "bytes").unwrap_or(0))) }
        }
    }
}

/// The number of deliveries in each state, each with the link to these alone.
fn states(session: &Session<'_>, path: &str, event: &Value) -> Markup {
    let by_state = event.get("deliveries_by_state").and_then(Value::as_object);
    let by_state: Vec<(&str, u64)> =
        by_state.into_iter().flatten().filter_map(|(state, n)| Some((state.as_str(), n.as_u64()?))).collect();
    let shown = session.query("state");
    html! {
        @if by_state.len() > 1 || !shown.is_empty() {
            div.figures {
                @for (state, number) in &by_state {
                    a.figure href={ (path) "?state=" (state) } aria-current=[(*state == shown).then_some("true")] {
                        (settled(state)) " " strong { (count(*number)) }
                    }
                }
                @if !shown.is_empty() { a.figure href=(path) { "All " strong { (count(by_state.iter().map(|(_, n)| n).sum())) } } }
            }
        }
    }
}

fn deliveries(session: &Session<'_>, account: &str, event: &Value) -> Markup {
    let rows = items(event, "deliveries");
    if rows.is_empty() && !session.query("state").is_empty() {
        return parts::empty("No delivery of this event is in that state now.", &html! {});
    }
    if rows.is_empty() {
        return parts::empty(
            "No hook of this account wanted it. A hook gets the events of its kind from the moment it was made.",
            &html! { a href={ "/console/accounts/" (account) "/hooks" } { "Hooks of this account" } },
        );
    }
    html! {
        div.scroll { table.rows {
            thead { tr { th { "Hook" } th { "State" } th { "Attempts" } th { span.unseen { "Actions" } } } }
            tbody { @for row in rows { (delivery(session, account, row)) } }
        } }
        @if !flag(event, "deliveries_complete") {
            p.hint {
                "Much was recorded since this event, and not all of it was looked through: an attempt of a later replay may be \
                 missing. The page of a hook lists all its attempts."
            }
        }
    }
}

fn delivery(session: &Session<'_>, account: &str, row: &Value) -> Markup {
    let hook = format!("/console/accounts/{account}/hooks/{}", text(row, "hook_id"));
    let attempts = format!("{hook}/attempts/{}", text(row, "delivery_id"));
    html! {
        tr data-row {
            td.name { a href=(hook) data-go { (text(row, "hook_name")) } }
            td { (settled(text(row, "state"))) }
            td {
                @if items(row, "attempts").is_empty() { span.dim { "none yet" } }
                @for attempt in items(row, "attempts") {
                    @let number = number(attempt, "attempt").unwrap_or(1);
                    a href={ (attempts) "?attempt=" (number) } { (number) ": " (outcome(attempt)) } " "
                    span.dim { (moment(number_of(attempt), session.now_us())) } br;
                }
            }
            td.num { @if session.is_admin && !items(row, "attempts").is_empty() {
                (parts::button(session, &format!("{attempts}/again"), "Send again", ""))
            } }
        }
    }
}

fn number_of(attempt: &Value) -> Option<u64> {
    number(attempt, "timestamp")
}

/// The result of a delivery, as a sign and a word.
fn settled(state: &str) -> Markup {
    let (class, sign) = match state {
        "delivered" => ("ok", "●"),
        "dead" => ("bad", "✕"),
        "waiting" | "retrying" => ("warn", "…"),
        _ => ("off", "○"),
    };
    html! { span.badge.(class) { span aria-hidden="true" { (sign) } " " (state.replace('_', " ")) } }
}
