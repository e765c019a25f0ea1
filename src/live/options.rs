//! The options of websocket sessions.

use std::net::SocketAddr;
use std::time::Duration;

use crate::listen::{ConnectionLimits, Proxies};

/// What happens to a session when its token expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenExpiry {
    /// Nothing, as in KAZOO: a token is checked once.
    Ignore,
    /// The session continues, but cannot subscribe until a frame brings a valid token of the same account.
    Refuse,
    /// The session is closed with 1008, unless a frame has brought a newer valid token of the same account.
    Close,
}

/// Limits and times of sessions.
#[derive(Debug, Clone)]
pub struct LiveOptions {
    /// Address to listen on; port 0 means any free port.
    pub listen: SocketAddr,
    /// Proxies that are trusted to name their client's address.
    pub proxies: Proxies,
    /// Limits of connections before they become sessions.
    pub connections: ConnectionLimits,
    /// Most sessions. 0: any number.
    pub max_sessions: usize,
    /// Most sessions of one account. 0: any number.
    pub max_per_account: usize,
    /// Most sessions from one address. 0: any number.
    pub max_per_ip: usize,
    /// Most sessions without a valid token. When one more connects, the oldest of them is closed.
    pub max_without_token: usize,
    /// A session without a valid token is closed with 1008 after this time.
    pub token_timeout: Duration,
    /// Most bindings of one session.
    pub max_bindings: usize,
    /// Most commands of one session under way.
    pub max_commands: usize,
    /// Largest frame from a client, in bytes.
    pub max_frame_bytes: usize,
    /// Size of the bucket of a client's frames.
    pub frame_burst: u32,
    /// Frames added to the bucket each second.
    pub frames_per_second: u32,
    /// Bytes of event frames taken for one client at a time; the next are taken once these are written.
    pub window_bytes: usize,
    /// Bytes of recent events kept in memory for all sessions.
    pub shared_bytes: usize,
    /// Time between two pings.
    pub ping_interval: Duration,
    /// A client that sends only pongs for this time is closed with 1000.
    pub idle_timeout: Duration,
    /// What happens to a session when its token expires.
    pub token_expiry: TokenExpiry,
    /// Time limit for the closing handshake.
    pub close_timeout: Duration,
    /// Name of this host in listings.
    pub host: String,
}

impl Default for LiveOptions {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 5555)),
            proxies: Proxies::default(),
            connections: ConnectionLimits::default(),
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
