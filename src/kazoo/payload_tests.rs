//! The payloads of all families, member by member.

use super::*;
use crate::kazoo::{facts, hook_from_document};
use crate::model::{AccountId, Source};
use serde_json::json;
use std::io::Write as _;

const ACCOUNT: &str = "5e0f5e0f5e0f5e0f5e0f5e0f5e0f5e0f";

fn hook(fields: &Value) -> Hook {
    let mut doc =
        json!({"_id": "1".repeat(32), "pvt_account_id": ACCOUNT, "uri": "http://r.example/", "hook": "all"});
    for (key, value) in fields.as_object().into_iter().flatten() {
        doc[key] = value.clone();
    }
    hook_from_document(doc.as_object().unwrap()).unwrap()
}

fn try_send(body: &[u8], plain: &[u8], hook: &Hook) -> Result<Option<Value>, PayloadError> {
    let facts = facts(plain).unwrap();
    let encoding = if body == plain { Encoding::Plain } else { Encoding::Gzip };
    let event = facts.event(Source::Http, encoding, body);
    let extras = Extras { cluster_id: "c1", reseller_id: Some(AccountId(0xfe)) };
    let payload = payload(&event, hook, &extras)?;
    Ok(payload.map(|payload| Value::Object(payload.into())))
}

fn send(event: &Value, hook_fields: &Value) -> Value {
    let body = event.to_string().into_bytes();
    try_send(&body, &body, &hook(hook_fields)).unwrap().unwrap()
}

fn call(name: &str, more: &Value) -> Value {
    let mut event = json!({
        "Event-Category": "call_event", "Event-Name": name, "Call-ID": "leg-31", "Msg-ID": "m", "Node": "n@h",
        "Custom-Channel-Vars": {"Account-ID": ACCOUNT},
    });
    for (key, value) in more.as_object().into_iter().flatten() {
        event[key] = value.clone();
    }
    event
}

#[test]
fn a_full_channel_event_has_exactly_the_members_of_the_table() {
    let event = call(
        "CHANNEL_CREATE",
        &json!({
            "Call-Direction": "outbound", "Callee-ID-Name": "Zoë", "Callee-ID-Number": "200",
            "Caller-ID-Name": "Max", "Caller-ID-Number": 300, "From": "300@pbx.example", "To": "200@pbx.example",
            "Inception": "200@pbx.example", "Request": "200@pbx.example", "Other-Leg-Call-ID": "leg-32",
            "Timestamp": "63930000000", "Channel-Is-Loopback": "true", "Hangup-Cause": "X", "Switch-URI": "sip:x",
            "Custom-Channel-Vars": {
                "Account-ID": ACCOUNT, "Authorizing-ID": "dev1", "Authorizing-Type": "device", "Call-Forward": "true",
                "Owner-ID": "u1", "Emergency-Resource": "false", "Resource-ID": "res1", "Global-Resource": "false",
                "Username": "hidden", "Realm": "hidden", "Presence-ID": "hidden", "My-Own": {"a": [1]}, "Gone": null,
            },
            "Custom-Application-Vars": {"order": "77"},
        }),
    );
    let expected = json!({
        "account_id": ACCOUNT, "authorizing_id": "dev1", "authorizing_type": "device", "call_direction": "outbound",
        "call_forwarded": true, "call_id": "leg-31", "callee_id_name": "Zoë", "callee_id_number": "200",
        "caller_id_name": "Max", "caller_id_number": "300",
        "custom_channel_vars": {"Emergency-Resource": "false", "Resource-ID": "res1", "Global-Resource": "false",
            "My-Own": {"a": [1]}},
        "custom_application_vars": {"order": "77"}, "emergency_resource_used": false, "from": "300@pbx.example",
        "inception": "200@pbx.example", "is_internal_leg": true, "local_resource_used": true,
        "local_resource_id": "res1", "other_leg_call_id": "leg-32", "owner_id": "u1", "request": "200@pbx.example",
        "reseller_id": AccountId(0xfe).to_string(), "timestamp": 63_930_000_000_u64, "to": "200@pbx.example",
        "hook_event": "channel_create", "cluster_id": "c1",
    });
    assert_eq!(send(&event, &json!({})), expected);
}

#[test]
fn members_absent_from_a_channel_event_are_left_out() {
    let event = call(
        "CHANNEL_ANSWER",
        &json!({
            "Caller-ID-Name": "", "To": null, "From": {"odd": 1}, "Timestamp": "soon", "Custom-Application-Vars": {},
            "Custom-Channel-Vars": {"Account-ID": ACCOUNT, "Global-Resource": "true", "Resource-ID": "r"},
        }),
    );
    let sent = send(&event, &json!({}));
    assert_eq!(
        sent,
        json!({
            "account_id": ACCOUNT, "call_id": "leg-31", "custom_channel_vars": {"Global-Resource": "true", "Resource-ID": "r"},
            "emergency_resource_used": false, "is_internal_leg": false, "local_resource_used": false,
            "reseller_id": AccountId(0xfe).to_string(), "hook_event": "channel_answer", "cluster_id": "c1",
        })
    );
    let only_reserved = send(&call("CHANNEL_ANSWER", &json!({})), &json!({}));
    assert_eq!(only_reserved["custom_channel_vars"], json!({}));
    for none in [json!({}), json!("x")] {
        let sent = send(&call("CHANNEL_ANSWER", &json!({"Custom-Channel-Vars": none})), &json!({}));
        assert_eq!(sent.get("custom_channel_vars"), None);
    }
}

#[test]
fn bridges_and_hangups_have_more_members() {
    let vars = json!({"Account-ID": ACCOUNT, "Original-Number": "+491", "Call-Forward": false});
    let sent = send(
        &call("CHANNEL_BRIDGE", &json!({"Other-Leg-Destination-Number": "55", "Custom-Channel-Vars": vars})),
        &json!({}),
    );
    assert_eq!(
        (&sent["original_number"], &sent["other_leg_destination_number"]),
        (&json!("+491"), &json!("55"))
    );
    assert_eq!(sent["call_forwarded"], false);
    let sent = send(
        &call(
            "CHANNEL_DESTROY",
            &json!({"Hangup-Cause": "USER_BUSY", "Hangup-Code": "sip:486",
            "Duration-Seconds": "12", "Ringing-Seconds": 3.0, "Billing-Seconds": 0}),
        ),
        &json!({}),
    );
    for (key, value) in [
        ("hangup_cause", json!("USER_BUSY")),
        ("hangup_code", json!("sip:486")),
        ("duration_seconds", json!(12)),
        ("ringing_seconds", json!(3)),
        ("billing_seconds", json!(0)),
    ] {
        assert_eq!(sent[key], value);
    }
    assert_eq!(
        send(&call("CHANNEL_CREATE", &json!({"Billing-Seconds": 9})), &json!({})).get("billing_seconds"),
        None
    );
}

#[test]
fn parking_is_the_event_without_its_envelope() {
    let event = call(
        "PARK_PARKED",
        &json!({"Parking-Slot": 41, "Caller-ID-Name": "Max", "App-Name": "callflow",
        "App-Version": "4", "Server-ID": "q"}),
    );
    assert_eq!(
        send(&event, &json!({"hook": "parking"})),
        json!({
            "account_id": ACCOUNT, "event_name": "PARK_PARKED", "call_id": "leg-31", "parking_slot": "41",
            "caller_id_name": "Max", "server_id": "q", "cluster_id": "c1",
        })
    );
}

#[test]
fn a_document_change_has_four_members_and_the_hooks_own() {
    let event = json!({"Event-Category": "configuration", "Event-Name": "doc_edited", "ID": "dev7", "Type": "device",
        "Database": ACCOUNT, "Doc": {"secret": 1}, "Rev": "2-a"});
    let custom =
        json!({"hook": "object", "custom_data": {"type": "device", "action": "all", "id": "mine", "x": "y"}});
    assert_eq!(
        send(&event, &custom),
        json!({"id": "mine", "account_id": ACCOUNT, "action": "doc_edited",
        "type": "device", "x": "y", "cluster_id": "c1"})
    );
}

#[test]
fn a_notification_is_sent_completely_and_normalised() {
    let event = json!({"Event-Category": "notification", "Event-Name": "low_balance", "Account-ID": ACCOUNT,
        "App-Name": "jonny5", "Current-Balance": 1.5, "Deep-Er": {"In-Ner": [{"Ke-Y": null, "B-C": 1}]}, "Node": "n",
        "Msg-ID": "m", "cluster_id": "forged"});
    assert_eq!(
        send(&event, &json!({"hook": "notifications"})),
        json!({"event_category": "notification",
        "event_name": "low_balance", "account_id": ACCOUNT, "app_name": "jonny5", "current_balance": 1.5,
        "deep_er": {"in_ner": [{"b_c": 1}]}, "node": "n", "msg_id": "m", "cluster_id": "c1"})
    );
}

#[test]
fn a_fax_has_its_classic_form_for_classic_hooks_only() {
    let event = json!({"Event-Category": "notification", "Event-Name": "outbound_fax", "Account-ID": ACCOUNT,
        "Fax-ID": "f", "Fax-JobId": "f", "App-Name": "fax", "App-Version": "1", "Node": "n", "Msg-ID": "m",
        "Fax-Notifications": {"email": 1}, "Fax-Info": {"Fax-Success": true, "Fax-Hangup-Code": 200, "Fax-ID": "g"}});
    assert_eq!(
        send(&event, &json!({"hook": "outbound_fax"})),
        json!({"event_name": "outbound_fax",
        "account_id": ACCOUNT, "fax_id": "g", "fax_jobid": "f", "fax_success": true, "fax_hangup_code": 200,
        "cluster_id": "c1"})
    );
    for hook in ["notifications", "all"] {
        let sent = send(&event, &json!({"hook": hook}));
        assert_eq!(sent["fax_info"]["fax_success"], true);
        assert_eq!(sent["event_category"], "notification");
    }
}

fn mms(body: &Value) -> Value {
    json!({"Event-Category": "mms", "Event-Name": "inbound", "Message-ID": "m7", "Account-ID": ACCOUNT, "From": "+1",
        "To": "+2", "Body": body, "Route-Type": "offnet", "Charges": "0.05", "System-ID": "s"})
}

#[test]
fn a_message_is_unpacked_and_sent_with_its_members() {
    let expected = json!({"id": "m7", "account_id": ACCOUNT, "type": "mms", "from": "+1", "to": "+2",
        "body": [{"Part-A": 1}], "origin": "offnet", "charges": 0.05, "cluster_id": "c1"});
    let plain = mms(&json!([{"Part-A": 1}])).to_string().into_bytes();
    let mut zipper = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    zipper.write_all(&plain).unwrap();
    let packed = zipper.finish().unwrap();
    for body in [&plain, &packed] {
        let sent = try_send(body, &plain, &hook(&json!({"hook": "mms"}))).unwrap().unwrap();
        assert_eq!(sent, expected);
    }
    for end in 0..packed.len() {
        assert!(matches!(gunzip(&packed[..end], 1 << 20), Err(PayloadError::NotGzip(_))), "{end}");
    }
}

#[test]
fn a_compression_bomb_is_refused_at_the_limit() {
    let mut zipper = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    zipper.write_all(&vec![0; 4 << 20]).unwrap();
    let packed = zipper.finish().unwrap();
    assert!(packed.len() < 8192);
    assert!(matches!(gunzip(&packed, (4 << 20) - 1), Err(PayloadError::TooLarge(_))));
    assert_eq!(gunzip(&packed, 4 << 20).unwrap().len(), 4 << 20);
}

#[test]
fn a_hooks_modifiers_filter_events() {
    let event = call("CHANNEL_CREATE", &json!({"Call-Direction": "inbound"})).to_string().into_bytes();
    for (modifiers, passes) in [
        (json!({"call_direction": "inbound"}), true),
        (json!({"call_direction": "outbound"}), false),
        (json!({"call_direction": ["outbound", "inbound"]}), true),
        (json!({"call_direction": ["outbound"]}), false),
        (json!({"call_direction": []}), true),
        (json!({"no_such_member": "x"}), true),
        (json!({"emergency_resource_used": false, "call_direction": "outbound"}), false),
    ] {
        let hook = hook(&json!({"modifiers": modifiers}));
        assert_eq!(try_send(&event, &event, &hook).unwrap().is_some(), passes, "{modifiers}");
    }
}

#[test]
fn a_body_that_cannot_be_sent_is_an_error() {
    let plain = call("CHANNEL_CREATE", &json!({})).to_string().into_bytes();
    let error = try_send(b"not gzip", &plain, &hook(&json!({}))).unwrap_err();
    assert!(matches!(error, PayloadError::NotGzip(_)));
    let deep = format!(
        "{{\"Event-Category\":\"notification\",\"Event-Name\":\"topup\",\"x\":{}{}}}",
        "[".repeat(200),
        "]".repeat(200)
    );
    // As stored by a version that did not repair bodies.
    assert!(try_send(deep.as_bytes(), deep.as_bytes(), &hook(&json!({}))).unwrap().is_some());
}
