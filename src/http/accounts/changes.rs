//! Changes of an account: replace, merge, move, delete.
//!
//! Only an account above may decide whether an account is enabled, where it is in the tree, and whether it is
//! deleted. So the master account can be neither disabled, nor moved, nor deleted. An account cannot choose its own
//! realm either, because log-ins and presence events find their account by the realm.

use serde_json::{Map, Value, json};

use super::document::{merged, needs_ancestor, replaced};
use super::{public_account, stored};
use crate::http::call::{Call, signature};
use crate::http::errors::ApiError;
use crate::http::reply::Reply;
use crate::model::AccountId;
use crate::state::{TreeError, is_mirrored};

type Document = Map<String, Value>;

/// How often a change is attempted again after a conflict with another change.
const TRIES: usize = 8;

/// What a KAZOO decides of an account that was imported from it. Other fields are ours.
const KAZOOS: [&str; 6] = ["name", "realm", "flags", "webhooks", "pvt_enabled", "pvt_reseller"];

/// `POST …/accounts/{A}`: replaces all public fields.
pub(in crate::http) async fn replace(call: &Call<'_>) -> Result<Reply, ApiError> {
    change(call, replaced).await
}

/// `PATCH …/accounts/{A}`: changes top-level fields; `null` removes one.
pub(in crate::http) async fn merge(call: &Call<'_>) -> Result<Reply, ApiError> {
    change(call, merged).await
}

async fn change(
    call: &Call<'_>,
    new: impl Fn(&Document, &Document) -> Result<Document, ApiError>,
) -> Result<Reply, ApiError> {
    let id = call.account()?.id;
    let sent = call.envelope.object()?;
    let is_own = !call.is_master() && from_above(call, id).is_err();
    for _ in 0..TRIES {
        let before = stored(call)?;
        let mut data = sent.clone();
        if is_own && let Some(realm) = before.get("realm") {
            // An account's own POST without a realm does not remove the realm.
            data.entry("realm").or_insert_with(|| realm.clone());
        }
        if call.api.options.kazoo_owns.accounts && is_mirrored(&before) {
            // A POST that leaves out what is KAZOO's does not remove it: Monster UI posts the account as KAZOO shows it.
            for field in KAZOOS {
                if let Some(value) = before.get(field) {
                    data.entry(field).or_insert_with(|| value.clone());
                }
            }
        }
        let mut doc = new(&before, &data)?;
        if KAZOOS.iter().any(|field| before.get(*field) != doc.get(*field)) {
            not_kazoos(call, &before)?;
        }
        if needs_ancestor(&before, &doc) {
            from_above(call, id)?;
        }
        if is_own && before.get("realm") != doc.get("realm") {
            let message = "only an account above this one can change the realm; ask its administrator";
            return Err(ApiError::field("realm", "forbidden", &json!({"message": message})));
        }
        doc.extend(signature(call, id));
        match call.api.state.change_account(id, doc).await {
            Ok(stored) => return Ok(Reply::ok(public_account(call, &stored)).revision_of(&stored)),
            Err(TreeError::Write(error)) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ApiError::conflict())
}

/// `POST …/accounts/{A}/move`: moves the account, with everything below it, below the account `to`.
pub(in crate::http) async fn move_below(call: &Call<'_>) -> Result<Reply, ApiError> {
    let id = call.account()?.id;
    from_above(call, id)?;
    not_kazoos(call, &stored(call)?)?;
    let data = call.envelope.object()?;
    let to = data.get("to").ok_or_else(|| ApiError::missing("to"))?;
    let text = to.as_str().unwrap_or_default();
    let target = text.parse().map_err(|_| {
        let details = json!({"message": "to must be an account's id of 32 hex digits", "value": to});
        ApiError::field("to", "pattern", &details)
    })?;
    let target = call.api.state.account(target).ok_or_else(|| ApiError::unknown(text))?;
    if !call.covers(target.id) {
        return Err(ApiError::forbidden());
    }
    let stored = call.api.state.move_account(id, target.id).await?;
    Ok(Reply::ok(public_account(call, &stored)).revision_of(&stored))
}

/// `DELETE …/accounts/{A}`: deletes the account with its hooks, keys and users. Refused while it has child accounts.
pub(in crate::http) async fn delete(call: &Call<'_>) -> Result<Reply, ApiError> {
    let id = call.account()?.id;
    from_above(call, id)?;
    let before = stored(call)?;
    not_kazoos(call, &before)?;
    let out = public_account(call, &before);
    let stored = call.api.state.delete_account(id).await?;
    Ok(Reply::deleted(out).revision_of(&stored))
}

/// Refuses to change an account that a KAZOO decides on.
fn not_kazoos(call: &Call<'_>, stored: &Document) -> Result<(), ApiError> {
    let is_kazoos = call.api.options.kazoo_owns.accounts && is_mirrored(stored);
    if is_kazoos { Err(ApiError::kazoos("account")) } else { Ok(()) }
}

fn from_above(call: &Call<'_>, id: AccountId) -> Result<(), ApiError> {
    if call.caller.is_some_and(|caller| caller.account != id) { Ok(()) } else { Err(ApiError::forbidden()) }
}
