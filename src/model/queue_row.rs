//! A queue as the API and websocket clients see it.

use serde_json::{Map, Value, json};

use super::{LastAttempt, Pulse, QueueStatus, gregorian_seconds};

/// The members of a queue's state; times are Gregorian seconds, ages milliseconds.
#[must_use]
pub fn queue_row(status: &QueueStatus, pulse: Option<&Pulse>) -> Map<String, Value> {
    let row = json!({
        "state": status.state, "status": status.standing(pulse), "paused": status.paused,
        "cursor": status.cursor, "log_end": status.log_end, "waiting": status.waiting,
        "waiting_exact": status.waiting_exact, "in_flight": status.in_flight, "dead": status.dead,
        "recent_failures": status.recent_failures, "oldest_waiting_age_ms": status.oldest_waiting_age_ms,
        "next_try_at": status.next_try_at_us.map(gregorian_seconds), "disable_reason": status.disable_reason,
        "gap": status.gap, "last_attempt": pulse.map(|pulse| last_attempt_row(&pulse.last)),
        "rate_per_min": pulse.map_or(0, |pulse| pulse.per_minute),
        "failed_per_min": pulse.map_or(0, |pulse| pulse.failed_per_minute),
    });
    if let Value::Object(row) = row { row } else { Map::new() }
}

/// The last attempt of a queue.
#[must_use]
pub fn last_attempt_row(last: &LastAttempt) -> Value {
    json!({
        "at": gregorian_seconds(last.ended_us), "at_ms": last.ended_us / 1000, "delivered": last.delivered,
        "status": last.status, "client_error": last.client_error, "duration_ms": last.duration_us / 1000,
    })
}
