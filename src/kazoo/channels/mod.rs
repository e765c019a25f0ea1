//! Channels: the questions to the switches, their answers, and the commands for one channel
//! (`docs/kazoo/amqp.md#channels`, `docs/kazoo/classic.md#channel-commands`).

mod action;
mod answer;
mod flow;
mod query;

pub use action::{Action, ActionError};
pub use answer::{AnswerError, Channel, account_channels, call_channels};
pub use flow::{Flow, flow_in};
pub use query::{account_query, call_query, is_call_id};

use serde_json::Value;

use crate::kazoo::{FieldErrors, Object};

/// A command for one channel.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// One action.
    Action(Action),
    /// A metaflow.
    Flow(Flow),
}

impl Command {
    /// Reads a command from `data`: a metaflow when `action` is `metaflow`, otherwise the named action. An action's
    /// members may also be in an inner `data`, as in a metaflow and on the broker.
    pub fn read(data: &Object) -> Result<Self, FieldErrors> {
        if data.get("action").is_some_and(|action| action == "metaflow") {
            return Flow::read(&flow_in(data)).map(Self::Flow);
        }
        let mut data = data.clone();
        if let Some(Value::Object(members)) = data.shift_remove("data") {
            data.extend(members.into_iter().filter(|(name, _)| name != "action"));
        }
        Action::read(&data).map(Self::Action).map_err(|error| match error {
            ActionError::Unknown(errors) | ActionError::Fields(errors) => errors,
        })
    }

    /// The text of the reply once the command is published.
    #[must_use]
    pub fn said(&self) -> String {
        match self {
            Self::Action(action) => format!("{} initiated", action.name()),
            Self::Flow(_) => "metaflow sent".to_owned(),
        }
    }
}
