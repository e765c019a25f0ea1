//! Reads an event filter from `data` of a replay or from the query string of a search.

use serde_json::{Value, json};

use super::call::Call;
use super::errors::ApiError;
use crate::model::{AccountId, DeliveryId, EventFilter, EventOffset, Family, HookId};

/// The most values of one field.
const MOST: usize = 100;

/// Reads `hook_events`, `event_names`, `subjects`, `msg_ids` and `account_ids`: each a list of texts, or one text with
/// commas.
pub(super) fn filter(call: &Call<'_>) -> Result<EventFilter, ApiError> {
    Ok(EventFilter {
        families: each(call, "hook_events", Family::from_id, || {
            Family::ALL.iter().map(|family| family.id()).collect::<Vec<_>>().into()
        })?,
        names: texts(call, "event_names")?,
        subjects: texts(call, "subjects")?,
        msg_ids: texts(call, "msg_ids")?,
        accounts: each(
            call,
            "account_ids",
            |text| text.parse::<AccountId>().ok(),
            || "32 hex digits".into(),
        )?,
    })
}

/// The offset of an event by its id; `None` if it is not an id of this log.
pub(super) fn event_of(call: &Call<'_>, text: &str) -> Option<EventOffset> {
    call.api.state.settings().log_ids.offset_of(text.parse().ok()?)
}

/// Refuses a value that is not one of the allowed ones.
pub(super) fn not_listed(field: &str, value: &Value, target: &Value) -> ApiError {
    let message = "Value not found in enumerated list of values";
    ApiError::field(field, "enum", &json!({"message": message, "target": target, "value": value}))
}

/// A list of texts, each of them one of the allowed values.
pub(super) fn each<T>(
    call: &Call<'_>,
    field: &str,
    read: impl Fn(&str) -> Option<T>,
    target: impl Fn() -> Value,
) -> Result<Vec<T>, ApiError> {
    let texts = texts(call, field)?;
    texts.iter().map(|text| read(text).ok_or_else(|| not_listed(field, &json!(text), &target()))).collect()
}

/// A list of texts.
pub(super) fn texts(call: &Call<'_>, field: &str) -> Result<Vec<String>, ApiError> {
    let Some(value) = call.parameter(field).filter(|value| !value.is_null()) else { return Ok(Vec::new()) };
    let wrong_type = || {
        let message = "Value did not match type(s): array";
        ApiError::field(field, "type", &json!({"message": message, "target": "array", "value": value}))
    };
    let texts: Vec<String> = match &value {
        Value::String(text) => text.split(',').map(|one| one.trim().to_owned()).collect(),
        Value::Array(all) => {
            let texts = all.iter().map(|one| one.as_str().map(str::to_owned));
            texts.collect::<Option<_>>().ok_or_else(wrong_type)?
        }
        _ => return Err(wrong_type()),
    };
    if texts.len() > MOST {
        let message = format!("at most {MOST} values are allowed");
        let details = json!({"message": message, "target": MOST, "value": texts.len()});
        return Err(ApiError::field(field, "maxItems", &details));
    }
    Ok(texts.into_iter().filter(|text| !text.is_empty()).collect())
}

/// The offset of a hook's delivery, by the id of the delivery or of its event.
pub(super) fn delivery_of(call: &Call<'_>, hook: HookId, text: &str) -> Option<EventOffset> {
    match text.parse::<DeliveryId>() {
        Ok(delivery) if delivery.hook == hook => event_of(call, &delivery.event.to_string()),
        Ok(_) => None,
        Err(_) => event_of(call, text),
    }
}
