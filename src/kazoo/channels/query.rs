//! The two questions of the channels API to all switches.

use serde_json::{Value, json};

use crate::kazoo::encode_segment;
use crate::kazoo::message::{self, Message, Sender};
use crate::model::AccountId;

/// The longest encoded call id that fits into every routing key (255 bytes) built from it.
const MOST_KEY_BYTES: usize = 200;

/// Whether a text can be a call id: not empty, not a wildcard, and short enough for a routing key.
#[must_use]
pub fn is_call_id(text: &str) -> bool {
    !matches!(text, "" | "*" | "#") && encode_segment(text).len() <= MOST_KEY_BYTES
}

/// Asks for all channels of an account (`docs/kazoo/amqp.md#questions-about-channels`).
#[must_use]
pub fn account_query(account: AccountId, sender: Sender<'_>) -> Message {
    let account = account.to_string();
    Message::new(
        "callevt",
        format!("call.status_req.{account}"),
        message::body(
            "call_event",
            "query_account_channels_req",
            sender,
            [("Account-ID", account.into()), ("Active-Only", false.into()), ("Usernames", json!([]))],
        ),
    )
}

/// Asks for one channel with all its details (`docs/kazoo/amqp.md#questions-about-channels`).
#[must_use]
pub fn call_query(call_id: &str, sender: Sender<'_>) -> Message {
    Message::new(
        "callevt",
        "call.status_req.channels".to_owned(),
        message::body(
            "call_event",
            "query_channels_req",
            sender,
            [("Active-Only", true.into()), ("Call-ID", call_id.into()), ("Fields", Value::from("all"))],
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Sender<'_> = Sender { app: "switchhook", node: "switchhook@h", msg_id: "m1" };

    #[test]
    fn an_account_query_has_the_fields_of_its_kind() {
        let message = account_query(AccountId(0xa), US);
        assert_eq!(message.routing_key, format!("call.status_req.{}", AccountId(0xa)));
        let expected = json!({
            "Account-ID": AccountId(0xa), "Active-Only": false, "Usernames": [],
            "App-Name": "switchhook", "App-Version": env!("CARGO_PKG_VERSION"), "Node": "switchhook@h",
            "Event-Category": "call_event", "Event-Name": "query_account_channels_req", "Msg-ID": "m1",
        });
        assert_eq!((message.exchange, Value::Object(message.body)), ("callevt", expected));
    }

    #[test]
    fn a_call_query_has_the_fields_of_its_kind() {
        let message = call_query("leg.7@10.1.2.3", US);
        let expected = json!({
            "Call-ID": "leg.7@10.1.2.3", "Active-Only": true, "Fields": "all",
            "App-Name": "switchhook", "App-Version": env!("CARGO_PKG_VERSION"), "Node": "switchhook@h",
            "Event-Category": "call_event", "Event-Name": "query_channels_req", "Msg-ID": "m1",
        });
        assert_eq!((message.exchange, message.routing_key.as_str()), ("callevt", "call.status_req.channels"));
        assert_eq!(Value::Object(message.body), expected);
    }

    #[test]
    fn wildcards_and_texts_too_long_for_a_routing_key_are_not_call_ids() {
        assert!(is_call_id("leg.7@10.1.2.3") && is_call_id("**"));
        for bad in ["", "*", "#", &"x".repeat(201), &"@".repeat(67)] {
            assert!(!is_call_id(bad), "{bad}");
        }
    }
}
