//! Websocket sessions of an account, with their bindings, and a button to end each.

use maud::{Markup, html};
use serde_json::{Value, json};
use warp::http::Method;

use super::account_of;
use crate::console::format::moment;
use crate::console::json::{items, number, text};
use crate::console::parts;
use crate::console::reply::{Live, Outcome, Problem, View};
use crate::console::session::Session;

/// The number of sessions on the page.
const MOST: usize = 50;

/// `accounts/{A}/sessions`
pub(in crate::console) async fn show(session: &Session<'_>, account: &str) -> Result<View, Problem> {
    let of = ["v2", "accounts", account, "websockets"];
    let response = session.get(&of, &[]).await?;
    let mut rows = Vec::new();
    for row in response.rows().iter().take(MOST) {
        match row.as_str() {
            // KAZOO 4's list has only ids.
            Some(id) => {
                let one = session.get(&[&of[..], &[id]].concat(), &[]).await?;
                rows.push(one.rows().first().unwrap_or(one.data()).clone());
            }
            None => rows.push(row.clone()),
        }
    }
    let more = response.rows().len().saturating_sub(MOST);
    Ok(View {
        title: "Websockets".into(),
        here: "sessions",
        account: Some(account_of(session, account).await?),
        trail: Vec::new(),
        live: Some(Live::asking(5000)),
        body: html! {
            section #sessions {
                @if rows.is_empty() { (parts::empty("Nobody listens by websocket now.", &html! {})) } @else {
                    div.scroll { table.rows {
                        thead { tr { th { "Since" } th { "From" } th { "Bindings" } th { "Session" } th { span.unseen { "Actions" } } } }
                        tbody { @for row in rows.iter().filter(|row| row.is_object()) { (line(session, account, row)) } }
                    } }
                }
                @if more > 0 { p.hint { "And " (more) " more." } }
            }
        },
    })
}

fn line(session: &Session<'_>, account: &str, row: &Value) -> Markup {
    let id = text(row, "websocket_session_id");
    let bindings: Vec<&str> = items(row, "bindings").iter().filter_map(Value::as_str).collect();
    html! {
        tr data-row {
            td data-label="Since" { (moment(number(row, "timestamp"), session.now_us())) }
            td data-label="From" { (text(row, "source")) }
            td data-label="Bindings" { @if bindings.is_empty() { span.dim { "none" } } @for binding in bindings { code { (binding) } " " } }
            td data-label="Session" { code { (id) } }
            td { (parts::button(session, &format!("/console/accounts/{account}/sessions/{id}/close"), "Close", "")) }
        }
    }
}

/// `POST accounts/{A}/sessions/{S}/close`
pub(in crate::console) async fn close(
    session: &Session<'_>,
    account: &str,
    id: &str,
) -> Result<Outcome, Problem> {
    session.send(Method::DELETE, &["v2", "accounts", account, "websockets", id], json!({})).await?;
    Ok(Outcome::See(format!("/console/accounts/{account}/sessions?done=closed")))
}
