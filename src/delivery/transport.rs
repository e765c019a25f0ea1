//! What attempts are sent with: the clients with their timeouts, and how much of an answer is read and kept.
//!
//! It can be exchanged at any time. An attempt under way keeps what it began with; one that begins takes what is there.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::client::{BuildError, Client};
use super::guard::Guard;
use super::idle::IdleLimits;

/// The bounds of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Time for a connection, TLS included.
    pub connect_timeout: Duration,
    /// Time for a whole attempt, unless the hook says otherwise.
    pub request_timeout: Duration,
    /// Bytes of a response body that are read at most.
    pub response_read_bytes: usize,
    /// Bytes of a failure's body that are kept.
    pub response_keep_bytes: usize,
    /// Connections that wait for their next request.
    pub idle: IdleLimits,
}

/// Sends attempts and tests. Clones share it.
#[derive(Debug, Clone)]
pub struct Transport {
    pub(super) guard: Guard,
    current: Arc<watch::Sender<Arc<Sending>>>,
}

/// What one attempt is sent with.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) limits: Limits,
    /// For attempts.
    pub(super) client: Client,
    /// For tests: each over a connection of its own.
    pub(super) unpooled: Client,
}

impl Transport {
    pub(super) fn new(limits: Limits, guard: Guard) -> Result<Self, BuildError> {
        let sending = Sending::new(limits, &guard)?;
        Ok(Self { guard, current: Arc::new(watch::Sender::new(Arc::new(sending))) })
    }

    /// What an attempt that begins now is sent with.
    pub(super) fn current(&self) -> Arc<Sending> {
        Arc::clone(&self.current.borrow())
    }

    /// Other limits, for every attempt and test that begins after this. When they cannot be had, nothing changes.
    pub fn limit(&self, limits: Limits) -> Result<(), BuildError> {
        if self.current().limits != limits {
            // Idle connections go with the clients that they belong to.
            self.current.send_replace(Arc::new(Sending::new(limits, &self.guard)?));
        }
        Ok(())
    }
}

impl Sending {
    fn new(limits: Limits, guard: &Guard) -> Result<Self, BuildError> {
        let client = Client::new(&limits, guard)?;
        let unpooled =
            Client::new(&Limits { idle: IdleLimits { total: 0, ..limits.idle }, ..limits }, guard)?;
        Ok(Self { limits, client, unpooled })
    }
}
