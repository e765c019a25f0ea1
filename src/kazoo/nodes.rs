//! Node advertisements, which every node publishes every few seconds. A program that asks the nodes counts them to
//! know how many answers to expect (`docs/kazoo/amqp.md#node-advertisements`).

use serde_json::Value;

use super::Object;

/// The application that answers for switches.
const SWITCHES: &str = "ecallmgr";
/// The application that delivers webhooks.
const WEBHOOKS: &str = "webhooks";

/// An advertisement of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertisement {
    /// The node's name.
    pub node: String,
    /// Validity in milliseconds: 1.25 times the node's own figure.
    pub expires_ms: u64,
    /// Whether the node answers for switches.
    pub has_switches: bool,
    /// Whether the node delivers webhooks.
    pub has_webhooks: bool,
}

/// Reads an advertisement; `None` for anything else.
#[must_use]
pub fn advertisement(body: &[u8]) -> Option<Advertisement> {
    let body: Object = serde_json::from_slice(body).ok()?;
    let text = |key: &str| body.get(key).and_then(Value::as_str);
    if (text("Event-Category"), text("Event-Name")) != (Some("nodes"), Some("advertise")) {
        return None;
    }
    let expires = body.get("Expires").and_then(Value::as_u64)?;
    let runs = |app: &str| body.get("WhApps").and_then(|apps| apps.get(app)).is_some();
    let (has_switches, has_webhooks) = (runs(SWITCHES), runs(WEBHOOKS));
    let expires_ms = expires.saturating_add(expires / 4);
    Some(Advertisement { node: text("Node")?.to_owned(), expires_ms, has_switches, has_webhooks })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_with_switches_and_one_with_webhooks_are_recognised() {
        let mut told = json!({"Event-Category": "nodes", "Event-Name": "advertise", "Node": "e@h",
                              "Expires": 8000, "WhApps": {"ecallmgr": {"Startup": 1}}});
        let heard = advertisement(told.to_string().as_bytes()).unwrap();
        let (node, expires_ms) = ("e@h".to_owned(), 10_000);
        let expected = Advertisement { node, expires_ms, has_switches: true, has_webhooks: false };
        assert_eq!(heard, expected);
        told["WhApps"] = json!({"blackhole": {}, "webhooks": {}});
        let heard = advertisement(told.to_string().as_bytes()).unwrap();
        assert!(!heard.has_switches && heard.has_webhooks);
        told["WhApps"] = json!(null);
        assert!(!advertisement(told.to_string().as_bytes()).unwrap().has_switches);
    }

    #[test]
    fn other_messages_are_not_advertisements() {
        for other in [
            "",
            "7",
            "{}",
            r#"{"Event-Category":"nodes","Event-Name":"advertise","Node":"e@h"}"#,
            r#"{"Event-Category":"nodes","Event-Name":"advertise","Expires":1}"#,
            r#"{"Event-Category":"x","Event-Name":"advertise","Expires":1,"Node":"e@h"}"#,
        ] {
            assert_eq!(advertisement(other.as_bytes()), None, "{other}");
        }
    }
}
