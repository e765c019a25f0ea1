//! `webhooks/samples`: examples of what a hook of each family receives. Needs no token
//! (`docs/kazoo/webhooks.md#definitions-and-samples`).

use serde_json::Value;

use super::call::Call;
use super::errors::ApiError;
use super::list::List;
use super::reply::{Page, Reply};
use crate::kazoo;
use crate::model::Family;

/// The prefix of samples' ids; the family's id follows.
const PREFIX: &str = "webhooks_";

/// `GET …/webhooks/samples`: the ids in order.
pub(super) fn list() -> Reply {
    let mut ids: Vec<_> = Family::ALL.iter().map(|family| format!("{PREFIX}{}", family.id())).collect();
    ids.sort_unstable();
    Reply::ok(ids)
}

/// `GET …/webhooks/samples/{id}`: the payloads that pass the filters.
pub(super) fn read(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    let family = id.strip_prefix(PREFIX).and_then(Family::from_id);
    let family = family.ok_or_else(|| ApiError::unknown_name(id))?;
    let samples = kazoo::samples(family).into_iter().map(Value::Object).collect();
    let rows = List::of(call)?.filtered(samples);
    let page = Page { size: rows.len(), ..Page::default() };
    Ok(Reply { page: Some(page), ..Reply::ok(rows) })
}
