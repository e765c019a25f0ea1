//! Payloads built from the whole event: parking, documents, notifications, faxes in the classic form, messages, and
//! the data of callflows.

use serde_json::Value;

use super::lenient::{Text, lenient_object};
use super::payload::PayloadError;
use super::{Object, database_account, normalize};
use crate::model::{AccountId, Event};

/// Reads an event as a tree.
pub(super) fn object(body: &[u8]) -> Result<Object, PayloadError> {
    match serde_json::from_slice(body)? {
        Value::Object(map) => Ok(map),
        _ => Err(PayloadError::NotAnObject),
    }
}

fn text_of(map: &Object, key: &str) -> Option<Value> {
    map.get(key).map(Text::from_value).and_then(Text::into_value)
}

fn id(account: Option<AccountId>) -> Option<Value> {
    account.map(|id| Value::String(id.to_string()))
}

/// Parking: the event without its envelope and channel variables.
pub(super) fn parking_payload(event: &Event<'_>, body: &[u8]) -> Result<Object, PayloadError> {
    let mut map = object(body)?;
    let from_vars = map
        .get("Custom-Channel-Vars")
        .and_then(Value::as_object)
        .and_then(|vars| text_of(vars, "Account-ID"));
    for key in
        ["Node", "Msg-ID", "App-Version", "App-Name", "Event-Category", "Custom-Channel-Vars", "Account-ID"]
    {
        map.shift_remove(key);
    }
    // The payload always has a text here, whatever type the publisher used.
    if let Some(slot) = text_of(&map, "Parking-Slot") {
        map.insert("Parking-Slot".to_owned(), slot);
    }
    let mut out = Object::with_capacity(map.len() + 2);
    put(&mut out, "account_id", id(event.account).or(from_vars));
    out.extend(normalize(map));
    Ok(out)
}

lenient_object! {
    /// The members of a document's change that go into the payload.
    struct Change<'a> {
        id: Text<'a> = "ID",
        database: Text<'a> = "Database",
        type_: Text<'a> = "Type",
    }
}

/// A document's change: four members, without the document's content.
pub(super) fn object_payload(event: &Event<'_>, body: &[u8]) -> Result<Object, PayloadError> {
    let change: Change<'_> = serde_json::from_slice(body)?;
    let account = event.account.or_else(|| database_account(change.database.or_empty()));
    let mut out = Object::with_capacity(8);
    put(&mut out, "id", change.id.into_value());
    put(&mut out, "account_id", id(account));
    put(&mut out, "action", Some(event.name.into()));
    put(&mut out, "type", change.type_.into_value());
    Ok(out)
}

/// A notification: the whole event, normalised.
pub(super) fn notification_payload(body: &[u8]) -> Result<Object, PayloadError> {
    object(body).map(normalize)
}

/// A fax for classic hooks: without its envelope, with the switch's report at the top level.
pub(super) fn classic_fax_payload(body: &[u8]) -> Result<Object, PayloadError> {
    let mut map = object(body)?;
    for key in ["Fax-Notifications", "Node", "Msg-ID", "App-Version", "App-Name", "Event-Category"] {
        map.shift_remove(key);
    }
    let info = map.shift_remove("Fax-Info");
    let mut out = normalize(map);
    if let Some(Value::Object(info)) = info {
        out.extend(normalize(info));
    }
    Ok(out)
}

/// A message from a carrier.
pub(super) fn message_payload(event: &Event<'_>, body: &[u8]) -> Result<Object, PayloadError> {
    let mut map = object(body)?;
    let mut out = Object::with_capacity(12);
    put(&mut out, "id", text_of(&map, "Message-ID"));
    put(&mut out, "account_id", id(event.account).or_else(|| text_of(&map, "Account-ID")));
    put(&mut out, "type", Some(event.category.into()));
    put(&mut out, "from", text_of(&map, "From"));
    put(&mut out, "to", text_of(&map, "To"));
    put(&mut out, "body", map.shift_remove("Body").filter(|body| !body.is_null()));
    put(&mut out, "origin", text_of(&map, "Route-Type"));
    put(&mut out, "charges", map.get("Charges").and_then(number));
    Ok(out)
}

fn number(value: &Value) -> Option<Value> {
    match value {
        Value::Number(_) => Some(value.clone()),
        Value::String(text) => match serde_json::from_str(text.trim()) {
            Ok(Value::Number(number)) => Some(Value::Number(number)),
            _ => None,
        },
        _ => None,
    }
}

/// The data of a callflow: its `Data` member.
pub(super) fn callflow_payload(body: &[u8]) -> Result<Object, PayloadError> {
    match object(body)?.shift_remove("Data") {
        Some(Value::Object(data)) => Ok(normalize(data)),
        _ => Err(PayloadError::NoData),
    }
}

/// Inserts a member if there is a value.
fn put(out: &mut Object, key: &str, value: Option<Value>) {
    if let Some(value) = value {
        out.insert(key.to_owned(), value);
    }
}
