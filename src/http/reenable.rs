//! Bulk re-enable: every hook that the program disabled is enabled again (`webhooks.md` 5.10).
//!
//! Hooks that a person disabled are left alone.

use serde_json::json;

use super::call::Call;
use super::errors::ApiError;
use super::reply::Reply;
use crate::model::AccountId;

/// `PATCH …/webhooks`
pub(super) async fn of_account(call: &Call<'_>) -> Result<Reply, ApiError> {
    let account = call.account()?.id;
    reenable(call, vec![account]).await
}

/// `PATCH …/descendants/webhooks`: the account and everything below it.
pub(super) async fn of_tree(call: &Call<'_>) -> Result<Reply, ApiError> {
    let account = call.account()?.id;
    let below = call.api.state.descendants(account);
    reenable(call, below.iter().map(|a| a.id).chain([account]).collect()).await
}

async fn reenable(call: &Call<'_>, accounts: Vec<AccountId>) -> Result<Reply, ApiError> {
    match call.envelope.object()?.get("re-enable") {
        None => {
            let message = "re-enable is required to patch collections";
            return Err(ApiError::field("re-enable", "required", &json!({"message": message})));
        }
        Some(value) if *value == true || *value == "true" => {}
        Some(_) => {
            let message = "value not found in enumerated list of values";
            return Err(ApiError::field("re-enable", "enum", &json!({"message": message, "target": [true]})));
        }
    }
    for account in accounts {
        call.api.state.enable_hooks_of(account).await?;
    }
    Ok(Reply::ok("hooks updated"))
}
