//! What a client's frame does, as a pure state machine: text in, one effect out. Time, tokens and places in the
//! log come from outside; the steps and their order are KAZOO's (`docs/kazoo/websockets.md#steps-of-a-frame`): rate,
//! token, form, account, deed. A frame that is refused changes nothing but who the client is.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::bucket::Bucket;
use super::command::Wanted;
use super::options::{Options, TokenExpiry};
use super::request::{Action, Request, Target};
use super::start::{Start, StartError};
use super::subscriptions::{Place, Reach, Subscriptions};
use crate::auth::Role;
use crate::kazoo::{Pattern, PatternError};
use crate::model::{AccountId, LogIds};

/// What a client may leave with its session, for listings.
const KEPT: [&str; 2] = ["name", "metadata"];
const MOST_KEPT_BYTES: usize = 4096;

/// Who a client is, by its token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Caller {
    pub(super) account: AccountId,
    pub(super) role: Role,
    pub(super) token: String,
    /// Seconds since 1970.
    pub(super) expires_s: u64,
}

/// What the accounts say.
pub(super) trait Accounts {
    /// Whether a caller may see an account's events and reach its channels.
    fn covers(&self, caller: &Caller, account: AccountId) -> bool;
    /// Whether a caller may see everybody's events.
    fn is_master(&self, caller: &Caller) -> bool;
}

/// What has to happen next. What has an outcome comes back to the protocol with it; nothing else of the client is
/// read before, but for a command, which takes its time.
#[derive(Debug)]
pub(super) enum Effect {
    /// The frame is answered with this one.
    Reply(String),
    /// A token is to be looked at: [`Protocol::verified`].
    Verify(Unverified),
    /// A place in the log is to be found: [`Protocol::located`].
    Locate(Unlocated),
    /// A channel is to be commanded, beside all else: [`Protocol::commanded`].
    Command(Wanted, Uncommanded),
}

/// A frame whose token is not known to be good.
#[derive(Debug)]
pub(super) struct Unverified {
    request: Request,
    pub(super) token: String,
}

impl Unverified {
    /// Whether the frame is a command, which costs what a request to the API costs.
    pub(super) fn is_command(&self) -> bool {
        self.request.action == Action::Command
    }
}

/// Why a client is not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Denied {
    /// The token is not good.
    Token,
    /// The account has this many sessions, the most allowed.
    TooMany(usize),
    /// The account asks too often from this address.
    TooOften,
}

/// A subscription whose place in the log is not known yet.
#[derive(Debug)]
pub(super) struct Unlocated {
    request: Request,
    reach: Reach,
    bindings: Vec<(String, Pattern)>,
    pub(super) start: Start,
}

/// A command whose outcome is not known yet.
#[derive(Debug)]
pub(super) struct Uncommanded {
    request: Request,
    said: String,
}

/// One session's side of the conversation.
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
    pub(super) subscriptions: Subscriptions,
    pub(super) name: Option<Value>,
    pub(super) metadata: Option<Value>,
}

impl Protocol {
    /// The state of a session that has just begun. `new_id` makes ids for requests that have none.
    pub(super) fn new(
        session: String,
        log_ids: Arc<LogIds>,
        options: &Options,
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
            subscriptions: Subscriptions::default(),
            name: None,
            metadata: None,
        }
    }

    /// Who the client is, once it is known.
    pub(super) fn caller(&self) -> Option<&Caller> {
        self.caller.as_ref()
    }

    /// Whether the session is to end because its token's time is over.
    pub(super) fn is_over(&self, now_s: u64) -> bool {
        self.expiry == TokenExpiry::Close && self.caller.as_ref().is_some_and(|c| c.expires_s <= now_s)
    }

    /// Takes a text frame. `now_us` counts from the session's beginning, `now_s` since 1970.
    pub(super) fn receive(
        &mut self,
        text: &str,
        (now_us, now_s): (u64, u64),
        accounts: &dyn Accounts,
    ) -> Effect {
        let request = Request::read(text, self.new_id);
        if !self.bucket.take(now_us) {
            let id = request.map_or_else(|| (self.new_id)().into(), |request| request.id);
            return refuse(&id, &format!("rate limiting threshold hit for {}!", self.session));
        }
        let Some(request) = request else {
            return refuse(&(self.new_id)().into(), "invalid JSON");
        };
        if !self.needs_token(&request, now_s) {
            return self.proceed(request, accounts);
        }
        let known = self.caller.as_ref().map(|caller| caller.token.as_str());
        match request.token().or(known.filter(|_| request.action == Action::Command)).map(str::to_owned) {
            Some(token) => Effect::Verify(Unverified { request, token }),
            None => refuse(&request.id, "authentication token required"),
        }
    }

    /// KAZOO looks at one token; a policy for expiry lets a client bring a newer one. A command is looked at as a
    /// request to the API is: each time.
    fn needs_token(&self, request: &Request, now_s: u64) -> bool {
        let Some(caller) = self.caller.as_ref().filter(|_| request.action != Action::Command) else {
            return true;
        };
        let brings_another = request.token().is_some_and(|token| token != caller.token);
        let has_expired = request.action == Action::Subscribe && caller.expires_s <= now_s;
        self.expiry != TokenExpiry::Ignore && (brings_another || has_expired)
    }

    /// Goes on with a frame whose token has been looked at.
    pub(super) fn verified(
        &mut self,
        frame: Unverified,
        outcome: Result<Caller, Denied>,
        accounts: &dyn Accounts,
    ) -> Effect {
        let Unverified { request, token } = frame;
        match outcome {
            // A session never changes its account.
            Ok(caller) if self.caller.as_ref().is_none_or(|known| known.account == caller.account) => {
                self.caller = Some(caller);
                self.proceed(request, accounts)
            }
            Ok(_) | Err(Denied::Token) => {
                // KAZOO shows the whole token; clients look at the words only.
                let start: String = token.chars().take(8).collect();
                refuse(&request.id, &format!("failed to authenticate token {start}…"))
            }
            Err(Denied::TooOften) => refuse(&request.id, "too many requests"),
            Err(Denied::TooMany(most)) => {
                refuse(&request.id, &format!("too many sessions of this account : at most {most}"))
            }
        }
    }

    /// The client may do less or more than before: bindings beyond its reach end. Whether there were any.
    pub(super) fn narrow(&mut self, role: Role, accounts: &dyn Accounts) -> bool {
        let Some(caller) = &mut self.caller else { return false };
        caller.role = role;
        let mut lost = self.subscriptions.reaches();
        lost.retain(|reach| !may_reach(*reach, caller, accounts));
        if !lost.is_empty() {
            self.subscriptions.remove(|reach, _| lost.contains(&reach));
        }
        !lost.is_empty()
    }

    fn proceed(&mut self, request: Request, accounts: &dyn Accounts) -> Effect {
        let Some(caller) = &self.caller else {
            return refuse(&request.id, "authentication token required");
        };
        for name in KEPT {
            if request.member(name).is_some_and(|given| given.to_string().len() > MOST_KEPT_BYTES) {
                return refuse(
                    &request.id,
                    &format!("{name} is too large : at most {MOST_KEPT_BYTES} bytes"),
                );
            }
        }
        match request.action {
            Action::Subscribe => self.subscribe(request, caller, accounts),
            Action::Unsubscribe => self.unsubscribe(&request),
            Action::Ping => self.succeed(&request, &json!({"response": "pong"})),
            Action::Command => match Wanted::read(request.member("data"), caller, accounts) {
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

    /// Tells what became of a command.
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
        let bindings: Result<Vec<_>, PatternError> =
            target.bindings.into_iter().map(|(text, pattern)| Ok((text, pattern?))).collect();
        let bindings = match bindings {
            Ok(bindings) => bindings,
            Err(error) => return refuse(&request.id, &error.to_string()),
        };
        if let Some((text, _)) = bindings.iter().find(|(_, pattern)| pattern.is_for_admins())
            && caller.role != Role::Admin
        {
            return refuse(&request.id, &format!("binding {text} is for admins of the account only"));
        }
        let more = bindings.iter().filter(|(text, _)| !self.subscriptions.contains(reach, text)).count();
        if self.subscriptions.len() + more > self.max_bindings {
            return refuse(&request.id, &format!("too many bindings : at most {}", self.max_bindings));
        }
        Effect::Locate(Unlocated { request, reach, bindings, start: target.start })
    }

    /// Subscribes from the place that was found.
    pub(super) fn located(&mut self, wanted: Unlocated, place: Result<Place, StartError>) -> Effect {
        let Unlocated { request, reach, bindings, start } = wanted;
        let place = match place {
            Ok(place) => place,
            Err(error) => return refuse(&request.id, &error.to_string()),
        };
        for binding in bindings {
            self.subscriptions.add(reach, binding, place, start != Start::Now);
        }
        let mut data = Map::new();
        data.insert("subscribed".into(), self.subscriptions.list().into());
        // What to resume after when the connection is lost before an event came.
        if let Some(offset) = place.from.checked_sub(1) {
            data.insert("event_id".into(), self.log_ids.event_id(offset).to_string().into());
        }
        self.succeed(&request, &Value::Object(data))
    }

    fn unsubscribe(&mut self, request: &Request) -> Effect {
        let target = match request.target() {
            Ok(target) => target,
            Err(error) => return refuse(&request.id, &error.to_string()),
        };
        let Target { account, bindings, .. } = target;
        if let Some(error) = bindings.iter().find_map(|(_, pattern)| pattern.as_ref().err()) {
            return refuse(&request.id, &error.to_string());
        }
        let named: Vec<String> = bindings.into_iter().map(|(binding, _)| binding).collect();
        // An account that is none has no bindings here.
        let reach = account.as_ref().map(reach_of);
        let gone = self.subscriptions.remove(|of, binding| {
            let is_account = reach.is_none_or(|reach| reach == Some(of));
            is_account && (named.is_empty() || named.iter().any(|name| name == binding))
        });
        let unsubscribed = if named.is_empty() { gone } else { named };
        let data = json!({"unsubscribed": unsubscribed, "subscribed": self.subscriptions.list()});
        self.succeed(request, &data)
    }

    fn succeed(&mut self, request: &Request, data: &Value) -> Effect {
        for (kept, name) in [&mut self.name, &mut self.metadata].into_iter().zip(KEPT) {
            if let Some(given) = request.member(name) {
                *kept = Some(given.clone());
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
