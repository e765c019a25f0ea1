//! `GET …/webhooks/{H}/queue`: what a hook still has to receive, and why it waits.

use serde_json::{Value, json};

use super::call::Call;
use super::errors::ApiError;
use super::reply::Reply;
use crate::model::{Hook, HookId, LastAttempt, Pulse, QueueState, QueueStatus, gregorian_seconds};

pub(super) async fn read(call: &Call<'_>, hook: &str) -> Result<Reply, ApiError> {
    let (hook, _) = call.hook(hook)?;
    // A hook that was just created may have no queue yet.
    let status = call.api.queues.status(hook).await;
    let status = status.unwrap_or_else(|| empty(call, hook));
    let pulse = call.api.queues.pulse(hook);
    let mut row = shown(&status, pulse.as_ref());
    if let Value::Object(row) = &mut row {
        let compiled = call.api.state.hook(hook);
        row.insert("disabled_at".into(), compiled.and_then(|hook| disabled_at(&hook)).into());
    }
    Ok(Reply::ok(row))
}

fn empty(call: &Call<'_>, hook: HookId) -> QueueStatus {
    let compiled = call.api.state.hook(hook);
    let (enabled, paused) = compiled.map_or((false, false), |hook| (hook.enabled, hook.paused));
    nothing(call.api.events.end(), enabled, paused)
}

/// The queue of a hook that has received nothing yet.
pub(super) fn nothing(end: u64, enabled: bool, paused: bool) -> QueueStatus {
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

fn shown(status: &QueueStatus, pulse: Option<&Pulse>) -> Value {
    json!({
        "state": status.state, "status": status.standing(pulse), "paused": status.paused, "cursor": status.cursor, "log_end": status.log_end,
        "waiting": status.waiting, "waiting_exact": status.waiting_exact, "in_flight": status.in_flight,
        "dead": status.dead, "recent_failures": status.recent_failures,
        "oldest_waiting_age_ms": status.oldest_waiting_age_ms,
        "next_try_at": status.next_try_at_us.map(moment), "disable_reason": status.disable_reason,
        "gap": status.gap, "last_attempt": pulse.map(|pulse| last_attempt(&pulse.last)),
        "rate_per_min": pulse.map_or(0, |pulse| pulse.per_minute),
        "failed_per_min": pulse.map_or(0, |pulse| pulse.failed_per_minute),
    })
}

/// The last attempt of a queue.
pub(super) fn last_attempt(last: &LastAttempt) -> Value {
    json!({
        "at": moment(last.ended_us), "at_ms": last.ended_us / 1000, "delivered": last.delivered,
        "status": last.status, "client_error": last.client_error, "duration_ms": last.duration_us / 1000,
    })
}

/// A time in the form of the API: Gregorian seconds.
pub(super) fn moment(unix_us: u64) -> u64 {
    gregorian_seconds(unix_us)
}

/// When the hook was disabled: the time of its last change, as there is no better record.
pub(super) fn disabled_at(hook: &Hook) -> Option<u64> {
    (!hook.enabled && hook.modified_s > 0).then_some(hook.modified_s)
}
