//! Counts the nodes that control switches, from the advertisements that they send every few seconds.

use std::collections::HashMap;

use crate::kazoo;

/// The most nodes that are counted, more than any cluster has.
const MOST_NODES: usize = 1024;

/// A node advertises itself every 5 to 15 s, so after this time all nodes have been heard.
const ALL_HEARD_US: u64 = 20_000_000;

/// The nodes that were heard.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// When listening began, in microseconds since 1970.
    since_us: u64,
    /// Until when each node counts, in microseconds since 1970.
    until_us: HashMap<String, u64>,
}

impl Nodes {
    /// Begins listening.
    pub(super) fn listen(&mut self, now_us: u64) {
        self.since_us = now_us;
    }

    /// Takes a message of the exchange `nodes`.
    pub(super) fn hear(&mut self, body: &[u8], now_us: u64) {
        let Some(advertisement) =
            kazoo::advertisement(body).filter(|advertisement| advertisement.has_switches)
        else {
            return;
        };
        self.until_us.retain(|_, until| *until > now_us);
        if self.until_us.len() < MOST_NODES || self.until_us.contains_key(&advertisement.node) {
            let until = now_us.saturating_add(advertisement.expires_ms.saturating_mul(1000));
            self.until_us.insert(advertisement.node, until);
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
    fn a_flood_of_node_names_is_bounded() {
        let mut nodes = Nodes::default();
        for n in 0..3000 {
            nodes.hear(&advertisement(&format!("n{n}")), ALL_HEARD_US);
        }
        assert_eq!(nodes.count(ALL_HEARD_US), MOST_NODES);
    }
}
