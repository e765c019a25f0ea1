//! Commands: what they contain, who may give them, how many at once, and the replies.

use super::*;
use crate::kazoo::{Action, Command};

fn command(more: &Value) -> Value {
    let mut data = json!({"account_id": OWN, "call_id": "leg.7@x"});
    data.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({"action": "command", "request_id": "c", "data": data})
}

impl Talk {
    /// The command that the frame yields, which must be accepted.
    fn wanted(&mut self, frame: &Value) -> ChannelCommand {
        assert_eq!(self.try_say(&frame.to_string()), None, "{frame}");
        self.asked.last().unwrap().0.clone()
    }

    /// The reply to the oldest command under way when it has this outcome.
    fn outcome(&mut self, outcome: Result<(), &str>) -> Value {
        let (_, asked) = self.asked.remove(0);
        match self.protocol.commanded(&asked, outcome.map_err(str::to_owned)) {
            Effect::Reply(reply) => serde_json::from_str(&reply).unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_command_has_the_apis_form_and_is_answered_with_its_outcome() {
    let read = |data: Value| Command::read(data.as_object().unwrap()).unwrap();
    let hangup = json!({"action": "hangup"});
    let transfer = json!({"action": "transfer", "target": "2600"});
    let flow = json!({"action": "metaflow", "data": {"module": "hangup"}});
    for (data, as_read, said) in [
        (hangup.clone(), &hangup, "hangup initiated"),
        (transfer.clone(), &transfer, "transfer initiated"),
        (
            json!({"action": "transfer", "data": {"target": "2600", "action": "x"}}),
            &transfer,
            "transfer initiated",
        ),
        (flow.clone(), &flow, "metaflow sent"),
        (json!({"action": "metaflow", "module": "hangup"}), &flow, "metaflow sent"),
        (json!({"action": "hangup", "account_id": BELOW.to_uppercase()}), &hangup, "hangup initiated"),
        (json!({"action": "hangup", "call_id": null, "uuid": "leg.7@x"}), &hangup, "hangup initiated"),
    ] {
        let mut talk = Talk::known();
        let wanted = talk.wanted(&command(&data));
        let account = if data.get("account_id").is_some() { BELOW } else { OWN };
        let expected = ChannelCommand {
            account: account.parse().unwrap(),
            call_id: "leg.7@x".to_owned(),
            command: read(as_read.clone()),
        };
        assert_eq!(wanted, expected, "{data}");
        let reply = talk.outcome(Ok(()));
        let expected =
            json!({"action": "reply", "request_id": "c", "status": "success", "data": {"response": said}});
        assert_eq!(reply, expected);
    }
}

#[test]
fn each_outcome_answers_the_frame_that_gave_the_command() {
    let mut talk = Talk::known();
    let mut second = command(&json!({"action": "break"}));
    second["request_id"] = "d".into();
    talk.wanted(&command(&json!({"action": "hangup"})));
    talk.wanted(&second);
    assert_eq!(talk.data(&json!({"action": "ping"})), json!({"response": "pong"}), "others go on");
    talk.asked.swap(0, 1);
    let reply = talk.outcome(Err("bad identifier"));
    assert_eq!((&reply["request_id"], &reply["status"]), (&json!("d"), &json!("error")));
    assert_eq!(reply["data"], json!({"errors": ["bad identifier"]}));
    assert_eq!(talk.outcome(Ok(()))["request_id"], "c");
}

#[test]
fn errors_of_a_command_are_reported_in_the_order_of_the_checks() {
    let none = "missing required keys in data object";
    let unauthorized = "unauthorized account id";
    for (data, words) in [
        (json!(null), none),
        (json!({}), none),
        (json!("hangup"), none),
        (json!({"action": "hangup"}), "missing required keys : account_id, call_id"),
        (json!({"call_id": "c", "action": "hangup"}), "missing required keys : account_id"),
        (json!({"account_id": OWN, "action": "hangup"}), "missing required keys : call_id"),
        (json!({"account_id": OWN, "call_id": 7}), "missing required keys : call_id"),
        (json!({"account_id": OWN, "call_id": ""}), "missing required keys : call_id"),
        (json!({"account_id": STRANGE, "call_id": "c", "action": "x"}), unauthorized),
        (json!({"account_id": "*", "call_id": "c", "action": "hangup"}), unauthorized),
        (json!({"account_id": 7, "call_id": "c", "action": "hangup"}), unauthorized),
        (json!({"account_id": OWN, "call_id": "c"}), "action : Field is required but missing"),
        (
            json!({"account_id": OWN, "call_id": "c", "action": "x"}),
            "action : Value not found in enumerated list of values",
        ),
        (
            json!({"account_id": OWN, "call_id": "c", "action": "transfer"}),
            "target : No target destination specified",
        ),
        (
            json!({"account_id": OWN, "call_id": "c", "action": "metaflow", "data": {}}),
            "module : Field is required but missing",
        ),
    ] {
        let mut talk = Talk::known();
        talk.tree.is_master = true;
        assert_eq!(talk.error(&json!({"action": "command", "data": data})), words, "{data}");
        assert!(talk.asked.is_empty());
    }
    let mut talk = Talk::known();
    let reply = talk.ask(&command(&json!({"action": "intercept"})));
    let errors = ["target_type : No target type specified", "target_id : No target id specified"];
    assert_eq!(reply["data"]["errors"], json!(errors));
}

#[test]
fn a_commands_token_is_checked_every_time_and_must_belong_to_an_admin() {
    let mut talk = Talk::begin();
    let mut frame = command(&json!({"action": "hangup"}));
    assert_eq!(talk.error(&frame), "authentication token required");
    frame["auth_token"] = "users".into();
    assert_eq!(talk.error(&frame), "forbidden");
    // The session belongs to a plain user now, who may subscribe but not give commands.
    assert_eq!(talk.data(&subscribe(OWN, "call.*.*"))["subscribed"], json!(["call.*.*"]));
    assert_eq!(talk.error(&command(&json!({"action": "hangup"}))), "forbidden");
    frame["auth_token"] = GOOD.into();
    let hangup = Action::read(json!({"action": "hangup"}).as_object().unwrap()).unwrap();
    assert_eq!(talk.wanted(&frame).command, Command::Action(hangup));

    // A command without a token has the session's token checked again, which may have become invalid.
    let mut talk = Talk::known();
    talk.revoked = true;
    assert_eq!(talk.error(&command(&json!({"action": "hangup"}))), "failed to authenticate token good-tok…");
    assert_eq!(talk.data(&json!({"action": "ping"})), json!({"response": "pong"}));
    for denied in [Denied::TooOften, Denied::Token] {
        (talk.revoked, talk.denied) = (true, denied);
        let words = ["too many requests", "failed to authenticate token good-tok…"];
        let expected = words[usize::from(denied == Denied::Token)];
        assert_eq!(talk.error(&command(&json!({"action": "hangup"}))), expected);
    }
}

#[test]
fn commands_under_way_are_limited() {
    let mut talk = Talk::with(&LiveOptions { max_commands: 2, ..LiveOptions::default() });
    talk.data(&json!({"auth_token": GOOD}));
    let hangup = command(&json!({"action": "hangup"}));
    talk.wanted(&hangup);
    talk.wanted(&hangup);
    assert_eq!(talk.error(&hangup), "too many commands under way : at most 2");
    talk.outcome(Err("no switch answered within 500 ms"));
    talk.wanted(&hangup);
    assert_eq!(talk.error(&hangup), "too many commands under way : at most 2");
    talk.outcome(Ok(()));
    talk.outcome(Ok(()));
    talk.wanted(&hangup);
}

#[test]
fn a_session_that_came_with_a_token_listens_with_it_and_commands_nothing() {
    let mut talk = Talk::begin();
    talk.protocol.offer(Some(GOOD.to_owned()));
    let subscribe = json!({"action": "subscribe", "data": {"account_id": OWN, "binding": "webhook.queue.*"}});
    assert_eq!(talk.data(&subscribe)["subscribed"], json!(["webhook.queue.*"]));
    for token in [None, Some(GOOD)] {
        let mut frame = command(&json!({"action": "hangup"}));
        frame["auth_token"] = json!(token);
        assert_eq!(talk.error(&frame), "forbidden");
    }
    let mut revoked = Talk::begin();
    revoked.protocol.offer(Some("revoked".to_owned()));
    assert!(revoked.error(&subscribe).starts_with("failed to authenticate token"));
}
