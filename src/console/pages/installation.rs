//! The operator's pages: all hooks, the logs with their segments, the present configuration.

use maud::{Markup, html};
use serde_json::{Value, json};
use warp::http::Method;

use super::hooks;
use crate::console::format::{bytes, count, moment, span};
use crate::console::json::{flag, items, number, text};
use crate::console::parts;
use crate::console::reply::{Outcome, Problem, View};
use crate::console::session::Session;

/// The logs that have segments.
const LOGS: [(&str, &str); 5] = [
    ("events", "Events as they came in"),
    ("ledger", "Attempts and what was settled"),
    ("journal", "Accounts, hooks, users, keys"),
    ("audit", "Who changed what"),
    ("audit-kept", "Who changed what: entries that outlived the bound of the trail"),
];

fn view(title: &str, here: &'static str, body: Markup) -> View {
    View { title: title.into(), here, account: None, trail: Vec::new(), live: None, body }
}

/// `admin/hooks`
pub(in crate::console) async fn all_hooks(session: &Session<'_>) -> Result<View, Problem> {
    let account = session.account.as_str();
    let mut view = hooks::of_tree(session, account, "/console/admin/hooks").await?;
    "All hooks".clone_into(&mut view.title);
    view.here = "all";
    view.account = None;
    Ok(view)
}

/// `admin/log`
pub(in crate::console) async fn logs(session: &Session<'_>) -> Result<View, Problem> {
    let status = session.get(&["admin", "status"], &[]).await?;
    let chosen = session.query("log");
    let chosen = LOGS.iter().find(|(name, _)| *name == chosen).map_or("events", |(name, _)| name);
    let start = session.query("start_key");
    let segments = session.page(&["admin", "log"], &[("log", chosen)]).await?;
    let logs = status.data().get("logs").unwrap_or(&Value::Null);
    let disk = status.data().get("disk").unwrap_or(&Value::Null);
    let body = html! {
        p { "In " code { (text(disk, "data_dir")) } ", " strong { (bytes(number(disk, "free_bytes").unwrap_or(0))) } " free." }
        (room(session, logs, disk).await?)
        div.scroll { table.rows {
            thead { tr { th { "Log" } th { "Holds" } th { "State" } th.num { "Size" } th.num { "Segments" } th.num title="The number of its first record" { "First" } th.num title="The number of its next record" { "End" } } }
            tbody { @for (name, holds) in LOGS {
                @let log = logs.get(name).unwrap_or(&Value::Null);
                tr data-row {
                    td.name { a href={ "/console/admin/log?log=" (name) } data-go { (name) } }
                    td { (holds) }
                    td { (health(log)) }
                    td.num data-label="Size" { (bytes(number(log, "bytes").unwrap_or(0))) }
                    td.num data-label="Segments" { (count(number(log, "segments").unwrap_or(0))) }
                    td.num data-label="First" { (count(number(log, "first_offset").unwrap_or(0))) }
                    td.num data-label="End" { (count(number(log, "end_offset").unwrap_or(0))) }
                }
            } }
        } }
        div.actions {
            (parts::button(session, "/console/admin/log/retention", "Apply retention now", ""))
            span.hint { "It removes what is older or more than is kept. It is applied every ten minutes in any case." }
        }
        h2 { "Segments of " (chosen) }
        div.scroll { table.rows {
            thead { tr { th.num { "First" } th.num { "End" } th.num { "Size" } th { "Begun" } th { "State" } } }
            tbody { @for segment in segments.rows() {
                tr {
                    td.num data-label="First" { (count(number(segment, "first_offset").unwrap_or(0))) }
                    td.num data-label="End" { (count(number(segment, "end_offset").unwrap_or(0))) }
                    td.num data-label="Size" { (bytes(number(segment, "bytes").unwrap_or(0))) }
                    td data-label="Begun" { (moment(number(segment, "created"), session.now_us())) }
                    td { (if flag(segment, "closed") { "closed" } else { "being written" }) }
                }
            } }
        } }
        (parts::pager("/console/admin/log", &[("log", chosen)], &segments, start.is_empty()))
    };
    Ok(view("Logs and disk", "log", body))
}

/// How far the events log may still grow, and whether the disk has that much room.
async fn room(session: &Session<'_>, logs: &Value, disk: &Value) -> Result<Markup, Problem> {
    let config = session.get(&["admin", "config"], &[]).await?;
    let setting = |key: &str| {
        let row = config.rows().iter().find(|row| text(row, "key") == key);
        row.and_then(|row| number(row, "value"))
    };
    let (Some(most), Some(hours)) = (setting("retention.max_bytes"), setting("retention.max_age_hours"))
    else {
        return Ok(html! {});
    };
    let used = number(logs.get("events").unwrap_or(&Value::Null), "bytes").unwrap_or(0);
    let grows = most.saturating_sub(used);
    let fits = number(disk, "free_bytes").is_none_or(|free| free > grows);
    Ok(html! {
        p #room {
            "Events are kept for " (span(hours.saturating_mul(3600))) " or up to " (bytes(most)) ", whichever comes first ("
            a href="/console/admin/config?q=retention" { "retention" } "). The events log has " (bytes(used)) " now."
        }
        @if !fits {
            p.problem {
                strong { "The disk is smaller than the log may become. " }
                "It may grow by " (bytes(grows)) ". When the disk is full, no events are accepted: free space, or lower "
                code { "retention.max_bytes" } "."
            }
        }
    })
}

fn health(log: &Value) -> Markup {
    let failure = text(log, "failure");
    html! {
        @if !failure.is_empty() { span.badge.bad { "✕ failed" } " " (failure) }
        @else if flag(log, "full") { span.badge.bad { "✕ no room" } }
        @else if !items(log, "damage").is_empty() { span.badge.warn { "! damage" } }
        @else { span.badge.ok { span aria-hidden="true" { "●" } " sound" } }
        @for damage in items(log, "damage") { br; (damage.as_str().unwrap_or_default()) }
    }
}

/// `POST admin/log/retention`
pub(in crate::console) async fn retain(session: &Session<'_>) -> Result<Outcome, Problem> {
    session.send(Method::POST, &["admin", "retention"], json!({})).await?;
    Ok(Outcome::See("/console/admin/log?done=retained".into()))
}

/// `admin/config`
pub(in crate::console) async fn configuration(session: &Session<'_>) -> Result<View, Problem> {
    let response = session.get(&["admin", "config"], &[]).await?;
    let wanted = session.query("q").trim().to_lowercase();
    let rows: Vec<&Value> = response.rows().iter().filter(|row| text(row, "key").contains(&wanted)).collect();
    let body = html! {
        p.hint { "What the running program goes by. Secrets are masked. “changed” differs from the default; “reload” is taken by a running program on SIGHUP, all else \
             with the next start." }
        form.search.tools method="get" action="/console/admin/config" role="search" {
            input type="search" name="q" value=(session.query("q")) placeholder="Key" aria-label="Key" data-search;
            button { "Search" }
        }
        div.scroll { table.rows {
            thead { tr { th { "Key" } th { "Value" } th { "Mark" } } }
            tbody { @for row in rows {
                @let value = row.get("value").unwrap_or(&Value::Null);
                tr data-row {
                    td.name { code { (text(row, "key")) } }
                    td { code { (value.as_str().map_or_else(|| value.to_string(), str::to_owned)) } }
                    td.nowrap {
                        @if flag(row, "changed") { span.badge.warn { "changed" } " " }
                        @if flag(row, "reloadable") { span.badge.off { "reload" } }
                    }
                }
            } }
        } }
    };
    Ok(view("Configuration", "config", body))
}
