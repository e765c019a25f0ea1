//! The topics of events of all kinds.

use serde_json::{Value, json};

use super::*;
use crate::model::{Encoding, Source};

const A: &str = "00aa11bb22cc33dd44ee55ff66007788";
const DB: &str = "account%2F00%2Faa%2F11bb22cc33dd44ee55ff66007788";

/// The topic of an event as ingest stores it.
fn of(body: &Value, routing_key: &str) -> Option<Topic> {
    let body = body.to_string();
    let facts = facts(body.as_bytes()).unwrap();
    let event = facts.event(Source::Amqp, Encoding::Plain, body.as_bytes());
    Topic::of(&Event { routing_key, ..event })
}

fn event(category: &str, name: &str, more: &Value) -> Value {
    let mut event = json!({"Event-Category": category, "Event-Name": name});
    for (key, value) in more.as_object().into_iter().flatten() {
        event[key] = value.clone();
    }
    event
}

/// Event, routing key, kind, segments and place.
type Case = (Value, String, TopicKind, Vec<&'static str>, &'static str);

fn cases() -> Vec<Case> {
    let member = json!({"Conference-ID": "conf", "Call-ID": "c@1.2", "Event": "add-member", "Account-ID": A});
    let room = json!({"Conference-ID": "conf", "Event": "lock", "Account-ID": A});
    let status = json!({"Job-ID": "202611-f.x", "Account-ID": A});
    let user = json!({"ID": "u.1", "Type": "user", "Database": DB});
    let call = json!({"Call-ID": "c@1.2", "Account-ID": A});
    vec![
        (
            event("call_event", "PARK_PARKED", &call),
            format!("call.{A}.PARK_PARKED.c%401%2E2"),
            TopicKind::Call,
            vec!["PARK_PARKED", "c%401%2E2"],
            A,
        ),
        (
            event("conference", "event", &member),
            format!("conference.event.add-member.{A}.conf.c%401%2E2"),
            TopicKind::ConferenceEvent,
            vec!["add-member", "conf", "c%401%2E2"],
            A,
        ),
        (
            event("conference", "event", &room),
            format!("conference.event.lock.{A}.conf.conf"),
            TopicKind::ConferenceEvent,
            vec!["lock", "conf", "conf"],
            A,
        ),
        (
            event("conference", "command", &json!({"Conference-ID": "conf"})),
            "conference.command.conf".to_owned(),
            TopicKind::ConferenceCommand,
            vec!["conf"],
            "undefined",
        ),
        (
            event("fax", "status", &status),
            format!("fax.status.{A}.202611-f%2Ex"),
            TopicKind::Fax,
            vec!["202611-f%2Ex"],
            A,
        ),
        (
            event("configuration", "doc_edited", &user),
            format!("doc_edited.{DB}.user.u%2E1"),
            TopicKind::Object,
            vec!["doc_edited", "user", "u%2E1"],
            DB,
        ),
    ]
}

fn presence_cases() -> Vec<Case> {
    let dialog = json!({"Call-ID": "c@1", "Presence-ID": "10@pbx.example", "To": "sip:20@other.example"});
    let mwi = json!({"Call-ID": "0123", "To": "sip:10@pbx.example", "To-User": "10"});
    vec![
        (
            event("presence", "dialog_update", &dialog),
            "dialog.pbx%2Eexample.c%401".to_owned(),
            TopicKind::Presence,
            vec!["dialog", "c%401"],
            "pbx%2Eexample",
        ),
        (
            event("presence", "mwi_update", &mwi),
            "mwi_updates.pbx%2Eexample.10".to_owned(),
            TopicKind::Presence,
            vec!["mwi_updates", "10"],
            "pbx%2Eexample",
        ),
    ]
}

#[test]
fn every_kind_of_event_has_its_topic_with_and_without_a_routing_key() {
    for (event, key, kind, segments, place) in cases().into_iter().chain(presence_cases()) {
        let expected = Topic {
            kind,
            segments: segments.into_iter().map(str::to_owned).collect(),
            routing_key: key.clone(),
            place: place.to_owned(),
        };
        assert_eq!(of(&event, "").unwrap(), expected, "made for {event}");
        assert_eq!(of(&event, &key).unwrap(), expected, "the broker's of {event}");
    }
}

#[test]
fn a_document_keeps_the_database_of_its_month() {
    let fax = json!({"ID": "202611-f", "Type": "fax", "Database": format!("{DB}-202611")});
    let topic = of(&event("configuration", "doc_created", &fax), &format!("doc_created.{DB}-202611.fax.x"));
    assert_eq!(topic.unwrap().place, format!("{DB}-202611"));
}

#[test]
fn events_without_subscribers_have_no_topic() {
    for (category, name) in [
        ("call_event", "CHANNEL_EXECUTE"),
        ("configuration", "db_created"),
        ("configuration", "doc_type_update"),
        ("conference", "participants_resp"),
        ("notification", "nothing_known"),
        ("presence", "probe"),
        ("sms", "nothing_known"),
    ] {
        assert_eq!(
            of(&event(category, name, &json!({"ID": "x", "Database": DB})), ""),
            None,
            "{category}/{name}"
        );
    }
}
