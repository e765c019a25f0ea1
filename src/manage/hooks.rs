//! `switchhook hooks …`: all hooks with their state, failures forgotten, disabled hooks enabled.

use std::io::Write as _;

use serde_json::json;

use super::{hooks_of, patch, table, text};
use crate::cli::{EnableArgs, HooksListArgs, ResetArgs};
use crate::remote::Remote;

pub(super) async fn list(args: &HooksListArgs) -> anyhow::Result<()> {
    let ours = Remote::of(&args.ours).await?;
    let asked = [("state", &args.state), ("search", &args.search)];
    let query = asked.into_iter().filter_map(|(name, value)| Some((name, value.clone()?)));
    let path = format!("{}/status", hooks_of(&args.scope, &ours));
    let rows = ours.rows(&path, &query.collect::<Vec<_>>()).await?;
    if args.json {
        writeln!(std::io::stdout(), "{:#}", json!(rows))?;
        return Ok(());
    }
    let rows: Vec<_> = rows
        .iter()
        .map(|row| {
            let number = |field: &str| row.get(field).map(ToString::to_string).unwrap_or_default();
            [
                text(row, "state").to_owned(),
                number("recent_failures"),
                number("waiting"),
                text(row, "http_verb").to_owned(),
                text(row, "hook").to_owned(),
                text(row, "id").to_owned(),
                text(row, "account_id").to_owned(),
                text(row, "account_name").to_owned(),
                text(row, "uri").to_owned(),
            ]
        })
        .collect();
    table::print(
        ["STATE", "FAILURES", "WAITING", "VERB", "EVENT", "HOOK", "ACCOUNT", "ACCOUNT NAME", "URI"],
        &rows,
    )?;
    Ok(())
}

pub(super) async fn reset_failures(args: &ResetArgs) -> anyhow::Result<()> {
    let ours = Remote::of(&args.ours).await?;
    let path = hooks_of(&args.scope, &ours);
    let data = match args.hook.as_slice() {
        [] => json!({"reset-failures": true}),
        hooks => json!({"reset-failures": true, "ids": hooks}),
    };
    let answer = patch(&ours, &path, &data).await?;
    let count = answer.get("reset").cloned().unwrap_or_default();
    writeln!(std::io::stdout(), "failures of {count} hooks forgotten")?;
    Ok(())
}

pub(super) async fn enable(args: &EnableArgs) -> anyhow::Result<()> {
    let ours = Remote::of(&args.ours).await?;
    let path = hooks_of(&args.scope, &ours);
    let answer = patch(&ours, &path, &json!({"re-enable": true})).await?;
    writeln!(std::io::stdout(), "{}", answer.as_str().unwrap_or_default())?;
    Ok(())
}
