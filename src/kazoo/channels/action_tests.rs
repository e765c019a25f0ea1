//! Actions against the field tables of `docs/kazoo/amqp.md#actions-for-a-channel`.

use super::*;

const US: Sender<'_> = Sender { app: "switchhook", node: "switchhook@h", msg_id: "m1" };

fn read(data: &Value) -> Result<Action, ActionError> {
    Action::read(data.as_object().unwrap())
}

fn refused(data: &Value) -> Value {
    match read(data) {
        Err(ActionError::Fields(errors) | ActionError::Unknown(errors)) => Value::Object(errors),
        Ok(action) => panic!("{action:?} was accepted"),
    }
}

#[test]
fn each_action_is_published_with_its_data_and_defaults() {
    for (data, sent) in [
        (json!({"action": "hangup", "x": 1}), json!({})),
        (json!({"action": "break"}), json!({})),
        (
            json!({"action": "transfer", "target": "2600", "moh": "m"}),
            json!({"target": "2600", "transfer-type": "blind", "moh": "m"}),
        ),
        (
            json!({"action": "transfer", "target": 2600, "transfer_type": "attended", "moh": ""}),
            json!({"target": "2600", "transfer-type": "attended"}),
        ),
        (
            json!({"action": "callflow", "id": "f", "captures": "123", "collected": null}),
            json!({"id": "f", "captures": "123"}),
        ),
        (
            json!({"action": "intercept", "target_type": "device", "target_id": "d", "unbridged_only": "true"}),
            json!({"target_type": "device", "target_id": "d", "unbridged_only": true}),
        ),
        (
            json!({"action": "move", "device_id": "d"}),
            json!({"device_id": "d", "auto_answer": false, "can_call_self": true,
                   "dial_strategy": "simultaneous"}),
        ),
    ] {
        let action = read(&data).unwrap();
        let message = action.message("leg.7@10.1.2.3", US);
        let name = data["action"].as_str().unwrap();
        assert_eq!(message.routing_key, format!("metaflow.action.leg%2E7%4010%2E1%2E2%2E3.{name}"));
        let expected = json!({
            "Action": name, "Call-ID": "leg.7@10.1.2.3", "Data": sent,
            "App-Name": "switchhook", "App-Version": env!("CARGO_PKG_VERSION"), "Node": "switchhook@h",
            "Event-Category": "metaflow", "Event-Name": "action", "Msg-ID": "m1",
        });
        assert_eq!((message.exchange, Value::Object(message.body)), ("metaflow", expected));
    }
}

#[test]
fn a_missing_member_of_an_action_is_named_by_field_and_rule() {
    for (data, field, rule, message) in [
        (json!({"action": "transfer"}), "target", "required", "No target destination specified"),
        (
            json!({"action": "transfer", "target": ""}),
            "target",
            "required",
            "No target destination specified",
        ),
        (
            json!({"action": "intercept", "target_id": "d"}),
            "target_type",
            "required",
            "No target type specified",
        ),
        (
            json!({"action": "intercept", "target_type": "device"}),
            "target_id",
            "required",
            "No target id specified",
        ),
        (json!({"action": "callflow"}), "id", "required", "No callflow id specified"),
        (json!({"action": "move"}), "owner_id", "required", "owner_id or device_id is required"),
        (json!({}), "action", "required", "Field is required but missing"),
    ] {
        assert_eq!(refused(&data)[field][rule]["message"], message, "{field}");
    }
    for (data, field, rule) in [
        (json!({"action": "dance"}), "action", "enum"),
        (json!({"action": "hold"}), "action", "enum"),
        (json!({"action": 7}), "action", "type"),
        (json!({"action": "transfer", "target": {}}), "target", "type"),
        (json!({"action": "transfer", "target": "1", "transfer-type": "warm"}), "transfer-type", "enum"),
        (json!({"action": "transfer", "target": "1", "moh": 1}), "moh", "type"),
        (json!({"action": "move", "owner_id": "o", "auto_answer": "perhaps"}), "auto_answer", "type"),
        (json!({"action": "move", "owner_id": []}), "owner_id", "type"),
    ] {
        let errors = refused(&data);
        assert!(errors[field].get(rule).is_some(), "{errors}");
    }
}

#[test]
fn only_a_transfer_needs_a_bridge() {
    assert!(read(&json!({"action": "transfer", "target": "1"})).unwrap().needs_bridge());
    assert!(!read(&json!({"action": "hangup"})).unwrap().needs_bridge());
}
