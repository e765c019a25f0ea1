//! Events that could not be understood, in an account or in all accounts: shown as they arrived, and handed in again.

use maud::html;
use serde_json::{Value, json};
use warp::http::Method;

use super::account_of;
use crate::console::format::{bytes, moment};
use crate::console::json::{number, text};
use crate::console::parts;
use crate::console::reply::{Outcome, Problem, View};
use crate::console::session::Session;

/// The account of a page; or all accounts.
#[derive(Debug, Clone, Copy)]
pub(in crate::console) enum Of<'a> {
    Account(&'a str),
    All,
}

impl<'a> Of<'a> {
    fn asked(self) -> Vec<&'a str> {
        match self {
            Self::Account(account) => vec!["v2", "accounts", account, "quarantine"],
            Self::All => vec!["v2", "quarantine"],
        }
    }

    fn path(self) -> String {
        match self {
            Self::Account(account) => format!("/console/accounts/{account}/quarantine"),
            Self::All => "/console/admin/quarantine".to_owned(),
        }
    }

    fn here(self) -> &'static str {
        match self {
            Self::Account(_) => "quarantine",
            Self::All => "all-quarantine",
        }
    }

    async fn named(self, session: &Session<'_>) -> Result<Option<(String, String)>, Problem> {
        match self {
            Self::Account(account) => account_of(session, account).await.map(Some),
            Self::All => Ok(None),
        }
    }
}

/// `…/quarantine`
pub(in crate::console) async fn show(session: &Session<'_>, of: Of<'_>) -> Result<View, Problem> {
    let start = session.query("start_key");
    let response = session.page(&of.asked(), &[]).await?;
    let path = of.path();
    Ok(View {
        title: "Quarantine".into(),
        here: of.here(),
        account: of.named(session).await?,
        trail: Vec::new(),
        live: None,
        body: html! {
            p.hint { "Events that came in and could not be understood. They are kept as they came; nothing was delivered of them." }
            @if response.rows().is_empty() && response.next().is_none() { (parts::empty("Nothing is in quarantine.", &html! {})) } @else {
                div.scroll { table.rows {
                    thead { tr { th { "When" } th { "Reason" } th { "From" } th { "Exchange" } th { "Routing key" } th.num { "Size" } } }
                    tbody { @for row in response.rows() {
                        tr data-row {
                            td { (moment(number(row, "timestamp"), session.now_us())) }
                            td.name { a href={ (path) "/" (text(row, "id")) } data-go { (text(row, "reason")) } }
                            td data-label="From" { (text(row, "source")) }
                            td data-label="Exchange" { code { (text(row, "exchange")) } }
                            td data-label="Routing key" { code.cut title=(text(row, "routing_key")) { (text(row, "routing_key")) } }
                            td.num data-label="Size" { (bytes(number(row, "bytes").unwrap_or(0))) }
                        }
                    } }
                } }
            }
            (parts::pager(&path, &[], &response, start.is_empty()))
        },
    })
}

/// `…/quarantine/{E}`
pub(in crate::console) async fn one(session: &Session<'_>, of: Of<'_>, id: &str) -> Result<View, Problem> {
    let response = session.get(&[&of.asked()[..], &[id]].concat(), &[]).await?;
    let event = response.data();
    let path = of.path();
    let skipped = ["body", "body_base64"];
    let body = match event.get("body") {
        Some(Value::String(text)) => text.clone(),
        Some(body) => format!("{body:#}"),
        None => text(event, "body_base64").to_owned(),
    };
    Ok(View {
        title: text(event, "reason").to_owned(),
        here: of.here(),
        account: of.named(session).await?,
        trail: vec![("Quarantine".into(), path.clone())],
        live: None,
        body: html! {
            section.card {
                dl.fields {
                    dt { "Received" } dd { (moment(number(event, "timestamp"), session.now_us())) }
                    @for (name, value) in event.as_object().into_iter().flatten().filter(|(name, _)| !skipped.contains(&name.as_str()) && *name != "timestamp") {
                        dt { code { (name) } } dd { (value.as_str().map_or_else(|| value.to_string(), str::to_owned)) }
                    }
                }
                p.hint { "Hand it in again when what stood in its way is mended. It is taken once, however often it is handed in." }
                div.actions { (parts::button(session, &format!("{path}/{id}/release"), "Hand in again", "main")) }
            }
            section.card { h2 { "Body as it came" } pre tabindex="0" { (body) } }
        },
    })
}

/// `POST …/quarantine/{E}/release`
pub(in crate::console) async fn release(
    session: &Session<'_>,
    of: Of<'_>,
    id: &str,
) -> Result<Outcome, Problem> {
    session.send(Method::POST, &[&of.asked()[..], &[id]].concat(), json!({})).await?;
    Ok(Outcome::See(format!("{}?done=released", of.path())))
}
