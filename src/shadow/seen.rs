//! A delivery as one of the systems lists it: all its attempts together, reduced to what can be compared (pure).
//!
//! KAZOO's rows are read with their oddities: the body of a form consists of nested fragments, a GET has none, names of
//! channel events are in upper case, and the id groups attempts but does not identify the event.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use crate::model::GREGORIAN_OFFSET_S;

/// Fields that name the subject of an event, the most specific ones first.
const SUBJECTS: [&str; 6] = ["call_id", "id", "fax_id", "fax_jobid", "message_id", "voicemail_id"];

/// The fields of a body. The values of a form are texts.
pub(super) type Body = BTreeMap<String, Value>;

/// One delivery.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ListedDelivery {
    /// The hook's id.
    pub(super) hook: String,
    /// The event's name, in lower case.
    pub(super) name: String,
    /// The event of the hook, in lower case. Without a body, this is all that is known of the event's name.
    pub(super) asked: String,
    /// The subject of the event, if the body has one.
    pub(super) subject: Option<String>,
    /// When its first attempt ended, in seconds since 1970.
    pub(super) time_s: u64,
    /// The body that was sent; `None` if the list has none.
    pub(super) body: Option<Body>,
    /// The id of the delivery in this list.
    pub(super) id: String,
    /// Whether an attempt succeeded.
    pub(super) succeeded: bool,
}

/// The deliveries of a list of attempts. Leaves out incomplete rows and, with `wanted`, rows with another result.
pub(super) fn deliveries(rows: &[Map<String, Value>], wanted: Option<&str>) -> Vec<ListedDelivery> {
    let mut found: BTreeMap<(String, String), ListedDelivery> = BTreeMap::new();
    for row in rows.iter().filter(|row| wanted.is_none_or(|result| text(row, "result") == Some(result))) {
        let Some(seen) = seen(row) else { continue };
        let same = found.entry((seen.hook.clone(), seen.id.clone())).or_insert_with(|| seen.clone());
        same.succeeded |= seen.succeeded;
        if seen.time_s < same.time_s {
            same.time_s = seen.time_s;
        }
        if same.body.is_none() {
            same.body = seen.body;
        }
    }
    found.into_values().collect()
}

fn seen(row: &Map<String, Value>) -> Option<ListedDelivery> {
    let hook = text(row, "hook_id")?.to_ascii_lowercase();
    let id = text(row, "event_id")?.to_owned();
    let time_s = number(row.get("timestamp")?)?.checked_sub(GREGORIAN_OFFSET_S)?;
    let body = row.get("req_body").map(joined).filter(|text| !text.is_empty()).map(|text| body(&text));
    let word = |name: &str| body.as_ref().and_then(|body| plain(body.get(name)?));
    let asked = text(row, "hook_event")?.to_lowercase();
    let name = word("hook_event").or_else(|| word("event_name")).or_else(|| word("action"));
    let name = name.map_or_else(|| asked.clone(), |name| name.to_lowercase());
    let subject = SUBJECTS.into_iter().find_map(word);
    let succeeded = text(row, "result") == Some("success");
    Some(ListedDelivery { hook, name, asked, subject, time_s, body, id, succeeded })
}

fn text<'a>(row: &'a Map<String, Value>, name: &str) -> Option<&'a str> {
    row.get(name).and_then(Value::as_str)
}

fn number(value: &Value) -> Option<u64> {
    value.as_u64().or_else(|| value.as_str()?.parse().ok())
}

fn plain(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if !text.is_empty() => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        _ => None,
    }
}

/// A body that may be stored as nested fragments: texts and bytes in order.
fn joined(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(parts) => parts.iter().map(joined).collect(),
        Value::Number(byte) => byte
            .as_u64()
            .and_then(|byte| u8::try_from(byte).ok())
            .map(char::from)
            .map(String::from)
            .unwrap_or_default(),
        _ => String::new(),
    }
}

/// The fields of a JSON object or of a form.
fn body(text: &str) -> Body {
    if let Ok(Value::Object(fields)) = serde_json::from_str(text) {
        return fields.into_iter().collect();
    }
    let mut fields = Body::new();
    for (name, value) in url::form_urlencoded::parse(text.as_bytes()) {
        if name.is_empty() {
            continue;
        }
        let value = Value::from(value.into_owned());
        match fields.get_mut(name.as_ref()) {
            Some(Value::Array(all)) => all.push(value),
            Some(first) => *first = Value::Array(vec![first.take(), value]),
            None => drop(fields.insert(name.into_owned(), value)),
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(rows: &Value) -> Vec<Map<String, Value>> {
        rows.as_array().unwrap().iter().map(|row| row.as_object().unwrap().clone()).collect()
    }

    #[test]
    fn attempts_of_one_delivery_are_grouped_and_begin_with_the_first() {
        let row = |time: u64, result: &str| {
            json!({"hook_id": "AB", "event_id": "e1", "hook_event": "CHANNEL_CREATE", "timestamp": time + GREGORIAN_OFFSET_S,
                "result": result, "req_body": "{\"call_id\":\"c\",\"hook_event\":\"channel_create\"}"})
        };
        let all =
            deliveries(&rows(&json!([row(12, "success"), row(10, "failure"), {"hook_id": "ab"}])), None);
        assert_eq!(all.len(), 1);
        let seen = &all[0];
        assert_eq!((seen.time_s, seen.succeeded, seen.hook.as_str()), (10, true, "ab"));
        assert_eq!((seen.name.as_str(), seen.subject.as_deref()), ("channel_create", Some("c")));
    }

    #[test]
    fn a_form_is_read_from_nested_fragments_and_a_get_has_no_body() {
        let row = |body: Value| json!([{"hook_id": "a", "event_id": "e", "hook_event": "object", "timestamp": GREGORIAN_OFFSET_S, "req_body": body}]);
        let nested =
            json!([["action", "=", ["doc_edited"]], "&", [["id", 61, "u%201"], "&&"], ["a[b]=1&a[b]=2"]]);
        let seen = deliveries(&rows(&row(nested)), None).remove(0);
        assert_eq!((seen.name.as_str(), seen.subject.as_deref()), ("doc_edited", Some("u 1")));
        assert_eq!(seen.body.unwrap()["a[b]"], json!(["1", "2"]));
        let seen = deliveries(&rows(&row(json!(""))), None).remove(0);
        assert_eq!((seen.name.as_str(), seen.subject, seen.body), ("object", None, None));
    }
}
