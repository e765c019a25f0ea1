//! `…/console_links`: links that open the console for an account without a password, and `PUT console_auth`, which
//! uses the code of a link. For an operator's own portal, where users have logged in already.

use serde_json::{Map, Value, json};

use super::call::Call;
use super::errors::ApiError;
use super::fields::Fields;
use super::list::List;
use super::reply::Reply;
use crate::auth::{LinkError, NewLink, Role};
use crate::kazoo;
use crate::model::GREGORIAN_OFFSET_S;
use crate::state::{Expect, Kind, Write, owner};

/// How long a link can be used by default and at most, in seconds.
const VALID_S: u64 = 60;
const MOST_VALID_S: u64 = 3600;

/// `POST …/console_links`: creates a link. Its code is only in this response.
pub(super) async fn create(call: &Call<'_>) -> Result<Reply, ApiError> {
    let account = call.account()?.id;
    let data = call.envelope.object()?;
    let mut fields = Fields::of(&data);
    let user = fields.text("user_id", 1, 64).map(str::to_owned);
    fields.one_of("role", &["admin", "user"]);
    let valid_s = match data.get("expires_in_s") {
        None | Some(Value::Null) => VALID_S,
        Some(given) => given.as_u64().filter(|s| (1..=MOST_VALID_S).contains(s)).unwrap_or_else(|| {
            let message = format!("Value must be an integer from 1 to {MOST_VALID_S}");
            fields.note("expires_in_s", "range", &json!({"message": message, "value": given}));
            VALID_S
        }),
    };
    fields.finish()?;
    let is_admin = data.get("role").map_or(user.is_some(), |role| role == "admin");
    let role = if is_admin { Role::Admin } else { Role::User };
    let maker = call.caller.ok_or_else(ApiError::invalid_credentials)?;
    let made = call.api.auth.make_link(maker, NewLink { account, user, role, valid_s }).await;
    let link = made.map_err(|error| refused(&error))?;
    let shown = json!({
        "id": link.id, "code": link.code, "path": format!("/console/link/{}", link.code),
        "expires": link.expires_s + GREGORIAN_OFFSET_S,
    });
    Ok(Reply::created(shown, call.location(&link.id)))
}

/// `GET …/console_links`
pub(super) async fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let links = call.api.state.owned(Kind::Link, call.account()?.id)?;
    let rows = links.into_iter().map(|doc| {
        let row = row(&doc);
        (doc, row.into())
    });
    List::of(call)?.documents(rows.collect()).await
}

/// A link as the API shows it.
fn row(doc: &Map<String, Value>) -> Map<String, Value> {
    let mut row = kazoo::public_document(doc);
    let expires_s = doc.get("expires").and_then(Value::as_u64).unwrap_or(0);
    row.insert("expires".into(), (expires_s + GREGORIAN_OFFSET_S).into());
    row.insert("made_by".into(), doc.get("pvt_maker_account").cloned().unwrap_or_default());
    row
}

/// `DELETE …/console_links/{L}`: revokes the link and ends the sessions that it has opened.
pub(super) async fn delete(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    let unknown = || ApiError::unknown(id);
    let stored = call.api.state.get(Kind::Link, id)?.ok_or_else(unknown)?;
    if owner(&stored) != Some(call.account()?.id) {
        return Err(unknown());
    }
    let write = Write { kind: Kind::Link, id: id.to_owned(), doc: None, expect: Expect::Any };
    call.api.state.write(vec![write]).await?;
    Ok(Reply::deleted(row(&stored)))
}

/// `PUT console_auth`: exchanges the code of a link for a token. Works once.
pub(super) async fn redeem(call: &Call<'_>) -> Result<Reply, ApiError> {
    let data = call.envelope.object()?;
    let mut fields = Fields::of(&data);
    fields.required(&["code"]);
    let code = fields.text("code", 1, 256);
    fields.finish()?;
    let (account, user, token) = match call.api.auth.redeem_link(code.unwrap_or_default()).await {
        Ok(opened) => opened,
        Err(LinkError::Unknown) => {
            // Codes are too long to be guessed. Limiting wrong ones only reduces the load.
            let is_within = call.api.auth.note_wrong(call.request.remote, None);
            return Err(if is_within { ApiError::invalid_credentials() } else { ApiError::too_many() });
        }
        Err(error) => return Err(refused(&error)),
    };
    let data = json!({"account_id": account, "owner_id": user});
    Ok(Reply { status: 201, auth_token: Some(token), ..Reply::ok(data) })
}

fn refused(error: &LinkError) -> ApiError {
    match error {
        LinkError::Unknown => ApiError::invalid_credentials(),
        LinkError::ByLink => ApiError::forbidden(),
        LinkError::Disabled => ApiError::account_disabled(),
        LinkError::TooMany => ApiError::too_many(),
        LinkError::NoUser => {
            ApiError::field("user_id", "error", &json!({"message": "no user of the account has that id"}))
        }
        other => ApiError::unavailable(other),
    }
}
