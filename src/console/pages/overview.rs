//! The first page: what needs a person, then how everything goes.

use maud::{Markup, html};
use serde_json::Value;

use super::hook::figure;
use super::hooks;
use crate::console::format::{bytes, count, moment, span};
use crate::console::json::{flag, items, number, text};
use crate::console::parts;
use crate::console::reply::{Problem, View};
use crate::console::session::Session;
use crate::http::Told;

/// `/console/`
pub(in crate::console) async fn show(session: &Session<'_>) -> Result<View, Problem> {
    let hooks = attention(session).await?;
    let status = if session.is_master { Some(session.get(&["admin", "status"], &[]).await?) } else { None };
    Ok(View {
        title: "Overview".into(),
        here: "overview",
        account: None,
        trail: Vec::new(),
        live_ms: Some(2000),
        body: html! {
            @if let Some(status) = &status { (faults(status.data())) }
            section #attention {
                h2 { "Needs a person" }
                @if hooks.rows().is_empty() {
                    p.fine { span aria-hidden="true" { "● " } "No hook fails." }
                } @else { (hooks::list(session, &hooks, session.is_admin)) }
            }
            @if let Some(status) = &status { (figures(status.data(), session.now_us())) }
        },
    })
}

async fn attention(session: &Session<'_>) -> Result<Told, Problem> {
    let account = session.account.as_str();
    let path: &[&str] = if session.is_admin {
        &["v2", "accounts", account, "descendants", "webhooks", "status"]
    } else {
        &["v2", "accounts", account, "webhooks", "status"]
    };
    session.get(path, &[("state", "auto_disabled,failing"), ("page_size", "10")]).await
}

fn faults(status: &Value) -> Markup {
    html! {
        @for (key, class, word) in [("faults", "problem", "Fault"), ("notices", "notice", "Notice")] {
            @for fault in items(status, key) {
                p.(class) role="alert" { strong { (word) ": " (text(fault, "what")) } " " (text(fault, "reason")) }
            }
        }
    }
}

fn figures(status: &Value, now_us: u64) -> Markup {
    let null = Value::Null;
    let queues = status.get("queues").unwrap_or(&null);
    let broker = status.get("broker").unwrap_or(&null);
    let events = status.pointer("/logs/events").unwrap_or(&null);
    let disk = status.get("disk").unwrap_or(&null);
    html! {
        section #installation {
            h2 { "Installation" }
            div.figures {
                (figure("Waiting", &html! { (count(number(queues, "waiting").unwrap_or(0))) }))
                (figure("Oldest waiting", &html! { @match number(queues, "oldest_waiting_age_ms") { Some(ms) => (span(ms / 1000)), None => "–" } }))
                (figure("Under way", &html! { (count(number(queues, "in_flight").unwrap_or(0))) }))
                (figure("Broker", &html! { (text(broker, "state")) }))
                (figure("Events log", &html! { (bytes(number(events, "bytes").unwrap_or(0))) @if flag(events, "full") { " full" } }))
                (figure("Disk free", &html! { @match number(disk, "free_bytes") { Some(free) => (bytes(free)), None => "–" } }))
                (figure("Accounts", &html! { (count(number(status, "accounts").unwrap_or(0))) }))
                (figure("Started", &moment(number(status, "started"), now_us)))
            }
            h2 { "Hooks by state" }
            div.figures {
                @for (state, number) in queues.get("hooks").and_then(Value::as_object).into_iter().flatten() {
                    (figure("", &html! { (parts::state(state)) " " strong { (count(number.as_u64().unwrap_or(0))) } }))
                }
            }
        }
    }
}
