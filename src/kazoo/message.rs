//! A message for the broker, in the form of KAZOO's publishers (`docs/kazoo/amqp.md#message-bodies`).

use serde_json::Value;

use super::Object;

/// A message with its exchange and routing key.
#[derive(Debug, Clone, PartialEq)]
pub struct Message {
    /// The exchange.
    pub exchange: &'static str,
    /// The routing key, at most 255 bytes.
    pub routing_key: String,
    /// The body. The sender adds `Server-ID`, the queue for replies, to a request.
    pub body: Object,
    /// The addressed process of a KAZOO node: the AMQP header `Deliver-To-PID`.
    pub to_process: Option<String>,
}

impl Message {
    pub(super) fn new(exchange: &'static str, routing_key: String, body: Object) -> Self {
        Self { exchange, routing_key, body, to_process: None }
    }

    /// `Msg-ID`, which a reply repeats.
    #[must_use]
    pub fn msg_id(&self) -> &str {
        self.body.get("Msg-ID").and_then(Value::as_str).unwrap_or_default()
    }
}

/// The sender of a message.
#[derive(Debug, Clone, Copy)]
pub struct Sender<'a> {
    /// `App-Name`.
    pub app: &'a str,
    /// `Node`: `app@host`.
    pub node: &'a str,
    /// `Msg-ID`: 32 random hex digits, different for each message.
    pub msg_id: &'a str,
}

/// The body of a message: the headers of all messages and the message's own fields. As in KAZOO's publishers, `null`
/// and `""` are left out at the top level.
pub(super) fn body<const N: usize>(
    category: &str,
    name: &str,
    sender: Sender<'_>,
    fields: [(&str, Value); N],
) -> Object {
    let headers = [
        ("App-Name", sender.app),
        ("App-Version", env!("CARGO_PKG_VERSION")),
        ("Event-Category", category),
        ("Event-Name", name),
        ("Msg-ID", sender.msg_id),
        ("Node", sender.node),
    ];
    let headers = headers.into_iter().map(|(key, text)| (key, Value::from(text)));
    let fields = fields.into_iter().filter(|(_, value)| !is_nothing(value));
    headers.chain(fields).map(|(key, value)| (key.to_owned(), value)).collect()
}

/// The object without `null` and `""` at any depth. Empty objects and lists stay.
pub(super) fn pruned(object: Object) -> Object {
    object
        .into_iter()
        .filter(|(_, value)| !is_nothing(value))
        .map(|(key, value)| match value {
            Value::Object(inner) => (key, Value::Object(pruned(inner))),
            other => (key, other),
        })
        .collect()
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value == ""
}

/// The address for a reply, from `Server-ID`: a queue, or a process of a node with its queue (`pid://PID/QUEUE`,
/// `docs/kazoo/amqp.md#reply-addresses`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplyAddress {
    /// The routing key on `targeted`, at most 255 bytes.
    pub queue: String,
    /// For the AMQP header `Deliver-To-PID`.
    pub pid: Option<String>,
}

/// Reads a `Server-ID`; `None` when it is not a usable address.
#[must_use]
pub fn reply_address(server_id: &str) -> Option<ReplyAddress> {
    let (pid, queue) = match server_id.strip_prefix("pid://") {
        Some(rest) => rest.split_once('/').map(|(pid, queue)| (Some(pid.to_owned()), queue))?,
        None => (None, server_id),
    };
    let is_usable = !queue.is_empty() && queue.len() <= 255;
    is_usable.then(|| ReplyAddress { queue: queue.to_owned(), pid })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn empty_values_are_left_out_at_every_depth_but_empty_objects_stay() {
        let given = json!({"a": null, "b": "", "c": {"d": "", "e": {}, "f": 0}, "g": [null, ""], "h": false});
        let pruned = pruned(given.as_object().cloned().unwrap());
        assert_eq!(Value::Object(pruned), json!({"c": {"e": {}, "f": 0}, "g": [null, ""], "h": false}));
    }

    #[test]
    fn a_server_id_names_a_queue_and_optionally_a_process() {
        let to = |queue: &str, pid: Option<&str>| {
            Some(ReplyAddress { queue: queue.to_owned(), pid: pid.map(str::to_owned) })
        };
        assert_eq!(reply_address("node@host-x-1f"), to("node@host-x-1f", None));
        assert_eq!(reply_address("pid://<0.7.0>/q/1"), to("q/1", Some("<0.7.0>")));
        for nobody in ["", "pid://", "pid://<0.7.0>", "pid://<0.7.0>/", &"q".repeat(256)] {
            assert_eq!(reply_address(nobody), None, "{nobody}");
        }
    }
}
