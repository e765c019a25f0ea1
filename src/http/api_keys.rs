//! API keys of an account: made, and shown once; afterwards only their last digits are known.

use serde_json::{Value, json};

use super::call::Call;
use super::errors::ApiError;
use super::list::List;
use super::reply::Reply;
use crate::kazoo;
use crate::state::{Kind, new_api_key, owner, random_id};

/// `PUT …/api_keys`
pub(super) async fn create(call: &Call<'_>) -> Result<Reply, ApiError> {
    let account = call.account()?;
    let data = call.envelope.object()?;
    let name = match data.get("name") {
        None | Some(Value::Null) => None,
        Some(Value::String(name)) => Some(name.as_str()),
        Some(other) => {
            let message = "Value did not match type(s): string";
            let details = json!({"message": message, "target": "string", "value": other});
            return Err(ApiError::field("name", "type", &details));
        }
    };
    let id = random_id().to_string();
    let (key, write) = new_api_key(&id, account.id, name);
    let written = call.api.state.write(vec![write]).await?;
    let stored = written.into_iter().next().unwrap_or_default();
    let mut shown = kazoo::public_document(&stored);
    shown.insert("api_key".into(), key.into());
    Ok(Reply::created(shown, call.location(&id)).revision_of(&stored))
}

/// `GET …/api_keys`
pub(super) async fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let account = call.account()?;
    let keys = call.api.state.all(Kind::Key)?;
    let rows = keys.iter().filter(|doc| owner(doc) == Some(account.id)).map(|doc| {
        let id = doc.get("_id").and_then(Value::as_str).unwrap_or_default();
        (id.to_owned(), Value::Object(kazoo::public_document(doc)))
    });
    List::of(call)?.rows(rows.collect()).await
}
