//! `POST …/webhooks/bulk`: one action for many hooks of an account, with a dry run.
//!
//! Each hook is changed as by a separate request: with the same checks and the same audit entries. A refused hook
//! does not undo the changes of the others.

use serde_json::{Map, Value, json};

use super::call::Call;
use super::errors::ApiError;
use super::event_filter::{not_listed, texts};
use super::replays;
use super::reply::Reply;
use super::{pause, webhooks};
use crate::model::HookId;
use crate::state::{Kind, is_auto_disabled};

/// The most hooks of one request.
const MOST: usize = 100;

const ACTIONS: [&str; 5] = ["enable", "disable", "pause", "resume", "replay"];

/// An action for a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Enable,
    Disable,
    Pause,
    Resume,
    Replay,
}

pub(super) async fn apply(call: &Call<'_>) -> Result<Reply, ApiError> {
    let data = call.envelope.object()?;
    let deed = deed(&data)?;
    let hooks = texts(call, "ids")?;
    if hooks.is_empty() {
        return Err(ApiError::missing("ids"));
    }
    if hooks.len() > MOST {
        let message = format!("at most {MOST} hooks at a time");
        return Err(ApiError::field("ids", "maxItems", &json!({"message": message, "target": MOST})));
    }
    let dry_run = replays::dry_run(call);
    let (mut rows, mut counts) = (Vec::new(), [0_u64; 3]);
    let mut matched = 0;
    for id in &hooks {
        let (place, row) = match one(call, id, deed, dry_run).await {
            Ok(Done { changes, count, name }) => {
                matched += count.unwrap_or(0);
                let result = if changes { "changed" } else { "unchanged" };
                (usize::from(!changes), json!({"id": id, "name": name, "result": result, "matched": count}))
            }
            Err(error) => {
                (2, json!({"id": id, "result": "refused", "status": error.status, "reason": error.reason()}))
            }
        };
        if let Some(count) = counts.get_mut(place) {
            *count += 1;
        }
        rows.push(row);
    }
    let [changed, unchanged, refused] = counts;
    Ok(Reply::ok(json!({
        "action": data.get("action"), "dry_run": dry_run, "changed": changed, "unchanged": unchanged,
        "refused": refused, "matched": matched, "hooks": rows,
    })))
}

fn deed(data: &Map<String, Value>) -> Result<Deed, ApiError> {
    let given = data.get("action").ok_or_else(|| ApiError::missing("action"))?;
    Ok(match given.as_str() {
        Some("enable") => Deed::Enable,
        Some("disable") => Deed::Disable,
        Some("pause") => Deed::Pause,
        Some("resume") => Deed::Resume,
        Some("replay") => Deed::Replay,
        _ => return Err(not_listed("action", given, &json!(ACTIONS))),
    })
}

/// The result for one hook, or in a dry run the expected result.
struct Done {
    /// Whether the hook changes.
    changes: bool,
    /// For a replay, the number of deliveries.
    count: Option<u64>,
    name: Value,
}

async fn one(call: &Call<'_>, id: &str, deed: Deed, dry_run: bool) -> Result<Done, ApiError> {
    let (hook, stored) = call.hook(id)?;
    let name = stored.get("name").cloned().unwrap_or_default();
    let is = |field: &str, value: bool| {
        let text = if value { "true" } else { "false" };
        stored.get(field).is_some_and(|v| *v == value || *v == text)
    };
    if deed == Deed::Replay {
        let status = replays::replay(call, hook, dry_run).await?;
        return Ok(Done { changes: status.matched > 0, count: Some(status.matched), name });
    }
    let changes = match deed {
        Deed::Enable => is("enabled", false),
        // A hook that the program disabled changes too: it is no longer probed when a person disables it.
        Deed::Disable => !is("enabled", false) || is_auto_disabled(&stored),
        Deed::Pause => !is("pvt_paused", true),
        Deed::Resume | Deed::Replay => is("pvt_paused", true),
    };
    if changes && !dry_run {
        change(call, hook, deed).await?;
    }
    Ok(Done { changes, count: None, name })
}

async fn change(call: &Call<'_>, hook: HookId, deed: Deed) -> Result<(), ApiError> {
    let id = hook.to_string();
    let enabled = match deed {
        Deed::Pause | Deed::Resume | Deed::Replay => {
            return pause::set(call, &id, deed == Deed::Pause).await.map(drop);
        }
        Deed::Enable => true,
        Deed::Disable => false,
    };
    let stored = call.api.state.get(Kind::Hook, &id)?.unwrap_or_default();
    // A hook that the program disabled continues where it stopped.
    if enabled && is_auto_disabled(&stored) {
        call.api.state.enable_hook(hook).await?;
        return Ok(());
    }
    let fields = Map::from_iter([("enabled".to_owned(), Value::from(enabled))]);
    webhooks::merge_fields(call, &id, &fields).await.map(drop)
}
