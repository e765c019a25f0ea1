//! Ports of 127.0.0.1 for processes that must know theirs before they start.

use std::net::TcpListener;
use std::sync::atomic::{AtomicU32, Ordering};

/// A port that nobody listens on, below the range that outgoing connections are given, so that none of them
/// takes it while the broker is down.
pub fn free_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let place = std::process::id().wrapping_mul(17).wrapping_add(step) % 20_000;
        let port = 12_000 + u16::try_from(place).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
