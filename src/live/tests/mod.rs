//! Tests of the protocol, with their own tokens, accounts and positions.

mod commands;
mod frames;

use serde_json::{Value, json};

use super::*;
use crate::model::{AccountId, EventOffset};

const OWN: &str = "000000000000000000000000000000aa";
const BELOW: &str = "000000000000000000000000000000bb";
const STRANGE: &str = "000000000000000000000000000000cc";
const GOOD: &str = "good-token";

/// The token's account and one below it; `is_master` when the account may see the events of all.
struct Tree {
    is_master: bool,
}

impl Accounts for Tree {
    fn covers(&self, caller: &Caller, account: AccountId) -> bool {
        caller.account == account || account == BELOW.parse().unwrap()
    }

    fn is_master(&self, _: &Caller) -> bool {
        self.is_master
    }
}

/// A protocol and its surroundings.
struct Talk {
    protocol: Protocol,
    tree: Tree,
    now_us: u64,
    now_s: u64,
    /// The position that the log returns.
    place: fn() -> Result<StartPosition, StartError>,
    denied: Denied,
    /// Whether every token is invalid.
    revoked: bool,
    /// Commands under way.
    asked: Vec<(ChannelCommand, Uncommanded)>,
}

impl Talk {
    fn with(options: &LiveOptions) -> Self {
        let new_id = || "made".to_owned();
        Self {
            protocol: Protocol::new(
                "192.0.2.1:7".to_owned(),
                Arc::new(LogIds::new(1, Vec::new())),
                options,
                new_id,
            ),
            tree: Tree { is_master: false },
            now_us: 0,
            now_s: 100,
            place: || Ok(StartPosition { from: EventOffset(5), live_from: EventOffset(5), since_us: 0 }),
            denied: Denied::Token,
            revoked: false,
            asked: Vec::new(),
        }
    }

    fn begin() -> Self {
        Self::with(&LiveOptions::default())
    }

    /// A session whose client has shown a valid token.
    fn known() -> Self {
        let mut talk = Self::begin();
        assert_eq!(talk.ask(&json!({"auth_token": GOOD}))["status"], "success");
        talk
    }

    /// The reply; `None` for an accepted command.
    fn try_say(&mut self, text: &str) -> Option<Value> {
        let mut effect = self.protocol.receive(text, self.now_us, self.now_s, &self.tree);
        loop {
            effect = match effect {
                Effect::Reply(reply) => return Some(serde_json::from_str(&reply).unwrap()),
                Effect::Command(wanted, asked) => {
                    self.asked.push((wanted, asked));
                    return None;
                }
                Effect::Verify(frame) => {
                    let caller = match frame.token.as_str() {
                        _ if self.revoked => Err(self.denied),
                        GOOD => Ok((OWN, Role::Admin, 200)),
                        "newer" => Ok((OWN, Role::Admin, 900)),
                        "other" => Ok((BELOW, Role::Admin, 900)),
                        "users" => Ok((OWN, Role::User, 200)),
                        _ => Err(self.denied),
                    };
                    let token = frame.token.clone();
                    let caller = caller.map(|(account, role, expires_s)| Caller {
                        account: account.parse().unwrap(),
                        role,
                        token,
                        expires_s,
                    });
                    self.protocol.verified(frame, caller, &self.tree)
                }
                Effect::Locate(wanted) => self.protocol.located(wanted, (self.place)()),
            };
        }
    }

    fn say(&mut self, text: &str) -> Value {
        self.try_say(text).expect("a reply")
    }

    fn ask(&mut self, frame: &Value) -> Value {
        self.say(&frame.to_string())
    }

    /// The data of the reply, which must be a success.
    fn data(&mut self, frame: &Value) -> Value {
        let reply = self.ask(frame);
        assert_eq!((&reply["status"], &reply["action"]), (&json!("success"), &json!("reply")), "{reply}");
        reply["data"].clone()
    }

    /// The only error in the reply.
    fn error(&mut self, frame: &Value) -> String {
        let reply = self.ask(frame);
        assert_eq!((&reply["status"], &reply["action"]), (&json!("error"), &json!("reply")), "{reply}");
        let errors = reply["data"]["errors"].as_array().unwrap();
        assert_eq!(errors.len(), 1, "{reply}");
        errors[0].as_str().unwrap().to_owned()
    }
}

fn subscribe(account: &str, binding: &str) -> Value {
    json!({"action": "subscribe", "data": {"account_id": account, "binding": binding}})
}
