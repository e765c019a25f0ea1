//! The state of the program for `/admin/status` and `/admin/overview`.

use serde_json::{Map, Value, json};

use super::call::Call;
use super::errors::ApiError;
use super::health;
use super::operator::{BrokerSeen, LogStatus, Status};
use super::reply::Reply;
use crate::amqp::BrokerStatus;
use crate::model::{QueueState, gregorian_seconds};
use crate::queues::{Survey, UnknownCounts};

/// `GET /admin/status`
pub(super) async fn read(call: &Call<'_>) -> Result<Reply, ApiError> {
    let readiness = health::readiness(call.api).await;
    let survey = survey(call).await?;
    let mut out = program(call).await;
    let queues = shown_queues(&survey);
    for (name, value) in [
        ("ready", readiness.faults.is_empty().into()),
        ("faults", json!(readiness.faults)),
        ("notices", json!(readiness.notices)),
        ("queues", queues),
    ] {
        out.insert(name.to_owned(), value);
    }
    Ok(Reply::ok(out))
}

/// The state of the program without its health and queues.
pub(super) async fn program(call: &Call<'_>) -> Map<String, Value> {
    let api = call.api;
    let Status { started_us, logs, data_dir, free_bytes, brokers, unknown, sync } =
        api.operator.status().await;
    let logs: Map<_, _> = logs.iter().map(|log| (log.name.to_owned(), shown_log(log))).collect();
    let mode = api.operator.mode().await.mode.id();
    let fields = [
        ("version", env!("CARGO_PKG_VERSION").into()),
        ("node", api.node.clone().into()),
        ("started", gregorian_seconds(started_us).into()),
        ("uptime_s", (api.clock.now_us().saturating_sub(started_us) / 1_000_000).into()),
        ("mode", mode.into()),
        ("accounts", api.state.accounts().len().into()),
        ("logs", logs.into()),
        ("disk", json!({"data_dir": data_dir, "free_bytes": free_bytes})),
        ("broker", shown_broker(brokers.first().map_or(&BrokerStatus::Disabled, |seen| &seen.status))),
        ("brokers", brokers.iter().map(shown_seen).collect::<Vec<_>>().into()),
        ("unknown_accounts", shown_unknown(&unknown)),
        ("kazoo_sync", json!(sync)),
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// The state of all queues; 503 when the engine does not answer.
pub(super) async fn survey(call: &Call<'_>) -> Result<Survey, ApiError> {
    call.api.operator.survey().await.map_err(|reason| ApiError::unavailable(&reason))
}

fn shown_log(log: &LogStatus) -> Value {
    let stats = &log.stats;
    json!({
        "first_offset": stats.first, "end_offset": stats.end, "segments": stats.segments,
        "bytes": stats.bytes, "full": stats.health.full, "failure": stats.health.poisoned,
        "damage": stats.health.damage.iter().map(ToString::to_string).collect::<Vec<_>>(),
    })
}

fn shown_seen(seen: &BrokerSeen) -> Value {
    let mut shown = json!({"zone": seen.zone, "broker": seen.broker});
    if let (Some(shown), Value::Object(status)) = (shown.as_object_mut(), shown_broker(&seen.status)) {
        shown.extend(status);
    }
    shown
}

fn shown_broker(broker: &BrokerStatus) -> Value {
    match broker {
        BrokerStatus::Disabled => json!({"state": "disabled"}),
        BrokerStatus::Connecting { since_us, last_error } => {
            json!({"state": "connecting", "since": gregorian_seconds(*since_us), "last_error": last_error})
        }
        BrokerStatus::Connected { since_us, queue } => json!({
            "state": "connected",
            "since": gregorian_seconds(*since_us),
            "queue_waiting": queue.waiting,
            "queue_waiting_since": queue.waiting_since_us.map(gregorian_seconds),
            "event_age_ms": queue.event_age_ms,
            "queue_fault": queue.fault,
            "queue_notices": queue.notices,
        }),
    }
}

fn shown_unknown(unknown: &UnknownCounts) -> Value {
    let (at, account) = unknown.last_given_up.unzip();
    json!({
        "accounts": unknown.accounts, "events_waiting": unknown.waiting, "bytes_waiting": unknown.bytes,
        "routed": unknown.routed, "given_up": unknown.given_up(), "expired": unknown.expired,
        "no_room": unknown.no_room, "gone": unknown.gone,
        "last_given_up": at.map(|at| gregorian_seconds(at.micros())), "last_given_up_account_id": account,
    })
}

fn shown_queues(survey: &Survey) -> Value {
    let hooks = QueueState::ALL.map(|state| (state.id().to_owned(), survey.in_state(state).into()));
    json!({
        "hooks": Map::from_iter(hooks),
        "in_flight": survey.in_flight,
        "waiting": survey.waiting(),
        "oldest_waiting_age_ms": survey.oldest_age_ms(),
        "routed_offset": survey.routed,
        "replays_running": survey.replays.len(),
    })
}
