//! Re-enabling in bulk: enables all hooks that the program disabled (`docs/kazoo/webhooks.md#enabling-again`).
//!
//! Hooks that a person disabled stay disabled.

use serde_json::json;

use super::call::Call;
use super::errors::ApiError;
use super::reply::Reply;

/// `PATCH …/webhooks`
pub(super) async fn of_account(call: &Call<'_>) -> Result<Reply, ApiError> {
    let account = call.account()?.id;
    is_asked_for(call)?;
    call.api.state.enable_hooks_of(account).await?;
    Ok(Reply::ok("hooks updated"))
}

/// `PATCH …/descendants/webhooks`: the account and everything below it.
pub(super) async fn of_tree(call: &Call<'_>) -> Result<Reply, ApiError> {
    let account = call.account()?.id;
    is_asked_for(call)?;
    call.api.state.enable_hooks_of_tree(account).await?;
    Ok(Reply::ok("hooks updated"))
}

fn is_asked_for(call: &Call<'_>) -> Result<(), ApiError> {
    match call.envelope.object()?.get("re-enable") {
        None => {
            let message = "re-enable is required to patch collections";
            Err(ApiError::field("re-enable", "required", &json!({"message": message})))
        }
        Some(value) if *value == true || *value == "true" => Ok(()),
        Some(_) => {
            let message = "value not found in enumerated list of values";
            Err(ApiError::field("re-enable", "enum", &json!({"message": message, "target": [true]})))
        }
    }
}
