//! Events from a broker or client, and everything that is made from them.

use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::kazoo::{self, Extras, Pattern, Payload, PayloadError, Topic};
use crate::model::{Encoding, Event, Family, Hook, Source};

const EXTRAS: Extras<'static> = Extras { cluster_id: "c", reseller_id: None };

/// Hooks of every trigger, with every verb and format.
fn hooks() -> &'static [Hook] {
    static HOOKS: OnceLock<Vec<Hook>> = OnceLock::new();
    HOOKS.get_or_init(|| {
        let triggers = kazoo::hook_ids().into_iter().chain(["all"]);
        let ways = [("get", "json"), ("post", "json"), ("put", "form-data")];
        let hook = |(trigger, (verb, format)): (&str, (&str, &str))| {
            let doc = json!({
                "_id": "0".repeat(32), "pvt_account_id": "0".repeat(32), "uri": "http://r.example/?a#b",
                "hook": trigger, "http_verb": verb, "format": format, "custom_data": {"type": "*", "k": [1, {"x": 2}]},
            });
            kazoo::hook_from_document(doc.as_object().unwrap()).unwrap()
        };
        triggers.flat_map(|trigger| ways.map(|way| (trigger, way))).map(hook).collect()
    })
}

/// Any bytes as an event. An accepted event can be decoded from its record; hooks, subscribers and searches can read
/// it; what they get is well formed and not much larger than the event. JSON is kept byte for byte.
pub fn event(data: &[u8]) {
    drop(kazoo::gunzip(data, 1 << 16).map(|unpacked| assert!(unpacked.len() <= 1 << 16)));
    // As if read back from the disk.
    if let Ok(read) = Event::decode(data) {
        let again = read.encode();
        assert_eq!(Event::decode(&again).unwrap().encode(), again);
    }
    let _account = kazoo::account_before_break(data);
    let Ok(read) = kazoo::reading(data) else { return };
    let (data, again) = (&*read.body, kazoo::reading(&read.body).unwrap());
    assert!(again.mended.is_nothing() && again.body == data, "what is mended is not mended again");
    serde_json::from_slice::<Value>(data).unwrap();
    let Ok(facts) = kazoo::facts(data) else { return };
    let written = facts.event(Source::Amqp, Encoding::Plain, data);
    let record = written.encode();
    let read = Event::decode(&record).unwrap();
    assert_eq!((read.body, read.family, read.account), (data, written.family, written.account));
    drop(Topic::of(&read));
    drop(kazoo::one_shot(&read));
    assert_eq!(kazoo::stored_text(&read).unwrap(), data);
    assert!(serde_json::from_str::<Value>(&kazoo::live_data(data).unwrap()).unwrap().is_object());
    for family in Family::ALL {
        let event = Event { family: Some(family), ..Event::decode(&record).unwrap() };
        for hook in hooks() {
            let _wanted = kazoo::wanted(hook, &event);
            match kazoo::payload(&event, hook, &EXTRAS) {
                Ok(Some(payload)) => sent(hook, &payload, data.len()),
                Ok(None) | Err(PayloadError::NoData) => {}
                Err(error) => panic!("{family:?}: {error}"),
            }
        }
    }
}

/// The size of a request is bounded by the size of the event.
fn sent(hook: &Hook, payload: &Payload<'_>, bytes: usize) {
    let Ok(wire) = kazoo::wire_request(hook, payload) else { return };
    let most = 64 * 1024 + 100 * (bytes + 1000);
    assert!(wire.body.len() + wire.url.len() <= most, "{} bytes of {bytes}", wire.body.len());
    if wire.content_type == Some("application/json") {
        assert!(serde_json::from_slice::<Value>(&wire.body).unwrap().is_object());
    } else {
        assert!(wire.body.is_ascii() && wire.url.is_ascii());
    }
}

/// A JSON object as a form: an independent parser finds as many pairs as there are leaves, and no text is lost.
pub fn form(data: &[u8]) {
    let Ok(Value::Object(map)) = serde_json::from_slice::<Value>(data) else { return };
    let (mut texts, size) = (Vec::new(), data.len());
    map.iter().for_each(|(key, value)| leaves(key, value, true, &mut texts));
    let Some(form) = kazoo::form(&map.into()) else { return };
    assert!(form.is_ascii() && form.len() <= 64 * 1024 + 100 * (size + 1000));
    let read: Vec<String> =
        url::form_urlencoded::parse(form.as_bytes()).map(|(_, text)| text.into_owned()).collect();
    assert_eq!(read, texts);
}

fn leaves(key: &str, value: &Value, is_top: bool, out: &mut Vec<String>) {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    match value {
        Value::Null => {}
        // A form has no brackets without a name before them.
        Value::Object(_) if is_top && key.is_empty() => out.push(value.to_string()),
        Value::Object(map) => map.iter().for_each(|(key, value)| leaves(key, value, false, out)),
        Value::Array(items) => out.extend(items.iter().filter(|item| !item.is_null()).map(text)),
        other => out.push(text(other)),
    }
}

/// Routing keys and bindings: a decoded segment equals the encoded one, and a valid pattern names what it matches.
pub fn binding(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (binding, rest) = text.split_once('\n').unwrap_or((text, text));
    let segment = kazoo::encode_segment(rest);
    assert!(!segment.contains('.'));
    assert_eq!(kazoo::decode_segment(&segment), rest);
    let _account = kazoo::database_account(rest);
    let Ok(pattern) = Pattern::parse(binding) else { return };
    for record in samples() {
        let Some(topic) = Topic::of(&Event::decode(record).unwrap()) else { continue };
        if pattern.matches(&topic) {
            let key = pattern.subscription_key(None, &topic);
            assert!(key.len() <= 3 * binding.len() + 400, "{key}");
        }
    }
}

/// Records of events of all kinds.
fn samples() -> &'static [Vec<u8>] {
    static SAMPLES: OnceLock<Vec<Vec<u8>>> = OnceLock::new();
    SAMPLES.get_or_init(|| {
        let record = |body: &Value| {
            let text = body.to_string();
            let facts = kazoo::facts(text.as_bytes()).ok()?;
            Some(facts.event(Source::Amqp, Encoding::Plain, text.as_bytes()).encode())
        };
        let names = ["CHANNEL_CREATE", "CHANNEL_DESTROY", "PARK_PARKED"];
        let call = |name| json!({"Event-Category": "call_event", "Event-Name": name, "Call-ID": "c.1@h"});
        let others = [
            json!({"Event-Category": "conference", "Event-Name": "event", "Conference-ID": "c", "Event": "lock"}),
            json!({"Event-Category": "configuration", "Event-Name": "doc_edited", "Type": "user", "ID": "u"}),
            json!({"Event-Category": "notification", "Event-Name": "outbound_fax", "Fax-JobId": "f"}),
        ];
        names.map(call).iter().chain(&others).filter_map(record).collect()
    })
}
