//! `POST …/quarantine/{id}`: releases a quarantined event: it is handed in again, as received or as the request has
//! it. A second release does nothing and gets the response of the first.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde_json::{Map, Value};

use super::call::Call;
use super::errors::ApiError;
use super::events::{answer_of, check};
use super::ports::{NewEvent, RequestKey};
use super::reply::Reply;
use super::search::{quarantined_row, quarantined_row_of};
use crate::kazoo;

/// `POST …/quarantine/{id}`: releases an event that names the account.
pub(super) async fn release_of(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    let row = quarantined_row_of(call, id).await?;
    release(call, id, &row.document).await
}

/// `POST /v2/quarantine/{id}`: releases any event, for the master account.
pub(super) async fn release_any(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    let row = quarantined_row(call, id).await?;
    release(call, id, &row.document).await
}

async fn release(call: &Call<'_>, id: &str, stored: &Map<String, Value>) -> Result<Reply, ApiError> {
    let account = match call.account() {
        Ok(account) => account.id,
        Err(_) => call.caller.map(|caller| caller.account).ok_or_else(ApiError::forbidden)?,
    };
    let given = call.envelope.object()?;
    let body = if given.is_empty() { as_it_came(stored) } else { Value::Object(given).to_string().into() };
    check(call, account, 0, &body)?;
    let event = NewEvent { account, body, trace: None };
    let key = RequestKey { account, key: format!("quarantine:{id}") };
    Ok(answer_of(&call.api.events.submit(vec![event], Some(key)).await?))
}

fn as_it_came(stored: &Map<String, Value>) -> Bytes {
    let text = |name: &str| stored.get(name).and_then(Value::as_str);
    let encoded = text("body_base64").and_then(|encoded| STANDARD.decode(encoded).ok());
    let bytes = encoded.or_else(|| Some(text("body")?.as_bytes().to_vec())).unwrap_or_default();
    kazoo::gunzip(&bytes, kazoo::MAX_BODY_BYTES).unwrap_or(bytes).into()
}
