//! `GET …/webhooks/{H}/queue`: what a hook still has to receive, and why it waits.

use super::call::Call;
use super::errors::ApiError;
use super::reply::Reply;
use crate::model::{EventOffset, HookId, QueueState, QueueStatus, gregorian_seconds, queue_row};

pub(super) async fn read(call: &Call<'_>, hook: &str) -> Result<Reply, ApiError> {
    let (hook, _) = call.hook(hook)?;
    // A hook that was just created may have no queue yet.
    let status = call.api.queues.status(hook).await;
    let status = status.unwrap_or_else(|| empty(call, hook));
    let pulse = call.api.queues.pulse(hook);
    let mut row = queue_row(&status, pulse.as_ref());
    let compiled = call.api.state.hook(hook);
    let left = call.api.queues.dead_left(vec![hook]).await?.into_iter().next().flatten();
    // Lists show a number of some time ago rather than none. Here it is asked for again in a moment.
    let left = left.filter(|left| !left.is_behind);
    row.insert("dead_left".into(), left.map(|left| left.count).into());
    row.insert("dead_left_exact".into(), left.is_some_and(|left| left.is_exact).into());
    row.insert("disabled_at".into(), compiled.and_then(|hook| hook.disabled_at_s).into());
    Ok(Reply::ok(row))
}

fn empty(call: &Call<'_>, hook: HookId) -> QueueStatus {
    let compiled = call.api.state.hook(hook);
    let (enabled, paused) = compiled.map_or((false, false), |hook| (hook.enabled, hook.paused));
    nothing(call.api.events.end(), enabled, paused)
}

/// The queue of a hook that has received nothing yet.
pub(super) fn nothing(end: EventOffset, enabled: bool, paused: bool) -> QueueStatus {
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
        had_dead: false,
        recent_failures: 0,
        oldest_waiting_age_ms: None,
        next_try_at_us: None,
        disable_reason: None,
        gap: None,
    }
}

/// A time in the form of the API: Gregorian seconds.
pub(super) fn moment(unix_us: u64) -> u64 {
    gregorian_seconds(unix_us)
}
