//! The limits of websocket sessions, each with a name.

use std::net::SocketAddr;
use std::time::Duration;

use crate::listen::{Limits, Proxies};

/// What becomes of a session whose token's time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenExpiry {
    /// Nothing, as in KAZOO: a token is looked at once.
    Ignore,
    /// It goes on, and subscribes no more until a frame brings a good token of the same account.
    Refuse,
    /// It is closed with 1008, unless a frame brought a good token of the same account before.
    Close,
}

/// How sessions are served.
#[derive(Debug, Clone)]
pub struct Options {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// The proxies that tell whom they speak for.
    pub proxies: Proxies,
    /// What clients may take of the listener before they have a session.
    pub connections: Limits,
    /// Sessions at once: in all, for one account, from one address. 0: any number.
    pub max_sessions: usize,
    /// Likewise for one account.
    pub max_per_account: usize,
    /// Likewise from one address.
    pub max_per_ip: usize,
    /// Sessions at once that have not shown a token. The oldest of them makes room for one more.
    pub max_without_token: usize,
    /// A session that has not shown a good token within this time is closed with 1008.
    pub token_timeout: Duration,
    /// Bindings of one session.
    pub max_bindings: usize,
    /// Commands of one session whose outcome is not known yet.
    pub max_commands: usize,
    /// Largest frame of a client.
    pub max_frame_bytes: usize,
    /// Frames that a client may send at once …
    pub frame_burst: u32,
    /// … and for each second after.
    pub frames_per_second: u32,
    /// Bytes of event frames that wait for one client; the next are read when these are written.
    pub window_bytes: usize,
    /// Bytes of recent events that all sessions share.
    pub shared_bytes: usize,
    /// Time between two pings.
    pub ping_interval: Duration,
    /// A client that sends nothing but answers to pings for so long is closed with 1000.
    pub idle_timeout: Duration,
    /// What becomes of a session whose token's time is over.
    pub token_expiry: TokenExpiry,
    /// Time that a closing session gets to say so.
    pub close_timeout: Duration,
    /// As listings name this host.
    pub host: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 5555)),
            proxies: Proxies::default(),
            connections: Limits::default(),
            max_sessions: 10_000,
            max_per_account: 0,
            max_per_ip: 0,
            max_without_token: 256,
            token_timeout: Duration::from_secs(15),
            max_bindings: 1000,
            max_commands: 8,
            max_frame_bytes: 65_536,
            frame_burst: 100,
            frames_per_second: 10,
            window_bytes: 65_536,
            shared_bytes: 16 << 20,
            ping_interval: Duration::from_secs(25),
            idle_timeout: Duration::from_secs(3600),
            token_expiry: TokenExpiry::Ignore,
            close_timeout: Duration::from_secs(2),
            host: "localhost".to_owned(),
        }
    }
}
