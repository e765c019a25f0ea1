//! `/admin/mode`: the mode of deliveries beside a running KAZOO, and changing it.

use serde_json::{Value, json};

use super::attempts::unix_us;
use super::call::Call;
use super::errors::ApiError;
use super::operator::{ModeRefusal, ModeStart, ModeStatus};
use super::reply::Reply;
use crate::model::{EventOffset, Mode, gregorian_seconds};

/// `GET /admin/mode`
pub(super) async fn read(call: &Call<'_>) -> Result<Reply, ApiError> {
    let status = call.api.operator.mode().await;
    status_reply(call, &status).await
}

/// `POST /admin/mode`
pub(super) async fn change(call: &Call<'_>) -> Result<Reply, ApiError> {
    let mode =
        call.parameter("mode").filter(|mode| !mode.is_null()).ok_or_else(|| ApiError::missing("mode"))?;
    let known = mode.as_str().and_then(|text| text.parse::<Mode>().ok());
    let known = known.ok_or_else(|| {
        let allowed = Mode::ALL.map(Mode::id);
        let message = "value not found in enumerated list of values";
        ApiError::field("mode", "enum", &json!({"message": message, "target": allowed}))
    })?;
    let (time, offset) = (number(call, "from")?, number(call, "from_offset")?);
    let start = match (time, offset) {
        (_, Some(offset)) => ModeStart::Offset(EventOffset(offset)),
        (Some(time), None) => ModeStart::TimeUs(unix_us(time)),
        (None, None) => ModeStart::Here,
    };
    match call.api.operator.change_mode(known, start, call.actor()).await {
        Ok(status) => status_reply(call, &status).await,
        Err(ModeRefusal::Impossible(why)) => {
            let field = if offset.is_some() {
                "from_offset"
            } else if time.is_some() {
                "from"
            } else {
                "mode"
            };
            Err(ApiError::field(field, "invalid", &json!({"message": why})))
        }
        Err(error @ ModeRefusal::Unavailable(_)) => Err(ApiError::unavailable(&error)),
    }
}

/// A parameter that is a whole number.
fn number(call: &Call<'_>, name: &str) -> Result<Option<u64>, ApiError> {
    super::attempts::seconds(call, name)
}

async fn status_reply(call: &Call<'_>, status: &ModeStatus) -> Result<Reply, ApiError> {
    let survey = call.api.operator.survey().await.map_err(|reason| ApiError::unavailable(&reason))?;
    let borders = status.borders.iter().map(|border| {
        let deliverer = if border.is_ours { "switchhook" } else { "kazoo" };
        json!({"from_offset": border.from, "deliverer": deliverer})
    });
    Ok(Reply::ok(json!({
        "mode": status.mode.id(),
        "configured": status.configured.id(),
        "since": status.since_us.map(gregorian_seconds),
        "borders": borders.collect::<Vec<Value>>(),
        "held_from_offset": status.held.map(|held| held.from),
        "held_events": status.held.map_or(0, |held| held.count),
        "waiting": survey.waiting(),
        "in_flight": survey.in_flight,
    })))
}
