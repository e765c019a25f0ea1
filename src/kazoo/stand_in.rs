//! What KAZOO's API asks of the webhooks application: enabling hooks again (`webhooks.md` 4.6). And how an
//! application tells the cluster where it runs (`amqp.md` 12).

use serde_json::{Value, json};

use super::Object;
use super::message::{self, Message, ReplyAddress, Sender, reply_address};
use crate::model::{AccountId, gregorian_seconds};

/// Where it is asked for: exchange and routing key.
pub const ENABLING_ASKED: (&str, &str) = ("configuration", "configuration.doc_type_update.webhook");

/// A request to enable hooks again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnablingAsked {
    /// Whose.
    pub account: AccountId,
    /// Whether those of the accounts below too.
    pub descendants: bool,
    /// The answer repeats it.
    pub msg_id: String,
    /// Where the answer goes.
    pub reply_to: ReplyAddress,
}

/// Reads a request; `None` for anything else, and for one that cannot be answered.
#[must_use]
pub fn enabling_asked(body: &[u8]) -> Option<EnablingAsked> {
    let body: Object = serde_json::from_slice(body).ok()?;
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let kind = [text("Event-Category"), text("Event-Name"), text("Type")];
    if kind != ["configuration", "doc_type_update", "webhook"] {
        return None;
    }
    Some(EnablingAsked {
        account: text("Account-ID").parse().ok()?,
        descendants: text("Action") == "descendants",
        msg_id: Some(text("Msg-ID").to_owned()).filter(|id| !id.is_empty())?,
        reply_to: reply_address(text("Server-ID"))?,
    })
}

/// The hooks are enabled again; `sender` has the request's id.
#[must_use]
pub fn enabling_answer(asked: &EnablingAsked, sender: Sender<'_>) -> Message {
    let ReplyAddress { queue, pid } = asked.reply_to.clone();
    let fields = [("status", Value::from("success"))];
    let body = message::body(("configuration", "doc_type_updated"), sender, fields);
    Message { to_process: pid, ..Message::new("targeted", queue, body) }
}

/// Tells the cluster that an application runs here, for so many milliseconds.
#[must_use]
pub fn advertise(app: &str, started_us: u64, expires_ms: u64, sender: Sender<'_>) -> Message {
    let fields = [
        ("Expires", expires_ms.into()),
        ("Version", env!("CARGO_PKG_VERSION").into()),
        ("WhApps", json!({app: {"Startup": gregorian_seconds(started_us)}})),
    ];
    Message::new("nodes", String::new(), message::body(("nodes", "advertise"), sender, fields))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Id;

    const US: Sender<'_> = Sender { app: "webhooks", node: "n@h", msg_id: "m1" };

    fn request() -> Value {
        json!({"Msg-ID": "m1", "Server-ID": "pid://<0.7.0>/their-queue", "Event-Category": "configuration",
               "Event-Name": "doc_type_update", "Type": "webhook", "Account-ID": Id(7), "Action": "account"})
    }

    fn read(request: &Value) -> Option<EnablingAsked> {
        enabling_asked(request.to_string().as_bytes())
    }

    #[test]
    fn hooks_are_enabled_again_for_an_account_or_its_tree_and_the_asking_process_is_answered() {
        let one = read(&request()).unwrap();
        assert_eq!((one.account, one.descendants), (Id(7), false));
        let answer = enabling_answer(&one, US);
        assert_eq!((answer.exchange, answer.routing_key.as_str()), ("targeted", "their-queue"));
        assert_eq!(answer.to_process.as_deref(), Some("<0.7.0>"));
        let expected = json!({
            "App-Name": "webhooks", "App-Version": env!("CARGO_PKG_VERSION"), "Node": "n@h", "Msg-ID": "m1",
            "Event-Category": "configuration", "Event-Name": "doc_type_updated", "status": "success",
        });
        assert_eq!(Value::Object(answer.body), expected);
        let mut tree = request();
        tree["Action"] = json!("descendants");
        assert!(read(&tree).unwrap().descendants);
    }

    #[test]
    fn what_is_no_request_or_has_nobody_to_answer_is_left_alone() {
        for (key, value) in [
            ("Msg-ID", ""),
            ("Server-ID", ""),
            ("Server-ID", "pid://x"),
            ("Type", "user"),
            ("Event-Name", "doc_edited"),
            ("Account-ID", "x"),
        ] {
            let mut other = request();
            other[key] = json!(value);
            assert_eq!(read(&other), None, "{key}");
        }
        for other in ["", "7", "[]", "{}"] {
            assert_eq!(enabling_asked(other.as_bytes()), None);
        }
    }

    #[test]
    fn an_advertisement_is_understood_as_one_of_a_node_without_switches() {
        let message = advertise("webhooks", 1_760_000_000_000_000, 10_000, US);
        assert_eq!((message.exchange, message.routing_key.as_str()), ("nodes", ""));
        assert_eq!(message.body["WhApps"], json!({"webhooks": {"Startup": 63_927_219_200_u64}}));
        let heard = crate::kazoo::advertisement(Value::Object(message.body).to_string().as_bytes()).unwrap();
        assert_eq!((heard.node.as_str(), heard.expires_ms, heard.has_switches), ("n@h", 12_500, false));
    }
}
