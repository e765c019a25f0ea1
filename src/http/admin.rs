//! `/admin/…`: what only the operator sees, with a token of the master account. KAZOO has nothing like it; the
//! envelope is the same.

use serde_json::{Map, Value, json};
use warp::http::Method;

use super::audit;
use super::call::Call;
use super::errors::ApiError;
use super::health;
use super::import;
use super::list::{Item, List, Rows};
use super::mode;
use super::operator::{BrokerSeen, LogStatus, Setting, Status};
use super::overview;
use super::reply::Reply;
use crate::amqp::BrokerStatus;
use crate::log::SegmentRange;
use crate::model::{QueueState, gregorian_seconds};
use crate::queues::{Survey, SurveyedHook, UnknownCounts};
use crate::state::{Kind, State};

/// What a path below `/admin` names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admin {
    /// `status`
    Status,
    /// `overview`
    Overview,
    /// `log`
    Log,
    /// `hooks`
    Hooks,
    /// `retention`
    Retention,
    /// `audit`
    Audit,
    /// `mode`
    Mode,
    /// `import`
    Import,
    /// `config`
    Config,
}

/// Every path below `/admin`.
pub(super) const ROUTES: [(&str, Admin); 9] = [
    ("status", Admin::Status),
    ("overview", Admin::Overview),
    ("log", Admin::Log),
    ("hooks", Admin::Hooks),
    ("retention", Admin::Retention),
    ("audit", Admin::Audit),
    ("mode", Admin::Mode),
    ("import", Admin::Import),
    ("config", Admin::Config),
];

/// What a path below `/admin` names.
pub(super) fn route(rest: &[String]) -> Option<Admin> {
    let [name] = rest else { return None };
    ROUTES.into_iter().find(|(known, _)| known == name).map(|(_, what)| what)
}

impl Admin {
    pub(super) fn methods(self) -> &'static [Method] {
        match self {
            Self::Status | Self::Overview | Self::Log | Self::Hooks | Self::Audit | Self::Config => {
                &[Method::GET]
            }
            Self::Retention => &[Method::POST],
            Self::Mode | Self::Import => &[Method::GET, Method::POST],
        }
    }
}

pub(super) async fn answer(call: &Call<'_>, what: Admin, method: &Method) -> Result<Reply, ApiError> {
    if !call.is_master() {
        return Err(ApiError::forbidden());
    }
    match what {
        Admin::Status => status(call).await,
        Admin::Overview => overview::of_program(call).await,
        Admin::Log => segments(call).await,
        Admin::Hooks => hooks(call).await,
        Admin::Retention => Ok(retain(call).await),
        Admin::Audit => audit::list(call).await,
        Admin::Mode if *method == Method::POST => mode::change(call).await,
        Admin::Mode => mode::read(call).await,
        Admin::Import => import(call, method).await,
        Admin::Config => Ok(configuration(call).await),
    }
}

async fn import(call: &Call<'_>, method: &Method) -> Result<Reply, ApiError> {
    if method == Method::POST { import::change(call).await } else { import::list(call).await }
}

async fn status(call: &Call<'_>) -> Result<Reply, ApiError> {
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

/// The program but for its health and its queues.
pub(super) async fn program(call: &Call<'_>) -> Map<String, Value> {
    let api = call.api;
    let Status { started_us, logs, data_dir, free_bytes, brokers, unknown } = api.operator.status().await;
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
    ];
    fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

async fn survey(call: &Call<'_>) -> Result<Survey, ApiError> {
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
        "last_given_up": at.map(gregorian_seconds), "last_given_up_account_id": account,
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

/// `GET /admin/log?log=events`: the segments of one log, newest first.
async fn segments(call: &Call<'_>) -> Result<Reply, ApiError> {
    let log = call.request.query("log").unwrap_or("events");
    let segments = call.api.operator.segments(log).ok_or_else(|| ApiError::unknown(log))?;
    let rows = segments.iter().map(|segment| (format!("{:020}", segment.first), shown_segment(segment)));
    List::of(call)?.rows(rows.collect()).await
}

fn shown_segment(segment: &SegmentRange) -> Value {
    json!({
        "first_offset": segment.first, "end_offset": segment.end, "bytes": segment.bytes,
        "created": gregorian_seconds(segment.created_us), "closed": segment.closed,
    })
}

/// `GET /admin/hooks`: every hook; failing ones first, and among these and the others the one furthest behind.
async fn hooks(call: &Call<'_>) -> Result<Reply, ApiError> {
    let hooks = survey(call).await?.hooks.into_iter().map(|hook| {
        let failing = u8::from(hook.is_failing());
        (format!("{failing}{:020}{}", hook.status.waiting, hook.hook.id), hook)
    });
    let state = call.api.state.clone();
    let shape = move |hook: &SurveyedHook| Item::from(shown_hook(&state, hook));
    List::of(call)?.answer(Rows::new(hooks.collect(), shape)).await
}

fn shown_hook(state: &State, surveyed: &SurveyedHook) -> Value {
    let (hook, status) = (&surveyed.hook, &surveyed.status);
    // A hook that was deleted this moment has no name any more.
    let document = state.get(Kind::Hook, &hook.id.to_string()).ok().flatten().unwrap_or_default();
    json!({
        "id": hook.id, "account_id": hook.account, "name": document.get("name"), "state": status.state,
        "failing": surveyed.is_failing(), "waiting": status.waiting,
        "waiting_exact": status.waiting_exact,
        "oldest_waiting_age_ms": status.oldest_waiting_age_ms, "in_flight": status.in_flight,
        "dead": status.dead, "recent_failures": status.recent_failures, "cursor": status.cursor,
        "next_try_at": status.next_try_at_us.map(gregorian_seconds),
        "disable_reason": status.disable_reason, "gap": status.gap,
    })
}

/// `GET /admin/config`: every key with what it is set to, without secrets.
async fn configuration(call: &Call<'_>) -> Reply {
    let settings = call.api.operator.configuration().await.into_iter();
    let rows = settings.map(|Setting { key, value, changed, reloadable }| {
        json!({"key": key, "value": value, "changed": changed, "reloadable": reloadable})
    });
    Reply::ok(rows.collect::<Vec<_>>())
}

/// `POST /admin/retention`: what is too old or too much goes now instead of within ten minutes.
async fn retain(call: &Call<'_>) -> Reply {
    let retained = call.api.operator.retain().await;
    let shown = retained.into_iter().map(|log| {
        let row = match log.first {
            Ok((before, after)) => json!({"first_offset": after, "dropped": after.saturating_sub(before)}),
            Err(reason) => json!({"error": reason}),
        };
        (log.name.to_owned(), row)
    });
    Reply::ok(Value::Object(shown.collect()))
}
