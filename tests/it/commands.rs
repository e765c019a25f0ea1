//! Channels and commands through the whole program, with a real broker and a simulated switch.

use std::time::Duration;

use serde_json::{Value, json};

use super::support::app::{Answer, Api, TestApp, call_event};
use super::support::broker::Broker;
use super::support::publisher::Publisher;
use super::support::receiver::Receiver;
use super::support::switch::{Mood, Switch};
use super::support::wait::eventually;

const SOON: Duration = Duration::from_secs(60);

pub(super) async fn app(broker: &Broker, more: &[&str]) -> TestApp {
    let uri = format!("amqp.uri={}", broker.uri());
    let mut settings = vec![uri.as_str(), "amqp.reconnect_max_ms=500"];
    settings.extend_from_slice(more);
    let app = TestApp::with(&settings).await;
    eventually("the program is connected", SOON, async || {
        let answer = app.api.own("GET", "/channels", None).await;
        (!said(&answer).contains("not connected")).then_some(())
    })
    .await;
    app
}

/// The text in the details of a refusal.
fn said(answer: &Answer) -> &str {
    answer.data()["message"].as_str().unwrap_or_default()
}

async fn post(api: &Api, call: &str, data: Value) -> Answer {
    api.own("POST", &format!("/channels/{call}"), Some(json!({"data": data}))).await
}

/// Publishes a call event and waits until the program knows the call.
pub(super) async fn call_is_known(publisher: &Publisher, owner: &Api, call: &str) {
    let receiver = Receiver::start().await;
    owner.hook(json!({"uri": receiver.uri("/")})).await;
    let mut event = call_event("CHANNEL_CREATE", call, 1);
    event["Custom-Channel-Vars"] = json!({"Account-ID": owner.account});
    publisher.publish("callevt", "call.CHANNEL_CREATE.x", event.to_string().as_bytes()).await;
    receiver.wait_for(1, SOON).await;
}

#[tokio::test]
async fn broker_carries_every_command_to_the_switch_of_the_call() {
    let broker = Broker::shared().await;
    let switch = Switch::start(&broker.uri(), "s1").await;
    let mut app = app(&broker, &["commands.timeout_ms=500"]).await;
    let publisher = Publisher::connect(&broker.uri()).await;
    let owner = app.api.tenant("owner").await;
    call_is_known(&publisher, &owner, "leg.7@x").await;
    // The channel's account is known from the log, without a switch.
    *switch.mood.lock().unwrap() = Mood::Silent;
    for (data, sent) in [
        (json!({"action": "hangup"}), json!({})),
        (json!({"action": "break"}), json!({})),
        (json!({"action": "callflow", "id": "f"}), json!({"id": "f"})),
        (
            json!({"action": "intercept", "target_type": "user", "target_id": "u"}),
            json!({"target_type": "user", "target_id": "u"}),
        ),
        (
            json!({"action": "move", "owner_id": "o"}),
            json!({"owner_id": "o", "auto_answer": false, "can_call_self": true,
                   "dial_strategy": "simultaneous"}),
        ),
    ] {
        let answer = post(&owner, "leg.7%40x", data.clone()).await;
        let name = data["action"].as_str().unwrap();
        assert_eq!((answer.status, answer.data()), (202, &json!(format!("{name} initiated"))), "{answer:?}");
        let (key, body) = switch.command().await;
        assert_eq!(key, format!("metaflow.action.leg%2E7%40x.{name}"));
        assert_eq!(
            (&body["Action"], &body["Call-ID"], &body["Data"]),
            (&json!(name), &json!("leg.7@x"), &sent)
        );
        let kind = (&body["Event-Category"], &body["Event-Name"]);
        assert_eq!(kind, (&json!("metaflow"), &json!("action")));
        assert!(["App-Name", "App-Version", "Node", "Msg-ID"].iter().all(|k| body[*k].is_string()), "{body}");
    }

    // A transfer requires another leg, which only the switch knows.
    let transfer = json!({"action": "transfer", "target": "2600"});
    assert_eq!(post(&owner, "leg.7%40x", transfer.clone()).await.status, 504);
    *switch.mood.lock().unwrap() = Mood::Fine;
    switch.call("leg.7@x", &owner.account, "");
    let answer = post(&owner, "leg.7%40x", transfer.clone()).await;
    assert!(answer.data()["other_leg_call_id"].get("required").is_some(), "{answer:?}");
    switch.calls.lock().unwrap()[0]["Other-Leg-Call-ID"] = json!("other");
    assert_eq!(post(&owner, "leg.7%40x", transfer).await.status, 202);
    let (key, body) = switch.command().await;
    assert_eq!(key, "metaflow.action.leg%2E7%40x.transfer");
    assert_eq!(body["Data"], json!({"target": "2600", "transfer-type": "blind"}));

    // The body of the talk of 2016, repaired (`docs/kazoo/classic.md#flows`): published as a flow, and as the action
    // that does the same.
    let slides = json!({"data": {"action": "metaflow", "data": {"module": "hangup"}}});
    let answer = owner.own("PUT", "/channels/leg.7%40x", Some(slides)).await;
    assert_eq!((answer.status, answer.data()), (202, &json!("metaflow sent")), "{answer:?}");
    let (key, body) = switch.command().await;
    assert_eq!(key, "metaflow.flow.leg%2E7%40x");
    assert_eq!(body["Flow"], json!({"module": "hangup", "data": {}, "children": {}}));
    let (key, body) = switch.command().await;
    assert_eq!((key.as_str(), &body["Action"]), ("metaflow.action.leg%2E7%40x.hangup", &json!("hangup")));
    assert!(!switch.has_command());
    app.stop().await;
}

#[tokio::test]
async fn broker_gets_no_command_for_another_tenants_channel() {
    let broker = Broker::shared().await;
    let switch = Switch::start(&broker.uri(), "s1").await;
    let mut app = app(&broker, &["commands.timeout_ms=500"]).await;
    let publisher = Publisher::connect(&broker.uri()).await;
    let (owner, other) = (app.api.tenant("owner").await, app.api.tenant("other").await);
    call_is_known(&publisher, &owner, "logged").await;
    // One call is known from the log, one only to the switch, and one has no account.
    switch.call("logged", &owner.account, "x");
    switch.call("asked", &owner.account, "x");
    switch.call("nobodys", "", "x");
    for call in ["logged", "asked", "nobodys", "unknown", "*", "%23", &"x".repeat(300)] {
        for (verb, data) in [
            ("POST", json!({"action": "hangup"})),
            ("POST", json!({"action": "transfer", "target": "1"})),
            ("PUT", json!({"action": "metaflow", "data": {"module": "hangup"}})),
            ("GET", Value::Null),
        ] {
            let body = (!data.is_null()).then(|| json!({"data": data}));
            let answer = other.own(verb, &format!("/channels/{call}"), body).await;
            assert_eq!((answer.status, said(&answer)), (404, "bad identifier"), "{verb} {call}");
        }
        let path = format!("/v2/accounts/{}/channels/{call}", owner.account);
        let answer = other.call("POST", &path, Some(json!({"data": {"action": "hangup"}}))).await;
        assert_eq!(answer.status, 403, "{call}");
    }
    assert_eq!(other.own("GET", "/channels", None).await.data(), &json!([]));

    // A phone chooses its call's id, so a second tenant can use the same id. That must not give access to the call.
    call_is_known(&publisher, &other, "logged").await;
    assert_eq!(post(&other, "logged", json!({"action": "hangup"})).await.status, 404);
    let second = Switch::start(&broker.uri(), "s2").await;
    second.call("logged", &other.account, "x");
    assert_eq!(post(&other, "logged", json!({"action": "hangup"})).await.status, 404);
    assert!(!switch.has_command() && !second.has_command());

    // The owner and the account above reach both.
    for api in [&owner, &app.api] {
        assert_eq!(post(api, "asked", json!({"action": "hangup"})).await.status, 202);
        assert_eq!(switch.command().await.0, "metaflow.action.asked.hangup");
    }
    let one = owner.own("GET", "/channels/asked", None).await;
    let shown = json!({"call_id": "asked", "other_leg_call_id": "x", "answered": true, "destination": "1002",
                       "custom_channel_vars": {"owner_id": "someone"}});
    assert_eq!((one.status, one.data()), (200, &shown));
    app.stop().await;
}

#[tokio::test]
async fn broker_and_switches_that_do_not_answer_are_distinguished() {
    let mut broker = Broker::start().await;
    let mut app = app(&broker, &["commands.timeout_ms=1000", "commands.flow_as_action=false"]).await;
    let nobody = app.api.own("GET", "/channels", None).await;
    assert_eq!((nobody.status, said(&nobody)), (503, "no switch listens for it"), "{nobody:?}");

    let account = app.api.account.clone();
    let (first, second) =
        (Switch::start(&broker.uri(), "s1").await, Switch::start(&broker.uri(), "s2").await);
    first.call("b", &account, "");
    second.call("a", &account, "");
    second.call("b", &account, "");
    second.call("foreign", "00000000000000000000000000000001", "");
    let list = app.api.own("GET", "/channels", None).await;
    let uuids: Vec<&Value> = list.data().as_array().unwrap().iter().map(|row| &row["uuid"]).collect();
    assert_eq!(uuids, ["a", "b"], "{list:?}");
    assert!(list.data()[0].get("switch_url").is_none() && list.data()[0].get("account_id").is_none());

    // Malformed answers are ignored.
    for nonsense in ["", "{", "7", r#"{"Msg-ID":7}"#, r#"{"Msg-ID":"MSG_ID"}"#, r#"{"Msg-ID":"other"}"#] {
        *first.mood.lock().unwrap() = Mood::Says(nonsense.to_owned());
        assert_eq!(app.api.own("GET", "/channels", None).await.data().as_array().unwrap().len(), 2);
    }
    *second.mood.lock().unwrap() = Mood::Silent;
    let silent = app.api.own("GET", "/channels/a", None).await;
    assert_eq!((silent.status, said(&silent)), (504, "no switch answered within 1000 ms"), "{silent:?}");
    let hangup = post(&app.api, "a", json!({"action": "hangup"})).await;
    assert_eq!(hangup.status, 504, "{hangup:?}");
    assert!(!first.has_command() && !second.has_command());

    // Only a flow, for which nothing listens here.
    drop((first, second));
    let asked_only = Switch::bound(&broker.uri(), "s3", &[("callevt", "call.status_req.#")]).await;
    asked_only.call("a", &account, "");
    let flow = json!({"data": {"module": "hangup"}, "action": "metaflow"});
    let answer = app.api.own("PUT", "/channels/a", Some(flow)).await;
    assert_eq!((answer.status, said(&answer)), (503, "no switch listens for it"), "{answer:?}");

    drop(asked_only);
    broker.kill();
    eventually("the loss is noticed", SOON, async || {
        let answer = app.api.own("GET", "/channels", None).await;
        (answer.status == 503 && said(&answer) == "not connected to the broker").then_some(())
    })
    .await;
    broker.start_again().await;
    let switch = Switch::start(&broker.uri(), "s4").await;
    switch.call("a", &account, "");
    eventually("commands are carried again", SOON, async || {
        (post(&app.api, "a", json!({"action": "hangup"})).await.status == 202).then_some(())
    })
    .await;
    assert_eq!(switch.command().await.0, "metaflow.action.a.hangup");
    app.stop().await;
}
