//! The rates at which each account, and each tenant with all its accounts, may hand in events.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{ByteMeter, ByteRate, Payer};

/// The cost of an event in addition to its bytes: header, index, routing.
const EVENT_BYTES: u64 = 1024;

/// What accounts have handed in recently.
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

    /// Charges events to the rates of the account and its tenant. The error is the time to wait.
    pub(super) fn take(&self, payer: Payer, events: usize, bytes: usize) -> Result<(), Duration> {
        let cost = (events as u64).saturating_mul(EVENT_BYTES).saturating_add(bytes as u64);
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        meter.take(payer, cost, self.started.elapsed())
    }
}
