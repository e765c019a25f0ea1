//! Accounts: creating, reading, listing, changing, moving and deleting.

mod changes;
mod document;

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::call::{Call, signature};
use super::errors::ApiError;
use super::list::{Item, List, Rows};
use super::reply::Reply;
use crate::kazoo;
use crate::model::{Account, AccountId, DocumentId};
use crate::state::{Expect, Kind, State, random_id};

pub(super) use changes::{delete, merge, move_below, replace};

/// `PUT /v2/accounts/{parent}` and `PUT /v2/accounts`: creates a child account. The master account may choose the
/// `id`, so that it can mirror another system. The id of a deleted account may be used again: the new account has the
/// events of the old one, but not its hooks, users and keys.
pub(super) async fn create(call: &Call<'_>) -> Result<Reply, ApiError> {
    let parent = call.account()?.id;
    let mut data = call.envelope.object()?;
    let id = take_id(call, &mut data)?.as_account();
    let mut doc = document::created(&data)?;
    doc.extend(signature(call, id));
    let stored = if call.is_master() {
        call.api.state.add_account_again(id, parent, doc).await?
    } else {
        call.api.state.add_account(id, parent, doc).await?
    };
    let location = format!("/v2/accounts/{id}");
    Ok(Reply::created(public_account(call, &stored), location).revision_of(&stored))
}

/// `GET /v2/accounts/{A}`
pub(super) fn read(call: &Call<'_>) -> Result<Reply, ApiError> {
    let stored = stored(call)?;
    Ok(Reply::ok(public_account(call, &stored)).revision_of(&stored))
}

/// `GET …/children`
pub(super) async fn children(call: &Call<'_>) -> Result<Reply, ApiError> {
    let id = call.account()?.id;
    beside(call, call.api.state.children(id), id).await
}

/// `GET …/descendants`
pub(super) async fn descendants(call: &Call<'_>) -> Result<Reply, ApiError> {
    list(call, call.api.state.descendants(call.account()?.id)).await
}

/// `GET …/siblings`: the accounts with the same parent, including this one, as far as the caller may see them.
pub(super) async fn siblings(call: &Call<'_>) -> Result<Reply, ApiError> {
    let account = call.account()?;
    let parent = account.tree.last().filter(|parent| call.covers(**parent));
    match parent {
        Some(parent) => beside(call, call.api.state.children(*parent), *parent).await,
        None => beside(call, vec![Arc::clone(account)], account.id).await,
    }
}

/// A list of accounts that are `top` itself or below it. As in KAZOO, each row has the number of the account's
/// descendants.
async fn beside(call: &Call<'_>, accounts: Vec<Arc<Account>>, top: AccountId) -> Result<Reply, ApiError> {
    let mut below: HashMap<AccountId, usize> = HashMap::new();
    for account in call.api.state.descendants(top) {
        for above in &account.tree {
            *below.entry(*above).or_default() += 1;
        }
    }
    let item = summary_in(&call.api.state);
    let rows = keyed(found(call, accounts));
    let counted = move |account: &Arc<Account>| {
        let count = below.get(&account.id).copied().unwrap_or_default();
        item(account).with("descendants_count", count.into())
    };
    List::of(call)?.answer(Rows::new(rows, counted)).await
}

/// `GET …/tree`: the accounts above, from the caller's account down.
pub(super) async fn tree(call: &Call<'_>) -> Result<Reply, ApiError> {
    let state = &call.api.state;
    let above = call.account()?.tree.iter().filter(|id| call.covers(**id));
    let rows = above.filter_map(|id| state.account(*id)).enumerate();
    // Lists are in falling order of their keys, so the root gets the largest key.
    let rows = rows.map(|(depth, account)| (format!("{:08}", u32::MAX as usize - depth), account)).collect();
    List::of(call)?.answer(Rows::new(rows, summary_in(&call.api.state))).await
}

async fn list(call: &Call<'_>, accounts: Vec<Arc<Account>>) -> Result<Reply, ApiError> {
    List::of(call)?.answer(Rows::new(keyed(found(call, accounts)), summary_in(&call.api.state))).await
}

/// The accounts with the text of `search` in their name, realm or id; without it, all.
fn found(call: &Call<'_>, mut accounts: Vec<Arc<Account>>) -> Vec<Arc<Account>> {
    let text = call.request.query("search").map(|text| text.trim().to_lowercase());
    if let Some(text) = text.filter(|text| !text.is_empty()) {
        accounts.retain(|account| {
            account.name.to_lowercase().contains(&text)
                || account.realm.as_ref().is_some_and(|realm| realm.to_lowercase().contains(&text))
                || account.id.to_string().contains(&text)
        });
    }
    accounts
}

/// Orders accounts by name, whatever the case of its letters.
fn keyed(accounts: Vec<Arc<Account>>) -> Vec<(String, Arc<Account>)> {
    let key = |account: &Account| format!("{}\u{0}{}", account.name.to_lowercase(), account.id);
    accounts.into_iter().map(|account| (key(&account), account)).collect()
}

/// The row of an account. Filters see its document too.
fn summary_in(state: &State) -> impl Fn(&Arc<Account>) -> Item + use<> {
    let state = state.clone();
    move |account| {
        // An account that was just deleted may have no document.
        let stored = state.get(Kind::Account, &account.id.to_string()).ok().flatten();
        let stored = stored.unwrap_or_default();
        let mut row = summary(account);
        let flags = stored.get("flags").filter(|flags| flags.is_array()).cloned();
        row.insert("flags".into(), flags.unwrap_or_else(|| json!([])));
        Item::of(stored, Value::Object(row))
    }
}

fn summary(account: &Account) -> Map<String, Value> {
    let mut row = Map::new();
    row.insert("id".into(), account.id.to_string().into());
    row.insert("name".into(), account.name.clone().into());
    if let Some(realm) = &account.realm {
        row.insert("realm".into(), realm.clone().into());
    }
    row.insert("enabled".into(), account.enabled.into());
    row.insert("tree".into(), account.tree.iter().map(AccountId::to_string).collect::<Vec<_>>().into());
    row
}

fn stored(call: &Call<'_>) -> Result<Map<String, Value>, ApiError> {
    let id = call.account()?.id.to_string();
    call.api.state.get(Kind::Account, &id)?.ok_or_else(|| ApiError::unknown(&id))
}

fn public_account(call: &Call<'_>, stored: &Map<String, Value>) -> Map<String, Value> {
    let state = &call.api.state;
    let mut out = kazoo::public_document(stored);
    let id = stored.get("_id").and_then(Value::as_str).and_then(|id| id.parse::<AccountId>().ok());
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

/// Takes the id out of the data, or draws a new one. Only the master account may choose an id, because a chosen id
/// could collide with one of another account. The write must use the condition `expected`.
pub(super) fn take_id(call: &Call<'_>, data: &mut Map<String, Value>) -> Result<DocumentId, ApiError> {
    match data.shift_remove("id") {
        None | Some(Value::Null) => Ok(random_id()),
        Some(_) if !call.is_master() => {
            let message = "only the master account may choose an id; send the request without 'id'";
            Err(ApiError::field("id", "forbidden", &json!({"message": message})))
        }
        Some(given) => given.as_str().and_then(|text| text.parse().ok()).ok_or_else(|| {
            let details = json!({"message": "id must be 32 hex digits", "value": given});
            ApiError::field("id", "pattern", &details)
        }),
    }
}

/// The condition for writing a new document: an id that may have been chosen must not collide with any other.
pub(super) fn expected(call: &Call<'_>) -> Expect {
    if call.is_master() { Expect::Free } else { Expect::Absent }
}
