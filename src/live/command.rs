//! The action `command`: the same `data` as in `PUT` and `POST …/channels/{UUID}`, plus `account_id` and `call_id`
//! (`docs/kazoo/amqp.md#actions-for-a-channel`, `docs/kazoo/amqp.md#flows-for-a-channel`). KAZOO documents this
//! action but never implemented it.

use std::fmt::Debug;

use futures_util::future::BoxFuture;
use serde_json::{Map, Value};

use super::protocol::{Accounts, Caller};
use crate::auth::Role;
use crate::kazoo::{Command, FieldErrors};
use crate::model::AccountId;

/// Executes commands for channels.
pub trait Commander: Debug + Send + Sync {
    /// Executes a command if the channel belongs to the account or one below it. The error is the text for the
    /// client.
    fn command(&self, wanted: ChannelCommand) -> BoxFuture<'static, Result<(), String>>;
}

/// A command that the client is allowed to give.
#[derive(Debug, Clone, PartialEq)]
pub struct ChannelCommand {
    /// The channel must belong to this account or to one below it.
    pub account: AccountId,
    /// The call's id as events spell it, not encoded.
    pub call_id: String,
    /// The command itself.
    pub command: Command,
}

impl ChannelCommand {
    /// Reads a frame's `data`. The errors are the texts for the client.
    pub(super) fn read(
        data: Option<&Value>,
        caller: &Caller,
        accounts: &dyn Accounts,
    ) -> Result<Self, Vec<String>> {
        let data = data.and_then(Value::as_object).filter(|data| !data.is_empty());
        let mut data = data.cloned().ok_or_else(|| one("missing required keys in data object"))?;
        let account = data.shift_remove("account_id").filter(|account| !account.is_null());
        let named = [data.shift_remove("call_id"), data.shift_remove("uuid")];
        let call_id = named.iter().flatten().find_map(|id| id.as_str().filter(|id| !id.is_empty()));
        let (account, call_id) = match (account, call_id) {
            (Some(account), Some(call_id)) => (account, call_id.to_owned()),
            (None, Some(_)) => return Err(one("missing required keys : account_id")),
            (Some(_), None) => return Err(one("missing required keys : call_id")),
            (None, None) => return Err(one("missing required keys : account_id, call_id")),
        };
        let account = account.as_str().and_then(|id| id.parse().ok());
        let account = account.filter(|account| accounts.covers(caller, *account));
        let account = account.ok_or_else(|| one("unauthorized account id"))?;
        if caller.role != Role::Admin {
            return Err(one("forbidden"));
        }
        let command = Command::read(&data).map_err(|errors| error_lines(&errors))?;
        Ok(Self { account, call_id, command })
    }
}

fn one(error: &str) -> Vec<String> {
    vec![error.to_owned()]
}

/// One line for each field and rule, with the API's texts.
fn error_lines(errors: &FieldErrors) -> Vec<String> {
    let rules = errors.iter().filter_map(|(field, rules)| Some((field, rules.as_object()?)));
    let line = |field: &str, details: &Value| {
        format!("{field} : {}", details.get("message").and_then(Value::as_str).unwrap_or("invalid"))
    };
    rules.flat_map(|(field, rules): (_, &Map<_, _>)| rules.values().map(move |d| line(field, d))).collect()
}
