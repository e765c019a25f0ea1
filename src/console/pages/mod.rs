//! The pages, one file each, and the content of their forms.

pub(super) mod accounts;
pub(super) mod attempt;
pub(super) mod audit;
pub(super) mod bulk;
mod bulk_all;
pub(super) mod event;
pub(super) mod events;
pub(super) mod first;
pub(super) mod hook;
pub(super) mod hook_actions;
pub(super) mod hook_edit;
pub(super) mod hook_form;
mod hook_tabs;
pub(super) mod hooks;
pub(super) mod installation;
pub(super) mod keys;
pub(super) mod links;
pub(super) mod overview;
pub(super) mod quarantine;
pub(super) mod replay;
pub(super) mod sockets;
pub(super) mod users;
mod verify;

use serde_json::json;
use warp::http::Method;

use super::reply::{Outcome, Problem};
use super::session::Session;
use crate::http::Visit;

/// The content of a form.
#[derive(Debug)]
pub(super) struct Sent(Vec<(String, String)>);

impl Sent {
    /// The fields of a form, in order.
    pub(super) fn of(visit: &Visit) -> Self {
        Self(url::form_urlencoded::parse(&visit.body).into_owned().collect())
    }

    /// No form was sent.
    pub(super) fn nothing() -> Self {
        Self(Vec::new())
    }

    /// The fields of a form's text.
    #[cfg(test)]
    pub(super) fn of_text(text: &str) -> Self {
        Self(url::form_urlencoded::parse(text.as_bytes()).into_owned().collect())
    }

    /// All values that were sent under a name.
    pub(super) fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A field's value; empty if it was not sent.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str()).unwrap_or_default()
    }
}

/// Ends the session and its token.
pub(super) async fn log_out(session: &Session<'_>) -> Result<Outcome, Problem> {
    session.send(Method::DELETE, &["v2", "token_auth"], json!({})).await?;
    Ok(Outcome::See("/console/login".into()))
}

/// The account of a page with its name, for the navigation.
pub(super) async fn account_of(session: &Session<'_>, account: &str) -> Result<(String, String), Problem> {
    if account == session.account {
        return Ok((account.to_owned(), session.account_name.clone()));
    }
    let response = session.get(&["v2", "accounts", account], &[]).await?;
    Ok((account.to_owned(), super::json::text(response.data(), "name").to_owned()))
}
