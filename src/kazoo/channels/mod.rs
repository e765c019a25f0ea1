//! Channels: what is asked of the switches about them, what they answer, and the commands for one of them
//! (`amqp.md` 11, `classic.md` 4).

mod action;
mod answer;
mod flow;
mod query;

pub use action::{Action, ActionError};
pub use answer::{AnswerError, Channel, account_channels, call_channels};
pub use flow::{Flow, flow_in};
pub use query::{account_query, call_query, is_call_id};

/// A command for one channel.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// One action.
    Action(Action),
    /// A metaflow.
    Flow(Flow),
}
