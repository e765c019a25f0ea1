//! `switchhook sessions …`: who is connected by websocket and from where; sessions ended.

use std::io::Write as _;

use anyhow::bail;
use http::Method;
use serde_json::{Map, Value, json};

use super::{table, text};
use crate::cli::{Sessions, SessionsCloseArgs, SessionsListArgs};
use crate::model::{GREGORIAN_OFFSET_S, iso8601};
use crate::remote::Remote;

type Row = Map<String, Value>;

async fn rows(ours: &Remote, asked: &Sessions) -> anyhow::Result<Vec<Row>> {
    let Sessions { scope, from } = asked;
    let account = scope.account.map(|id| ("account_id", id.to_string()));
    let below = scope.below.map(|id| ("below", id.to_string()));
    let from = from.map(|address| ("address", address.to_string()));
    let query: Vec<_> = [account, below, from].into_iter().flatten().collect();
    Ok(ours.rows("admin/websockets", &query).await?)
}

pub(super) async fn list(args: &SessionsListArgs) -> anyhow::Result<()> {
    let ours = Remote::of(&args.ours).await?;
    let rows = rows(&ours, &args.sessions).await?;
    if args.json {
        writeln!(std::io::stdout(), "{:#}", json!(rows))?;
        return Ok(());
    }
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let bindings = row.get("bindings").and_then(Value::as_array).map_or(0, Vec::len);
            let since = row.get("timestamp").and_then(Value::as_u64).unwrap_or_default();
            let since = since.saturating_sub(GREGORIAN_OFFSET_S).saturating_mul(1_000_000);
            [
                text(row, "websocket_session_id").to_owned(),
                text(row, "source").to_owned(),
                iso8601(since),
                bindings.to_string(),
                text(row, "account_id").to_owned(),
                text(row, "account_name").to_owned(),
            ]
        })
        .collect();
    table::print(["SESSION", "ADDRESS", "SINCE", "BINDINGS", "ACCOUNT", "NAME"], &rows)?;
    Ok(())
}

pub(super) async fn close(args: &SessionsCloseArgs) -> anyhow::Result<()> {
    let ours = Remote::of(&args.ours).await?;
    let mut rows = rows(&ours, &args.sessions).await?;
    if !args.id.is_empty() {
        rows.retain(|row| args.id.iter().any(|id| id == text(row, "websocket_session_id")));
        let is_there = |id: &String| rows.iter().any(|row| text(row, "websocket_session_id") == id);
        if let Some(missing) = args.id.iter().find(|id| !is_there(id)) {
            bail!("there is no session {missing}; switchhook sessions list shows all");
        }
    }
    let mut closed = 0;
    for row in rows {
        let (account, session) = (text(&row, "account_id"), text(&row, "websocket_session_id"));
        let path = format!("v2/accounts/{account}/websockets/{session}");
        match ours.change(Method::DELETE, &path, None).await {
            Ok(_) => closed += 1,
            // It has ended by itself.
            Err(error) if error.status() == Some(404) => {}
            Err(error) => return Err(error.into()),
        }
    }
    writeln!(std::io::stdout(), "{closed} sessions closed")?;
    Ok(())
}
