//! What operators ask of a running program on the command line: its hooks and its websocket sessions, over all accounts.
//!
//! Each command is a few calls of the API, which can be made without it. A list is printed as a table or as JSON.

mod hooks;
mod sessions;
mod table;

use http::Method;
use serde_json::Value;

use crate::cli::{HooksCommand, Scope, SessionsCommand};
use crate::remote::Remote;

/// `switchhook hooks …`
pub async fn hooks(command: &HooksCommand) -> anyhow::Result<()> {
    match command {
        HooksCommand::List(args) => hooks::list(args).await,
        HooksCommand::ResetFailures(args) => hooks::reset_failures(args).await,
        HooksCommand::Enable(args) => hooks::enable(args).await,
    }
}

/// `switchhook sessions …`
pub async fn sessions(command: &SessionsCommand) -> anyhow::Result<()> {
    match command {
        SessionsCommand::List(args) => sessions::list(args).await,
        SessionsCommand::Close(args) => sessions::close(args).await,
    }
}

/// The path of the hooks of a scope; of everybody's without one.
fn hooks_of(scope: &Scope, ours: &Remote) -> String {
    match (scope.account, scope.below) {
        (Some(account), _) => format!("v2/accounts/{account}/webhooks"),
        (None, below) => format!("v2/accounts/{}/descendants/webhooks", below.unwrap_or(ours.account)),
    }
}

/// A PATCH of a collection of hooks.
async fn patch(ours: &Remote, path: &str, data: &Value) -> anyhow::Result<Value> {
    Ok(ours.change(Method::PATCH, path, Some(data)).await?)
}

/// A field of a row as text.
fn text<'a>(row: &'a serde_json::Map<String, Value>, field: &str) -> &'a str {
    row.get(field).and_then(Value::as_str).unwrap_or_default()
}
