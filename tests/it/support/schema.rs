//! Checks whether a value matches a schema of `/openapi.json`. Supports the parts of JSON Schema 2020-12 that this
//! document uses, except patterns, lengths and formats, which `tests/schemathesis.sh` checks.

use std::collections::BTreeSet;

use serde_json::Value;

/// All mismatches with their positions; empty if the value matches.
pub fn faults(document: &Value, schema: &Value, value: &Value) -> Vec<String> {
    let mut check = Check { document, faults: Vec::new() };
    check.value(schema, value, "");
    check.faults
}

struct Check<'d> {
    document: &'d Value,
    faults: Vec<String>,
}

impl<'d> Check<'d> {
    fn value(&mut self, schema: &'d Value, value: &Value, at: &str) {
        if let Some(target) = self.target(schema) {
            self.value(target, value, at);
        }
        if let Some(known) = schema.get("const").filter(|known| *known != value) {
            self.faults.push(format!("{at}: {value} is not {known}"));
        }
        if let Some(known) = schema["enum"].as_array().filter(|known| !known.contains(value)) {
            self.faults.push(format!("{at}: {value} is none of {known:?}"));
        }
        if !schema["type"].is_null() && !has_type(&schema["type"], value) {
            self.faults.push(format!("{at}: {value} is not of type {}", schema["type"]));
        }
        if let (Some(least), Some(number)) = (schema["minimum"].as_i64(), value.as_i64())
            && number < least
        {
            self.faults.push(format!("{at}: {number} is less than {least}"));
        }
        for all in schema["allOf"].as_array().into_iter().flatten() {
            self.value(all, value, at);
        }
        if let Some(any) = schema["anyOf"].as_array()
            && !any.iter().any(|one| faults(self.document, one, value).is_empty())
        {
            self.faults.push(format!("{at}: {value} fits none of {any:?}"));
        }
        if schema.get("not").is_some_and(|not| faults(self.document, not, value).is_empty()) {
            self.faults.push(format!("{at}: {value} must not fit {}", schema["not"]));
        }
        for (index, item) in value.as_array().into_iter().flatten().enumerate() {
            if let Some(items) = schema.get("items") {
                self.value(items, item, &format!("{at}/{index}"));
            }
        }
        self.members(schema, value, at);
    }

    fn members(&mut self, schema: &'d Value, value: &Value, at: &str) {
        let Some(members) = value.as_object() else { return };
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !members.contains_key(name) {
                self.faults.push(format!("{at}/{name} is missing"));
            }
        }
        let known = self.known(schema);
        for (name, member) in members {
            let at = format!("{at}/{name}");
            match (schema["properties"].get(name), &schema["additionalProperties"]) {
                (Some(own), _) => self.value(own, member, &at),
                (None, Value::Bool(false)) => self.faults.push(format!("{at} is not in the document")),
                (None, others) => self.value(others, member, &at),
            }
            if schema["unevaluatedProperties"] == false && !known.contains(name.as_str()) {
                self.faults.push(format!("{at} is not in the document"));
            }
        }
    }

    /// The members that a schema, or a schema that it is composed of, names.
    fn known(&self, schema: &'d Value) -> BTreeSet<&'d str> {
        let mut names: BTreeSet<&str> =
            schema["properties"].as_object().into_iter().flatten().map(|(name, _)| name.as_str()).collect();
        let parts = schema["allOf"].as_array().into_iter().flatten().chain(self.target(schema));
        parts.for_each(|part| names.extend(self.known(part)));
        names
    }

    fn target(&self, schema: &'d Value) -> Option<&'d Value> {
        let reference = schema["$ref"].as_str()?;
        Some(self.document.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference} leads nowhere")))
    }
}

/// Whether a value is of one of the types.
fn has_type(types: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str().unwrap() {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is not a type that the document uses"),
    };
    types.as_array().map_or_else(|| is(types), |types| types.iter().any(is))
}
