//! Checks of a document's fields, with KAZOO's rules and texts (`docs/kazoo/webhooks.md#refusals`). All errors are
//! reported at once, one per field.

use serde_json::{Map, Value, json};

use super::errors::ApiError;

/// A document being checked.
#[derive(Debug)]
pub(super) struct Fields<'a> {
    data: &'a Map<String, Value>,
    errors: Map<String, Value>,
}

impl<'a> Fields<'a> {
    pub(super) fn of(data: &'a Map<String, Value>) -> Self {
        Self { data, errors: Map::new() }
    }

    /// Notes an error of a field.
    pub(super) fn note(&mut self, field: &str, rule: &str, details: &Value) {
        self.errors.insert(field.to_owned(), json!({rule: details}));
    }

    /// Succeeds, or refuses with all noted errors.
    pub(super) fn finish(self) -> Result<(), ApiError> {
        if self.errors.is_empty() { Ok(()) } else { Err(ApiError::fields(self.errors)) }
    }

    /// Notes each of these fields that is missing.
    pub(super) fn required(&mut self, names: &[&str]) {
        for name in names {
            if self.present(name).is_none() {
                let details = json!({"message": "Field is required but missing", "value": name});
                self.note(name, "required", &details);
            }
        }
    }

    /// A text of `min` to `max` characters, if the field is present.
    pub(super) fn text(&mut self, name: &str, min: usize, max: usize) -> Option<&'a str> {
        let value = self.present(name)?;
        let Some(text) = value.as_str() else {
            self.wrong_type(name, "string", value);
            return None;
        };
        let length = text.chars().count();
        let (rule, message, target) = if length < min {
            ("minLength", format!("String must be at least {min} characters"), min)
        } else if length > max {
            ("maxLength", format!("String must not be more than {max} characters"), max)
        } else {
            return Some(text);
        };
        self.note(name, rule, &json!({"message": message, "target": target}));
        None
    }

    /// Notes an error unless the field is one of these texts or missing.
    pub(super) fn one_of(&mut self, name: &str, allowed: &[&str]) {
        let Some(value) = self.present(name) else { return };
        if !value.as_str().is_some_and(|text| allowed.contains(&text)) {
            let message = "Value not found in enumerated list of values";
            self.note(name, "enum", &json!({"message": message, "target": allowed, "value": value}));
        }
    }

    /// A boolean, possibly as a text, if the field is present.
    pub(super) fn flag(&mut self, name: &str) -> Option<bool> {
        let value = self.present(name)?;
        let flag = match value {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            _ => None,
        };
        if flag.is_none() {
            self.wrong_type(name, "boolean", value);
        }
        flag
    }

    /// A whole number in a member of an object, if present. Its errors are named `object.member`.
    pub(super) fn number_in(&mut self, object: &str, member: &str, min: u64, max: u64) {
        let Some(value) = self.present(object) else { return };
        let Some(inner) = value.as_object() else { return self.wrong_type(object, "object", value) };
        let Some(value) = inner.get(member).filter(|value| !value.is_null()) else { return };
        let name = format!("{object}.{member}");
        let Some(number) = value.as_i64() else { return self.wrong_type(&name, "integer", value) };
        let (rule, bound, target) = match u64::try_from(number) {
            Ok(number) if number > max => ("maximum", "most", max),
            Ok(number) if number >= min => return,
            _ => ("minimum", "least", min),
        };
        let message = format!("Value must be at {bound} {target}");
        self.note(&name, rule, &json!({"message": message, "target": target, "value": value}));
    }

    fn present(&self, name: &str) -> Option<&'a Value> {
        self.data.get(name).filter(|value| !value.is_null())
    }

    fn wrong_type(&mut self, name: &str, kind: &str, value: &Value) {
        let message = format!("Value did not match type(s): {kind}");
        self.note(name, "type", &json!({"message": message, "target": kind, "value": value}));
    }
}

/// Fields that only the program writes.
pub(super) fn is_private(key: &str) -> bool {
    key.starts_with('_') || key.starts_with("pvt_")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_errors_are_reported_at_once() {
        let data = json!({"a": 1, "b": "", "d": "maybe", "e": {"n": -1, "m": 9}, "f": null});
        let mut fields = Fields::of(data.as_object().unwrap());
        fields.required(&["f", "a"]);
        fields.text("a", 1, 9);
        fields.text("b", 1, 9);
        fields.one_of("c", &["y"]);
        fields.flag("d");
        fields.number_in("e", "n", 0, 8);
        fields.number_in("e", "m", 0, 8);
        let refused = fields.finish().unwrap_err();
        let rules: Vec<(String, String)> = refused
            .data
            .as_ref()
            .and_then(Value::as_object)
            .unwrap()
            .iter()
            .map(|(field, rule)| (field.clone(), rule.as_object().unwrap().keys().next().unwrap().clone()))
            .collect();
        let expected = [
            ("f", "required"),
            ("a", "type"),
            ("b", "minLength"),
            ("d", "type"),
            ("e.n", "minimum"),
            ("e.m", "maximum"),
        ];
        assert_eq!(rules, expected.map(|(field, rule)| (field.to_owned(), rule.to_owned())));
    }

    #[test]
    fn a_boolean_may_be_a_text() {
        let data = json!({"a": "true", "b": false});
        let mut fields = Fields::of(data.as_object().unwrap());
        assert_eq!((fields.flag("a"), fields.flag("b"), fields.flag("c")), (Some(true), Some(false), None));
        assert!(fields.finish().is_ok());
    }
}
