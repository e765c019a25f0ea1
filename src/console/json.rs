//! Reads answers of the API leniently: a missing value is empty.

use serde_json::Value;

use crate::http::ApiResponse;

/// A string; empty if it is missing.
pub(super) fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value.get(key).and_then(Value::as_str).unwrap_or_default()
}

/// A number, or a string with a number.
pub(super) fn number(value: &Value, key: &str) -> Option<u64> {
    let value = value.get(key)?;
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

/// Whether a member is true.
pub(super) fn flag(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// The items of a list.
pub(super) fn items<'a>(value: &'a Value, key: &str) -> &'a [Value] {
    list(value.get(key).unwrap_or(&Value::Null))
}

/// A value as a list.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}

impl ApiResponse {
    /// The answer's `data`.
    pub(super) fn data(&self) -> &Value {
        self.envelope.get("data").unwrap_or(&Value::Null)
    }

    /// The rows of a list.
    pub(super) fn rows(&self) -> &[Value] {
        list(self.data())
    }

    /// The key at which the next page of a list starts.
    pub(super) fn next(&self) -> Option<&str> {
        self.envelope.get("next_start_key")?.as_str().filter(|key| !key.is_empty())
    }
}
