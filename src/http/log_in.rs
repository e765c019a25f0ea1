//! Tokens: `PUT api_auth` for an API key, `PUT user_auth` for a user's credentials, and `token_auth` to read and
//! revoke a token (`docs/kazoo/webhooks.md#logging-in`).

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::call::Call;
use super::envelope::Envelope;
use super::errors::ApiError;
use super::fields::Fields;
use super::reply::Reply;
use super::route::Resource;
use crate::auth::{Caller, Credentials, Holder, Purpose, Role, User};
use crate::model::{Account, AccountId};
use crate::state::State;

const KEY_LENGTH: usize = 64;
/// The most accounts with the same name that a log-in tries. Each costs the hash of a password.
const MOST_NAMESAKES: usize = 8;

/// `PUT api_auth`
pub(super) fn with_key(call: &Call<'_>) -> Result<Reply, ApiError> {
    let (auth, state) = (&call.api.auth, &call.api.state);
    let data = call.envelope.object()?;
    let mut fields = Fields::of(&data);
    fields.required(&["api_key"]);
    let text = fields.text("api_key", KEY_LENGTH, KEY_LENGTH);
    fields.finish()?;
    let text = text.unwrap_or_default();
    let key = state.api_key(text)?;
    let found = key.and_then(|key| Some((state.account(key.account)?, key)));
    let Some((account, key)) = found else {
        // Keys are too long to be guessed. Limiting wrong ones only reduces the load and never refuses a right one.
        let is_within = auth.note_wrong(call.request.remote, None);
        return Err(if is_within { ApiError::unknown_key() } else { ApiError::too_many() });
    };
    if !account.enabled {
        return Err(ApiError::account_disabled());
    }
    let token = auth.issue(&Holder::Key(key))?;
    Ok(Reply { status: 201, auth_token: Some(token), ..Reply::ok(identity(call, &account, None)) })
}

/// `PUT user_auth`
pub(super) async fn with_password(call: &Call<'_>) -> Result<Reply, ApiError> {
    let data = call.envelope.object()?;
    let mut fields = Fields::of(&data);
    fields.required(&["credentials"]);
    // An MD5 has 32 digits, a SHA-1 40.
    let credentials = fields.text("credentials", 32, 40);
    fields.one_of("method", &["md5", "sha"]);
    let name = fields.text("account_name", 1, 128);
    let realm = fields.text("account_realm", 1, 253).or(fields.text("realm", 1, 253));
    if name.is_none() && realm.is_none() {
        fields.required(&["account_name"]);
    }
    fields.finish()?;
    let credentials = Credentials::from(credentials.unwrap_or_default());
    let (account, user) = log_in(call, called(&call.api.state, realm, name), credentials).await?;
    // Checked last, so that only somebody with the password learns that the account is disabled.
    if !account.enabled {
        return Err(ApiError::account_disabled());
    }
    let data = identity(call, &account, Some(&user));
    let token = call.api.auth.issue(&Holder::User(user))?;
    Ok(Reply { status: 201, auth_token: Some(token), ..Reply::ok(data) })
}

/// The first of these accounts that has a user with these credentials, and the user.
async fn log_in(
    call: &Call<'_>,
    accounts: Vec<Arc<Account>>,
    credentials: Credentials,
) -> Result<(Arc<Account>, User), ApiError> {
    let (auth, remote) = (&call.api.auth, call.request.remote);
    // Without an account one hash is computed anyway, so that the time does not reveal whether the account exists.
    let candidates: Vec<_> =
        if accounts.is_empty() { vec![None] } else { accounts.into_iter().map(Some).collect() };
    let mut was_tried = false;
    for account in candidates {
        let id = account.as_ref().map(|account| account.id);
        if !auth.may_try(remote, id) {
            continue;
        }
        was_tried = true;
        let user = auth.log_in(id, credentials.clone(), remote).await?;
        if let Some(found) = account.zip(user) {
            return Ok(found);
        }
    }
    Err(if was_tried { ApiError::invalid_credentials() } else { ApiError::too_many() })
}

/// `GET token_auth`: the account and user of the token.
pub(super) fn check(call: &Call<'_>) -> Result<Reply, ApiError> {
    let caller = call.caller.ok_or_else(ApiError::invalid_credentials)?;
    Ok(Reply::ok(described(call, caller)?))
}

fn described(call: &Call<'_>, caller: &Caller) -> Result<Map<String, Value>, ApiError> {
    let account = call.api.state.account(caller.account).ok_or_else(ApiError::invalid_credentials)?;
    let mut data = identity(call, &account, None);
    data.insert("owner_id".into(), caller.user.clone().into());
    data.insert("priv_level".into(), priv_level(caller.role).into());
    Ok(data)
}

/// `POST auth/tokeninfo` and `GET auth/tokeninfo?token=`: the account and user of the token in the data. No other
/// token is needed. KAZOO's user interface requests this after each reload.
pub(super) async fn look_at(call: &Call<'_>) -> Result<Reply, ApiError> {
    let given = call.parameter("token").ok_or_else(|| ApiError::missing("token"))?;
    let token = given.as_str().ok_or_else(|| ApiError::wrong_type("token", "string", &given))?;
    let caller = call.api.auth.verify(token).await?;
    Ok(Reply { auth_token: Some(token.to_owned()), ..Reply::ok(described(call, &caller)?) })
}

/// `DELETE token_auth`: revokes the token.
pub(super) async fn revoke(call: &Call<'_>) -> Result<Reply, ApiError> {
    let caller = call.caller.ok_or_else(ApiError::invalid_credentials)?;
    call.api.auth.revoke(caller).await?;
    Ok(Reply::ok(json!({})))
}

/// The bucket of a log-in, by the account that it names; `None` for other requests.
pub(super) fn purpose(state: &State, resource: &Resource, envelope: &Envelope) -> Option<Purpose> {
    let data = envelope.members.as_ref().and_then(|members| members.get("data"));
    let text = |field: &str| data.and_then(|data| data.get(field)).and_then(Value::as_str);
    let account = match resource {
        // The request itself looks the key up again and reports a failing index.
        Resource::ApiAuth => {
            text("api_key").and_then(|key| state.api_key(key).ok().flatten()).map(|key| key.account)
        }
        Resource::UserAuth => {
            let realm = text("account_realm").or(text("realm"));
            called(state, realm, text("account_name")).first().map(|account| account.id)
        }
        _ => return None,
    };
    Some(Purpose::LogIn(account))
}

/// The accounts that a log-in may mean: the one with the realm, otherwise those with the name. As in KAZOO, only
/// letters and digits of a name count, and several accounts may share one. The credentials decide among them, so
/// nobody can break a log-in by taking another account's name.
fn called(state: &State, realm: Option<&str>, name: Option<&str>) -> Vec<Arc<Account>> {
    let Some(realm) = realm else {
        let mut named = name.map(|name| state.accounts_named(name)).unwrap_or_default();
        named.truncate(MOST_NAMESAKES);
        return named;
    };
    state.account_of_realm(realm).and_then(|id| state.account(id)).into_iter().collect()
}

/// KAZOO's response to a log-in.
fn identity(call: &Call<'_>, account: &Account, user: Option<&User>) -> Map<String, Value> {
    let state = &call.api.state;
    let reseller: AccountId = state.reseller_of(account.id).unwrap_or(account.id);
    let data = json!({
        "account_id": account.id, "account_name": account.name, "apps": [], "language": "en-us",
        "cluster_id": state.settings().cluster_id, "reseller_id": reseller,
        "is_reseller": account.is_reseller, "is_master_account": account.id == state.settings().master,
    });
    let mut data = if let Value::Object(data) = data { data } else { Map::new() };
    if let Some(user) = user {
        data.insert("owner_id".into(), user.id.clone().into());
        data.insert("priv_level".into(), priv_level(user.role).into());
    }
    data
}

fn priv_level(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::User => "user",
    }
}
