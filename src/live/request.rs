//! A client's frame, read: what it asks for, in today's form (`data` holds the target) or in the form of 2016
//! (everything at the top level), as `docs/kazoo/classic.md#what-switchhook-decides` decides.

use serde_json::{Map, Value};

use super::start::{Start, StartError};
use crate::kazoo::{Pattern, PatternError};

/// What a frame wants done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Subscribe,
    Unsubscribe,
    Ping,
    Command,
    /// None, or one that nobody knows: KAZOO answers success.
    Noop,
}

/// One frame.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) action: Action,
    /// Echoed; made when the client has none.
    pub(super) id: Value,
    members: Map<String, Value>,
}

/// The target of a subscription, as it was named.
#[derive(Debug)]
pub(super) struct Target {
    /// None: unsubscribing from all accounts.
    pub(super) account: Option<Value>,
    /// The client's spelling with its meaning; empty: unsubscribing from all bindings.
    pub(super) bindings: Vec<(String, Result<Pattern, PatternError>)>,
    pub(super) start: Start,
}

/// A target that is not well formed.
#[derive(Debug, thiserror::Error)]
pub(super) enum TargetError {
    #[error("missing required keys in data object")]
    NoData,
    #[error("missing required keys : {0}")]
    Missing(&'static str),
    #[error(transparent)]
    Pattern(PatternError),
    #[error(transparent)]
    Start(#[from] StartError),
}

impl Request {
    /// Reads a frame; none when it is no JSON object.
    pub(super) fn read(text: &str, new_id: impl FnOnce() -> String) -> Option<Self> {
        let Ok(Value::Object(members)) = serde_json::from_str(text) else { return None };
        let action = match members.get("action").and_then(Value::as_str) {
            Some("subscribe") => Action::Subscribe,
            Some("unsubscribe") => Action::Unsubscribe,
            Some("ping") => Action::Ping,
            Some("command") => Action::Command,
            _ => Action::Noop,
        };
        let id = members.get("request_id").filter(|id| !id.is_null()).cloned();
        Some(Self { action, id: id.unwrap_or_else(|| new_id().into()), members })
    }

    /// The token that it brings.
    pub(super) fn token(&self) -> Option<&str> {
        self.members.get("auth_token")?.as_str().filter(|token| !token.is_empty())
    }

    /// A top-level member that is there.
    pub(super) fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// What is to be subscribed or unsubscribed.
    pub(super) fn target(&self) -> Result<Target, TargetError> {
        let (members, is_classic) = match self.members.get("data") {
            Some(Value::Object(data)) if data.is_empty() => return Err(TargetError::NoData),
            Some(Value::Object(data)) => (data, false),
            _ => (&self.members, true),
        };
        let has = |name: &str| members.get(name).is_some_and(|value| !value.is_null());
        let (has_account, has_binding) = (has("account_id"), has("binding") || has("bindings"));
        let leaves_all = is_classic && self.action == Action::Unsubscribe && !has_binding;
        if !leaves_all {
            match (has_account, has_binding) {
                (false, false) if is_classic => return Err(TargetError::NoData),
                (false, false) => return Err(TargetError::Missing("account_id, binding")),
                (false, true) => return Err(TargetError::Missing("account_id")),
                (true, false) => return Err(TargetError::Missing("binding")),
                (true, true) => {}
            }
        }
        let mut bindings = Vec::new();
        for binding in named(members).ok_or(TargetError::Missing("binding"))? {
            let pattern = Pattern::parse(binding);
            if let Err(error @ PatternError::Invalid(_)) = pattern {
                return Err(TargetError::Pattern(error));
            }
            bindings.push((binding.to_owned(), pattern));
        }
        let account = members.get("account_id").filter(|account| !account.is_null()).cloned();
        Ok(Target { account, bindings, start: Start::of(members)? })
    }
}

/// `binding`, else every one of `bindings`; none when either is not what it should be.
fn named(members: &Map<String, Value>) -> Option<Vec<&str>> {
    let given = |name: &str| members.get(name).filter(|value| !value.is_null());
    match (given("binding"), given("bindings")) {
        (Some(binding), _) => Some(vec![binding.as_str()?]),
        (None, Some(Value::Array(bindings))) if !bindings.is_empty() => {
            bindings.iter().map(Value::as_str).collect()
        }
        (None, Some(_)) => None,
        (None, None) => Some(Vec::new()),
    }
}
