//! `GET /v2/webhooks`: the events that hooks can receive. Needs no token.

use serde_json::Value;

use super::call::Call;
use super::errors::ApiError;
use super::list::List;
use super::reply::Reply;
use crate::kazoo;

pub(super) async fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let rows = kazoo::definitions(call.is_master());
    let key = |row: &Value| row.get("name").and_then(Value::as_str).unwrap_or_default().to_owned();
    let rows = rows.into_iter().map(|row| (key(&row), row)).collect();
    List::of(call)?.rows(rows).await
}
