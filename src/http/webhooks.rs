//! Hooks: listing, creating, reading, replacing, merging, deleting (`docs/kazoo/webhooks.md#hooks-over-the-api`).

use serde_json::{Map, Value};

use super::accounts::{expected, take_id};
use super::call::{Call, signature};
use super::errors::ApiError;
use super::fields::is_private;
use super::hook_document::{merged, replaced, touches_what_is_kazoos};
use super::list::{Ask, Batch, Item, List, Source};
use super::ports::Answer;
use super::reply::Reply;
use crate::kazoo;
use crate::model::AccountId;
use crate::state::{Expect, Kind, State, Write, is_mirrored, starts_from_now};

/// The fields of a hook in a list.
const SUMMARY: [&str; 7] = ["id", "name", "hook", "uri", "enabled", "group", "disable_reason"];

/// How often a change is attempted again after a conflict with another change.
const TRIES: usize = 8;

/// `GET …/webhooks`
pub(super) async fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let hooks = HooksOf { state: call.api.state.clone(), account: call.account()?.id };
    List::of(call)?.answer(hooks).await
}

/// An account's hooks in order of their ids.
struct HooksOf {
    state: State,
    account: AccountId,
}

impl HooksOf {
    fn read(&self, ask: &Ask) -> Result<Batch, ApiError> {
        let from = ask.start()?;
        // One more than requested gives the start of the next batch.
        let mut docs = self.state.hooks_from(self.account, from, ask.ascending, ask.most + 1)?;
        let id =
            |doc: &Map<String, Value>| doc.get("_id").and_then(Value::as_str).unwrap_or_default().to_owned();
        let next = (docs.len() > ask.most).then(|| docs.pop()).flatten().map(|doc| id(&doc));
        Ok(Batch { items: docs.into_iter().map(|doc| (id(&doc), item(doc))).collect(), next })
    }
}

impl Source for HooksOf {
    fn batch(&self, ask: Ask) -> Answer<'_, Result<Batch, ApiError>> {
        Box::pin(std::future::ready(self.read(&ask)))
    }

    fn columns(&self) -> Vec<String> {
        SUMMARY.map(str::to_owned).into()
    }
}

fn item(stored: Map<String, Value>) -> Item {
    let public = kazoo::public_document(&stored);
    let mut row = Map::new();
    for field in SUMMARY {
        let value = public.get(field).cloned().or_else(|| (field == "enabled").then_some(Value::Bool(true)));
        if let Some(value) = value {
            row.insert(field.to_owned(), value);
        }
    }
    Item::of(stored, row.into())
}

/// `PUT …/webhooks`. The hook receives events from now on, and events that waited for its account to become known.
pub(super) async fn create(call: &Call<'_>) -> Result<Reply, ApiError> {
    let account = call.account()?;
    let mut data = call.envelope.object()?;
    data.retain(|key, _| !is_private(key));
    let id = take_id(call, &mut data)?;
    let mut doc = validated(call, &data)?;
    doc.extend(signature(call, account.id));
    doc.insert("pvt_account_db".into(), "webhooks".into());
    let waiting = call.api.queues.first_waiting(account.id);
    // Events of an account may have arrived before the account itself. A hook that is made right after the account
    // gets them too.
    let start = waiting.unwrap_or_else(|| call.api.events.end());
    doc.insert("pvt_start_offset".into(), start.into());
    doc.insert("pvt_birth_events".into(), start.into());
    doc.insert("pvt_birth_late".into(), waiting.is_some().into());
    doc.insert("pvt_birth_ledger".into(), call.api.queues.ledger_end().into());
    let write = Write { kind: Kind::Hook, id: id.to_string(), doc: Some(doc), expect: expected(call) };
    let written = call.api.state.write(vec![write]).await?;
    let stored = written.into_iter().next().unwrap_or_default();
    let location = call.location(&id.to_string());
    Ok(Reply::created(kazoo::public_document(&stored), location).revision_of(&stored))
}

/// `GET …/webhooks/{H}`
pub(super) fn read(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    let (_, stored) = call.hook(id)?;
    Ok(Reply::ok(kazoo::public_document(&stored)).revision_of(&stored))
}

/// `POST …/webhooks/{H}`: replaces all public fields.
pub(super) async fn replace(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    let data = call.envelope.object()?;
    change(call, id, |call, stored| replaced(stored, &data, call.unix_s(), |input| validated(call, input)))
        .await
}

/// `PATCH …/webhooks/{H}`: changes top-level fields; `null` removes one.
pub(super) async fn merge(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    merge_fields(call, id, &call.envelope.object()?).await
}

/// Changes these fields.
pub(super) async fn merge_fields(
    call: &Call<'_>,
    id: &str,
    data: &Map<String, Value>,
) -> Result<Reply, ApiError> {
    change(call, id, |call, stored| merged(stored, data, call.unix_s(), |input| validated(call, input))).await
}

async fn change(
    call: &Call<'_>,
    id: &str,
    new: impl Fn(&Call<'_>, &Map<String, Value>) -> Result<Map<String, Value>, ApiError>,
) -> Result<Reply, ApiError> {
    let account = call.account()?.id;
    // Another writer may be faster. Then the change is made again from the new document, so that neither change is lost.
    for _ in 0..TRIES {
        let (hook, stored) = call.hook(id)?;
        let mut doc = new(call, &stored)?;
        if call.api.options.kazoo_owns.hooks && touches_what_is_kazoos(&stored, &doc) {
            return Err(ApiError::kazoos("hook"));
        }
        doc.extend(signature(call, account));
        if starts_from_now(&stored, &doc) {
            doc.insert("pvt_start_offset".into(), call.api.events.end().into());
        }
        let rev = stored.get("_rev").and_then(Value::as_str).unwrap_or_default().to_owned();
        let write =
            Write { kind: Kind::Hook, id: hook.to_string(), doc: Some(doc), expect: Expect::Rev(rev) };
        match call.api.state.write(vec![write]).await {
            Ok(written) => {
                let stored = written.into_iter().next().unwrap_or_default();
                return Ok(Reply::ok(kazoo::public_document(&stored)).revision_of(&stored));
            }
            Err(error) if error.is_conflict() => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(ApiError::conflict())
}

/// `DELETE …/webhooks/{H}`: the document stays unless `should_soft_delete=false`.
pub(super) async fn delete(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    let (hook, stored) = call.hook(id)?;
    if call.api.options.kazoo_owns.hooks && is_mirrored(&stored) {
        return Err(ApiError::kazoos("hook"));
    }
    let shown = kazoo::public_document(&stored);
    let state = &call.api.state;
    let is_hard = call.parameter("should_soft_delete").is_some_and(|v| v == false || v == "false");
    let revision = if is_hard {
        let write = Write { kind: Kind::Hook, id: hook.to_string(), doc: None, expect: Expect::Any };
        state.write(vec![write]).await?;
        stored
    } else {
        let mark = |doc: &mut Map<String, Value>| drop(doc.insert("pvt_deleted".into(), true.into()));
        state.update(Kind::Hook, &hook.to_string(), mark).await?
    };
    Ok(Reply::deleted(shown).revision_of(&revision))
}

fn validated(call: &Call<'_>, input: &Map<String, Value>) -> Result<Map<String, Value>, ApiError> {
    let rules = kazoo::Rules { allow: &call.api.options.allow_addresses, master: call.is_master() };
    kazoo::validate_hook(input, &rules).map_err(ApiError::fields)
}
