//! The settings of the API.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::listen::ConnectionLimits;
use crate::model::ByteRate;

/// The KAZOO version whose websocket listings are imitated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// KAZOO 4.0.
    Classic,
    /// KAZOO 5.
    Current,
}

/// Settings of the API.
#[derive(Debug, Clone)]
pub struct ApiOptions {
    /// The address to listen on; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The largest request body in bytes.
    pub max_body_bytes: usize,
    /// Memory for all bodies under way, in bytes. Requests wait for it, at most `body_timeout`.
    pub body_memory_bytes: usize,
    /// The connection limits of the listener.
    pub connections: ConnectionLimits,
    /// The time in which a client must send a body.
    pub body_timeout: Duration,
    /// The time for open requests to finish on shutdown.
    pub grace: Duration,
    /// This node's name. Responses carry its hash.
    pub node: String,
    /// Rows of a page unless the request has `page_size`.
    pub page_size: usize,
    /// The most rows of a page, and of a list without pages.
    pub max_page_size: usize,
    /// The most bytes of rows in a page, unless a single row is larger.
    pub max_page_bytes: usize,
    /// The rate at which one account may hand in events. The master account has no rate.
    pub events: ByteRate,
    /// The most events that one page of a search examines.
    pub max_searched_events: usize,
    /// The longest range of a list of attempts, in seconds.
    pub max_range_s: u64,
    /// The hash of the token for /metrics; `None` if no token is needed.
    pub metrics_token_hash: Option<String>,
    /// Whether strangers see accounts, hooks, addresses and reasons.
    pub metrics_public: bool,
    /// The KAZOO version whose websocket listings are imitated.
    pub profile: Profile,
    /// Special addresses that hooks may name (`delivery.allow_addresses`).
    pub allow_addresses: Vec<IpNet>,
    /// Whether a KAZOO decides on the accounts that were imported from it, and whether on the hooks.
    pub kazoo_owns: KazooOwns,
}

/// What a KAZOO decides on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct KazooOwns {
    /// Imported accounts.
    pub accounts: bool,
    /// Imported hooks.
    pub hooks: bool,
}

impl Default for ApiOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            max_body_bytes: 8_000_000,
            body_memory_bytes: 384 << 20,
            connections: ConnectionLimits::default(),
            body_timeout: Duration::from_secs(30),
            grace: Duration::from_secs(5),
            node: "switchhook".into(),
            page_size: 50,
            max_page_size: 10_000,
            max_page_bytes: 8 << 20,
            events: ByteRate { burst: 64 << 20, per_second: 4 << 20 },
            max_searched_events: 10_000,
            max_range_s: 2_682_000,
            metrics_token_hash: None,
            metrics_public: false,
            profile: Profile::Classic,
            allow_addresses: Vec::new(),
            kazoo_owns: KazooOwns::default(),
        }
    }
}
