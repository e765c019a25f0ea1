//! KAZOO's normalisation: keys in lower case with underscores and without nulls, at every depth. Only ASCII letters
//! change case, so that every key stays valid text.

use serde_json::Value;

use super::Object;

/// The object with normalised keys. When two keys become the same, the later value stays.
#[must_use]
pub fn normalize(map: Object) -> Object {
    let mut out = Object::with_capacity(map.len());
    for (key, value) in map {
        if !value.is_null() {
            out.insert(normalize_key(key), normalize_value(value));
        }
    }
    out
}

fn normalize_key(mut key: String) -> String {
    if key.bytes().any(|b| b == b'-' || b.is_ascii_uppercase()) {
        key.make_ascii_lowercase();
        if key.contains('-') {
            key = key.replace('-', "_");
        }
    }
    key
}

fn normalize_value(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(normalize(map)),
        Value::Array(items) => Value::Array(items.into_iter().map(normalize_value).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn keys_are_in_lower_case_at_every_depth_and_nulls_are_dropped() {
        for (given, expected) in [
            (json!({}), json!({})),
            (json!({"Caller-ID-Name": "Bo Li"}), json!({"caller_id_name": "Bo Li"})),
            (json!({"Fax-JobId": 1, "RPid": null}), json!({"fax_jobid": 1})),
            (
                json!({"A": {"B-C": null, "D-E": [{"F-G": 1, "H": null}, null, "X-Y"]}}),
                json!({"a": {"d_e": [{"f_g": 1}, null, "X-Y"]}}),
            ),
            (json!({"ÉTÉ-Z": 1}), json!({"ÉtÉ_z": 1})),
            (json!({"A-B": 1, "a_b": 2}), json!({"a_b": 2})),
        ] {
            assert_eq!(Value::Object(normalize(given.as_object().cloned().unwrap())), expected);
        }
    }
}
