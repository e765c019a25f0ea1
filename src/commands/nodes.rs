//! Counts the nodes that control switches, and names those that deliver webhooks, from the advertisements that they send
//! every few seconds.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use crate::kazoo::{self, Advertisement};

/// The most nodes that are counted, more than any cluster has.
const MOST_NODES: usize = 1024;

/// A node advertises itself every 5 to 15 s, so after this time all nodes have been heard.
const ALL_HEARD_US: u64 = 20_000_000;

/// The nodes that deliver webhooks themselves. Cheap to clone; all clones share them.
#[derive(Debug, Clone, Default)]
pub struct Delivering(Arc<Mutex<BTreeMap<String, u64>>>);

impl Delivering {
    fn hear(&self, told: &Advertisement, now_us: u64) {
        let mut until_us = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until_us.retain(|node, until| *until > now_us && *node != told.node);
        if told.has_webhooks && until_us.len() < MOST_NODES {
            until_us.insert(told.node.clone(), until(told, now_us));
        }
    }

    /// Their names at a time in microseconds since 1970.
    #[must_use]
    pub fn now(&self, now_us: u64) -> Vec<String> {
        let until_us = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        until_us.iter().filter(|(_, until)| **until > now_us).map(|(node, _)| node.clone()).collect()
    }
}

fn until(told: &Advertisement, now_us: u64) -> u64 {
    now_us.saturating_add(told.expires_ms.saturating_mul(1000))
}

/// The nodes that were heard.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// The name of this program, which may advertise `webhooks` itself.
    own: String,
    pub(super) delivering: Delivering,
    /// When listening began, in microseconds since 1970.
    since_us: u64,
    /// Until when each node counts, in microseconds since 1970.
    until_us: HashMap<String, u64>,
}

impl Nodes {
    /// No nodes yet. `own` is the name of this program.
    pub(super) fn seen_by(own: String) -> Self {
        Self { own, ..Self::default() }
    }

    /// Begins listening.
    pub(super) fn listen(&mut self, now_us: u64) {
        self.since_us = now_us;
    }

    /// Takes a message of the exchange `nodes`.
    pub(super) fn hear(&mut self, body: &[u8], now_us: u64) {
        let Some(told) = kazoo::advertisement(body).filter(|told| told.node != self.own) else { return };
        self.delivering.hear(&told, now_us);
        if !told.has_switches {
            return;
        }
        self.until_us.retain(|_, until| *until > now_us);
        if self.until_us.len() < MOST_NODES || self.until_us.contains_key(&told.node) {
            let until = until(&told, now_us);
            self.until_us.insert(told.node, until);
        }
    }

    /// The number of nodes; 0 while it is unknown.
    pub(super) fn count(&self, now_us: u64) -> usize {
        if now_us < self.since_us.saturating_add(ALL_HEARD_US) {
            return 0;
        }
        self.until_us.values().filter(|until| **until > now_us).count()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn advertisement(node: &str) -> Vec<u8> {
        let body = serde_json::json!({"Event-Category": "nodes", "Event-Name": "advertise", "Node": node,
                                      "Expires": 8000, "WhApps": {"ecallmgr": {}}});
        body.to_string().into_bytes()
    }

    #[test]
    fn a_node_counts_until_it_has_been_silent_for_too_long() {
        let mut nodes = Nodes::default();
        let base = 100_000_000;
        nodes.listen(base - ALL_HEARD_US);
        nodes.hear(&advertisement("a"), base);
        nodes.hear(&advertisement("b"), base + 5_000_000);
        nodes.hear(&advertisement("b"), base + 5_000_000);
        nodes.hear(b"nonsense", base + 5_000_000);
        let counts = [9_999_999, 10_000_000, 15_000_000].map(|after| nodes.count(base + after));
        assert_eq!(counts, [2, 1, 0]);
    }

    #[test]
    fn the_number_is_unknown_until_all_nodes_have_had_time_to_advertise() {
        let mut nodes = Nodes::default();
        nodes.listen(1_000_000);
        nodes.hear(&advertisement("a"), 20_000_000);
        assert_eq!([20_999_999, 21_000_000].map(|now| nodes.count(now)), [0, 1]);
    }

    #[test]
    fn a_node_delivers_webhooks_until_it_says_otherwise_or_is_silent_for_too_long() {
        let mut nodes = Nodes::seen_by("us".to_owned());
        let told = |node: &str, apps: &str| {
            let body = serde_json::json!({"Event-Category": "nodes", "Event-Name": "advertise", "Node": node,
                                          "Expires": 8000, "WhApps": {apps: {}}});
            body.to_string().into_bytes()
        };
        for node in ["a", "b", "us"] {
            nodes.hear(&told(node, "webhooks"), 0);
        }
        assert_eq!(nodes.delivering.now(1), ["a", "b"]);
        nodes.hear(&told("a", "crossbar"), 1);
        assert_eq!(nodes.delivering.now(1), ["b"]);
        assert!(nodes.delivering.now(10_000_000).is_empty());
    }

    #[test]
    fn a_flood_of_node_names_is_bounded() {
        let mut nodes = Nodes::default();
        for n in 0..3000 {
            nodes.hear(&advertisement(&format!("n{n}")), ALL_HEARD_US);
        }
        assert_eq!(nodes.count(ALL_HEARD_US), MOST_NODES);
    }
}
