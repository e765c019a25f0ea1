//! The limits of the API, each with a name.

use std::net::SocketAddr;
use std::time::Duration;

use ipnet::IpNet;

use crate::listen::Limits;
use crate::model::ByteRate;

/// Which generation of KAZOO the websocket listings look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Profile {
    /// 4.0.
    Classic,
    /// 5.
    Current,
}

/// How the API is served.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Largest request body.
    pub max_body_bytes: usize,
    /// Memory for all bodies that are being received or answered; others wait, for `body_timeout` at most.
    pub body_memory_bytes: usize,
    /// What clients may take of the listener.
    pub connections: Limits,
    /// How long a client may take to send a body.
    pub body_timeout: Duration,
    /// How long open connections may take to finish on shutdown.
    pub grace: Duration,
    /// This node's name; answers carry its hash.
    pub node: String,
    /// Rows of a page unless `page_size` says otherwise.
    pub page_size: usize,
    /// Rows of a page at most, and of a listing that is not paged.
    pub max_page_size: usize,
    /// Bytes of a page's rows at most, unless one row alone is larger; the next page goes on.
    pub max_page_bytes: usize,
    /// Events that one account may hand in, as bytes; the master account has no rate.
    pub events: ByteRate,
    /// Events that are looked at for one page of a search; a page that is not full by then says where to go on.
    pub max_searched_events: usize,
    /// Longest range of an attempts listing, in seconds.
    pub max_range_s: u64,
    /// Hash of the token that a scrape must bring; `None`: none is needed.
    pub metrics_token_hash: Option<String>,
    /// Whether strangers may read what names accounts, hooks and addresses.
    pub metrics_public: bool,
    /// How the websocket listings look.
    pub profile: Profile,
    /// Special addresses that hooks may name (`delivery.allow_addresses`).
    pub allow_addresses: Vec<IpNet>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8000)),
            max_body_bytes: 8_000_000,
            body_memory_bytes: 384 << 20,
            connections: Limits::default(),
            body_timeout: Duration::from_secs(30),
            grace: Duration::from_secs(5),
            node: "switchhook".into(),
            page_size: 50,
            max_page_size: 10_000,
            max_page_bytes: 8 << 20,
            events: ByteRate { burst: 64 << 20, per_second: 4 << 20 },
            max_searched_events: 20_000,
            max_range_s: 2_682_000,
            metrics_token_hash: None,
            metrics_public: false,
            profile: Profile::Classic,
            allow_addresses: Vec::new(),
        }
    }
}
