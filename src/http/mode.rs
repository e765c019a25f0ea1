//! `/admin/mode`: what becomes of deliveries beside a running KAZOO, and its change.

use serde_json::{Value, json};

use super::attempts::unix_us;
use super::call::Call;
use super::errors::ApiError;
use super::reply::Reply;
use crate::model::{Border, Mode, gregorian_seconds};

/// Which event is the first of the system that takes over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ModeStart {
    /// The next one; in a handover, the first that waits.
    Here,
    /// The one at this offset.
    Offset(u64),
    /// The first one received at this time or later, microseconds since 1970.
    TimeUs(u64),
}

/// Why the mode is as it was.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ModeRefusal {
    /// It cannot follow the one before; the text says what can.
    #[error("{0}")]
    Impossible(String),
    /// It could not be changed just now.
    #[error("{0}")]
    Unavailable(String),
}

/// The mode at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModeStatus {
    /// The mode.
    pub mode: Mode,
    /// What the configuration says.
    pub configured: Mode,
    /// When it was changed last, microseconds since 1970; `None`: never.
    pub since_us: Option<u64>,
    /// Whose events are from which offset on.
    pub borders: Vec<Border>,
    /// The first event that waits until it is said whose it is, and how many wait.
    pub held: Option<(u64, u64)>,
}

/// `GET /admin/mode`
pub(super) async fn read(call: &Call<'_>) -> Result<Reply, ApiError> {
    let status = call.api.operator.mode().await;
    shown(call, &status).await
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
        (_, Some(offset)) => ModeStart::Offset(offset),
        (Some(time), None) => ModeStart::TimeUs(unix_us(time)),
        (None, None) => ModeStart::Here,
    };
    match call.api.operator.change_mode(known, start, call.actor()).await {
        Ok(status) => shown(call, &status).await,
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

async fn shown(call: &Call<'_>, status: &ModeStatus) -> Result<Reply, ApiError> {
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
        "held_from_offset": status.held.map(|(from, _)| from),
        "held_events": status.held.map_or(0, |(_, count)| count),
        "waiting": survey.waiting(),
        "in_flight": survey.in_flight,
    })))
}
