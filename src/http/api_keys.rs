//! API keys of an account: creating, reading, rotating and revoking. The text of a key is shown only when it is made.
//! Rotating or revoking a key ends the tokens that were issued for it.

use serde_json::{Map, Value};

use super::call::Call;
use super::errors::ApiError;
use super::fields::Fields;
use super::list::List;
use super::reply::Reply;
use crate::kazoo;
use crate::state::{Expect, Kind, Write, new_api_key, owner, random_id};

type Document = Map<String, Value>;

/// `PUT …/api_keys`
pub(super) async fn create(call: &Call<'_>) -> Result<Reply, ApiError> {
    let account = call.account()?;
    let data = call.envelope.object()?;
    let mut fields = Fields::of(&data);
    let name = fields.text("name", 1, 128);
    fields.finish()?;
    let id = random_id().to_string();
    let (key, write) = new_api_key(&id, account.id, name);
    let stored = put(call, write).await?;
    Ok(Reply::created(with_text(&stored, key), call.location(&id)).revision_of(&stored))
}

/// `GET …/api_keys`
pub(super) async fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let keys = call.api.state.owned(Kind::Key, call.account()?.id)?;
    let rows = keys.into_iter().map(|doc| {
        let row = kazoo::public_document(&doc).into();
        (doc, row)
    });
    List::of(call)?.documents(rows.collect()).await
}

/// `GET …/api_keys/{K}`
pub(super) fn read(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    let stored = find(call, id)?;
    Ok(Reply::ok(kazoo::public_document(&stored)).revision_of(&stored))
}

/// `POST …/api_keys/{K}/rotate`: replaces the text of the key. The old text is no longer valid.
pub(super) async fn rotate(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    let before = find(call, id)?;
    let name = Some(text(&before, "name")).filter(|name| !name.is_empty());
    let (key, write) = new_api_key(id, call.account()?.id, name);
    let write = Write { expect: Expect::Rev(text(&before, "_rev").to_owned()), ..write };
    let stored = put(call, write).await?;
    Ok(Reply::ok(with_text(&stored, key)).revision_of(&stored))
}

/// `DELETE …/api_keys/{K}`: removes the key.
pub(super) async fn delete(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    let stored = find(call, id)?;
    let write = Write { kind: Kind::Key, id: id.to_owned(), doc: None, expect: Expect::Any };
    call.api.state.write(vec![write]).await?;
    Ok(Reply::deleted(kazoo::public_document(&stored)).revision_of(&stored))
}

fn find(call: &Call<'_>, id: &str) -> Result<Document, ApiError> {
    let unknown = || ApiError::unknown(id);
    let doc = call.api.state.get(Kind::Key, id)?.ok_or_else(unknown)?;
    if owner(&doc) == Some(call.account()?.id) { Ok(doc) } else { Err(unknown()) }
}

async fn put(call: &Call<'_>, write: Write) -> Result<Document, ApiError> {
    Ok(call.api.state.write(vec![write]).await?.into_iter().next().unwrap_or_default())
}

fn with_text(stored: &Document, key: String) -> Document {
    let mut shown = kazoo::public_document(stored);
    shown.insert("api_key".into(), key.into());
    shown
}

fn text<'a>(doc: &'a Document, field: &str) -> &'a str {
    doc.get(field).and_then(Value::as_str).unwrap_or_default()
}
