//! `POST …/channels/{UUID}`: the actions, their required members, and the message that carries them
//! (`docs/kazoo/amqp.md#actions-for-a-channel`).

use serde_json::{Value, json};

use crate::kazoo::message::{self, Message, Sender, pruned};
use crate::kazoo::validate::Check;
use crate::kazoo::{FieldErrors, Object, encode_segment};

/// Actions of the API.
const ACTIONS: [&str; 6] = ["break", "callflow", "hangup", "intercept", "move", "transfer"];

/// Further actions that the message may carry. The API offers them only as a flow of one module.
const MORE_ACTIONS: [&str; 9] =
    ["audio_level", "hold", "park", "play", "record_call", "resume", "say", "tts", "unpark"];

/// A checked action for a channel.
#[derive(Debug, Clone, PartialEq)]
pub struct Action {
    name: &'static str,
    data: Object,
}

/// Why a request contains no valid action.
#[derive(Debug, Clone, PartialEq)]
pub enum ActionError {
    /// `action` is missing or unknown.
    Unknown(FieldErrors),
    /// A member that the action requires is missing or invalid.
    Fields(FieldErrors),
}

impl Action {
    /// Reads the action in a request's `data` and fills in KAZOO's defaults.
    pub fn read(data: &Object) -> Result<Self, ActionError> {
        let mut check = Check::new(data);
        if !check.doc.contains_key("action") {
            check.required("action", "Field is required but missing");
        }
        check.choice("action", &ACTIONS, None);
        let name = check.doc.get("action").and_then(Value::as_str);
        let name = ACTIONS.into_iter().find(|known| name == Some(known));
        let Some(name) = name else { return Err(ActionError::Unknown(check.errors)) };
        let keys = needs(name, &mut check);
        if !check.errors.is_empty() {
            return Err(ActionError::Fields(check.errors));
        }
        let data = keys.iter().filter_map(|key| Some(((*key).to_owned(), check.doc.get(*key)?.clone())));
        Ok(Self { name, data: pruned(data.collect()) })
    }

    /// The action with the name of a flow's module, if there is one.
    pub(super) fn of_module(module: &str, data: Object) -> Option<Self> {
        let name = ACTIONS.into_iter().chain(MORE_ACTIONS).find(|known| *known == module)?;
        Some(Self { name, data: pruned(data) })
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether the action requires another leg.
    #[must_use]
    pub fn needs_bridge(&self) -> bool {
        self.name == "transfer"
    }

    /// The message that carries the action to the switch of a call.
    #[must_use]
    pub fn message(&self, call_id: &str, sender: Sender<'_>) -> Message {
        let fields = [
            ("Action", self.name.into()),
            ("Call-ID", call_id.into()),
            ("Data", Value::Object(self.data.clone())),
        ];
        Message::new(
            "metaflow",
            format!("metaflow.action.{}.{}", encode_segment(call_id), self.name),
            message::body("metaflow", "action", sender, fields),
        )
    }
}

/// Checks the required members of an action; returns the members to send.
fn needs(action: &str, check: &mut Check) -> &'static [&'static str] {
    match action {
        "transfer" => {
            check.text_required("target", "No target destination specified");
            // KAZOO has both spellings; send the one of the API.
            if let Some(kind) = check.doc.remove("transfer_type") {
                check.doc.entry("transfer-type").or_insert(kind);
            }
            check.choice("transfer-type", &["blind", "attended"], Some("blind"));
            check.text("moh");
            &["target", "transfer-type", "moh"]
        }
        "callflow" => {
            check.text_required("id", "No callflow id specified");
            &["id", "captures", "collected"]
        }
        "intercept" => {
            check.text_required("target_type", "No target type specified");
            check.text_required("target_id", "No target id specified");
            check.boolean("unbridged_only", None);
            &["target_type", "target_id", "unbridged_only"]
        }
        "move" => {
            check.text("owner_id");
            check.text("device_id");
            if ["owner_id", "device_id"].iter().all(|key| !check.doc.contains_key(*key)) {
                check.required("owner_id", "owner_id or device_id is required");
            }
            check.boolean("auto_answer", Some(false));
            check.boolean("can_call_self", Some(true));
            check.doc.entry("dial_strategy").or_insert_with(|| json!("simultaneous"));
            check.text("dial_strategy");
            &["owner_id", "device_id", "auto_answer", "can_call_self", "dial_strategy"]
        }
        _ => &[],
    }
}

impl Check {
    fn required(&mut self, field: &str, message: &str) {
        self.error(field, "required", json!({"message": message}));
    }

    /// Requires a text; a number counts as the text of its digits.
    fn text_required(&mut self, field: &str, message: &str) {
        if let Some(Value::Number(number)) = self.doc.get(field) {
            let digits = number.to_string();
            self.doc.insert(field.to_owned(), digits.into());
        }
        if self.doc.get(field).is_none_or(|value| value == "") {
            self.required(field, message);
        } else {
            self.text(field);
        }
    }
}

#[cfg(test)]
#[path = "action_tests.rs"]
mod tests;
