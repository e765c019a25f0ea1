//! The protocol of a session as a pure state machine: a text frame goes in, one effect comes out. Time, tokens and
//! positions in the log come from outside. The checks have KAZOO's order
//! (`docs/kazoo/websockets.md#steps-of-a-frame`): rate, token, form, account, action. A refused frame changes
//! nothing, except that its token may identify the client.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::bucket::Bucket;
use super::command::ChannelCommand;
use super::effect::{Denied, Effect, Uncommanded, Unlocated, Unverified};
use super::options::{LiveOptions, TokenExpiry};
use super::request::{Action, Binding, Request, Target};
use super::start::{RequestedStart, StartError};
use super::subscriptions::{Reach, StartPosition, Subscriptions};
use crate::auth::Role;
use crate::kazoo::PatternError;
use crate::model::{AccountId, EventOffset, LogIds};

/// Members of a frame that a client may set for listings of its session.
const CLIENT_FIELDS: [&str; 2] = ["name", "metadata"];
const MAX_FIELD_BYTES: usize = 4096;

/// The client's identity, from its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) account: AccountId,
    pub(super) role: Role,
    pub(super) token: String,
    /// Seconds since 1970.
    pub(super) expires_s: u64,
}

/// Questions about accounts and rights.
pub(super) trait Accounts {
    /// Whether a caller may see an account's events and reach its channels.
    fn covers(&self, caller: &Caller, account: AccountId) -> bool;
    /// Whether a caller may see the events of all accounts.
    fn is_master(&self, caller: &Caller) -> bool;
}

/// The state of one session's protocol.
#[derive(Debug)]
pub(super) struct Protocol {
    /// `IP:PORT` of the client.
    session: String,
    log_ids: Arc<LogIds>,
    max_bindings: usize,
    max_commands: usize,
    /// Commands whose outcome is not known yet.
    commands: usize,
    expiry: TokenExpiry,
    bucket: Bucket,
    new_id: fn() -> String,
    caller: Option<Caller>,
    /// Stands for the token that frames leave out; from the request that opened the session.
    offered: Option<String>,
    pub(super) subscriptions: Subscriptions,
    pub(super) name: Option<Value>,
    pub(super) metadata: Option<Value>,
}

impl Protocol {
    /// The state of a new session. `new_id` makes ids for requests without one.
    pub(super) fn new(
        session: String,
        log_ids: Arc<LogIds>,
        options: &LiveOptions,
        new_id: fn() -> String,
    ) -> Self {
        Self {
            session,
            log_ids,
            max_bindings: options.max_bindings,
            max_commands: options.max_commands,
            commands: 0,
            expiry: options.token_expiry,
            bucket: Bucket::new(options.frame_burst, options.frames_per_second, 0),
            new_id,
            caller: None,
            offered: None,
            subscriptions: Subscriptions::default(),
            name: None,
            metadata: None,
        }
    }

    /// Takes a token for frames that bring none. It is checked like theirs.
    pub(super) fn offer(&mut self, token: Option<String>) {
        self.offered = token;
    }

    /// The client's identity, once a token was accepted.
    pub(super) fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    /// Whether the session must end because its token has expired.
    pub(super) fn is_over(&self, now_s: u64) -> bool {
        self.expiry == TokenExpiry::Close && self.caller.as_ref().is_some_and(|c| c.expires_s <= now_s)
    }

    /// Processes a text frame. `now_us` counts from the session's beginning, `now_s` from 1970.
    pub(super) fn receive(&mut self, text: &str, now_us: u64, now_s: u64, accounts: &dyn Accounts) -> Effect {
        let request = Request::read(text, self.new_id);
        // Before anything else: a malformed frame costs a token too.
        if !self.bucket.take(now_us) {
            let id = request.map_or_else(|| (self.new_id)().into(), |request| request.id);
            return refuse(&id, &format!("rate limiting threshold hit for {}!", self.session));
        }
        let Some(request) = request else {
            return refuse(&(self.new_id)().into(), "invalid JSON");
        };
        // A session with the request's own token, such as a page with its cookie, only listens: nothing is changed by a
        // frame that a browser could be made to send.
        if self.offered.is_some() && request.action == Action::Command {
            return refuse(&request.id, "forbidden");
        }
        if !self.needs_token(&request, now_s) {
            return self.proceed(request, accounts);
        }
        let known = self.caller.as_ref().map(|caller| caller.token.as_str());
        let known = known.filter(|_| request.action == Action::Command).or(self.offered.as_deref());
        match request.token().or(known).map(str::to_owned) {
            Some(token) => Effect::Verify(Unverified { request, token }),
            None => refuse(&request.id, "authentication token required"),
        }
    }

    /// KAZOO checks only the first token. With a policy for expiry, a client may bring a newer one. The token of a
    /// command is checked every time, as for an API request.
    fn needs_token(&self, request: &Request, now_s: u64) -> bool {
        let Some(caller) = self.caller.as_ref().filter(|_| request.action != Action::Command) else {
            return true;
        };
        let brings_another = request.token().is_some_and(|token| token != caller.token);
        let has_expired = request.action == Action::Subscribe && caller.expires_s <= now_s;
        self.expiry != TokenExpiry::Ignore && (brings_another || has_expired)
    }

    /// Continues with a frame whose token has been checked.
    pub(super) fn verified(
        &mut self,
        frame: Unverified,
        outcome: Result<Caller, Denied>,
        accounts: &dyn Accounts,
    ) -> Effect {
        let Unverified { request, token } = frame;
        match outcome {
            // A session never changes its account: its bindings were granted to that account.
            Ok(caller) if self.caller.as_ref().is_none_or(|known| known.account == caller.account) => {
                self.caller = Some(caller);
                self.proceed(request, accounts)
            }
            Ok(_) | Err(Denied::Token) => {
                // KAZOO repeats the whole token here. Clients match only the words, and a token must not end up in
                // their logs.
                let start: String = token.chars().take(8).collect();
                refuse(&request.id, &format!("failed to authenticate token {start}…"))
            }
            Err(Denied::TooOften) => refuse(&request.id, "too many requests"),
            Err(Denied::TooMany(most)) => {
                refuse(&request.id, &format!("too many sessions of this account : at most {most}"))
            }
        }
    }

    /// Applies a changed role: removes bindings that the client may no longer have. Returns whether there were any.
    pub(super) fn narrow(&mut self, role: Role, accounts: &dyn Accounts) -> bool {
        let Some(caller) = &mut self.caller else { return false };
        caller.role = role;
        // Only these bindings end. The others keep their positions, so the client misses nothing.
        let mut lost = self.subscriptions.all_reaches();
        lost.retain(|reach| !may_reach(*reach, caller, accounts));
        let is_for_admins = |text: &str| Binding::parse(text).is_ok_and(|binding| binding.is_for_admins());
        let is_lost = |reach, text: &str| lost.contains(&reach) || role != Role::Admin && is_for_admins(text);
        !self.subscriptions.remove(is_lost).is_empty()
    }

    fn proceed(&mut self, request: Request, accounts: &dyn Accounts) -> Effect {
        let Some(caller) = &self.caller else {
            return refuse(&request.id, "authentication token required");
        };
        for name in CLIENT_FIELDS {
            if request.member(name).is_some_and(|given| given.to_string().len() > MAX_FIELD_BYTES) {
                return refuse(
                    &request.id,
                    &format!("{name} is too large : at most {MAX_FIELD_BYTES} bytes"),
                );
            }
        }
        match request.action {
            Action::Subscribe => self.subscribe(request, caller, accounts),
            Action::Unsubscribe => self.unsubscribe(&request),
            Action::Ping => self.succeed(&request, &json!({"response": "pong"})),
            Action::Command => match ChannelCommand::read(request.member("data"), caller, accounts) {
                Ok(_) if self.commands >= self.max_commands => refuse(
                    &request.id,
                    &format!("too many commands under way : at most {}", self.max_commands),
                ),
                Ok(wanted) => {
                    self.commands += 1;
                    let said = wanted.command.said();
                    Effect::Command(wanted, Uncommanded { request, said })
                }
                Err(errors) => reply(&request.id, "error", &json!({"errors": errors})),
            },
            Action::Noop => self.succeed(&request, &json!({})),
        }
    }

    /// Answers a command with its outcome.
    pub(super) fn commanded(&mut self, asked: &Uncommanded, outcome: Result<(), String>) -> Effect {
        self.commands = self.commands.saturating_sub(1);
        match outcome {
            Ok(()) => self.succeed(&asked.request, &json!({"response": asked.said})),
            Err(error) => refuse(&asked.request.id, &error),
        }
    }

    fn subscribe(&self, request: Request, caller: &Caller, accounts: &dyn Accounts) -> Effect {
        let target = match request.target() {
            Ok(target) => target,
            Err(error) => return refuse(&request.id, &error.to_string()),
        };
        let reach = match authorised(&target, caller, accounts) {
            Ok(reach) => reach,
            Err(refusal) => return refuse(&request.id, refusal),
        };
        // KAZOO reports an unknown binding only after it has checked the account.
        let bindings: Result<Vec<_>, PatternError> =
            target.bindings.into_iter().map(|(text, binding)| Ok((text, binding?))).collect();
        let bindings = match bindings {
            Ok(bindings) => bindings,
            Err(error) => return refuse(&request.id, &error.to_string()),
        };
        if let Some((text, _)) = bindings.iter().find(|(_, binding)| binding.is_for_admins())
            && caller.role != Role::Admin
        {
            return refuse(&request.id, &format!("binding {text} is for admins of the account only"));
        }
        // Only new ones count: at the limit, a client can still repeat a subscription.
        let more = bindings.iter().filter(|(text, _)| !self.subscriptions.contains(reach, text)).count();
        if self.subscriptions.len() + more > self.max_bindings {
            return refuse(&request.id, &format!("too many bindings : at most {}", self.max_bindings));
        }
        Effect::Locate(Unlocated { request, reach, bindings, start: target.start })
    }

    /// Subscribes from the position that was found.
    pub(super) fn located(
        &mut self,
        wanted: Unlocated,
        position: Result<StartPosition, StartError>,
    ) -> Effect {
        let Unlocated { request, reach, bindings, start } = wanted;
        let position = match position {
            Ok(position) => position,
            Err(error) => return refuse(&request.id, &error.to_string()),
        };
        for (text, binding) in bindings {
            match binding {
                Binding::Events(pattern) => {
                    self.subscriptions.add(reach, (text, pattern), position, start != RequestedStart::Now);
                }
                Binding::Hooks(of) => self.subscriptions.hooks.add(reach, text, of),
            }
        }
        let mut data = Map::new();
        data.insert("subscribed".into(), self.subscriptions.bindings().into());
        // The client can resume after this event when the connection is lost before the first event arrives.
        if position.from > EventOffset::FIRST {
            let last = self.log_ids.event_id(position.from - 1);
            data.insert("event_id".into(), last.to_string().into());
        }
        self.succeed(&request, &Value::Object(data))
    }

    fn unsubscribe(&mut self, request: &Request) -> Effect {
        let target = match request.target() {
            Ok(target) => target,
            Err(error) => return refuse(&request.id, &error.to_string()),
        };
        let Target { account, bindings, .. } = target;
        if let Some(error) = bindings.iter().find_map(|(_, binding)| binding.as_ref().err()) {
            return refuse(&request.id, &error.to_string());
        }
        let named: Vec<String> = bindings.into_iter().map(|(binding, _)| binding).collect();
        // A malformed account id has no bindings, so unsubscribing from it succeeds without effect.
        let reach = account.as_ref().map(reach_of);
        let gone = self.subscriptions.remove(|of, binding| {
            let is_account = reach.is_none_or(|reach| reach == Some(of));
            is_account && (named.is_empty() || named.iter().any(|name| name == binding))
        });
        let unsubscribed = if named.is_empty() { gone } else { named };
        let data = json!({"unsubscribed": unsubscribed, "subscribed": self.subscriptions.bindings()});
        self.succeed(request, &data)
    }

    fn succeed(&mut self, request: &Request, data: &Value) -> Effect {
        for (field, name) in [&mut self.name, &mut self.metadata].into_iter().zip(CLIENT_FIELDS) {
            if let Some(given) = request.member(name) {
                *field = Some(given.clone());
            }
        }
        reply(&request.id, "success", data)
    }
}

fn reach_of(account: &Value) -> Option<Reach> {
    match account.as_str() {
        Some("*") => Some(Reach::All),
        Some(id) => id.parse().ok().map(Reach::One),
        None => None,
    }
}

fn authorised(target: &Target, caller: &Caller, accounts: &dyn Accounts) -> Result<Reach, &'static str> {
    match target.account.as_ref().and_then(reach_of) {
        Some(reach) if may_reach(reach, caller, accounts) => Ok(reach),
        Some(Reach::All) => Err("unauthorized wildcard account id"),
        Some(Reach::One(_)) | None => Err("unauthorized account id"),
    }
}

fn may_reach(reach: Reach, caller: &Caller, accounts: &dyn Accounts) -> bool {
    match reach {
        Reach::All => accounts.is_master(caller),
        Reach::One(account) => accounts.covers(caller, account),
    }
}

fn refuse(request_id: &Value, error: &str) -> Effect {
    reply(request_id, "error", &json!({"errors": [error]}))
}

fn reply(request_id: &Value, status: &str, data: &Value) -> Effect {
    let reply = json!({"action": "reply", "request_id": request_id, "status": status, "data": data});
    Effect::Reply(reply.to_string())
}

#[cfg(test)]
#[path = "tests/mod.rs"]
mod tests;
