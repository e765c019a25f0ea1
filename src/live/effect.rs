//! What comes of a client's frame: a reply, or a question that must be answered before there is one. Pure.

use super::command::ChannelCommand;
use super::request::{Action, Binding, Request};
use super::start::RequestedStart;
use super::subscriptions::Reach;

/// What the session must do next. The outcome of `Verify` and `Locate` goes back to the protocol before the next
/// frame is read; the outcome of `Command` may come later.
#[derive(Debug)]
pub(super) enum Effect {
    /// Send this frame as the reply.
    Reply(String),
    /// Check a token, then call `Protocol::verified`.
    Verify(Unverified),
    /// Find a position in the log, then call `Protocol::located`.
    Locate(Unlocated),
    /// Execute a command in the background, then call `Protocol::commanded`.
    Command(ChannelCommand, Uncommanded),
}

/// A frame whose token has not been checked yet.
#[derive(Debug)]
pub(super) struct Unverified {
    pub(super) request: Request,
    pub(super) token: String,
}

impl Unverified {
    /// Whether the frame is a command, which is charged like an API request.
    pub(super) fn is_command(&self) -> bool {
        self.request.action == Action::Command
    }
}

/// Why a client's token is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// The token is invalid.
    Token,
    /// The account has the largest number of sessions allowed, which is this.
    TooMany(usize),
    /// The account sends too many requests from this address.
    TooOften,
}

/// A subscription whose position in the log is not known yet.
#[derive(Debug)]
pub(super) struct Unlocated {
    pub(super) request: Request,
    pub(super) reach: Reach,
    pub(super) bindings: Vec<(String, Binding)>,
    pub(super) start: RequestedStart,
}

impl Unlocated {
    /// Whether it asks for what webhooks do.
    pub(super) fn watches_hooks(&self) -> bool {
        self.bindings.iter().any(|(_, binding)| matches!(binding, Binding::Hooks(_)))
    }
}

/// A command whose outcome is not known yet.
#[derive(Debug)]
pub(super) struct Uncommanded {
    pub(super) request: Request,
    pub(super) said: String,
}
