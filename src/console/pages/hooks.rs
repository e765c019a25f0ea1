//! The hooks of an account, or of an account and its descendants, with their states; search by text and state.

use maud::{Markup, html};
use serde_json::Value;

use super::account_of;
use super::bulk::ACTIONS;
use crate::console::charts::outcome;
use crate::console::format::{count, counted, duration, moment, span};
use crate::console::json::{flag, number, text};
use crate::console::parts;
use crate::console::reply::{Live, Problem, View};
use crate::console::session::Session;
use crate::http::ApiResponse;

/// The number of rows in a page.
const ROWS: &str = "50";
/// The states to search for by the API's names, with words for people.
const STATES: [(&str, &str); 9] = [
    ("", "Any state"),
    ("auto_disabled", "Failed, disabled"),
    ("failing", "Failing, retrying"),
    ("waiting", "Waiting"),
    ("delivering", "Delivering"),
    ("idle", "Up to date"),
    ("paused", "Paused"),
    ("disabled", "Disabled"),
    ("account_disabled", "Account disabled"),
];

/// `accounts/{A}/hooks`
pub(in crate::console) async fn show(session: &Session<'_>, account: &str) -> Result<View, Problem> {
    let below = session.query("below") == "true" && session.is_admin;
    page(session, account, &format!("/console/accounts/{account}/hooks"), below).await
}

/// The hooks of an account and its descendants, at a separate address.
pub(super) async fn of_tree(session: &Session<'_>, account: &str, path: &str) -> Result<View, Problem> {
    page(session, account, path, true).await
}

async fn page(session: &Session<'_>, account: &str, path: &str, below: bool) -> Result<View, Problem> {
    let named = account_of(session, account).await?;
    let response = rows(session, account, below).await?;
    Ok(View {
        title: "Hooks".into(),
        here: "hooks",
        account: Some(named),
        trail: Vec::new(),
        live: Some(live(account, &response, below)),
        body: html! {
            (tools(session, account, path, below))
            @if session.is_admin && !response.rows().is_empty() {
                form method="post" action={ "/console/accounts/" (account) "/bulk" } {
                    (parts::token(session))
                    div #hooks { (list(session, account, &response, below)) }
                    (actions(session, below))
                }
            } @else { div #hooks { (list(session, account, &response, below)) } }
            (parts::pager(path, &parameters(session), &response, session.query("start_key").is_empty()))
        },
    })
}

/// The bindings to watch: all hooks of one account, but of several accounts only the hooks on the page.
fn live(account: &str, response: &ApiResponse, below: bool) -> Live {
    let watch = if below {
        response.rows().iter().map(watched).collect()
    } else {
        vec![format!("{account}/webhook.queue.*")]
    };
    Live { every_ms: 2000, ..Live::watching(watch) }
}

/// The bindings for the hook of a row.
pub(super) fn watched(row: &Value) -> String {
    format!("{}/webhook.queue.{}", text(row, "account_id"), text(row, "id"))
}

/// The parameters for the next page.
fn parameters<'a>(session: &'a Session<'_>) -> [(&'a str, &'a str); 4] {
    ["q", "state", "below", "sort"].map(|name| (name, session.query(name)))
}

async fn rows(session: &Session<'_>, account: &str, below: bool) -> Result<ApiResponse, Problem> {
    let path: &[&str] = if below {
        &["v2", "accounts", account, "descendants", "webhooks", "status"]
    } else {
        &["v2", "accounts", account, "webhooks", "status"]
    };
    let asked = [
        ("page_size", ROWS),
        ("search", session.query("q")),
        ("state", session.query("state")),
        ("sort", session.query("sort")),
        ("ascending", if session.query("sort") == "name" { "true" } else { "" }),
        ("start_key", session.query("start_key")),
    ];
    let asked: Vec<_> = asked.into_iter().filter(|(_, value)| !value.is_empty()).collect();
    session.get(path, &asked).await
}

fn tools(session: &Session<'_>, account: &str, path: &str, below: bool) -> Markup {
    let of_account = if below { ", account" } else { "" };
    html! {
        div.tools {
            form.search method="get" action=(path) role="search" {
                input type="search" name="q" value=(session.query("q")) placeholder={ "Name, address, id, event" (of_account) }
                    aria-label={ "Search hooks by name, address, id, event" (of_account) } data-search;
                select name="state" aria-label="State" {
                    @for (value, label) in STATES {
                        option value=(value) selected[value == session.query("state")] { (label) }
                    }
                }
                @if session.is_admin && path.ends_with("/hooks") && path.contains("/accounts/") {
                    label.check { input type="checkbox" name="below" value="true" checked[below]; "and of accounts below" }
                }
                @if !session.query("sort").is_empty() { input type="hidden" name="sort" value=(session.query("sort")); }
                button { "Search" }
            }
            @if session.is_admin {
                a.button.main href={ "/console/accounts/" (account) "/hooks/new" } { "New hook" }
            }
        }
    }
}

fn list(session: &Session<'_>, account: &str, response: &ApiResponse, with_account: bool) -> Markup {
    if response.rows().is_empty() {
        let is_search = ["q", "state", "start_key"].iter().any(|name| !session.query(name).is_empty());
        return if is_search {
            parts::empty("No hook fits.", &html! { a href=(session.visit.path) { "Show all hooks" } })
        } else {
            parts::empty(
                "This account has no hook yet. A hook sends every event of a kind to an address of yours.",
                &html! { @if session.is_admin { (super::first::link(account)) } },
            )
        };
    }
    html! {
        @if response.next().is_none() && session.query("start_key").is_empty() { (sum(response.rows())) }
        (table(session, response.rows(), &Columns { with_account, with_marks: session.is_admin, ordered: Some(ordered(session)) }))
    }
}

/// The address of the list without its order, for the headings.
fn ordered(session: &Session<'_>) -> String {
    let kept = ["q", "state", "below"].map(|name| (name, session.query(name)));
    let kept = kept.into_iter().filter(|(_, value)| !value.is_empty());
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish();
    format!("{}?{query}{}", session.visit.path, if query.is_empty() { "" } else { "&" })
}

/// How many hooks the list has, and what waits for them together.
fn sum(rows: &[Value]) -> Markup {
    let waiting: u64 = rows.iter().filter_map(|row| number(row, "waiting")).sum();
    let is_exact = rows.iter().all(|row| flag(row, "waiting_exact"));
    html! {
        p.dim {
            (counted(rows.len() as u64, "hook")) ". "
            @if waiting == 0 { "Nothing waits." }
            @else {
                @if !is_exact { "At least " } (counted(waiting, "event"))
                (if waiting == 1 { " waits." } else { " wait." })
            }
        }
    }
}

/// The actions for the selected hooks, or for all that the search finds.
fn actions(session: &Session<'_>, below: bool) -> Markup {
    html! {
        div.bulk {
            label for="which" { "With" }
            select #which name="which" {
                option value="marked" { "the marked hooks" }
                option value="all" { "all hooks of this list, on every page" }
            }
            label for="action" { "do:" }
            select #action name="action" { @for action in ACTIONS { option value=(action.name) { (action.words) } } }
            @for name in ["q", "state"] { input type="hidden" name=(name) value=(session.query(name)); }
            @if below { input type="hidden" name="below" value="true"; }
            button name="do" value="check" { "Check what it would do" }
        }
    }
}

/// The columns of a table of hooks, beyond the usual ones.
#[derive(Debug, Default)]
pub(super) struct Columns {
    pub(super) with_account: bool,
    pub(super) with_marks: bool,
    /// The list's address, whose order the headings change. It ends with `?` or `&`.
    pub(super) ordered: Option<String>,
}

/// An attempt that takes this long is pointed out: the receiver holds its deliveries up.
const SLOW_MS: u64 = 1000;

/// The rows of a table of hooks.
pub(super) fn table(session: &Session<'_>, rows: &[Value], columns: &Columns) -> Markup {
    let order = session.query("sort");
    let heading = |label: &str, sort: &str| {
        let is_order = sort == if order.is_empty() { "attention" } else { order };
        html! { @match &columns.ordered {
            Some(list) => { a href={ (list) "sort=" (sort) } aria-current=[is_order.then_some("true")] { (label) @if is_order { " ▾" } } }
            None => (label),
        } }
    };
    html! {
        div.scroll {
            table.rows {
                thead { tr {
                    @if columns.with_marks { th { span.unseen { "Mark" } input type="checkbox" data-all="hook" aria-label="Mark all of this page" hidden; } }
                    th { (heading("State", "attention")) } th { (heading("Hook", "name")) }
                    @if columns.with_account { th { "Account" } }
                    th.wide { "Event" }
                    th.num { (heading("Waiting", "waiting")) } th.num { (heading("Oldest", "oldest")) } th.num { (heading("Dead", "dead")) }
                    th { "Last answer" } th.num { (heading("Took", "slowest")) } th.num.wide { "Per min" }
                } }
                tbody { @for row in rows { (line(row, columns, session)) } }
            }
        }
    }
}

fn line(row: &Value, columns: &Columns, session: &Session<'_>) -> Markup {
    let (account, name) = (text(row, "account_id"), text(row, "name"));
    let path = format!("/console/accounts/{account}/hooks/{}", text(row, "id"));
    let waiting = number(row, "waiting").unwrap_or(0);
    let last = row.get("last_attempt").filter(|last| !last.is_null());
    html! {
        tr data-row data-key=(text(row, "id")) {
            @if columns.with_marks { td {
                input type="checkbox" name="hook" value={ (account) "/" (text(row, "id")) } aria-label={ "Mark " (name) };
            } }
            td { (parts::state(text(row, "state"))) }
            td.name { a href=(path) data-go { (if name.is_empty() { text(row, "id") } else { name }) }
                code.cut title=(text(row, "uri")) { (text(row, "uri")) }
            }
            @if columns.with_account { td data-label="Account" { a href={ "/console/accounts/" (account) "/hooks" } { (text(row, "account_name")) } } }
            td.wide { code { (text(row, "hook")) } }
            td.num data-label="Waiting" { (count(waiting)) @if !flag(row, "waiting_exact") && waiting > 0 { "+" } }
            td.num data-label="Oldest" { @match number(row, "oldest_waiting_age_ms") { Some(age) => (span(age / 1000)), None => span.dim { "–" } } }
            td.num data-label="Dead" { (dead(row, &path, session.is_admin)) }
            td data-label="Last answer" { @match last {
                Some(last) => { (answer(last)) " " span.dim { (moment(number(last, "at"), session.now_us())) } }
                None => span.dim { "–" },
            } }
            td.num data-label="Took" { @match last.and_then(|last| number(last, "duration_ms")) {
                Some(ms) if ms >= SLOW_MS => span.badge.warn title="The receiver is slow: it holds its deliveries up" {
                    span aria-hidden="true" { "▲ " } (duration(ms)) span.unseen { ", slow" }
                },
                Some(ms) => (duration(ms)),
                None => span.dim { "–" },
            } }
            td.num.wide { (count(number(row, "rate_per_min").unwrap_or(0))) }
        }
    }
}

/// The dead deliveries of a row, with the link to them for those who may open it.
fn dead(row: &Value, path: &str, is_admin: bool) -> Markup {
    let Some(left) = number(row, "dead_left") else {
        return html! { span.dim title="Being counted" { "…" } };
    };
    let more = if left > 0 && !flag(row, "dead_left_exact") { "+" } else { "" };
    html! {
        @if left == 0 { span.dim { "0" } }
        @else if is_admin { a.answer.bad href={ (path) "?tab=dead" } { (count(left)) (more) } }
        @else { span.answer.bad { (count(left)) (more) } }
    }
}

/// The result of a hook's last attempt, from the list of hooks.
fn answer(last: &Value) -> Markup {
    let said = match number(last, "status") {
        Some(status) => status.to_string(),
        None => outcome(last),
    };
    let class = if flag(last, "delivered") { "good" } else { "bad" };
    html! { span.answer.(class) { @if class == "bad" { span aria-hidden="true" { "✕ " } } (said) } }
}
