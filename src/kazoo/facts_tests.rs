//! The facts of events of every category, and the events that are refused.

use super::*;
use serde_json::{Value, json};

const A: &str = "00aa11bb22cc33dd44ee55ff66007788";
const B: &str = "99aa11bb22cc33dd44ee55ff66007788";

fn read(event: &Value) -> Result<Facts, NotUnderstood> {
    facts(event.to_string().as_bytes())
}

fn with(base: Value, more: &Value) -> Value {
    let mut base = base;
    for (key, value) in more.as_object().into_iter().flatten() {
        base[key] = value.clone();
    }
    base
}

fn call(more: &Value) -> Value {
    with(json!({"Event-Category": "call_event", "Event-Name": "CHANNEL_ANSWER", "Call-ID": "leg-1"}), more)
}

fn note(name: &str, more: &Value) -> Value {
    with(json!({"Event-Category": "notification", "Event-Name": name}), more)
}

#[test]
fn a_call_event_is_read_with_all_its_facts() {
    let event = call(&json!({
        "Msg-ID": 1_790_000_000_000_001_u64,
        "Custom-Channel-Vars": {"Account-ID": A, "Other": {"deep": [1, 2]}},
        "Channel-Name": "sofia/outside/900@carrier.example",
    }));
    let expected = Facts {
        family: Some(Family::ChannelAnswer),
        account: A.parse().ok(),
        category: "call_event".to_owned(),
        name: "CHANNEL_ANSWER".to_owned(),
        subject: "leg-1".to_owned(),
        msg_id: "1790000000000001".to_owned(),
        detail: String::new(),
        internal_leg: false,
        call_id: Some("leg-1".to_owned()),
    };
    assert_eq!(read(&event).unwrap(), expected);
}

#[test]
fn loopback_legs_are_internal_in_every_spelling() {
    for (more, internal) in [
        (json!({"Channel-Name": "loopback/200-a"}), true),
        (json!({"Channel-Is-Loopback": true}), true),
        (json!({"Channel-Is-Loopback": "TRUE"}), true),
        (json!({"Channel-Is-Loopback": "false", "Channel-Name": "x/loopback/"}), false),
        (json!({"Channel-Is-Loopback": {"a": 1}, "Channel-Name": 7}), false),
    ] {
        assert_eq!(read(&call(&more)).unwrap().internal_leg, internal, "{more}");
    }
}

#[test]
fn wrong_types_in_optional_fields_never_make_an_event_unreadable() {
    for wrong in [
        json!(null),
        json!(7),
        json!(-1.5),
        json!(true),
        json!([[1], {}]),
        json!({"a": {"b": []}}),
        json!("x"),
    ] {
        let mut event = call(&json!({}));
        for key in [
            "Msg-ID",
            "Call-ID",
            "Channel-Name",
            "Channel-Is-Loopback",
            "Custom-Channel-Vars",
            "Custom-Vars",
            "Account-ID",
            "account",
            "details",
            "Details",
            "Database",
            "ID",
            "Type",
            "Hook",
            "Data",
            "Fax-ID",
        ] {
            event[key] = wrong.clone();
        }
        for category in ["call_event", "notification", "configuration", "sms", "faxes"] {
            event["Event-Category"] = category.into();
            let facts = read(&event).unwrap();
            assert_eq!(facts.account, None);
            assert!(!facts.subject.is_empty());
        }
    }
}

#[test]
fn bytes_that_are_not_an_event_are_refused_with_a_reason() {
    for (bytes, expected) in [
        (&b"{\"Event-Name\":\"\xff\"}"[..], NotUnderstood::NotText(15)),
        (b"[]", NotUnderstood::NotAnObject),
        (b" 12 ", NotUnderstood::NotAnObject),
        (b"\"text\"", NotUnderstood::NotAnObject),
        (b"{}", NotUnderstood::NoCategory),
        (b"{\"Event-Category\":\"\",\"Event-Name\":\"x\"}", NotUnderstood::NoCategory),
        (b"{\"Event-Category\":{},\"Event-Name\":\"x\"}", NotUnderstood::NoCategory),
        (b"{\"Event-Category\":\"call_event\"}", NotUnderstood::NoName),
        (b"{\"Event-Category\":\"call_event\",\"Event-Name\":null}", NotUnderstood::NoName),
    ] {
        assert_eq!(facts(bytes), Err(expected), "{}", String::from_utf8_lossy(bytes));
    }
    for broken in [&b""[..], b"{", b"{\"a\":}", b"{} {}", b"\x1f\x8b\x08", b"{\"a\":\"\n\"}"] {
        let error = facts(broken).unwrap_err();
        assert!(matches!(error, NotUnderstood::NotJson(_) | NotUnderstood::NotText(_)), "{error}");
    }
}

#[test]
fn the_account_of_a_document_change_comes_from_the_database() {
    let account = |more: Value| {
        let base = json!({"Event-Category": "configuration", "Event-Name": "doc_created", "ID": "d1", "Type": "user"});
        read(&with(base, &more)).unwrap().account
    };
    let tail = &A[4..];
    assert_eq!(account(json!({"Database": format!("account%2F00%2Faa%2F{tail}")})), A.parse().ok());
    assert_eq!(account(json!({"Database": format!("account%2F00%2Faa%2F{tail}-202601")})), A.parse().ok());
    assert_eq!(account(json!({"Database": "accounts", "ID": B})), B.parse().ok());
    assert_eq!(account(json!({"Database": "webhooks", "Account-ID": A})), A.parse().ok());
    assert_eq!(account(json!({"Account-ID": A})), A.parse().ok());
}

#[test]
fn the_account_of_a_notification_is_searched_in_kazoos_order() {
    for (more, expected) in [
        (json!({"Account-ID": A}), Some(A)),
        (json!({"Account-ID": A, "account_id": B}), Some(B)),
        (json!({"account": {"_id": A}, "pvt_account_id": B}), Some(A)),
        (json!({"pvt_account_id": A, "_id": B}), Some(A)),
        (json!({"_id": A, "id": B}), Some(A)),
        (json!({"id": A, "Account-ID": B}), Some(A)),
        (json!({"id": "nothing", "Account-ID": B}), Some(B)),
        (json!({"details": {"account_id": A}}), Some(A)),
        (json!({"Details": {"Account-ID": A}}), Some(A)),
        (json!({"details": {"custom_channel_vars": {"account_id": A}}}), Some(A)),
        (json!({"Details": {"Custom-Channel-Vars": {"Account-ID": A}}}), Some(A)),
        (json!({"Subject": "disk"}), None),
    ] {
        let account = read(&note("system_alert", &more)).unwrap().account;
        assert_eq!(account, expected.and_then(|id| id.parse().ok()), "{more}");
    }
}

#[test]
fn every_event_has_the_subject_within_which_order_is_kept() {
    let account = json!({"Account-ID": A});
    for (event, expected) in [
        (note("missed_call", &with(account.clone(), &json!({"Call-ID": "leg-9"}))), "leg-9".to_owned()),
        (note("system_alert", &json!({"Details": {"Call-ID": "leg-8"}})), "leg-8".to_owned()),
        (note("new_user", &account), format!("{A}/new_user")),
        (note("system_alert", &json!({})), "system_alert".to_owned()),
        (note("inbound_fax", &json!({"Fax-ID": "f1", "Call-ID": "leg-7"})), "f1".to_owned()),
        (note("outbound_fax_error", &json!({"Fax-JobId": "f2"})), "f2".to_owned()),
        (note("webhook", &json!({"Data": {"call_id": "leg-6"}})), "leg-6".to_owned()),
        (json!({"Event-Category": "sms", "Event-Name": "inbound", "Message-ID": "m1"}), "m1".to_owned()),
        (json!({"Event-Category": "configuration", "Event-Name": "doc_edited", "ID": "d7"}), "d7".to_owned()),
        (json!({"Event-Category": "call_event", "Event-Name": "DTMF"}), "DTMF".to_owned()),
    ] {
        assert_eq!(read(&event).unwrap().subject, expected, "{event}");
    }
}

#[test]
fn a_callflows_event_names_its_account_in_its_hook() {
    let event =
        note("webhook", &json!({"Hook": {"pvt_account_id": A}, "Data": {"account_id": B, "call_id": "c"}}));
    let facts = read(&event).unwrap();
    assert_eq!((facts.family, facts.account), (Some(Family::Callflow), A.parse().ok()));
    assert_eq!(facts.call_id.as_deref(), Some("c"));
}

#[test]
fn a_document_change_has_its_type_as_detail() {
    let event =
        json!({"Event-Category": "configuration", "Event-Name": "doc_deleted", "ID": "d", "Type": "vmbox"});
    assert_eq!(read(&event).unwrap().detail, "vmbox");
}

#[test]
fn only_subscribers_get_changes_of_webhooks() {
    let event = json!({
        "Event-Category": "configuration", "Event-Name": "doc_edited", "ID": "h", "Type": "webhook",
        "Database": "webhooks", "Account-ID": A,
    });
    let facts = read(&event).unwrap();
    assert_eq!((facts.family, facts.account, facts.detail.as_str()), (None, A.parse().ok(), "webhook"));
}

#[test]
fn events_for_subscribers_only_have_subject_and_detail() {
    for (event, subject, detail) in [
        (
            json!({"Event-Category": "conference", "Event-Name": "event", "Conference-ID": "conf",
                "Event": "add-member", "Call-ID": "c"}),
            "conf",
            "add-member",
        ),
        (json!({"Event-Category": "fax", "Event-Name": "status", "Job-ID": "j", "Call-ID": "c"}), "j", ""),
        (
            json!({"Event-Category": "presence", "Event-Name": "dialog_update", "Call-ID": "c",
                "Presence-ID": "sip:1@pbx.example"}),
            "c",
            "pbx.example",
        ),
        (
            json!({"Event-Category": "presence", "Event-Name": "mwi_update", "Call-ID": "hash",
                "To": "sip:1@pbx.example"}),
            "1",
            "pbx.example",
        ),
    ] {
        let facts = read(&event).unwrap();
        assert_eq!((facts.subject.as_str(), facts.detail.as_str(), facts.family), (subject, detail, None));
    }
}
