//! Shows who changed what, in an account or in all accounts.

use std::collections::HashMap;

use maud::{Markup, html};
use serde_json::Value;

use super::account_of;
use crate::console::format::moment;
use crate::console::json::{items, number, text};
use crate::console::parts;
use crate::console::range::{self, Range};
use crate::console::reply::{Problem, View};
use crate::console::session::Session;
use crate::http::ApiResponse;

/// The entries that a page about one thing examines.
const EXAMINED: &str = "2000";

/// `accounts/{A}/audit`
pub(in crate::console) async fn of_account(session: &Session<'_>, account: &str) -> Result<View, Problem> {
    let named = account_of(session, account).await?;
    let path = format!("/console/accounts/{account}/audit");
    page(session, &["v2", "accounts", account, "audit"], &path, Some(named)).await
}

/// `admin/audit`
pub(in crate::console) async fn of_all(session: &Session<'_>) -> Result<View, Problem> {
    page(session, &["admin", "audit"], "/console/admin/audit", None).await
}

async fn page(
    session: &Session<'_>,
    asked_path: &[&str],
    path: &str,
    account: Option<(String, String)>,
) -> Result<View, Problem> {
    let range =
        Range::of(session.query("since"), session.query("from"), session.query("to"), session.now_us());
    let (start, id) = (session.query("start_key"), session.query("id").trim());
    let mut asked = vec![
        ("page_size", "50"),
        ("created_from", range.from.as_str()),
        ("created_to", range.to.as_str()),
        ("start_key", start),
        ("filter_id", id),
    ];
    if account.is_none() {
        asked.push(("account_id", session.query("account_id").trim()));
    }
    if !id.is_empty() {
        // Few entries are about one thing, so a page may have to end before it is full.
        asked.push(("max_examined", EXAMINED));
    }
    asked.retain(|(_, value)| !value.is_empty());
    let response = session.get(asked_path, &asked).await?;
    let own = (session.account.clone(), String::new());
    let people = people(session, [account.as_ref(), Some(&own)].into_iter().flatten()).await;
    let kept = ["since", "from", "to", "account_id", "id"].map(|name| (name, session.query(name)));
    Ok(View {
        title: "Audit".into(),
        here: if account.is_some() { "audit" } else { "all-audit" },
        body: html! {
            form.search.tools method="get" action=(path) {
                @if account.is_none() {
                    input.short name="account_id" value=(session.query("account_id")) placeholder="Account id"
                        aria-label="Account id" data-search;
                }
                @if !id.is_empty() { input type="hidden" name="id" value=(id); }
                (range::fields(session, "all"))
                button { "Show" }
            }
            @if !id.is_empty() { p.hint { "Only the changes of " code { (id) } ". " a href=(path) { "All changes" } } }
            @if response.rows().is_empty() && response.next().is_none() { (parts::empty("Nothing was changed in this time.", &html! {})) } @else {
                div.scroll { table.rows {
                    thead { tr { th { "When" } th { "By" } th { "What" } th { "Changed" } th { span.unseen { "Details" } } } }
                    tbody { @for row in response.rows() { (line(row, &people, session.now_us())) } }
                } }
            }
            @if response.next().is_some() && response.rows().len() < 50 {
                p.hint { "Only a part of the trail was searched. The next page continues from there." }
            }
            (parts::pager(path, &kept, &response, start.is_empty()))
        },
        account,
        trail: Vec::new(),
        live: None,
    })
}

/// The user names of accounts, by user id. A name that cannot be read is left out: its id is shown.
async fn people(
    session: &Session<'_>,
    accounts: impl Iterator<Item = &(String, String)>,
) -> HashMap<String, String> {
    let mut names = HashMap::new();
    for (account, _) in accounts {
        let users = session.get(&["v2", "accounts", account, "users"], &[("page_size", "1000")]).await;
        let rows = users.as_ref().map_or(&[][..], ApiResponse::rows);
        names.extend(rows.iter().map(|row| (text(row, "id").to_owned(), text(row, "username").to_owned())));
    }
    names
}

/// A value in a line: as text, or as JSON.
fn short(value: Option<&Value>) -> String {
    const MOST: usize = 80;
    let text = match value {
        None | Some(Value::Null) => return "nothing".to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    };
    let mut cut: String = text.chars().take(MOST).collect();
    if cut.len() < text.len() {
        cut.push('…');
    }
    cut
}

/// A changed field with its values before and after. A masked value looks the same in both.
fn change(field: &str, before: Option<&Value>, after: Option<&Value>) -> Markup {
    let of = |document: Option<&Value>| short(document.and_then(|document| document.get(field)));
    let (old, new) = (of(before), of(after));
    html! {
        div { strong { (field) } @if old != new { " " code { (old) } " → " code { (new) } } }
    }
}

fn line(row: &Value, people: &HashMap<String, String>, now_us: u64) -> Markup {
    let after = row.get("after").filter(|after| !after.is_null());
    let before = row.get("before").filter(|before| !before.is_null());
    let named = after.or(before);
    let name = ["name", "username"].iter().find_map(|field| {
        let name = named.map_or("", |document| text(document, field));
        (!name.is_empty()).then_some(name)
    });
    let changed: Vec<&str> = items(row, "changed")
        .iter()
        .filter_map(Value::as_str)
        // The program's own fields stay in the whole documents.
        .filter(|field| !field.starts_with("pvt_"))
        .collect();
    html! {
        tr data-row {
            td data-label="When" { (moment(number(row, "timestamp"), now_us)) }
            td data-label="By" { (by(row.get("by").unwrap_or(&Value::Null), people)) }
            td data-label="What" { strong { (text(row, "action")) } " " (text(row, "kind")) " "
                @match page_of(row) {
                    Some(page) => a.in-text href=(page) data-go { (name.unwrap_or("open")) },
                    None => (name.unwrap_or_default()),
                }
                br; code.dim { (text(row, "id")) } }
            td.whole data-label="Changed" { @for field in changed { (change(field, before, after)) } }
            td.whole { details {
                summary { "In full" }
                div.two {
                    pre tabindex="0" { (before.map_or("nothing".to_owned(), |before| format!("{before:#}"))) }
                    pre tabindex="0" { (after.map_or("nothing".to_owned(), |after| format!("{after:#}"))) }
                }
            } }
        }
    }
}

/// The page of what was changed. `None`: it has none, or it does not exist any more.
fn page_of(row: &Value) -> Option<String> {
    if text(row, "action") == "delete" {
        return None;
    }
    let (account, id) = (text(row, "account_id"), text(row, "id"));
    let of = |part: &str| Some(format!("/console/accounts/{account}/{part}"));
    match text(row, "kind") {
        "hook" => of(&format!("hooks/{id}")),
        "user" => of(&format!("users/{id}")),
        "key" => of("keys"),
        "link" => of("links"),
        "account" => Some(format!("/console/accounts/{id}/account")),
        "replay" => {
            let hook = row.get("after").map_or("", |after| text(after, "hook_id"));
            (!hook.is_empty()).then(|| format!("/console/accounts/{account}/hooks/{hook}?tab=replays"))
        }
        _ => None,
    }
}

fn by(by: &Value, people: &HashMap<String, String>) -> Markup {
    let (user, account, remote) = (text(by, "owner_id"), text(by, "account_id"), text(by, "remote"));
    html! {
        @if text(by, "kind") == "program" { "Switchhook" }
        @else if text(by, "kind") == "sync" { "KAZOO, followed by the sync" }
        @else if text(by, "kind") == "import" { "an import from KAZOO" }
        @else if text(by, "kind") == "above" { "somebody of an account above" }
        @else {
            @if user.is_empty() { "API key" }
            @else if let Some(name) = people.get(user).filter(|name| !name.is_empty()) { "user " strong title=(user) { (name) } }
            @else { "user " code { (user) } }
            @if !remote.is_empty() { " from " (remote) }
            br; code.dim title="Account" { (account) }
        }
    }
}
