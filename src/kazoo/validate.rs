//! Validates a hook document like KAZOO's API, with its conversions, defaults and error texts; then checks the
//! modifiers that the family requires, then our own fields.

use ipnet::IpNet;
use serde_json::{Value, json};

use super::definitions::required_modifiers;
use super::lenient::{flag, integer, round};
use super::{Object, UnusableUri, extensions, hook_ids, why_refused};
use crate::model::Family;

/// Errors by field: `{"field": {"rule": {"message", "target", "value"}}}`; names of nested fields are joined by dots.
pub type FieldErrors = Object;

/// Rules that depend on the installation and the caller.
#[derive(Debug, Clone, Copy)]
pub struct Rules<'a> {
    /// Special addresses that hooks may use (`delivery.allow_addresses`).
    pub allow: &'a [IpNet],
    /// Whether the caller administers the master account; error texts then list all types.
    pub master: bool,
}

/// The document to store, or all errors. `input` has only public fields, and `null` counts as absent. Values are
/// converted and defaults filled in; unknown fields are kept.
pub fn validate_hook(input: &Object, rules: &Rules<'_>) -> Result<Object, FieldErrors> {
    let mut check = Check::new(input);
    for field in ["hook", "name", "uri"] {
        if !check.doc.contains_key(field) {
            check.error(
                field,
                "required",
                json!({"message": "Field is required but missing", "value": field}),
            );
        }
    }
    check.text("name");
    check.choice("hook", &hook_ids(), None);
    if check.text("uri") {
        check_uri(&mut check, rules.allow);
    }
    check.choice("http_verb", &["get", "post", "put"], Some("post"));
    check.choice("format", &["form-data", "json"], Some("form-data"));
    check.whole("retries", 0, 4);
    check.doc.entry("retries").or_insert_with(|| 2.into());
    check.boolean("enabled", Some(true));
    check.boolean("include_subaccounts", None);
    check.boolean("include_internal_legs", Some(true));
    check.texts("custom_data");
    extensions::check(&mut check);
    if check.errors.is_empty() {
        check_modifiers(&mut check, rules.master);
    }
    if check.errors.is_empty() { Ok(check.doc) } else { Err(check.errors) }
}

fn check_uri(check: &mut Check, allow: &[IpNet]) {
    let uri = check.doc.get("uri").cloned().unwrap_or_default();
    let text = uri.as_str().unwrap_or_default();
    if let Some(why) = why_refused(text, allow) {
        let mut details = Object::new();
        details.insert("message".to_owned(), "invalid client URL".into());
        // KAZOO gives no cause for a text that is not a URL, and none is needed.
        if why != UnusableUri::NoUrl {
            details.insert("cause".to_owned(), why.to_string().into());
        }
        details.insert("value".to_owned(), uri);
        check.error("uri", "error", Value::Object(details));
    }
}

/// Checks the values in `custom_data` that the family requires.
fn check_modifiers(check: &mut Check, master: bool) {
    let family = check.doc.get("hook").and_then(Value::as_str).and_then(Family::from_id);
    let Some(family) = family else { return };
    for modifier in required_modifiers(family, master) {
        let field = format!("custom_data.{}", modifier.key);
        let chosen = check.doc.get("custom_data").and_then(|data| data.get(modifier.key)).cloned();
        let Some(chosen) = chosen else {
            check.error(&field, "required", json!({"message": "missing required modifier"}));
            continue;
        };
        let known =
            chosen.as_str().is_some_and(|c| modifier.shown.contains(&c) || modifier.hidden.contains(&c));
        if !known {
            let message = "value not found in enumerated list of values";
            check.error(
                &field,
                "enum",
                json!({"message": message, "cause": chosen, "target": modifier.shown}),
            );
        }
    }
}

/// A document under validation.
pub(super) struct Check {
    pub(super) doc: Object,
    pub(super) errors: FieldErrors,
}

impl Check {
    pub(super) fn new(input: &Object) -> Self {
        let present = input.iter().filter(|(_, value)| !value.is_null());
        let doc = present.map(|(key, value)| (key.clone(), value.clone())).collect();
        Self { doc, errors: Object::new() }
    }

    /// Adds an error; a later error of the same field replaces an earlier one.
    pub(super) fn error(&mut self, field: &str, rule: &str, details: Value) {
        let mut rules = Object::new();
        rules.insert(rule.to_owned(), details);
        self.errors.insert(field.to_owned(), Value::Object(rules));
    }

    pub(super) fn type_error(&mut self, field: &str, types: &str, value: &Value) {
        let message = format!("Value did not match type(s): {types}");
        self.error(field, "type", json!({"message": message, "target": types, "value": value}));
    }

    /// Checks that the field, if present, is a text; true when it is one.
    pub(super) fn text(&mut self, field: &str) -> bool {
        match self.doc.get(field).cloned() {
            None => false,
            Some(Value::String(_)) => true,
            Some(other) => {
                self.type_error(field, "string", &other);
                false
            }
        }
    }

    /// Checks a text from a list.
    pub(super) fn choice(&mut self, field: &str, choices: &[&str], default: Option<&str>) {
        if !self.doc.contains_key(field) {
            if let Some(default) = default {
                self.doc.insert(field.to_owned(), default.into());
            }
            return;
        }
        if !self.text(field) {
            return;
        }
        let value = self.doc.get(field).cloned().unwrap_or_default();
        if !value.as_str().is_some_and(|text| choices.contains(&text)) {
            let message = "Value not found in enumerated list of values";
            self.error(field, "enum", json!({"message": message, "target": choices, "value": value}));
        }
    }

    /// Checks a boolean, or a text that stands for one.
    pub(super) fn boolean(&mut self, field: &str, default: Option<bool>) {
        let value = match self.doc.get(field) {
            None => default.map(Value::Bool),
            Some(Value::Bool(_)) => return,
            Some(Value::String(text)) => flag(text).map(Value::Bool),
            Some(_) => None,
        };
        match (value, self.doc.get(field).cloned()) {
            (Some(value), _) => {
                self.doc.insert(field.to_owned(), value);
            }
            (None, Some(given)) => self.type_error(field, "boolean", &given),
            (None, None) => {}
        }
    }

    /// Checks a whole number within bounds and converts it in place.
    pub(super) fn whole(&mut self, field: &str, min: i64, max: i64) -> Option<i64> {
        let value = self.doc.get(field).cloned()?;
        let number = self.bounded(field, &value, min, max)?;
        self.doc.insert(field.to_owned(), number.into());
        Some(number)
    }

    /// A whole number within bounds, possibly given as a text or fraction; adds an error under `field`.
    pub(super) fn bounded(&mut self, field: &str, value: &Value, min: i64, max: i64) -> Option<i64> {
        let number = match value {
            Value::Number(n) => n.as_i64().or_else(|| n.as_f64().and_then(round)),
            Value::String(text) => integer(text),
            _ => None,
        };
        let Some(number) = number else {
            self.type_error(field, "integer", value);
            return None;
        };
        if number > max {
            let message = format!("Value must be at most {max}");
            self.error(field, "maximum", json!({"message": message, "target": max, "value": number}));
            return None;
        }
        if number < min {
            let message = format!("Value must be at least {min}");
            self.error(field, "minimum", json!({"message": message, "target": min, "value": number}));
            return None;
        }
        Some(number)
    }

    /// Checks an object whose values are all texts; true when it is present and valid.
    pub(super) fn texts(&mut self, field: &str) -> bool {
        let map = match self.doc.get(field).cloned() {
            None => return false,
            Some(Value::Object(map)) => map,
            Some(other) => {
                self.type_error(field, "object", &other);
                return false;
            }
        };
        let wrong: Vec<_> = map.iter().filter(|(_, value)| !value.is_string()).collect();
        for (key, value) in &wrong {
            self.type_error(&path(field, key), "string", value);
        }
        wrong.is_empty()
    }
}

/// The name of a nested field in errors.
pub(super) fn path(field: &str, key: &str) -> String {
    format!("{field}.{}", key.replace('.', "%2E"))
}

#[cfg(test)]
#[path = "validate_tests.rs"]
mod tests;
