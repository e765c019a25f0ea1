//! `PUT /v2/api_auth`: an API key for a token.

use serde_json::json;

use super::call::Call;
use super::errors::ApiError;
use super::reply::Reply;

const KEY_LENGTH: usize = 64;

pub(super) fn create(call: &Call<'_>) -> Result<Reply, ApiError> {
    let (api, state) = (call.api, &call.api.state);
    let data = call.envelope.object()?;
    let Some(key) = data.get("api_key") else { return Err(ApiError::missing("api_key")) };
    let Some(key) = key.as_str() else {
        let message = "Value did not match type(s): string";
        return Err(ApiError::field("api_key", "type", &json!({"message": message, "target": "string"})));
    };
    let found = state.api_key(key)?.and_then(|key| state.account(key.account)).filter(|a| a.enabled);
    let Some(account) = found else { return Err(unknown(key)) };
    let token = api.auth.issue(account.id, "cb_api_auth")?;
    let reseller = state.reseller_of(account.id).unwrap_or(account.id);
    let data = json!({
        "account_id": account.id, "account_name": account.name, "apps": [], "language": "en-us",
        "cluster_id": state.settings().cluster_id, "reseller_id": reseller,
        "is_reseller": account.is_reseller, "is_master_account": account.id == state.settings().master,
    });
    Ok(Reply { status: 201, auth_token: Some(token), ..Reply::ok(data) })
}

fn unknown(key: &str) -> ApiError {
    let length = key.chars().count();
    let (rule, message) = match length {
        KEY_LENGTH => return ApiError::unknown_key(key),
        0..KEY_LENGTH => ("minLength", format!("String must be at least {KEY_LENGTH} characters")),
        _ => ("maxLength", format!("String must not be more than {KEY_LENGTH} characters")),
    };
    ApiError::field("api_key", rule, &json!({"message": message, "target": KEY_LENGTH}))
}
