//! `POST …/webhooks/{H}/pause` and `…/resume`: pauses a hook without disabling it. Nothing is attempted, all events
//! are kept, and the fields that KAZOO's clients write do not change.

use serde_json::{Map, Value};

use super::call::Call;
use super::errors::ApiError;
use super::reply::Reply;
use crate::kazoo;
use crate::state::Kind;

/// `POST …/webhooks/{H}/probe`: probes a hook now that was disabled because of failures; 409 for any other hook.
pub(super) async fn probe(call: &Call<'_>, hook: &str) -> Result<Reply, ApiError> {
    let (hook, stored) = call.hook(hook)?;
    if !call.api.queues.probe(hook).await {
        return Err(ApiError::nothing_to_probe());
    }
    Ok(Reply::ok(kazoo::public_document(&stored)).revision_of(&stored))
}

/// Pauses or resumes a hook. Durable when this returns. Attempts under way are finished.
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
