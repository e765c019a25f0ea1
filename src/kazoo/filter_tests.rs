//! The filters of hooks.

use super::*;
use crate::kazoo::hook_from_document;
use crate::model::{Encoding, Source};
use serde_json::json;

fn event(family: Family, name: &'static str, detail: &'static str) -> Event<'static> {
    Event {
        source: Source::Amqp,
        encoding: Encoding::Plain,
        family: Some(family),
        account: None,
        internal_leg: false,
        mended: crate::model::Mended::NOTHING,
        quarantine: None,
        category: "",
        name,
        subject: "",
        msg_id: "",
        detail,
        exchange: "",
        routing_key: "",
        trace: None,
        trace_state: "",
        handed_in: None,
        body: b"{}",
    }
}

fn hook(fields: &Value) -> Hook {
    let mut doc =
        json!({"_id": "1".repeat(32), "pvt_account_id": "2".repeat(32), "uri": "http://r.example/"});
    for (key, value) in fields.as_object().into_iter().flatten() {
        doc[key] = value.clone();
    }
    hook_from_document(doc.as_object().unwrap()).unwrap()
}

#[test]
fn an_object_hook_fires_by_type_and_action_or_for_all() {
    let user_edit = event(Family::Object, "doc_edited", "user");
    for (custom, fires) in [
        (None, true),
        (Some(json!({})), false),
        (Some(json!({"type": "user"})), false),
        (Some(json!({"action": "doc_edited"})), false),
        (Some(json!({"type": "user", "action": "doc_edited"})), true),
        (Some(json!({"type": "user", "action": "all"})), true),
        (Some(json!({"type": "all", "action": "doc_edited"})), true),
        (Some(json!({"type": "all", "action": "all", "own": "x"})), true),
        (Some(json!({"type": "device", "action": "all"})), false),
        (Some(json!({"type": "user", "action": "doc_created"})), false),
    ] {
        let mut fields = json!({"hook": "object"});
        if let Some(custom) = &custom {
            fields["custom_data"] = custom.clone();
        }
        assert_eq!(wanted(&hook(&fields), &user_edit), fires, "{custom:?}");
    }
}

#[test]
fn a_notifications_hook_fires_by_type_or_for_all() {
    let missed = event(Family::Notifications, "missed_call", "");
    for (custom, fires) in [
        (json!(null), true),
        (json!({}), false),
        (json!({"action": "all"}), false),
        (json!({"type": "missed_call"}), true),
        (json!({"type": "all"}), true),
        (json!({"type": "register"}), false),
    ] {
        assert_eq!(
            wanted(&hook(&json!({"hook": "notifications", "custom_data": custom})), &missed),
            fires,
            "{custom}"
        );
    }
}

#[test]
fn an_all_hook_gets_every_family_unfiltered_but_callflows() {
    let all = hook(&json!({"hook": "ALL", "custom_data": {"type": "device", "action": "doc_created"}}));
    for e in [
        event(Family::Object, "doc_edited", "menu"),
        event(Family::Notifications, "outbound_fax", ""),
        event(Family::ChannelBridge, "CHANNEL_BRIDGE", ""),
        event(Family::Mms, "inbound", ""),
    ] {
        assert!(wanted(&all, &e));
    }
    assert!(!wanted(&all, &event(Family::Callflow, "webhook", "")));
    assert!(!wanted(&hook(&json!({"hook": "callflow"})), &event(Family::Callflow, "webhook", "")));
    let one_shot = Hook { one_shot: true, ..hook(&json!({"hook": "callflow"})) };
    assert!(wanted(&one_shot, &event(Family::Callflow, "webhook", "")));
    assert!(!wanted(&one_shot, &event(Family::Notifications, "topup", "")));
}

#[test]
fn classic_and_current_hooks_get_a_fax() {
    let fax = event(Family::Notifications, "inbound_fax_error", "");
    assert_eq!(families_of(&fax).collect::<Vec<_>>(), [Family::Notifications, Family::InboundFax]);
    assert!(wanted(&hook(&json!({"hook": "inbound_fax"})), &fax));
    assert!(wanted(&hook(&json!({"hook": "inbound_fax", "custom_data": {"type": "x"}})), &fax));
    assert!(!wanted(&hook(&json!({"hook": "outbound_fax"})), &fax));
    assert!(wanted(
        &hook(&json!({"hook": "notifications", "custom_data": {"type": "inbound_fax_error"}})),
        &fax
    ));
    let smtp = event(Family::Notifications, "outbound_smtp_fax_error", "");
    assert_eq!(families_of(&smtp).collect::<Vec<_>>(), [Family::Notifications]);
    assert!(!wanted(&hook(&json!({"hook": "outbound_fax"})), &smtp));
}

#[test]
fn internal_legs_go_only_to_hooks_that_ask_for_them() {
    let leg = Event { internal_leg: true, ..event(Family::ChannelCreate, "CHANNEL_CREATE", "") };
    assert!(wanted(&hook(&json!({"hook": "channel_create"})), &leg));
    for id in ["channel_create", "all"] {
        assert!(!wanted(&hook(&json!({"hook": id, "include_internal_legs": false})), &leg));
    }
    let parked = Event { internal_leg: true, ..event(Family::Parking, "PARK_PARKED", "") };
    assert!(wanted(&hook(&json!({"hook": "parking", "include_internal_legs": false})), &parked));
}

#[test]
fn no_hook_gets_quarantined_or_unknown_events() {
    let bad = Event { quarantine: Some("why"), ..event(Family::Sms, "inbound", "") };
    let unknown = Event { family: None, ..event(Family::Sms, "inbound", "") };
    for e in [bad, unknown] {
        assert!(!wanted(&hook(&json!({"hook": "all"})), &e));
        assert_eq!(families_of(&e).count(), 0);
    }
}
