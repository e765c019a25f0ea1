//! Replays of a hook: a part of the log is delivered again. They are started, read, paused and ended here.

use serde_json::{Map, Value, json};

use super::attempts::{seconds, unix_us};
use super::call::Call;
use super::errors::ApiError;
use super::event_filter::{event_of, filter, not_listed};
use super::list::List;
use super::queue::moment;
use super::reply::Reply;
use crate::model::{
    EventOffset, HookId, ReplayId, ReplayOnly, ReplayPoint, ReplayRequest, ReplayState, ReplayStatus,
};
use crate::state::random_id;

/// `POST …/webhooks/{H}/replay`: starts a replay from an offset, a time or an event on.
pub(super) async fn create(call: &Call<'_>, hook: &str) -> Result<Reply, ApiError> {
    let (hook, _) = call.hook(hook)?;
    let request = request(call, hook, ReplayOnly::All)?;
    let (id, is_dry) = (request.id.to_string(), request.dry_run);
    let status = replay_row(&call.api.queues.replay(request).await?);
    Ok(if is_dry { Reply::ok(status) } else { Reply::created(status, call.location(&id)) })
}

/// Starts one of several replays of a bulk request. By default, of what failed.
pub(super) async fn replay(call: &Call<'_>, hook: HookId, dry_run: bool) -> Result<ReplayStatus, ApiError> {
    let request = ReplayRequest { dry_run, ..request(call, hook, ReplayOnly::Failed)? };
    // A replay without events is not started.
    let counted = call.api.queues.replay(ReplayRequest { dry_run: true, ..request.clone() }).await?;
    if dry_run || counted.matched == 0 {
        return Ok(counted);
    }
    let begun = call.api.queues.replay(request).await?;
    Ok(ReplayStatus { matched: counted.matched, ..begun })
}

/// `GET …/webhooks/{H}/replay`
pub(super) async fn list(call: &Call<'_>, hook: &str) -> Result<Reply, ApiError> {
    let (hook, _) = call.hook(hook)?;
    let replays = call.api.queues.replays(hook).await;
    let key = |replay: &ReplayStatus| format!("{:020}{}", replay.started_us, replay.id);
    List::of(call)?.rows(replays.iter().map(|replay| (key(replay), replay_row(replay))).collect()).await
}

/// `GET …/webhooks/{H}/replay/{id}`
pub(super) async fn read(call: &Call<'_>, hook: &str, id: &str) -> Result<Reply, ApiError> {
    let (hook, _) = call.hook(hook)?;
    let replays = call.api.queues.replays(hook).await;
    let found = replays.iter().find(|replay| replay.id.to_string() == id);
    found.map(|replay| Reply::ok(replay_row(replay))).ok_or_else(|| ApiError::unknown(id))
}

/// `DELETE …/webhooks/{H}/replay/{id}`
pub(super) async fn cancel(call: &Call<'_>, hook: &str, id: &str) -> Result<Reply, ApiError> {
    let (hook, _) = call.hook(hook)?;
    let replay = id.parse().map_err(|_| ApiError::unknown(id))?;
    let cancelled = call.api.queues.cancel(hook, replay, call.actor()).await?;
    cancelled.map(|replay| Reply::ok(replay_row(&replay))).ok_or_else(|| ApiError::unknown(id))
}

/// `POST …/webhooks/{H}/replay/{id}/pause` and `…/resume`. A replay that has ended does not change.
pub(super) async fn hold(
    call: &Call<'_>,
    hook: &str,
    id: &str,
    state: ReplayState,
) -> Result<Reply, ApiError> {
    let (hook, _) = call.hook(hook)?;
    let replay = id.parse().map_err(|_| ApiError::unknown(id))?;
    let held = call.api.queues.hold(hook, replay, state, call.actor()).await?;
    held.map(|replay| Reply::ok(replay_row(&replay))).ok_or_else(|| ApiError::unknown(id))
}

fn request(call: &Call<'_>, hook: HookId, default: ReplayOnly) -> Result<ReplayRequest, ApiError> {
    let data = call.envelope.object()?;
    let only = match data.get("only").map(Value::as_str) {
        None => default,
        Some(Some("all")) => ReplayOnly::All,
        Some(Some("failed")) => ReplayOnly::Failed,
        Some(Some("dead")) => ReplayOnly::Dead,
        Some(_) => {
            let given = data.get("only").unwrap_or(&Value::Null);
            return Err(not_listed("only", given, &json!(["all", "failed", "dead"])));
        }
    };
    let (from, until) = range(call, &data, only)?;
    Ok(ReplayRequest {
        id: ReplayId(random_id().0),
        hook,
        account: call.account()?.id,
        from,
        until,
        only,
        offsets: Vec::new(),
        filter: filter(call)?,
        dry_run: dry_run(call),
        rate: rate(&data)?,
        by: call.actor(),
    })
}

/// Whether the request only counts.
pub(super) fn dry_run(call: &Call<'_>) -> bool {
    call.parameter("dry_run").is_some_and(|v| v == true || v == "true")
}

/// The most deliveries per second; `None` for no limit.
pub(super) fn rate(data: &Map<String, Value>) -> Result<Option<u32>, ApiError> {
    Ok(number(data, "rate")?.map(|n| u32::try_from(n).unwrap_or(u32::MAX)).filter(|n| *n > 0))
}

fn range(
    call: &Call<'_>,
    data: &Map<String, Value>,
    only: ReplayOnly,
) -> Result<(ReplayPoint, Option<ReplayPoint>), ApiError> {
    if let Some(given) = data.get("event_id") {
        let Some(offset) = given.as_str().and_then(|text| event_of(call, text)) else {
            let details = json!({"message": "no event of this log has that id", "value": given});
            return Err(ApiError::field("event_id", "error", &details));
        };
        let until = Some(ReplayPoint::Offset(offset + 1));
        return Ok((ReplayPoint::Offset(offset), until));
    }
    let at = |offset| ReplayPoint::Offset(EventOffset(offset));
    let (from_offset, until_offset) = (number(data, "from_offset")?, number(data, "until_offset")?);
    let (from_s, to_s) = (seconds(call, "created_from")?, seconds(call, "created_to")?);
    if let (Some(from), Some(to)) = (from_s, to_s)
        && from > to
    {
        let message = format!("created_to {to} is prior to created_from {from}");
        let details = json!({"message": message, "cause": from});
        return Err(ApiError::field("created_from", "date_range", &details));
    }
    let from = from_offset.map(at).or(from_s.map(|s| ReplayPoint::TimeUs(unix_us(s))));
    // Failed deliveries can be requested without a range; all events cannot.
    let from = match (from, only) {
        (Some(from), _) => from,
        (None, ReplayOnly::Failed | ReplayOnly::Dead) => ReplayPoint::Offset(EventOffset::FIRST),
        (None, ReplayOnly::All | ReplayOnly::Chosen) => return Err(ApiError::missing("from_offset")),
    };
    let last_second = to_s.map(|s| ReplayPoint::TimeUs(unix_us(s.saturating_add(1))));
    Ok((from, until_offset.map(at).or(last_second)))
}

fn number(data: &Map<String, Value>, field: &str) -> Result<Option<u64>, ApiError> {
    match data.get(field) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => {
            let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
            number.map(Some).ok_or_else(|| {
                let message = "Value did not match type(s): integer";
                let details = json!({"message": message, "target": "integer", "value": value});
                ApiError::field(field, "type", &details)
            })
        }
    }
}

/// A replay in the form of the API.
pub(super) fn replay_row(replay: &ReplayStatus) -> Value {
    json!({
        "id": replay.id, "hook_id": replay.hook_id, "state": replay.state, "dry_run": replay.dry_run,
        "only": replay.only, "filter": replay.filter, "from_offset": replay.from_offset, "until_offset": replay.until_offset,
        "next_offset": replay.next_offset, "matched": replay.matched, "delivered": replay.delivered,
        "dead": replay.dead, "started": moment(replay.started_us), "ended": replay.ended_us.map(moment),
    })
}
