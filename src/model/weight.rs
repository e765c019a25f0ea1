//! The size of a JSON value, without serialising it.

use serde_json::{Map, Value};

/// The approximate size of a value as JSON, good enough for bounds; escapes are not counted.
#[must_use]
pub fn json_weight(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 12,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => 2 + items.iter().map(|item| json_weight(item) + 1).sum::<usize>(),
        Value::Object(fields) => fields_weight(fields),
    }
}

/// The same for an object.
#[must_use]
pub fn fields_weight(fields: &Map<String, Value>) -> usize {
    2 + fields.iter().map(|(name, value)| name.len() + 4 + json_weight(value)).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_weight_is_close_to_the_length() {
        let value = json!({"a": [1, 2, {"b": null}], "text": "x".repeat(1000), "flag": true});
        let length = value.to_string().len();
        assert!(
            (length - 10..length + 40).contains(&json_weight(&value)),
            "{} {length}",
            json_weight(&value)
        );
    }
}
