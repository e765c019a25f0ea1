//! Users of an account, who log in with `user_auth`. A password is accepted and never shown.

use serde_json::{Map, Value, json};

use super::accounts::{expected, take_id};
use super::call::{Call, signature};
use super::errors::ApiError;
use super::fields::{Fields, is_private};
use super::list::List;
use super::reply::Reply;
use crate::auth::Role;
use crate::kazoo;
use crate::state::{Expect, Kind, Write, is_deleted, owner, random_id};

type Document = Map<String, Value>;

/// The fields of a user in a list.
const SUMMARY: [&str; 7] = ["id", "username", "first_name", "last_name", "email", "priv_level", "enabled"];
/// Fields that only an admin may change.
const DECIDED: [&str; 2] = ["priv_level", "enabled"];
/// The stored hashes of a password, and its stamp.
const SECRETS: [&str; 3] = ["pvt_md5_auth", "pvt_sha1_auth", "pvt_stamp"];

/// How a request changes the stored document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum How {
    Replace,
    Merge,
}

/// `GET …/users`
pub(super) async fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let users = call.api.state.owned(Kind::User, call.account()?.id)?;
    let rows = users.into_iter().map(|doc| {
        let mut row = kazoo::public_document(&doc);
        row.retain(|key, _| SUMMARY.contains(&key.as_str()));
        (doc, Value::Object(row))
    });
    List::of(call)?.documents(rows.collect()).await
}

/// `PUT …/users`
pub(super) async fn create(call: &Call<'_>) -> Result<Reply, ApiError> {
    let mut data = call.envelope.object()?;
    let id = take_id(call, &mut data)?.to_string();
    let stored = put(call, &id, None, &data, How::Replace).await?;
    Ok(Reply::created(kazoo::public_document(&stored), call.location(&id)).revision_of(&stored))
}

/// `GET …/users/{U}`
pub(super) fn read(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    let stored = find(call, id)?;
    Ok(Reply::ok(kazoo::public_document(&stored)).revision_of(&stored))
}

/// `POST …/users/{U}`: replaces all public fields. The password stays unless one is sent.
pub(super) async fn replace(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    change(call, id, How::Replace).await
}

/// `PATCH …/users/{U}`: changes top-level fields; `null` removes one.
pub(super) async fn merge(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    change(call, id, How::Merge).await
}

async fn change(call: &Call<'_>, id: &str, how: How) -> Result<Reply, ApiError> {
    let before = find(call, id)?;
    let stored = put(call, id, Some(&before), &call.envelope.object()?, how).await?;
    Ok(Reply::ok(kazoo::public_document(&stored)).revision_of(&stored))
}

/// `DELETE …/users/{U}`: removes the user and ends their tokens.
pub(super) async fn delete(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    let stored = find(call, id)?;
    let write = Write { kind: Kind::User, id: id.to_owned(), doc: None, expect: Expect::Any };
    call.api.state.write(vec![write]).await?;
    Ok(Reply::deleted(kazoo::public_document(&stored)).revision_of(&stored))
}

async fn put(
    call: &Call<'_>,
    id: &str,
    before: Option<&Document>,
    data: &Document,
    how: How,
) -> Result<Document, ApiError> {
    let account = call.account()?.id;
    let mut doc = Document::new();
    if let (How::Merge, Some(before)) = (how, before) {
        doc.extend(before.clone());
        doc.retain(|key, _| !is_private(key));
    }
    doc.extend(data.iter().filter(|(key, _)| !is_private(key) && *key != "id").map(own));
    doc.retain(|_, value| !value.is_null());
    let enabled = check(&doc, before, how)?;
    doc.entry("priv_level").or_insert("user".into());
    doc.insert("enabled".into(), enabled.into());
    if let Some(before) = before
        && call.caller.is_some_and(|caller| caller.role != Role::Admin)
        && DECIDED.iter().any(|field| doc.get(*field) != before.get(*field))
    {
        return Err(ApiError::forbidden());
    }
    let password = doc.shift_remove("password");
    let kept = before.into_iter().flatten().filter(|(key, _)| SECRETS.contains(&key.as_str()));
    doc.extend(kept.map(own));
    if let Some(password) = password.as_ref().and_then(Value::as_str) {
        let verifiers = call.api.auth.verifiers(account, text(&doc, "username"), password).await?;
        doc.insert("pvt_md5_auth".into(), verifiers.md5.into());
        doc.insert("pvt_sha1_auth".into(), verifiers.sha1.into());
        doc.insert("pvt_stamp".into(), random_id().to_string().into());
    }
    doc.extend(signature(call, account));
    let expect = before.map_or_else(|| expected(call), |before| Expect::Rev(text(before, "_rev").to_owned()));
    let stored = call.api.state.put_user(account, id, doc, expect).await?;
    stored.ok_or_else(|| {
        let details = json!({"message": "another user of the account has this name"});
        ApiError::field("username", "unique", &details)
    })
}

fn own((key, value): (&String, &Value)) -> (String, Value) {
    (key.clone(), value.clone())
}

/// Checks the fields, and returns whether the user is enabled. Both names are required, because KAZOO's clients rely on
/// them; a user who was stored without them can still be changed.
fn check(doc: &Document, before: Option<&Document>, how: How) -> Result<bool, ApiError> {
    let mut fields = Fields::of(doc);
    fields.required(&["username"]);
    for name in ["first_name", "last_name"] {
        let lacked_it = before.is_some_and(|before| !before.contains_key(name));
        if how == How::Replace || !lacked_it {
            fields.required(&[name]);
        }
    }
    fields.text("username", 1, 254);
    for name in ["first_name", "last_name", "email"] {
        fields.text(name, 1, 254);
    }
    fields.text("password", 8, 256);
    fields.one_of("priv_level", &["admin", "user"]);
    let enabled = fields.flag("enabled").unwrap_or(true);
    // The stored hashes include the name, so a new name needs the password.
    let same = |before: &Document| text(before, "username").eq_ignore_ascii_case(text(doc, "username"));
    if !before.is_some_and(same) {
        fields.required(&["password"]);
    }
    fields.finish()?;
    Ok(enabled)
}

fn find(call: &Call<'_>, id: &str) -> Result<Document, ApiError> {
    let unknown = || ApiError::unknown(id);
    let doc = call.api.state.get(Kind::User, id)?.ok_or_else(unknown)?;
    if is_deleted(&doc) || owner(&doc) != Some(call.account()?.id) {
        return Err(unknown());
    }
    Ok(doc)
}

fn text<'a>(doc: &'a Document, field: &str) -> &'a str {
    doc.get(field).and_then(Value::as_str).unwrap_or_default()
}
