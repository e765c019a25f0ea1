//! Requests of KAZOO's API to the applications that this program replaces: to webhooks, to enable hooks again
//! (`docs/kazoo/webhooks.md#enabling-again`); to blackhole, to list websockets
//! (`docs/kazoo/websockets.md#listing-sessions-over-the-broker`). Also the advertisement with which an application
//! tells the cluster where it runs (`docs/kazoo/amqp.md#node-advertisements`).

use serde_json::{Value, json};

use super::Object;
use super::message::{self, Message, ReplyAddress, Sender, reply_address};
use crate::model::{AccountId, gregorian_seconds};

/// Exchange and routing key of requests to enable hooks.
pub const ENABLING_REQUEST: (&str, &str) = ("configuration", "configuration.doc_type_update.webhook");

/// Exchange and routing key of requests for websockets.
pub const WEBSOCKETS_REQUEST: (&str, &str) = ("sysconf", "websockets.get");

/// A request that we answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StandInRequest {
    /// To webhooks.
    Enabling(EnablingRequest),
    /// To blackhole.
    Websockets(WebsocketsRequest),
}

/// Reads a request; `None` for other messages and for requests without a usable reply address.
#[must_use]
pub fn asked(body: &[u8]) -> Option<StandInRequest> {
    let body: Object = serde_json::from_slice(body).ok()?;
    let enabling = || enabling_asked(&body).map(StandInRequest::Enabling);
    enabling().or_else(|| websockets_asked(&body).map(StandInRequest::Websockets))
}

/// A request to list websockets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WebsocketsRequest {
    /// The accounts in question: the one in the request's path, and the caller's.
    pub accounts: Vec<AccountId>,
    /// Restricts the answer to the session with this id. KAZOO ignores the accounts in this case; here the session
    /// must belong to one of them.
    pub session: Option<String>,
    /// The answer repeats it.
    pub msg_id: String,
    /// Where the answer goes.
    pub reply_to: ReplyAddress,
}

fn websockets_asked(body: &Object) -> Option<WebsocketsRequest> {
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    if (text("Event-Category"), text("Event-Name")) != ("websockets", "get_req") {
        return None;
    }
    let accounts = ["Account-ID", "Auth-Account-ID"].map(text);
    Some(WebsocketsRequest {
        accounts: accounts.into_iter().filter_map(|id| id.parse().ok()).collect(),
        session: Some(text("Socket-ID").to_owned()).filter(|id| !id.is_empty()),
        msg_id: Some(text("Msg-ID").to_owned()).filter(|id| !id.is_empty())?,
        reply_to: reply_address(text("Server-ID"))?,
    })
}

/// The answer: a list of websockets, or one of them (an empty list when the id is unknown). `sender` has the
/// request's id.
#[must_use]
pub fn websockets_answer(asked: &WebsocketsRequest, sessions: Vec<Object>, sender: Sender<'_>) -> Message {
    let data = match (&asked.session, sessions.into_iter()) {
        (None, all) => all.map(Value::Object).collect(),
        (Some(_), mut one) => one.next().map_or_else(|| json!([]), Value::Object),
    };
    let body = message::body("websockets", "get_resp", sender, [("Data", data)]);
    reply(&asked.reply_to, body)
}

fn reply(to: &ReplyAddress, body: Object) -> Message {
    let ReplyAddress { queue, pid } = to.clone();
    Message { to_process: pid, ..Message::new("targeted", queue, body) }
}

/// A request to enable hooks again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EnablingRequest {
    /// The account whose hooks to enable.
    pub account: AccountId,
    /// Whether to enable the hooks of all accounts below too.
    pub descendants: bool,
    /// The answer repeats it.
    pub msg_id: String,
    /// Where the answer goes.
    pub reply_to: ReplyAddress,
}

fn enabling_asked(body: &Object) -> Option<EnablingRequest> {
    let text = |key: &str| body.get(key).and_then(Value::as_str).unwrap_or_default();
    let kind = [text("Event-Category"), text("Event-Name"), text("Type")];
    if kind != ["configuration", "doc_type_update", "webhook"] {
        return None;
    }
    Some(EnablingRequest {
        account: text("Account-ID").parse().ok()?,
        descendants: text("Action") == "descendants",
        msg_id: Some(text("Msg-ID").to_owned()).filter(|id| !id.is_empty())?,
        reply_to: reply_address(text("Server-ID"))?,
    })
}

/// The answer that the hooks are enabled; `sender` has the request's id.
#[must_use]
pub fn enabling_answer(asked: &EnablingRequest, sender: Sender<'_>) -> Message {
    let fields = [("status", Value::from("success"))];
    reply(&asked.reply_to, message::body("configuration", "doc_type_updated", sender, fields))
}

/// What a node tells of itself.
#[derive(Debug, Clone, Copy)]
pub struct Advertised<'a> {
    /// Its applications.
    pub apps: &'a [&'a str],
    /// Its zone.
    pub zone: &'a str,
    /// When it started, in microseconds since 1970.
    pub started_us: u64,
    /// How long this holds.
    pub expires_ms: u64,
}

/// The advertisement that these applications run here, valid for a number of milliseconds.
#[must_use]
pub fn advertise(program: &Advertised<'_>, sender: Sender<'_>) -> Message {
    let startup = json!({"Startup": gregorian_seconds(program.started_us)});
    let apps: Object = program.apps.iter().map(|app| ((*app).to_owned(), startup.clone())).collect();
    let fields = [
        ("Expires", program.expires_ms.into()),
        ("Version", env!("CARGO_PKG_VERSION").into()),
        ("WhApps", apps.into()),
        ("Zone", program.zone.into()),
    ];
    Message::new("nodes", String::new(), message::body("nodes", "advertise", sender, fields))
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: Sender<'_> = Sender { app: "webhooks", node: "n@h", msg_id: "m1" };

    fn request() -> Value {
        json!({"Msg-ID": "m1", "Server-ID": "pid://<0.7.0>/their-queue", "Event-Category": "configuration",
               "Event-Name": "doc_type_update", "Type": "webhook", "Account-ID": AccountId(7), "Action": "account"})
    }

    fn read(request: &Value) -> Option<EnablingRequest> {
        match asked(request.to_string().as_bytes())? {
            StandInRequest::Enabling(asked) => Some(asked),
            StandInRequest::Websockets(other) => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_request_to_enable_names_an_account_or_its_tree_and_the_process_to_answer() {
        let one = read(&request()).unwrap();
        assert_eq!((one.account, one.descendants), (AccountId(7), false));
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
    fn other_messages_and_requests_without_a_reply_address_are_ignored() {
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
    fn websockets_are_listed_by_account_or_by_id() {
        let mut question = json!({
            "Msg-ID": "m1", "Server-ID": "their-queue", "Event-Category": "websockets", "Event-Name": "get_req",
            "Account-ID": AccountId(7), "Auth-Account-ID": AccountId(8),
        });
        let read = |question: &Value| match asked(question.to_string().as_bytes()) {
            Some(StandInRequest::Websockets(asked)) => asked,
            other => panic!("{other:?}"),
        };
        let all = read(&question);
        assert_eq!((&all.accounts, &all.session), (&vec![AccountId(7), AccountId(8)], &None));
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
    fn our_advertisement_reads_as_that_of_a_node_without_switches() {
        let program = Advertised {
            apps: &["blackhole", "webhooks"],
            zone: "ams",
            started_us: 1_760_000_000_000_000,
            expires_ms: 10_000,
        };
        let message = advertise(&program, US);
        assert_eq!((message.exchange, message.routing_key.as_str()), ("nodes", ""));
        let startup = json!({"Startup": 63_927_219_200_u64});
        assert_eq!(message.body["WhApps"], json!({"blackhole": startup, "webhooks": startup}));
        let heard = crate::kazoo::advertisement(Value::Object(message.body).to_string().as_bytes()).unwrap();
        assert_eq!((heard.node.as_str(), heard.expires_ms, heard.has_switches), ("n@h", 12_500, false));
    }
}
