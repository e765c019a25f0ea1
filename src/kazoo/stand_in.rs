//! What KAZOO's API asks of the applications that this program can stand in for: of webhooks, to enable hooks again
//! (`docs/kazoo/webhooks.md#enabling-again`); of blackhole, which websockets there are
//! (`docs/kazoo/websockets.md#listing-sessions-over-the-broker`). And how an application tells the cluster where it
//! runs (`docs/kazoo/amqp.md#node-advertisements`).

use serde_json::{Value, json};

use super::Object;
use super::message::{self, Message, ReplyAddress, Sender, reply_address};
use crate::model::{AccountId, gregorian_seconds};

/// Where enabling is asked for: exchange and routing key.
pub const ENABLING_ASKED: (&str, &str) = ("configuration", "configuration.doc_type_update.webhook");

/// Where websockets are asked for.
pub const WEBSOCKETS_ASKED: (&str, &str) = ("sysconf", "websockets.get");

/// A question that can be answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Asked {
    /// Of webhooks.
    Enabling(EnablingAsked),
    /// Of blackhole.
    Websockets(WebsocketsAsked),
}

/// Reads a question; `None` for anything else, and for one that cannot be answered.
#[must_use]
pub fn asked(body: &[u8]) -> Option<Asked> {
    let body: Object = serde_json::from_slice(body).ok()?;
    let enabling = || enabling_asked(&body).map(Asked::Enabling);
    enabling().or_else(|| websockets_asked(&body).map(Asked::Websockets))
}

/// The question which websockets there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebsocketsAsked {
    /// The accounts that are asked about: that of the request's path, and its caller's.
    pub accounts: Vec<AccountId>,
    /// Only the session of this id. KAZOO then looks at no account; here those that are named must have it.
    pub session: Option<String>,
    /// The answer repeats it.
    pub msg_id: String,
    /// Where the answer goes.
    pub reply_to: ReplyAddress,
}

fn websockets_asked(body: &Object) -> Option<WebsocketsAsked> {
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    if (text("Event-Category"), text("Event-Name")) != ("websockets", "get_req") {
        return None;
    }
    let accounts = ["Account-ID", "Auth-Account-ID"].map(text);
    Some(WebsocketsAsked {
        accounts: accounts.into_iter().filter_map(|id| id.parse().ok()).collect(),
        session: Some(text("Socket-ID").to_owned()).filter(|id| !id.is_empty()),
        msg_id: Some(text("Msg-ID").to_owned()).filter(|id| !id.is_empty())?,
        reply_to: reply_address(text("Server-ID"))?,
    })
}

/// The websockets: a list, or one of them (an empty list when there is none of that id); `sender` has the
/// question's id.
#[must_use]
pub fn websockets_answer(asked: &WebsocketsAsked, sessions: Vec<Object>, sender: Sender<'_>) -> Message {
    let data = match (&asked.session, sessions.into_iter()) {
        (None, all) => all.map(Value::Object).collect(),
        (Some(_), mut one) => one.next().map_or_else(|| json!([]), Value::Object),
    };
    let body = message::body(("websockets", "get_resp"), sender, [("Data", data)]);
    reply(&asked.reply_to, body)
}

fn reply(to: &ReplyAddress, body: Object) -> Message {
    let ReplyAddress { queue, pid } = to.clone();
    Message { to_process: pid, ..Message::new("targeted", queue, body) }
}

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

fn enabling_asked(body: &Object) -> Option<EnablingAsked> {
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
    let fields = [("status", Value::from("success"))];
    reply(&asked.reply_to, message::body(("configuration", "doc_type_updated"), sender, fields))
}

/// Tells the cluster that these applications run here, for so many milliseconds.
#[must_use]
pub fn advertise(apps: &[&str], started_us: u64, expires_ms: u64, sender: Sender<'_>) -> Message {
    let startup = json!({"Startup": gregorian_seconds(started_us)});
    let apps: Object = apps.iter().map(|app| ((*app).to_owned(), startup.clone())).collect();
    let fields = [
        ("Expires", expires_ms.into()),
        ("Version", env!("CARGO_PKG_VERSION").into()),
        ("WhApps", apps.into()),
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
        match asked(request.to_string().as_bytes())? {
            Asked::Enabling(asked) => Some(asked),
            Asked::Websockets(other) => panic!("{other:?}"),
        }
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
            assert_eq!(asked(other.as_bytes()), None);
        }
    }

    #[test]
    fn websockets_are_asked_for_by_account_or_one_by_its_id_and_answered_as_they_are() {
        let mut question = json!({
            "Msg-ID": "m1", "Server-ID": "their-queue", "Event-Category": "websockets", "Event-Name": "get_req",
            "Account-ID": Id(7), "Auth-Account-ID": Id(8),
        });
        let read = |question: &Value| match asked(question.to_string().as_bytes()) {
            Some(Asked::Websockets(asked)) => asked,
            other => panic!("{other:?}"),
        };
        let all = read(&question);
        assert_eq!((&all.accounts, &all.session), (&vec![Id(7), Id(8)], &None));
        let rows = [json!({"bindings": [], "name": ""}), json!({"bindings": ["call.*.*"]})];
        let rows = rows.map(|row| row.as_object().cloned().unwrap());
        let us = Sender { app: "blackhole", ..US };
        let answer = websockets_answer(&all, rows.to_vec(), us);
        assert_eq!((answer.exchange, answer.routing_key.as_str()), ("targeted", "their-queue"));
        let expected = json!({
            "App-Name": "blackhole", "App-Version": env!("CARGO_PKG_VERSION"), "Node": "n@h", "Msg-ID": "m1",
            "Event-Category": "websockets", "Event-Name": "get_resp",
            "Data": [{"bindings": [], "name": ""}, {"bindings": ["call.*.*"]}],
        });
        assert_eq!(Value::Object(answer.body), expected);
        assert_eq!(websockets_answer(&all, Vec::new(), us).body["Data"], json!([]));

        question["Socket-ID"] = json!("192.0.2.1:99");
        let one = read(&question);
        assert_eq!(one.session.as_deref(), Some("192.0.2.1:99"));
        let found = websockets_answer(&one, rows[..1].to_vec(), us);
        assert_eq!(found.body["Data"], json!({"bindings": [], "name": ""}));
        assert_eq!(websockets_answer(&one, Vec::new(), us).body["Data"], json!([]));
        for (key, value) in [("Msg-ID", ""), ("Server-ID", ""), ("Event-Name", "get_resp")] {
            let mut other = question.clone();
            other[key] = json!(value);
            assert_eq!(asked(other.to_string().as_bytes()), None, "{key}");
        }
    }

    #[test]
    fn an_advertisement_is_understood_as_one_of_a_node_without_switches() {
        let message = advertise(&["blackhole", "webhooks"], 1_760_000_000_000_000, 10_000, US);
        assert_eq!((message.exchange, message.routing_key.as_str()), ("nodes", ""));
        let startup = json!({"Startup": 63_927_219_200_u64});
        assert_eq!(message.body["WhApps"], json!({"blackhole": startup, "webhooks": startup}));
        let heard = crate::kazoo::advertisement(Value::Object(message.body).to_string().as_bytes()).unwrap();
        assert_eq!((heard.node.as_str(), heard.expires_ms, heard.has_switches), ("n@h", 12_500, false));
    }
}
