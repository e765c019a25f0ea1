//! Filters of a list, all of which must hold (`docs/kazoo/webhooks.md#lists`). Pure.
//!
//! `filter_<path>=v`, `filter_not_<path>=v`, `has_key`, `key_missing` (also `missing_key`), `has_value`,
//! `value_missing` (also `missing_value`), `created_from`, `created_to`, `modified_from`, `modified_to`. Paths are
//! joined by dots; values are compared as text; a JSON array of values means any of them. Other parameters are no
//! filters.

use serde_json::{Map, Value};

use super::source::Item;
use crate::http::errors::ApiError;
use crate::http::request::Request;

/// The conditions on an item.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Filters(Vec<Filter>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Filter {
    Is(Path, Vec<String>),
    IsNot(Path, Vec<String>),
    HasKey(Path),
    LacksKey(Path),
    HasValue(Path),
    LacksValue(Path),
    Since(Moment, u64),
    Until(Moment, u64),
}

type Path = Vec<String>;

/// Fields with a time. The first one that exists counts.
type Moment = &'static [&'static str];

const CREATED: Moment = &["pvt_created", "created", "started", "timestamp"];
const MODIFIED: Moment = &["pvt_modified", "modified", "pvt_created", "created", "started", "timestamp"];

impl Filters {
    /// Parses the filters of a query string: 400 for an invalid time.
    pub(super) fn of(request: &Request) -> Result<Self, ApiError> {
        let mut filters = Vec::new();
        for (name, value) in request.parameters() {
            filters.extend(filter(name, value)?);
        }
        Ok(Self(filters))
    }

    /// Whether all items pass.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an item passes.
    pub(super) fn match_item(&self, item: &Item) -> bool {
        self.0.iter().all(|filter| filter.matches(item))
    }
}

fn filter(name: &str, value: &str) -> Result<Option<Filter>, ApiError> {
    // Checked first, because `filter_` is a prefix of `filter_not_`.
    if let Some(field) = name.strip_prefix("filter_not_") {
        return Ok(Some(Filter::IsNot(path(field), any_of(value))));
    }
    if let Some(field) = name.strip_prefix("filter_") {
        return Ok(Some(Filter::Is(path(field), any_of(value))));
    }
    let seconds = || request_seconds(name, value);
    Ok(Some(match name {
        "has_key" => Filter::HasKey(path(value)),
        "key_missing" | "missing_key" => Filter::LacksKey(path(value)),
        "has_value" => Filter::HasValue(path(value)),
        "value_missing" | "missing_value" => Filter::LacksValue(path(value)),
        "created_from" => Filter::Since(CREATED, seconds()?),
        "created_to" => Filter::Until(CREATED, seconds()?),
        "modified_from" => Filter::Since(MODIFIED, seconds()?),
        "modified_to" => Filter::Until(MODIFIED, seconds()?),
        _ => return Ok(None),
    }))
}

fn request_seconds(name: &str, value: &str) -> Result<u64, ApiError> {
    value.trim().parse().map_err(|_| ApiError::wrong_type(name, "integer", &value.into()))
}

fn path(text: &str) -> Path {
    text.split('.').map(str::to_owned).collect()
}

fn any_of(value: &str) -> Vec<String> {
    match serde_json::from_str::<Vec<Value>>(value) {
        Ok(values) => values.iter().map(as_text).collect(),
        Err(_) => vec![value.to_owned()],
    }
}

fn as_text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

impl Filter {
    fn matches(&self, item: &Item) -> bool {
        let at = |path: &Path| find(item, path);
        match self {
            Self::Is(path, any) => at(path).is_some_and(|value| any.contains(&as_text(value))),
            Self::IsNot(path, any) => !at(path).is_some_and(|value| any.contains(&as_text(value))),
            Self::HasKey(path) => at(path).is_some(),
            Self::LacksKey(path) => at(path).is_none(),
            Self::HasValue(path) => at(path).is_some_and(is_something),
            Self::LacksValue(path) => !at(path).is_some_and(is_something),
            Self::Since(moment, second) => seconds(item, moment).is_some_and(|at| at >= *second),
            Self::Until(moment, second) => seconds(item, moment).is_some_and(|at| at <= *second),
        }
    }
}

/// The value at a path: in the stored document, otherwise in the row. Null counts as missing.
fn find<'i>(item: &'i Item, path: &[String]) -> Option<&'i Value> {
    let row = || within(item.row.as_object()?, path);
    within(&item.seen, path).or_else(row)
}

fn within<'d>(doc: &'d Map<String, Value>, path: &[String]) -> Option<&'d Value> {
    let (first, rest) = path.split_first()?;
    let start = doc.get(first)?;
    rest.iter().try_fold(start, |value, key| value.get(key)).filter(|value| !value.is_null())
}

fn is_something(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

fn seconds(item: &Item, moment: Moment) -> Option<u64> {
    moment.iter().find_map(|field| {
        let value = item.seen.get(*field).or_else(|| item.row.get(*field))?;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    })
}

#[cfg(test)]
#[path = "filter_tests.rs"]
mod tests;
