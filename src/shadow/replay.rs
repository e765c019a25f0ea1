//! `switchhook shadow replay`: delivers a range of time of the log again to every hook, to close a gap between the two
//! systems. Without `--yes` it only counts.

use std::io::Write as _;

use serde_json::{Value, json};

use super::command::{ShadowError, Verdict, accounts, log_in, of};
use crate::cli::ReplayArgs;
use crate::model::{GREGORIAN_OFFSET_S, iso8601};

/// Requests a replay for every hook that has events in the range.
pub(super) async fn replay(args: &ReplayArgs) -> Result<Verdict, ShadowError> {
    if args.from > args.to {
        return Err(ShadowError::Range("--from must not be later than --to".to_owned()));
    }
    let ours = log_in(&args.ours).await?;
    let mode = ours.get("admin/mode", &[]).await.map_err(of("Switchhook"))?;
    if mode.get("mode").and_then(Value::as_str) == Some("shadow") {
        return Err(ShadowError::Range(
            "the mode is shadow: a replay would deliver nothing; change the mode to live first".to_owned(),
        ));
    }
    let (mut hooks, mut deliveries) = (0_u64, 0_u64);
    for (account, ids) in accounts(&ours).await? {
        for hook in ids {
            let path = format!("v2/accounts/{account}/webhooks/{hook}/replay");
            let ask = |dry_run: bool| {
                json!({
                    "created_from": args.from + GREGORIAN_OFFSET_S, "created_to": args.to + GREGORIAN_OFFSET_S,
                    "dry_run": dry_run,
                })
            };
            let counted = ours.post(&path, &ask(true)).await;
            let counted = counted.map_err(of("Switchhook"))?;
            let matched = counted.get("matched").and_then(Value::as_u64).unwrap_or(0);
            if matched == 0 {
                continue;
            }
            if args.yes {
                ours.post(&path, &ask(false)).await.map_err(of("Switchhook"))?;
            }
            (hooks, deliveries) = (hooks + 1, deliveries + matched);
            writeln!(std::io::stdout(), "{account} {hook} {matched}")?;
        }
    }
    let second = |second: u64| iso8601(second.saturating_mul(1_000_000));
    let (from, to) = (second(args.from), second(args.to));
    let what = if args.yes { "delivered again" } else { "that would be delivered again; add --yes" };
    writeln!(std::io::stdout(), "{deliveries} deliveries of {hooks} hooks from {from} to {to} {what}")?;
    Ok(Verdict::Fine)
}
