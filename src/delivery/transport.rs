//! The transport of attempts: HTTP clients with their timeouts, and bounds for answers.
//!
//! The transport can be replaced at any time. An attempt under way keeps the transport with which it started; new
//! attempts use the new one.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use super::client::{BuildError, Client};
use super::guard::Guard;
use super::idle::IdleLimits;
use super::inbox::Inbox;

/// The bounds of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransportLimits {
    /// Time limit for connecting, including TLS.
    pub connect_timeout: Duration,
    /// Time limit for an attempt, unless the hook has its own.
    pub request_timeout: Duration,
    /// Most bytes of a response body to read.
    pub response_read_bytes: usize,
    /// Bytes of a failure's body to keep.
    pub response_keep_bytes: usize,
    /// Bytes of a success's headers and body to keep; 0: only its status.
    pub success_keep_bytes: usize,
    /// Limits of idle connections.
    pub idle: IdleLimits,
}

/// The present transport; clones share it.
#[derive(Debug, Clone)]
pub struct Transport {
    pub(super) guard: Guard,
    pub(super) inbox: Inbox,
    current: Arc<watch::Sender<Arc<Sending>>>,
}

/// The clients and bounds of one attempt.
#[derive(Debug)]
pub(super) struct Sending {
    pub(super) limits: TransportLimits,
    /// The client for attempts.
    pub(super) client: Client,
    /// The client for tests, which uses a new connection each time.
    pub(super) unpooled: Client,
}

impl Transport {
    pub(super) fn new(limits: TransportLimits, guard: Guard, inbox: Inbox) -> Result<Self, BuildError> {
        let sending = Sending::new(limits, &guard)?;
        Ok(Self { guard, inbox, current: Arc::new(watch::Sender::new(Arc::new(sending))) })
    }

    /// Another transport with the same limits, guard and built-in receiver, but with separate connections.
    pub(super) fn beside(&self) -> Result<Self, BuildError> {
        Self::new(self.current().limits, self.guard.clone(), self.inbox.clone())
    }

    /// The clients and bounds for an attempt that starts now.
    pub(super) fn current(&self) -> Arc<Sending> {
        Arc::clone(&self.current.borrow())
    }

    /// Replaces the limits for attempts and tests that start from now on. On an error nothing changes.
    pub fn limit(&self, limits: TransportLimits) -> Result<(), BuildError> {
        if self.current().limits != limits {
            // The idle connections are closed together with their old client.
            self.current.send_replace(Arc::new(Sending::new(limits, &self.guard)?));
        }
        Ok(())
    }
}

impl Sending {
    fn new(limits: TransportLimits, guard: &Guard) -> Result<Self, BuildError> {
        let client = Client::new(&limits, guard)?;
        let unpooled =
            Client::new(&TransportLimits { idle: IdleLimits { total: 0, ..limits.idle }, ..limits }, guard)?;
        Ok(Self { limits, client, unpooled })
    }
}
