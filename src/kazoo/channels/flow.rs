//! `PUT …/channels/{UUID}`: a metaflow in all forms that clients send (`docs/kazoo/amqp.md#flows-for-a-channel`,
//! `docs/kazoo/classic.md#flows`).

use serde_json::{Value, json};

use super::action::Action;
use crate::kazoo::message::{self, Message, Sender};
use crate::kazoo::validate::Check;
use crate::kazoo::{FieldErrors, Object, encode_segment};

/// A checked tree of modules. Each node has `module`, `data` and `children`.
#[derive(Debug, Clone, PartialEq)]
pub struct Flow(Object);

/// Finds the flow in a request's `data`: `data` itself without `action`, or `data.data` when only the inner object
/// has a module (the form on the slides of 2016).
#[must_use]
pub fn flow_in(data: &Object) -> Object {
    let inner = data.get("data").and_then(Value::as_object);
    match inner {
        Some(inner) if !data.contains_key("module") && inner.contains_key("module") => inner.clone(),
        _ => data.iter().filter(|(key, _)| *key != "action").map(|(k, v)| (k.clone(), v.clone())).collect(),
    }
}

impl Flow {
    /// Checks a flow and fills in KAZOO's defaults at every node.
    pub fn read(flow: &Object) -> Result<Self, FieldErrors> {
        let mut errors = FieldErrors::new();
        let flow = node(flow, "", &mut errors);
        if errors.is_empty() { Ok(Self(flow)) } else { Err(errors) }
    }

    /// The message that carries the flow. `null`s and empty texts inside the flow are sent too.
    #[must_use]
    pub fn message(&self, call_id: &str, sender: Sender<'_>) -> Message {
        let fields = [("Call-ID", call_id.into()), ("Flow", Value::Object(self.0.clone()))];
        Message::new(
            "metaflow",
            format!("metaflow.flow.{}", encode_segment(call_id)),
            message::body("metaflow", "flow", sender, fields),
        )
    }

    /// The equivalent action of a flow of one module, if there is one.
    #[must_use]
    pub fn as_action(&self) -> Option<Action> {
        let is_single = self.0.get("children").and_then(Value::as_object).is_some_and(Object::is_empty);
        let data = self.0.get("data").and_then(Value::as_object).cloned().unwrap_or_default();
        let module = self.0.get("module").and_then(Value::as_str).filter(|_| is_single)?;
        Action::of_module(module, data)
    }
}

/// Checks the node at `path` and its children. The JSON parser bounds the depth of the recursion.
fn node(given: &Object, path: &str, errors: &mut FieldErrors) -> Object {
    let mut check = Check::new(given);
    match check.doc.get("module").cloned() {
        None => check.error(
            "module",
            "required",
            json!({"message": "Field is required but missing", "value": "module"}),
        ),
        Some(Value::String(name)) if name.is_empty() => {
            check.error(
                "module",
                "minLength",
                json!({"message": "String must be at least 1 characters", "target": 1, "value": name}),
            );
        }
        Some(Value::String(name)) if name.chars().count() > 64 => {
            check.error(
                "module",
                "maxLength",
                json!({"message": "String must not be more than 64 characters", "target": 64, "value": name}),
            );
        }
        Some(_) => drop(check.text("module")),
    }
    for field in ["data", "children"] {
        match check.doc.entry(field).or_insert_with(|| json!({})).clone() {
            Value::Object(_) => {}
            other => check.type_error(field, "object", &other),
        }
    }
    let Check { mut doc, errors: own } = check;
    errors.extend(own.into_iter().map(|(field, rules)| (format!("{path}{field}"), rules)));
    if let Some(Value::Object(children)) = doc.get_mut("children") {
        for (key, child) in children {
            let below = format!("{path}children.{key}");
            match child {
                Value::Object(given) => *given = node(given, &format!("{below}."), errors),
                other => {
                    let message = "Value did not match type(s): object";
                    let details = json!({"message": message, "target": "object", "value": other});
                    errors.insert(below, json!({"type": details}));
                }
            }
        }
    }
    doc
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Sender<'_> = Sender { app: "switchhook", node: "switchhook@h", msg_id: "m1" };

    fn object(value: &Value) -> Object {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn every_form_of_a_request_yields_the_same_flow() {
        for data in [
            json!({"module": "hangup"}),
            json!({"action": "metaflow", "module": "hangup", "data": {}}),
            json!({"action": "metaflow", "data": {"module": "hangup"}}),
        ] {
            let flow = Flow::read(&flow_in(&object(&data))).unwrap();
            assert_eq!(Value::Object(flow.0), json!({"module": "hangup", "data": {}, "children": {}}));
        }
        // An outer module takes precedence over inner data.
        let nested = object(&json!({"module": "play", "data": {"module": "x", "id": "m"}}));
        assert_eq!(flow_in(&nested), nested);
    }

    #[test]
    fn a_flow_is_published_unchanged() {
        let flow = Flow::read(&object(&json!({"module": "say", "data": {"text": ""}, "x": 1}))).unwrap();
        let message = flow.message("c.1", US);
        assert_eq!((message.exchange, message.routing_key.as_str()), ("metaflow", "metaflow.flow.c%2E1"));
        let expected = json!({
            "Call-ID": "c.1", "Flow": {"module": "say", "data": {"text": ""}, "x": 1, "children": {}},
            "App-Name": "switchhook", "App-Version": env!("CARGO_PKG_VERSION"), "Node": "switchhook@h",
            "Event-Category": "metaflow", "Event-Name": "flow", "Msg-ID": "m1",
        });
        assert_eq!(Value::Object(message.body), expected);
    }

    #[test]
    fn a_flow_of_one_known_module_has_an_equivalent_action() {
        let action = |flow: Value| Flow::read(&object(&flow)).unwrap().as_action();
        let hold = action(json!({"module": "hold", "data": {"moh": "m", "x": null}})).unwrap();
        assert_eq!(hold.name(), "hold");
        assert_eq!(hold.message("c", US).body["Data"], json!({"moh": "m"}));
        assert_eq!(action(json!({"module": "pivot"})), None);
        let two = json!({"module": "say", "children": {"_": {"module": "hangup"}}});
        assert_eq!(action(two), None);
    }

    #[test]
    fn an_error_names_its_position_in_the_tree() {
        let refused = |flow: Value| Value::Object(Flow::read(&object(&flow)).unwrap_err());
        assert!(refused(json!({}))["module"].get("required").is_some());
        assert!(refused(json!({"module": null}))["module"].get("required").is_some());
        assert!(refused(json!({"module": ""}))["module"].get("minLength").is_some());
        assert!(refused(json!({"module": "x".repeat(65)}))["module"].get("maxLength").is_some());
        assert!(refused(json!({"module": 7}))["module"].get("type").is_some());
        assert!(refused(json!({"module": "x", "data": []}))["data"].get("type").is_some());
        let below = json!({"module": "x", "children": {"1": {"module": "y", "children": {"2": {}}}, "3": 7}});
        let errors = refused(below);
        assert!(errors["children.1.children.2.module"].get("required").is_some(), "{errors}");
        assert!(errors["children.3"].get("type").is_some(), "{errors}");
    }
}
