//! `POST …/webhooks/{H}/pause` and `…/resume`: a hook is held back without being disabled. Nothing of it is
//! attempted, everything is kept, and the fields that KAZOO's clients write are not touched.

use serde_json::{Map, Value};

use super::call::Call;
use super::errors::ApiError;
use super::reply::Reply;
use crate::kazoo;
use crate::state::Kind;

/// `POST …/webhooks/{H}/probe`: the probe of a hook that failures disabled is made now; 409 for any other hook.
pub(super) async fn probe(call: &Call<'_>, hook: &str) -> Result<Reply, ApiError> {
    let (hook, stored) = call.hook(hook)?;
    if !call.api.queues.probe(hook).await {
        return Err(ApiError::nothing_to_probe());
    }
    Ok(Reply::ok(kazoo::public_document(&stored)).revision_of(&stored))
}

/// Durable when this answers; attempts under way come to their end.
pub(super) async fn set(call: &Call<'_>, hook: &str, paused: bool) -> Result<Reply, ApiError> {
    let (hook, _) = call.hook(hook)?;
    let mark = move |doc: &mut Map<String, Value>| {
        if paused {
            doc.insert("pvt_paused".into(), true.into());
        } else {
            doc.shift_remove("pvt_paused");
        }
    };
    let stored = call.api.state.update(Kind::Hook, &hook.to_string(), mark).await?;
    Ok(Reply::ok(kazoo::public_document(&stored)).revision_of(&stored))
}
