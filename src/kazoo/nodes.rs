//! Node advertisements, which every node publishes every few seconds. A program that asks the nodes counts them to
//! know how many answers to expect (`docs/kazoo/amqp.md#node-advertisements`).

use serde_json::Value;

use super::Object;

/// The application that answers for switches.
const SWITCHES: &str = "ecallmgr";

/// An advertisement of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Advertisement {
    /// The node's name.
    pub node: String,
    /// Validity in milliseconds: 1.25 times the node's own figure.
    pub expires_ms: u64,
    /// Whether the node answers for switches.
    pub has_switches: bool,
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
    let has_switches = body.get("WhApps").and_then(|apps| apps.get(SWITCHES)).is_some();
    let expires_ms = expires.saturating_add(expires / 4);
    Some(Advertisement { node: text("Node")?.to_owned(), expires_ms, has_switches })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_node_with_switches_is_recognised() {
        let mut told = json!({"Event-Category": "nodes", "Event-Name": "advertise", "Node": "e@h",
                              "Expires": 8000, "WhApps": {"ecallmgr": {"Startup": 1}}});
        let heard = advertisement(told.to_string().as_bytes()).unwrap();
        assert_eq!(heard, Advertisement { node: "e@h".into(), expires_ms: 10_000, has_switches: true });
        told["WhApps"] = json!({"blackhole": {}});
        assert!(!advertisement(told.to_string().as_bytes()).unwrap().has_switches);
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
