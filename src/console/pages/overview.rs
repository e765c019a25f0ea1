//! The first page: the hooks that need attention, then the state of everything.

use maud::{Markup, html};
use serde_json::Value;

use super::hook::figure;
use super::hooks::{self, Columns};
use crate::console::charts::sparkline;
use crate::console::format::{bytes, count, counted, moment, span};
use crate::console::json::{flag, items, number, text};
use crate::console::parts;
use crate::console::reply::{Live, Problem, View};
use crate::console::session::Session;

/// `/console/`
pub(in crate::console) async fn show(session: &Session<'_>) -> Result<View, Problem> {
    let account = session.account.as_str();
    let path: &[&str] = match (session.is_operator, session.is_admin) {
        (true, _) => &["admin", "overview"],
        (_, true) => &["v2", "accounts", account, "descendants", "webhooks", "overview"],
        _ => &["v2", "accounts", account, "webhooks", "overview"],
    };
    let response = session.get(path, &[]).await?;
    let all = response.data();
    let list = if session.is_operator {
        "/console/admin/hooks?".to_owned()
    } else {
        format!("/console/accounts/{account}/hooks?{}", if session.is_admin { "below=true&" } else { "" })
    };
    Ok(View {
        title: "Overview".into(),
        here: "overview",
        account: None,
        trail: Vec::new(),
        live: Some(live(session, all)),
        body: html! {
            div #faults { (faults(all)) }
            section #attention { (attention(session, all, &list)) }
            section #rates { (rates(all, &list)) }
            section #states { (states(all, &list)) }
            @if session.is_operator { section #installation { (installation(all, account, session.now_us())) } }
        },
    })
}

/// The figures of each minute and the faults of the installation have no binding: the page also polls.
fn live(session: &Session<'_>, all: &Value) -> Live {
    let own = if session.is_operator { "*" } else { session.account.as_str() };
    let shown = items(all, "in_need_first").iter().filter(|_| !session.is_operator);
    let watch = shown.map(hooks::watched).chain([format!("{own}/webhook.queue.*")]);
    Live { every_ms: 2000, ..Live::watching(watch) }
}

fn faults(all: &Value) -> Markup {
    html! {
        @for (key, class, word) in [("faults", "problem", "Fault"), ("notices", "notice", "Notice")] {
            @for fault in items(all, key) {
                p.(class) { strong { (word) ": " (text(fault, "what").replace('_', " ")) } ". " (text(fault, "reason")) }
            }
        }
    }
}

fn attention(session: &Session<'_>, all: &Value, list: &str) -> Markup {
    let rows = items(all, "in_need_first");
    let in_need = number(all, "in_need").unwrap_or(0);
    if number(all, "hooks") == Some(0) {
        let new = html! { @if session.is_admin { (super::first::link(&session.account)) } };
        return parts::empty(
            "There is no hook yet. A hook sends every event of a kind to an address of yours.",
            &new,
        );
    }
    html! {
        h2 { "Needs attention" }
        @if rows.is_empty() {
            p.fine { span aria-hidden="true" { "● " } "Nothing. Every hook that is enabled gets its events, and no delivery is dead." }
        } @else {
            (hooks::table(session, rows, &Columns { with_account: session.is_admin, ..Columns::default() }))
            @if in_need > 10 {
                p { a href={ (list) "sort=attention" } { "All " (counted(in_need, "hook")) " that need attention" } }
            }
        }
    }
}

fn rates(all: &Value, list: &str) -> Markup {
    let rates = all.get("rates").unwrap_or(&Value::Null);
    let minutes = items(all, "hour");
    let kinds = [
        ("received", "Received", ""),
        ("delivered", "Delivered", ""),
        ("failed", "Failed attempts", "failing"),
    ];
    html! {
        h2 { "Last hour" }
        div.rates {
            @for (key, label, class) in kinds {
                @if let Some(rate) = number(rates, &format!("{key}_per_min")) {
                    div.figure.rate {
                        span.name { (label) }
                        span.value { (count(rate)) " " span.dim { "a minute" } }
                        @let values: Vec<u64> = minutes.iter().map(|minute| number(minute, key).unwrap_or(0)).collect();
                        @let most = values.iter().copied().max().unwrap_or(0);
                        @if values.len() > 1 {
                            (sparkline(&values, &format!("{label} in each minute of the last hour, {} at most", count(most)), class))
                        } @else { p.hint { "The chart begins after two minutes." } }
                    }
                }
            }
            a.figure href={ (list) "sort=waiting" } { span.name { "Waiting" } span.value { (count(number(all, "waiting").unwrap_or(0))) } }
            a.figure href={ (list) "sort=oldest" } { span.name { "Oldest waiting" } span.value {
                @match number(all, "oldest_waiting_age_ms") { Some(ms) => (span(ms / 1000)), None => "–" }
            } }
            a.figure href={ (list) "sort=dead" } title="Out of tries, and not delivered since" {
                span.name { "Dead" }
                span.value {
                    (count(number(all, "dead_left").unwrap_or(0))) @if !flag(all, "dead_left_exact") { "+" }
                    @if let Some(hooks) = number(all, "hooks_with_dead").filter(|hooks| *hooks > 0) {
                        " " span.dim { "at " (counted(hooks, "hook")) }
                    }
                }
            }
        }
    }
}

fn states(all: &Value, list: &str) -> Markup {
    html! {
        h2 { "Hooks by state" }
        div.figures {
            @for (state, number) in all.get("hooks_by_state").and_then(Value::as_object).into_iter().flatten() {
                @if let Some(number) = number.as_u64().filter(|number| *number > 0) {
                    a.figure href={ (list) "state=" (state) } { (parts::state(state)) " " strong { (count(number)) } }
                }
            }
        }
    }
}

fn installation(all: &Value, account: &str, now_us: u64) -> Markup {
    let null = Value::Null;
    let broker = all.get("broker").unwrap_or(&null);
    let events = all.pointer("/logs/events").unwrap_or(&null);
    let disk = all.get("disk").unwrap_or(&null);
    let zones = items(broker, "zones");
    html! {
        h2 { "Installation" }
        div.figures {
            @if zones.is_empty() { (figure("Broker", &connection(broker, now_us))) }
            @for zone in zones { (figure(&format!("Broker {}", text(zone, "name")), &connection(zone, now_us))) }
            @if let Some(waiting) = number(broker, "queue_waiting") { (figure("Waiting at the broker", &html! { (count(waiting)) })) }
            a.figure href="/console/admin/log" { span.name { "Events log" } span.value {
                (bytes(number(events, "bytes").unwrap_or(0))) @if flag(events, "full") { " no room" }
            } }
            a.figure href="/console/admin/log" { span.name { "Disk free" } span.value {
                @match number(disk, "free_bytes") { Some(free) => (bytes(free)), None => "–" }
            } }
            a.figure href={ "/console/accounts/" (account) "/below" } { span.name { "Accounts" } span.value { (count(number(all, "accounts").unwrap_or(0))) } }
            (figure("Started", &moment(number(all, "started"), now_us)))
            (figure("Version", &html! { (text(all, "version")) }))
        }
    }
}

fn connection(broker: &Value, now_us: u64) -> Markup {
    let error = text(broker, "last_error");
    html! {
        @match text(broker, "state") {
            "connected" => { "connected" }
            "disabled" => { span title="amqp.uri is not set: events come by HTTP alone" { "none" } }
            other => { span.answer.bad title=(error) { span aria-hidden="true" { "✕ " } (other) } " " (moment(number(broker, "since"), now_us)) }
        }
    }
}
