//! `…/channels` and `…/channels/{C}`: present calls, and commands for them (`docs/kazoo/amqp.md#channels`,
//! `docs/kazoo/classic.md#channel-commands`).
//!
//! A command is checked, then the owner of the channel, then the command is published. 202 means that the broker has it
//! in a queue. Its effect shows in the channel's events.

use serde_json::{Value, json};

use super::call::Call;
use super::errors::ApiError;
use super::list::List;
use super::reply::Reply;
use crate::kazoo::{Action, ActionError, Command, Flow, flow_in};

/// `GET …/channels`: all channels, because KAZOO's list has no pages.
pub(super) async fn list(call: &Call<'_>) -> Result<Reply, ApiError> {
    let list = List::of(call)?;
    let account = call.account()?.id;
    let channels = call.api.channels.list(account).await.map_err(|error| ApiError::command(&error, ""))?;
    Ok(Reply::ok(list.filtered(channels.into_iter().map(Value::Object).collect())))
}

/// `GET …/channels/{C}`
pub(super) async fn read(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    let account = call.account()?.id;
    let channel = call.api.channels.read(account, id).await;
    Ok(Reply::ok(channel.map_err(|error| ApiError::command(&error, id))?))
}

/// `POST …/channels/{C}`: one action.
pub(super) async fn act(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    let mut data = call.envelope.object()?;
    if let Some(action) = call.parameter("action") {
        data.insert("action".to_owned(), action);
    }
    let action = Action::read(&data).map_err(|error| match error {
        ActionError::Unknown(errors) => ApiError::invalid_data(errors),
        ActionError::Fields(errors) => ApiError::fields(errors),
    })?;
    command(call, id, &Command::Action(action)).await
}

/// `PUT …/channels/{C}`: a metaflow.
pub(super) async fn flow(call: &Call<'_>, id: &str) -> Result<Reply, ApiError> {
    let data = call.envelope.object()?;
    let action = call.parameter("action");
    if action.as_ref().is_none_or(|action| action != "metaflow") {
        let message = "Value not found in enumerated list of values";
        let details = json!({"message": message, "target": ["metaflow"], "value": action});
        let errors = [("action".to_owned(), json!({"enum": details}))];
        return Err(ApiError::invalid_data(errors.into_iter().collect()));
    }
    let flow = Flow::read(&flow_in(&data)).map_err(ApiError::fields)?;
    command(call, id, &Command::Flow(flow)).await
}

async fn command(call: &Call<'_>, id: &str, command: &Command) -> Result<Reply, ApiError> {
    let account = call.account()?.id;
    let done = call.api.channels.command(account, id, command).await;
    done.map_err(|error| ApiError::command(&error, id))?;
    Ok(Reply { status: 202, ..Reply::ok(command.said()) })
}
