//! How many bytes of events each account may hand in.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{AccountId, ByteMeter, ByteRate};

/// What an event costs beside its bytes: header, index, routing.
const EVENT_BYTES: u64 = 1024;

/// What accounts have handed in of late.
#[derive(Debug)]
pub(super) struct Intake {
    /// A clock that never goes back.
    started: Instant,
    meter: Mutex<ByteMeter>,
}

impl Intake {
    pub(super) fn new(rate: ByteRate) -> Self {
        Self { started: Instant::now(), meter: Mutex::new(ByteMeter::new(rate)) }
    }

    /// Takes the bytes of events out of the account's rate; the error says how long the account has to wait.
    pub(super) fn take(&self, account: AccountId, events: usize, bytes: usize) -> Result<(), Duration> {
        let cost = (events as u64).saturating_mul(EVENT_BYTES).saturating_add(bytes as u64);
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.take(account, cost, self.started.elapsed())
    }
}
