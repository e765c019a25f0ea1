//! Accounts: created below an account, read, listed.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::call::{Call, signature};
use super::errors::ApiError;
use super::list::{Item, List, Rows};
use super::reply::Reply;
use crate::kazoo;
use crate::model::{Account, Id};
use crate::state::{Expect, Kind, Write, random_id};

/// `PUT /v2/accounts/{parent}` and `PUT /v2/accounts`: a child. An `id` may be given, since a mirror of
/// another system has to keep its ids.
pub(super) async fn create(call: &Call<'_>) -> Result<Reply, ApiError> {
    let parent = call.account()?;
    let mut data = call.envelope.object()?;
    let id = take_id(&mut data)?;
    check(call, &data)?;
    let is_reseller = data.shift_remove("is_reseller").and_then(|v| v.as_bool()).unwrap_or(false);
    data.retain(|key, value| !is_private(key) && !value.is_null());
    let tree: Vec<_> = parent.tree.iter().chain([&parent.id]).map(Id::to_string).collect();
    data.extend(signature(call, id));
    data.insert("pvt_tree".into(), tree.into());
    data.insert("pvt_reseller".into(), is_reseller.into());
    data.insert("pvt_enabled".into(), true.into());
    let write = Write { kind: Kind::Account, id: id.to_string(), doc: Some(data), expect: Expect::Absent };
    let written = call.api.state.write(vec![write]).await?;
    let stored = written.into_iter().next().unwrap_or_default();
    let location = format!("/v2/accounts/{id}");
    Ok(Reply::created(shown(call, &stored), location).revision_of(&stored))
}

/// `GET /v2/accounts/{A}`
pub(super) fn read(call: &Call<'_>) -> Result<Reply, ApiError> {
    let id = call.account()?.id.to_string();
    let stored = call.api.state.get(Kind::Account, &id)?.ok_or_else(|| ApiError::unknown(&id))?;
    Ok(Reply::ok(shown(call, &stored)).revision_of(&stored))
}

/// `GET …/children`
pub(super) async fn children(call: &Call<'_>) -> Result<Reply, ApiError> {
    list(call, call.api.state.children(call.account()?.id)).await
}

/// `GET …/descendants`
pub(super) async fn descendants(call: &Call<'_>) -> Result<Reply, ApiError> {
    list(call, call.api.state.descendants(call.account()?.id)).await
}

async fn list(call: &Call<'_>, accounts: Vec<Arc<Account>>) -> Result<Reply, ApiError> {
    let key = |account: &Account| format!("{}\u{0}{}", account.name, account.id);
    let accounts = accounts.into_iter().map(|account| (key(&account), account)).collect();
    List::of(call)?.answer(Rows::new(accounts, summary)).await
}

fn summary(account: &Arc<Account>) -> Item {
    let mut row = Map::new();
    row.insert("id".into(), account.id.to_string().into());
    row.insert("name".into(), account.name.clone().into());
    if let Some(realm) = &account.realm {
        row.insert("realm".into(), realm.clone().into());
    }
    row.insert("tree".into(), account.tree.iter().map(Id::to_string).collect::<Vec<_>>().into());
    Item::from(Value::Object(row))
}

fn shown(call: &Call<'_>, stored: &Map<String, Value>) -> Map<String, Value> {
    let state = &call.api.state;
    let mut out = kazoo::public_document(stored);
    let id = stored.get("_id").and_then(Value::as_str).and_then(|id| id.parse::<Id>().ok());
    let flag = |field: &str| stored.get(field).and_then(Value::as_bool).unwrap_or(false);
    out.insert("enabled".into(), flag("pvt_enabled").into());
    out.insert("is_reseller".into(), flag("pvt_reseller").into());
    out.insert("superduper_admin".into(), flag("pvt_superduper_admin").into());
    if let Some(created) = stored.get("pvt_created") {
        out.insert("created".into(), created.clone());
    }
    if let Some(id) = id {
        let reseller = state.reseller_of(id).unwrap_or(id);
        out.insert("reseller_id".into(), reseller.to_string().into());
    }
    out
}

/// The id a client chose, taken out of the data, or a new one.
pub(super) fn take_id(data: &mut Map<String, Value>) -> Result<Id, ApiError> {
    match data.shift_remove("id") {
        None | Some(Value::Null) => Ok(random_id()),
        Some(given) => given.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
            let details = json!({"message": "id must be 32 hex digits", "value": given});
            ApiError::field("id", "pattern", &details)
        }),
    }
}

/// Fields that only the program writes.
pub(super) fn is_private(key: &str) -> bool {
    key.starts_with('_') || key.starts_with("pvt_")
}

fn check(call: &Call<'_>, data: &Map<String, Value>) -> Result<(), ApiError> {
    let mut errors = Map::new();
    let mut note = |field: &str, rule: &str, details: Value| {
        errors.insert(field.to_owned(), json!({rule: details}));
    };
    let wrong = |kind: &str, value: &Value| {
        let message = format!("Value did not match type(s): {kind}");
        json!({"message": message, "target": kind, "value": value})
    };
    match data.get("name") {
        None | Some(Value::Null) => {
            note("name", "required", json!({"message": "Field is required but missing", "value": "name"}));
        }
        Some(Value::String(name)) if name.is_empty() => {
            note(
                "name",
                "minLength",
                json!({"message": "String must be at least 1 characters", "target": 1}),
            );
        }
        Some(Value::String(name)) if name.chars().count() > 128 => {
            let message = "String must not be more than 128 characters";
            note("name", "maxLength", json!({"message": message, "target": 128}));
        }
        Some(Value::String(_)) => {}
        Some(other) => note("name", "type", wrong("string", other)),
    }
    match data.get("realm") {
        Some(Value::String(realm)) if is_taken(call, realm) => {
            note("realm", "unique", json!({"message": "account realm is already in use", "cause": realm}));
        }
        None | Some(Value::Null | Value::String(_)) => {}
        Some(other) => note("realm", "type", wrong("string", other)),
    }
    match data.get("is_reseller") {
        None | Some(Value::Null | Value::Bool(_)) => {}
        Some(other) => note("is_reseller", "type", wrong("boolean", other)),
    }
    if errors.is_empty() { Ok(()) } else { Err(ApiError::fields(errors)) }
}

fn is_taken(call: &Call<'_>, realm: &str) -> bool {
    let accounts = call.api.state.accounts();
    accounts.iter().any(|a| a.realm.as_deref().is_some_and(|r| r.eq_ignore_ascii_case(realm)))
}
