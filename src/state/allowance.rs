//! The limits of changes, and how much of its rate each account has used. The handle shares this with the owner task,
//! so that a request can be refused before any document is read.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::limits::{DocumentLimits, LimitError};
use crate::model::{ByteMeter, Payer};

/// The limits, and the meter of the rates.
#[derive(Debug)]
pub(super) struct Allowance {
    pub(super) limits: DocumentLimits,
    /// The largest change, in bytes of the journal.
    pub(super) max_change_bytes: u64,
    meter: Mutex<ByteMeter>,
    started: Instant,
}

impl Allowance {
    pub(super) fn new(limits: DocumentLimits, max_change_bytes: u64) -> Self {
        let meter = Mutex::new(ByteMeter::new(limits.changes));
        Self { limits, max_change_bytes, meter, started: Instant::now() }
    }

    /// Charges the bytes of a change to the rates of its account and tenant.
    pub(super) fn charge(&self, payer: Payer, bytes: u64) -> Result<(), LimitError> {
        self.with_meter(|meter, now| meter.take(payer, bytes, now))
    }

    /// Whether a change of `bytes` would be accepted now.
    pub(super) fn check(&self, payer: Payer, bytes: u64) -> Result<(), LimitError> {
        self.with_meter(|meter, now| meter.check(payer, bytes, now))
    }

    fn with_meter(
        &self,
        ask: impl FnOnce(&mut ByteMeter, Duration) -> Result<(), Duration>,
    ) -> Result<(), LimitError> {
        let mut meter = self.meter.lock().unwrap_or_else(PoisonError::into_inner);
        // A steady clock: an account must not have to wait longer because the wall clock was set back.
        ask(&mut meter, self.started.elapsed()).map_err(|wait| LimitError::TooFast { wait })
    }
}
