//! Callflow webhooks: the hook in the event, and its request.

use super::*;
use crate::kazoo::{Extras, facts, payload, wire_request};
use crate::model::{Format, Source, Verb};
use serde_json::json;

const ACCOUNT: &str = "0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b0b";

fn callflow(hook: Value) -> Vec<u8> {
    let mut event = json!({"Event-Category": "notification", "Event-Name": "webhook",
        "Data": {"call_id": "leg-5", "account_id": ACCOUNT, "Odd-Key": "v"}});
    event["Hook"] = hook;
    event.to_string().into_bytes()
}

fn event(body: &[u8], account: Option<AccountId>) -> Event<'_> {
    Event {
        source: Source::Amqp,
        encoding: Encoding::Plain,
        family: Some(Family::Callflow),
        account,
        internal_leg: false,
        mended: crate::model::Mended::NOTHING,
        quarantine: None,
        category: "notification",
        name: "webhook",
        subject: "leg-5",
        msg_id: "",
        detail: "",
        exchange: "",
        routing_key: "",
        trace: None,
        trace_state: "",
        handed_in: None,
        body,
    }
}

#[test]
fn a_callflows_hook_posts_a_form_in_two_tries_by_default() {
    for name in ["callflow", "notifications"] {
        let body = callflow(
            json!({"uri": "http://r.example/cf", "hook": name, "pvt_account_id": ACCOUNT, "_id": "63955000000",
            "custom_data": {"queue": "blue"}}),
        );
        let event = event(&body, None);
        let hook = one_shot(&event).unwrap();
        assert_eq!((hook.verb, hook.format, hook.tries, hook.one_shot), (Verb::Post, Format::Form, 2, true));
        assert_eq!(hook.account.to_string(), ACCOUNT);
        assert!(hook.id.to_string().ends_with("063955000000"));
        let sent = payload(&event, &hook, &Extras { cluster_id: "c", reseller_id: None }).unwrap().unwrap();
        let request = wire_request(&hook, &sent).unwrap();
        let form = format!("call_id=leg-5&account_id={ACCOUNT}&odd_key=v&queue=blue&cluster_id=c");
        assert_eq!((request.url.as_str(), request.body), ("http://r.example/cf", form.into_bytes()));
    }
}

#[test]
fn a_callflows_own_settings_are_used() {
    let body = callflow(json!({"uri": "http://r.example/", "http_verb": "get", "retries": "4"}));
    let account = facts(&body).unwrap().account;
    let hook = one_shot(&event(&body, account)).unwrap();
    assert_eq!((hook.verb, hook.tries, hook.account.to_string().as_str()), (Verb::Get, 4, ACCOUNT));
}

#[test]
fn a_callflows_event_without_a_target_is_an_error() {
    let no_hook = callflow(json!("text"));
    assert!(matches!(one_shot(&event(&no_hook, None)), Err(OneShotError::NoHook)));
    let no_uri = callflow(json!({"uri": ""}));
    assert!(matches!(one_shot(&event(&no_uri, None)), Err(OneShotError::NoUri)));
    let no_account = callflow(json!({"uri": "http://r.example/", "pvt_account_id": "short"}));
    assert!(matches!(one_shot(&event(&no_account, None)), Err(OneShotError::NoAccount)));
    assert!(matches!(one_shot(&event(b"[", None)), Err(OneShotError::Body(_))));
}
