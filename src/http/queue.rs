//! `GET …/webhooks/{H}/queue`: what a hook still has to get, and what keeps it.

use serde_json::{Value, json};

use super::call::Call;
use super::errors::ApiError;
use super::reply::Reply;
use crate::model::{QueueState, QueueStatus, gregorian_seconds};

pub(super) async fn read(call: &Call<'_>, hook: &str) -> Result<Reply, ApiError> {
    let (hook, _) = call.hook(hook)?;
    // A hook that was made this moment has a queue in the next.
    let status = call.api.queues.status(hook).await;
    let status = status.unwrap_or_else(|| empty(call, hook));
    Ok(Reply::ok(shown(&status)))
}

fn empty(call: &Call<'_>, hook: crate::model::HookId) -> QueueStatus {
    let (end, compiled) = (call.api.events.end(), call.api.state.hook(hook));
    let (enabled, paused) = compiled.map_or((false, false), |hook| (hook.enabled, hook.paused));
    QueueStatus {
        state: match (enabled, paused) {
            (false, _) => QueueState::Disabled,
            (true, true) => QueueState::Paused,
            (true, false) => QueueState::Idle,
        },
        paused,
        cursor: end,
        log_end: end,
        waiting: 0,
        waiting_exact: true,
        in_flight: 0,
        dead: 0,
        recent_failures: 0,
        oldest_waiting_age_ms: None,
        next_try_at_us: None,
        disable_reason: None,
        gap: None,
    }
}

fn shown(status: &QueueStatus) -> Value {
    json!({
        "state": status.state, "paused": status.paused, "cursor": status.cursor, "log_end": status.log_end,
        "waiting": status.waiting, "waiting_exact": status.waiting_exact, "in_flight": status.in_flight,
        "dead": status.dead, "recent_failures": status.recent_failures,
        "oldest_waiting_age_ms": status.oldest_waiting_age_ms,
        "next_try_at": status.next_try_at_us.map(moment), "disable_reason": status.disable_reason,
        "gap": status.gap,
    })
}

/// A moment as the API shows it: Gregorian seconds.
pub(super) fn moment(unix_us: u64) -> u64 {
    gregorian_seconds(unix_us)
}
