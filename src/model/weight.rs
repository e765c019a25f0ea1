//! How large a JSON value is, without writing it.

use serde_json::{Map, Value};

/// The bytes of a value as JSON, near enough for bounds: what is escaped counts as it is.
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

/// The same of an object.
#[must_use]
pub fn fields_weight(fields: &Map<String, Value>) -> usize {
    2 + fields.iter().map(|(name, value)| name.len() + 4 + json_weight(value)).sum::<usize>()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_weight_is_near_the_length() {
        let value = json!({"a": [1, 2, {"b": null}], "text": "x".repeat(1000), "flag": true});
        let length = value.to_string().len();
        assert!(
            (length - 10..length + 40).contains(&json_weight(&value)),
            "{} {length}",
            json_weight(&value)
        );
    }
}
