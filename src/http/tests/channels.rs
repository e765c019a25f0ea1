//! Channels and commands at the level of the API: what is accepted, the responses, and each refusal.

use super::*;
use crate::commands::CommandError;
use crate::kazoo::{Action, Command};

const PATH: &str = "/v2/account/channels/leg.7%4010.1.2.3";

#[tokio::test]
async fn channels_are_listed_and_shown() {
    let test = TestApi::start().await;
    let list = test.get("/v2/account/channels").await;
    assert_eq!((list.status, &list.body["data"]), (200, &json!([{"uuid": "c1", "answered": true}])));
    let none = test.get("/v2/account/channels?filter_answered=false").await;
    assert_eq!((none.status, &none.body["data"]), (200, &json!([])));
    let one = test.get(PATH).await;
    assert_eq!((one.status, &one.body["data"]), (200, &json!({"call_id": "leg.7@10.1.2.3"})));
}

#[tokio::test]
async fn every_action_is_accepted_with_its_text() {
    let test = TestApi::start().await;
    for (data, text) in [
        (json!({"action": "hangup"}), "hangup initiated"),
        (json!({"action": "break"}), "break initiated"),
        (json!({"action": "transfer", "target": "2600"}), "transfer initiated"),
        (json!({"action": "callflow", "id": "f"}), "callflow initiated"),
        (json!({"action": "intercept", "target_type": "user", "target_id": "u"}), "intercept initiated"),
        (json!({"action": "move", "owner_id": "o"}), "move initiated"),
    ] {
        let answer = test.call("POST", PATH, data.clone()).await;
        assert_eq!((answer.status, &answer.body["data"]), (202, &json!(text)));
        assert_eq!(answer.body["status"], "success");
        let (account, call_id, command) = test.recorded.commands.lock().unwrap().pop().unwrap();
        assert_eq!((account.to_string(), call_id.as_str()), (test.master.clone(), "leg.7@10.1.2.3"));
        assert_eq!(command, Command::Action(Action::read(data.as_object().unwrap()).unwrap()));
    }
}

#[tokio::test]
async fn a_metaflow_is_accepted_in_each_of_its_forms() {
    let test = TestApi::start().await;
    let token = [("x-auth-token", test.token.as_str())];
    let mut seen = Vec::new();
    for (path, body) in [
        (PATH.to_owned(), json!({"action": "metaflow", "data": {"module": "hangup"}})),
        (PATH.to_owned(), json!({"data": {"action": "metaflow", "module": "hangup", "data": {}}})),
        (format!("{PATH}?action=metaflow"), json!({"data": {"module": "hangup"}})),
        (PATH.to_owned(), json!({"data": {"action": "metaflow", "data": {"module": "hangup"}}})),
    ] {
        let answer = test.raw("PUT", &path, &body.to_string(), &token).await;
        assert_eq!((answer.status, &answer.body["data"]), (202, &json!("metaflow sent")), "{body}");
        seen.push(test.recorded.commands.lock().unwrap().pop().unwrap().2);
    }
    assert!(seen.windows(2).all(|pair| pair[0] == pair[1]), "{seen:?}");
}

#[tokio::test]
async fn errors_of_a_command_are_named_and_nothing_is_sent() {
    let test = TestApi::start().await;
    for (verb, data, message, field, rule) in [
        ("POST", json!({"action": "dance"}), "invalid data", "action", "enum"),
        ("POST", json!({}), "invalid data", "action", "required"),
        ("POST", json!({"action": "transfer"}), "validation error", "target", "required"),
        ("PUT", json!({"module": "hangup"}), "invalid data", "action", "enum"),
        ("PUT", json!({"action": "hangup", "module": "hangup"}), "invalid data", "action", "enum"),
        ("PUT", json!({"action": "metaflow"}), "validation error", "module", "required"),
        ("PUT", json!({"action": "metaflow", "data": {"module": 7}}), "validation error", "module", "type"),
        ("PUT", json!([]), "validation error", "data", "type"),
    ] {
        let answer = test.call(verb, PATH, data.clone()).await;
        let (status, said, details) = answer.refusal();
        assert_eq!((status, said), (400, message), "{data}");
        assert!(details[field].get(rule).is_some(), "{data}: {details}");
    }
    // The example in the slides of the talk of 2016 (`docs/kazoo/classic.md#flows`), which is not JSON.
    let literal = r#"{"data": {"action": "metaflow", "data": { "module", "hangup" }}"#;
    let answer = test.raw("PUT", PATH, literal, &[("x-auth-token", &test.token)]).await;
    assert_eq!((answer.status, answer.refusal().1), (400, "validation error"));
    assert!(test.recorded.commands.lock().unwrap().is_empty());
}

#[tokio::test]
async fn the_result_of_a_command_has_its_status_and_reveals_nothing_about_the_broker() {
    let test = TestApi::start().await;
    let reached = "could not reach ecallmgr channels";
    for (error, status, message, text) in [
        (CommandError::Unknown, 404, "bad_identifier", "bad identifier"),
        (CommandError::Busy(64), 429, "too_many_requests", "too many requests"),
        (CommandError::NoBroker, 503, reached, "no broker is configured (amqp.uri)"),
        (CommandError::NotConnected("10.0.0.1 refused".into()), 503, reached, "not connected to the broker"),
        (CommandError::NobodyListens, 503, reached, "no switch listens for it"),
        (CommandError::Refused, 503, reached, "the broker refused the message"),
        (CommandError::NoAnswer(2000), 504, reached, "no switch answered within 2000 ms"),
    ] {
        *test.recorded.no_channels.lock().unwrap() = Some(error);
        for (verb, data) in [("POST", json!({"action": "hangup"})), ("GET", Value::Null)] {
            let answer = test.call(verb, PATH, data).await;
            let (was, said, details) = answer.refusal();
            assert_eq!((was, said, &details["message"]), (status, message, &json!(text)));
        }
    }
    *test.recorded.no_channels.lock().unwrap() = Some(CommandError::NotBridged);
    let answer = test.call("POST", PATH, json!({"action": "transfer", "target": "1"})).await;
    let details = json!({"other_leg_call_id": {"required": {"message": "Channel is not bridged"}}});
    assert_eq!(answer.refusal(), (400, "validation error", &details));
}
