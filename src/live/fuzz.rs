//! The websocket protocol as a fuzz target.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a property that does not hold is to stop the run"
)]

use std::sync::Arc;

use serde_json::Value;

use super::effect::Effect;
use super::options::LiveOptions;
use super::protocol::{Accounts, Caller, Protocol};
use super::subscriptions::StartPosition;
use crate::auth::Role;
use crate::model::{AccountId, EventOffset, LogIds};

const BINDINGS: usize = 50;

struct Everybody;

impl Accounts for Everybody {
    fn covers(&self, _: &Caller, account: AccountId) -> bool {
        account != AccountId(7)
    }

    fn is_master(&self, _: &Caller) -> bool {
        true
    }
}

/// Feeds frames, one per line. Each must get exactly one reply: a JSON object with the action `reply` and a size
/// bounded by the frame's. No session may exceed the limit of bindings.
pub fn frames(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let options = LiveOptions { max_bindings: BINDINGS, ..LiveOptions::default() };
    let log_ids = Arc::new(LogIds::new(1, Vec::new()));
    let mut protocol = Protocol::new("192.0.2.1:7".into(), log_ids, &options, || "made".to_owned());
    for (at, frame) in (0..).zip(text.lines()) {
        let mut effect = protocol.receive(frame, at * 100_000, 100, &Everybody);
        let reply = loop {
            effect = match effect {
                Effect::Reply(reply) => break reply,
                Effect::Verify(unverified) => {
                    let token = unverified.token.clone();
                    let caller = Caller { account: AccountId(1), role: Role::Admin, token, expires_s: 1000 };
                    protocol.verified(unverified, Ok(caller), &Everybody)
                }
                Effect::Locate(wanted) => protocol.located(
                    wanted,
                    Ok(StartPosition { from: EventOffset(5), live_from: EventOffset(5), since_us: 0 }),
                ),
                Effect::Command(_, asked) => protocol.commanded(&asked, Ok(())),
            };
        };
        let said: Value = serde_json::from_str(&reply).unwrap();
        assert_eq!(said.get("action"), Some(&"reply".into()), "{reply}");
        assert!(matches!(said.get("status").and_then(Value::as_str), Some("success" | "error")), "{reply}");
        assert!(reply.len() <= 6 * text.len() + 1000, "{} bytes", reply.len());
        assert!(protocol.subscriptions.len() <= BINDINGS);
    }
}
