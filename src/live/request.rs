//! Reads a client's frame, in today's form (the target is in `data`) or in the form of 2016 (everything at the top
//! level). `docs/kazoo/classic.md#what-switchhook-decides` says which form applies.

use serde_json::{Map, Value};

use super::hooks::HookBinding;
use super::start::{RequestedStart, StartError};
use crate::kazoo::{Pattern, PatternError};

/// The action of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Action {
    Subscribe,
    Unsubscribe,
    Ping,
    Command,
    /// No action, or an unknown one: KAZOO answers with success.
    Noop,
}

/// A client's frame.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) action: Action,
    /// The client's request id, or a new one; the reply repeats it.
    pub(super) id: Value,
    members: Map<String, Value>,
}

/// What a binding asks for.
#[derive(Debug)]
pub(super) enum Binding {
    /// Events of the log.
    Events(Pattern),
    /// What webhooks do.
    Hooks(HookBinding),
}

impl Binding {
    pub(super) fn parse(text: &str) -> Result<Self, PatternError> {
        match HookBinding::parse(text) {
            Some(of_hooks) => of_hooks.map(Self::Hooks),
            None => Pattern::parse(text).map(Self::Events),
        }
    }

    /// Whether only admins may subscribe.
    pub(super) fn is_for_admins(&self) -> bool {
        match self {
            Self::Events(pattern) => pattern.is_for_admins(),
            Self::Hooks(binding) => binding.is_for_admins(),
        }
    }
}

/// The target of a subscription, as the client gave it.
#[derive(Debug)]
pub(super) struct Target {
    /// `None`: unsubscribe from all accounts.
    pub(super) account: Option<Value>,
    /// The client's spelling and what it means. Empty: unsubscribe from all bindings.
    pub(super) bindings: Vec<(String, Result<Binding, PatternError>)>,
    pub(super) start: RequestedStart,
}

/// A malformed target.
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
    /// Reads a frame; `None` when it is not a JSON object.
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

    /// The token in the frame.
    pub(super) fn token(&self) -> Option<&str> {
        self.members.get("auth_token")?.as_str().filter(|token| !token.is_empty())
    }

    /// A top-level member that is not null.
    pub(super) fn member(&self, name: &str) -> Option<&Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    /// The target to subscribe to or unsubscribe from.
    pub(super) fn target(&self) -> Result<Target, TargetError> {
        let (members, is_classic) = match self.members.get("data") {
            Some(Value::Object(data)) if data.is_empty() => return Err(TargetError::NoData),
            Some(Value::Object(data)) => (data, false),
            _ => (&self.members, true),
        };
        let has = |name: &str| members.get(name).is_some_and(|value| !value.is_null());
        let (has_account, has_binding) = (has("account_id"), has("binding") || has("bindings"));
        // In the classic form, an unsubscription without a binding ends all bindings.
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
            let parsed = Binding::parse(binding);
            if let Err(error @ PatternError::Invalid(_)) = parsed {
                return Err(TargetError::Pattern(error));
            }
            bindings.push((binding.to_owned(), parsed));
        }
        let account = members.get("account_id").filter(|account| !account.is_null()).cloned();
        Ok(Target { account, bindings, start: RequestedStart::of(members)? })
    }
}

/// `binding`, or else all of `bindings`; `None` when they have the wrong type.
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
