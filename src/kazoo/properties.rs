//! Properties for any input: nothing panics, and encoded data decodes to the original.

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::json::json as written;
use super::members::Member;
use super::*;
use crate::model::{Encoding, Event, Family, Source};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_filter("finite", |f| f.is_finite()).prop_map(Value::from),
        any::<String>().prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 40, 6, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(Value::from),
            btree_map(key(), inner, 0..6).prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn key() -> impl Strategy<Value = String> {
    let known = [
        "Event-Category",
        "Event-Name",
        "Call-ID",
        "Account-ID",
        "Custom-Channel-Vars",
        "Timestamp",
        "ID",
        "Custom-Application-Vars",
        "Database",
        "Hook",
        "Data",
        "Fax-Info",
        "uri",
        "hook",
        "custom_data",
        "retry",
    ];
    prop_oneof![
        proptest::sample::select(known.to_vec()).prop_map(str::to_owned),
        any::<String>(),
        "[a-z\\[\\]&=%+ ]{0,6}"
    ]
}

/// The leaves of a payload as pairs of path and text, which is all that a form can express.
fn leaves(path: &[String], value: &Value, out: &mut Vec<(Vec<String>, String)>) {
    let below = |part: &str| path.iter().cloned().chain([part.to_owned()]).collect::<Vec<_>>();
    match value {
        Value::Null => {}
        Value::Object(map) if path.len() == 1 && path.first().is_some_and(String::is_empty) => {
            out.push((path.to_vec(), Value::Object(map.clone()).to_string()));
        }
        Value::Object(map) => map.iter().for_each(|(key, value)| leaves(&below(key), value, out)),
        Value::Array(items) => {
            for item in items.iter().filter(|i| !i.is_null()) {
                let text = item.as_str().map_or_else(|| item.to_string(), str::to_owned);
                // An array item has no key. A key that cannot occur otherwise distinguishes it from an empty key.
                out.push((below("\u{0}item"), text));
            }
        }
        Value::String(text) => out.push((path.to_vec(), text.clone())),
        other => out.push((path.to_vec(), other.to_string())),
    }
}

fn unescape(text: &str) -> String {
    decode_segment(text)
}

/// Parses a form like a receiver: structural brackets are raw, everything else is escaped.
fn read_form(form: &str) -> Vec<(Vec<String>, String)> {
    let mut out = Vec::new();
    for pair in form.split('&').filter(|p| !p.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let mut parts = name.split('[');
        let mut path = vec![unescape(parts.next().unwrap_or(""))];
        path.extend(parts.map(|part| unescape(part.trim_end_matches(']'))));
        out.push((path, unescape(value)));
    }
    out
}

/// The sent leaves as pairs of full name and text.
fn pairs(map: &Object) -> Vec<(String, String)> {
    let mut sent = Vec::new();
    for (key, value) in map {
        leaves(std::slice::from_ref(key), value, &mut sent);
    }
    let named = sent.into_iter().map(|(path, text)| {
        let mut parts = path.iter().map(|part| part.trim_start_matches("\u{0}item"));
        let first = parts.next().unwrap_or_default().to_owned();
        (parts.fold(first, |name, part| format!("{name}[{part}]")), text)
    });
    named.collect()
}

/// Payloads with plain words as names and without empty containers.
fn plain_json() -> impl Strategy<Value = Value> {
    let text = any::<String>().prop_map(Value::from);
    let texts = vec(any::<String>(), 1..4).prop_map(Value::from);
    prop_oneof![text, texts].prop_recursive(3, 20, 4, |inner| {
        btree_map("[a-z_]{1,8}", inner, 1..4).prop_map(|map| Value::Object(map.into_iter().collect()))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn a_form_reads_back_as_what_was_sent(map in btree_map(key(), any_json(), 0..8)) {
        let map: Object = map.into_iter().collect();
        let mut sent = Vec::new();
        for (key, value) in &map {
            leaves(std::slice::from_ref(key), value, &mut sent);
        }
        // A receiver sees `k[]` for an item and for an empty key alike.
        for (path, _) in &mut sent {
            for part in path.iter_mut().filter(|p| *p == "\u{0}item") {
                part.clear();
            }
        }
        let form = form(&map.into()).expect("small");
        prop_assert!(form.is_ascii() && !form.contains("&&") && !form.starts_with('&') && !form.ends_with('&'));
        prop_assert_eq!(read_form(&form), sent);
    }

    #[test]
    fn borrowed_members_are_encoded_like_values(map in btree_map(key(), any_json(), 0..10)) {
        let text = Value::Object(map.into_iter().collect()).to_string();
        let map: Object = serde_json::from_str(&text).unwrap();
        let members: std::collections::BTreeMap<String, Member<'_>> = serde_json::from_str(&text).unwrap();
        let mut inner = Payload::default();
        for key in map.keys() {
            inner.set(key.into(), members[key].clone());
        }
        let (mut borrowed, mut owned) = (Payload::default(), Payload::default());
        borrowed.put("vars", Some(Member::Members(inner)));
        owned.put("vars", Some(Value::Object(map.clone())));
        prop_assert_eq!(form(&borrowed), form(&owned));
        // `serde_json` writes the same, in the same order.
        let expected = serde_json::to_vec(&Object::from(owned.clone())).unwrap();
        prop_assert_eq!(written(&borrowed), expected.clone());
        prop_assert_eq!(written(&owned), expected);
    }

    #[test]
    fn a_parser_of_another_hand_reads_the_same_names_and_texts(map in btree_map(key(), any_json(), 0..8)) {
        let map: Object = map.into_iter().collect();
        let form = form(&map.clone().into()).expect("small");
        let read: Vec<_> = url::form_urlencoded::parse(form.as_bytes()).into_owned().collect();
        prop_assert_eq!(read, pairs(&map));
    }

    #[test]
    fn a_parser_of_another_hand_reads_the_same_structure(map in btree_map("[a-z_]{1,8}", plain_json(), 0..6)) {
        let sent: Object = map.into_iter().collect();
        let read: Object = serde_qs::from_str(&form(&sent.clone().into()).expect("small")).expect("a form");
        prop_assert_eq!(Value::Object(read), Value::Object(sent));
    }

    #[test]
    fn a_routing_key_segment_reads_back(text in any::<String>()) {
        let segment = encode_segment(&text);
        prop_assert!(!segment.contains('.'));
        prop_assert_eq!(decode_segment(&segment), text);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..200), text in any::<String>()) {
        let _facts = facts(&bytes);
        let _unpacked = gunzip(&bytes, 1000);
        every_payload(&bytes);
        let _account = database_account(&text);
        let _decoded = decode_segment(&text);
        let _acceptable = uri_is_acceptable(&text, &[]);
        let _refused = why_refused(&format!("http://{text}"), &[]);
    }

    #[test]
    fn arbitrary_json_never_panics(map in btree_map(key(), any_json(), 0..10)) {
        let map: Object = map.into_iter().collect();
        let _stored = validate_hook(&map, &Rules { allow: &[], master: true });
        let _hook = hook_from_document(&map);
        let _shown = public_document(&map);
        let _normal = normalize(map.clone());
        let body = Value::Object(map).to_string();
        let facts = facts(body.as_bytes());
        prop_assert!(!matches!(facts, Err(NotUnderstood::NotJson(_) | NotUnderstood::NotText(_))));
        every_payload(body.as_bytes());
    }
}

fn every_payload(body: &[u8]) {
    let doc = json!({"_id": "0".repeat(32), "pvt_account_id": "0".repeat(32), "uri": "http://r.example/?a#b",
        "hook": "outbound_fax", "http_verb": "get", "modifiers": {"Call-ID": ["x"]}});
    let Some(Ok(hook)) = doc.as_object().map(hook_from_document) else { return };
    for family in Family::ALL {
        for encoding in [Encoding::Plain, Encoding::Gzip] {
            let event = Event {
                source: Source::Amqp,
                encoding,
                family: Some(family),
                account: None,
                internal_leg: false,
                mended: crate::model::Mended::NOTHING,
                quarantine: None,
                category: "c",
                name: "n",
                subject: "s",
                msg_id: "m",
                detail: "d",
                exchange: "e",
                routing_key: "r",
                trace: None,
                trace_state: "",
                handed_in: None,
                body,
            };
            let extras = Extras { cluster_id: "c", reseller_id: None };
            if let Ok(Some(map)) = payload(&event, &hook, &extras) {
                let _request = wire_request(&hook, &map);
            }
            let _hook = one_shot(&event);
        }
    }
}
