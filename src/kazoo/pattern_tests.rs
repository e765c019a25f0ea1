//! All spellings of a binding: the events they match, their names, and the errors.

use super::*;

fn topic(kind: TopicKind, segments: &[&str], place: &str) -> Topic {
    let segments = segments.iter().map(|segment| (*segment).to_owned()).collect();
    Topic { kind, segments, routing_key: String::new(), place: place.to_owned() }
}

fn events() -> [Topic; 8] {
    [
        topic(TopicKind::Call, &["CHANNEL_CREATE", "a%401%2E2"], "acct"),
        topic(TopicKind::Call, &["PARK_PARKED", "b"], "acct"),
        topic(TopicKind::ConferenceEvent, &["add-member", "conf", "a%401%2E2"], "acct"),
        topic(TopicKind::ConferenceEvent, &["lock", "conf", "conf"], "acct"),
        topic(TopicKind::ConferenceCommand, &["conf"], "acct"),
        topic(TopicKind::Fax, &["202611-f"], "acct"),
        topic(TopicKind::Object, &["doc_edited", "user", "u"], "db"),
        topic(TopicKind::Presence, &["dialog", "a%401%2E2"], "pbx%2Eexample"),
    ]
}

/// The numbers of the events that a binding matches.
fn selects(binding: &str) -> Vec<usize> {
    let pattern = Pattern::parse(binding).unwrap_or_else(|e| panic!("{binding}: {e}"));
    let events = events();
    (0..events.len()).filter(|at| pattern.matches(&events[*at])).collect()
}

#[test]
fn a_binding_matches_its_events_in_every_spelling() {
    for (binding, expected) in [
        ("call.*.*", vec![0, 1]),
        ("call.CHANNEL_CREATE.*", vec![0]),
        ("call.*.a%401%2E2", vec![0]),
        ("call.*.#", vec![0, 1]),
        ("call.CHANNEL_HOLD.*", vec![]),
        ("conference.event.conf", vec![2, 3]),
        ("conference.event.conf.*", vec![2, 3]),
        ("conference.event.conf.a%401%2E2", vec![2]),
        ("conference.event.other.*", vec![]),
        ("conference.event.conf.*.lock", vec![3]),
        ("conference.event.conf.*.*", vec![2, 3]),
        ("conference.event.*.conf.*", vec![2, 3]),
        ("conference.event.add-member.conf.*", vec![2]),
        ("conference.event.lock.conf.a%401%2E2", vec![]),
        ("conference.command.conf", vec![4]),
        ("fax.status.*", vec![5]),
        ("fax.status.202611-f", vec![5]),
        ("fax.object.doc_edited", vec![]),
        ("object.*.*", vec![6]),
        ("object.doc_edited.user", vec![6]),
        ("object.doc_created.user", vec![]),
        ("object.doc_edited.webhook", vec![]),
        ("doc_edited.*.user.*", vec![6]),
        ("doc_edited.*.user.u", vec![6]),
        ("*.*.*.*", vec![6]),
        ("presence.dialog.*", vec![7]),
        ("dialog.*", vec![7]),
        ("presence.dialog.a%401%2E2", vec![7]),
        // Without encoding, as far as the dots allow.
        ("presence.mwi_updates.10@x", vec![]),
        ("update.*", vec![]),
    ] {
        assert_eq!(selects(binding), expected, "{binding}");
    }
}

#[test]
fn a_refused_binding_has_kazoos_error_text() {
    let unknown = "no available subscriptions to requested binding";
    for (binding, words) in [
        ("", unknown),
        ("foo.bar", unknown),
        ("*", unknown),
        ("doc_created.account.user.x", unknown),
        ("dialog", unknown),
        ("presence.dialog.a.b", unknown),
        ("presence.dialog", unknown),
        ("call", "invalid format for call subscription : "),
        ("call.CHANNEL_CREATE", "invalid format for call subscription : CHANNEL_CREATE"),
        ("call.CHANNEL_CREATE.a.b", "invalid format for call subscription : CHANNEL_CREATE, a, b"),
        ("call.CHANNEL_EXECUTE.*", "event CHANNEL_EXECUTE not supported"),
        ("conference", "invalid format for conference subscription : "),
        ("conference.event", "invalid format for conference subscription : event"),
        ("conference.event.boo.conf.*", "invalid format for conference subscription : event, boo, conf, *"),
        (
            "conference.event.conf.call.lock",
            "invalid format for conference subscription : event, conf, call, lock",
        ),
        ("conference.event.*.*", "ConferenceId required"),
        ("conference.event.*.*.lock", "ConferenceId required"),
        ("conference.event.#.*", "ConferenceId required"),
        ("conference.command.*", "ConferenceId required"),
        ("conference.command.#", "ConferenceId required"),
        ("conference.event.conf.*.boo", "Unsupported conference event boo"),
        ("fax.x.y", "invalid format for fax subscription : x, y"),
        ("fax.status.a.b", "invalid format for fax subscription : status, a, b"),
        ("object.doc_created", "invalid format for object subscription : doc_created"),
        ("object.boo.*", "event boo.* not supported"),
        ("object.*.boo", "event *.boo not supported"),
        ("object.doc_created.boo", "event doc_created.boo not supported"),
        ("presence", "invalid format for presence subscription : "),
        ("presence.boo.*", "event boo not supported"),
    ] {
        let error = Pattern::parse(binding).expect_err(binding);
        assert_eq!(error.to_string(), words, "{binding}");
        assert_eq!(error == PatternError::Unknown, words == unknown, "{binding}");
    }
}

#[test]
fn an_events_subscription_key_is_the_servers_form_of_the_binding() {
    let account = "00aa11bb22cc33dd44ee55ff66007788";
    for (binding, at, of_one, of_all) in [
        ("call.*.*", 0, format!("call.{account}.CHANNEL_CREATE.*"), "call.*.CHANNEL_CREATE.*"),
        ("call.PARK_PARKED.b", 1, format!("call.{account}.PARK_PARKED.b"), "call.*.PARK_PARKED.b"),
        (
            "conference.event.conf.*",
            2,
            format!("conference.event.*.{account}.conf.*"),
            "conference.event.*.*.conf.*",
        ),
        (
            "conference.event.conf.*.lock",
            3,
            format!("conference.event.lock.{account}.conf.*"),
            "conference.event.lock.*.conf.*",
        ),
        ("conference.command.conf", 4, "conference.command.conf".into(), "conference.command.conf"),
        ("fax.status.*", 5, format!("fax.status.{account}.*"), "fax.status.*.*"),
        ("object.*.user", 6, "*.db.user.*".into(), "*.*.user.*"),
        ("doc_edited.*.user.*", 6, "doc_edited.db.user.*".into(), "doc_edited.*.user.*"),
        ("presence.dialog.*", 7, "dialog.pbx%2Eexample.*".into(), "dialog.*.*"),
    ] {
        let (pattern, event) = (Pattern::parse(binding).unwrap(), &events()[at]);
        assert_eq!(pattern.subscription_key(account.parse().ok(), event), of_one, "{binding}");
        assert_eq!(pattern.subscription_key(None, event), of_all, "{binding}");
    }
}
