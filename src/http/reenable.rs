//! Changes of collections of hooks: enable those again that the program disabled
//! (`docs/kazoo/webhooks.md#enabling-again`), or forget the failures that count towards disabling.
//!
//! Hooks that a person disabled stay disabled.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::call::Call;
use super::errors::ApiError;
use super::event_filter::texts;
use super::hook_status::tree;
use super::reply::Reply;
use crate::model::{AccountId, HookId};

/// What is asked for.
enum HookAction {
    /// `re-enable`
    Enable,
    /// `reset-failures`
    Reset,
}

/// `PATCH …/webhooks`
pub(super) async fn of_account(call: &Call<'_>) -> Result<Reply, ApiError> {
    let account = call.account()?.id;
    match asked_for(call)? {
        HookAction::Enable => {
            call.api.state.enable_hooks_of(account).await?;
            Ok(Reply::ok("hooks updated"))
        }
        HookAction::Reset => reset(call, &BTreeSet::from([account])).await,
    }
}

/// `PATCH …/descendants/webhooks`: the account and everything below it.
pub(super) async fn of_tree(call: &Call<'_>) -> Result<Reply, ApiError> {
    match asked_for(call)? {
        HookAction::Enable => {
            call.api.state.enable_hooks_of_tree(call.account()?.id).await?;
            Ok(Reply::ok("hooks updated"))
        }
        HookAction::Reset => reset(call, &tree(call)?).await,
    }
}

/// Forgets the recent failures of the hooks of these accounts, or of the hooks among them that `ids` names.
async fn reset(call: &Call<'_>, accounts: &BTreeSet<AccountId>) -> Result<Reply, ApiError> {
    let ids = texts(call, "ids")?;
    let hooks = call.api.state.all_hooks().into_iter().filter(|hook| accounts.contains(&hook.account));
    let hooks: BTreeSet<HookId> = hooks.map(|hook| hook.id).collect();
    let mut asked = Vec::new();
    for id in &ids {
        let hook = id.parse().ok().filter(|hook| hooks.contains(hook));
        asked.push(hook.ok_or_else(|| ApiError::unknown(id))?);
    }
    let asked = if ids.is_empty() { hooks.into_iter().collect() } else { asked };
    let count = call.api.queues.reset_failures(asked).await;
    tracing::info!(count, "counted failures of hooks were forgotten on request");
    Ok(Reply::ok(json!({"reset": count})))
}

fn asked_for(call: &Call<'_>) -> Result<HookAction, ApiError> {
    let data = call.envelope.object()?;
    if data.contains_key("reset-failures") {
        return is_true(&data, "reset-failures").map(|()| HookAction::Reset);
    }
    is_true(&data, "re-enable").map(|()| HookAction::Enable)
}

fn is_true(data: &Map<String, Value>, field: &str) -> Result<(), ApiError> {
    match data.get(field) {
        None => {
            let message = "re-enable is required to patch collections";
            Err(ApiError::field(field, "required", &json!({"message": message})))
        }
        Some(value) if *value == true || *value == "true" => Ok(()),
        Some(_) => {
            let message = "value not found in enumerated list of values";
            Err(ApiError::field(field, "enum", &json!({"message": message, "target": [true]})))
        }
    }
}
