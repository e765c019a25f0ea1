//! Retention at intervals: events and ledger are removed by age even while nothing is written.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::http::Retained;
use crate::log::{AppendError, Appender, ReadError, ReaderOf};
use crate::model::{Clock, EventOffset, LedgerOffset};
use crate::queues::last_checkpoint;
use crate::tasks::{Stop, Tasks};

const EVERY: Duration = Duration::from_secs(600);

/// The task of retention. Also applies retention on an operator's request.
#[derive(Clone)]
pub(super) struct Retention {
    pub(super) events: (Appender, ReaderOf<EventOffset>),
    pub(super) ledger: (Appender, ReaderOf<LedgerOffset>),
    pub(super) clock: Clock,
    pub(super) max_age_us: Arc<AtomicU64>,
    /// The largest size of the events log.
    pub(super) max_bytes: Arc<AtomicU64>,
}

impl Retention {
    pub(super) async fn run(self, stop: Stop, tasks: Tasks) {
        let events = self.events.1.clone();
        let weighed = tasks.spawn_blocking(move || events.untyped().weigh());
        if let Some(Ok(Err(error))) = stop.run_until_cancelled(weighed).await {
            tracing::warn!(%error, "the size of each account's events is not known in full");
        }
        loop {
            for Retained { name, first } in self.now().await {
                if let Err(reason) = first {
                    tracing::warn!(log = name, reason, "retention of a log failed");
                }
            }
            if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                return;
            }
        }
    }

    /// Sets new limits, which the next application of retention uses.
    pub(super) async fn limit(&self, max_age_us: u64, max_bytes: u64) -> Result<(), AppendError> {
        self.max_age_us.store(max_age_us, Ordering::Relaxed);
        self.max_bytes.store(max_bytes, Ordering::Relaxed);
        self.events.0.limit(Some(max_age_us), Some(max_bytes)).await
    }

    /// Applies retention once.
    pub(super) async fn now(&self) -> Vec<Retained> {
        let before = self.events.1.first().0;
        // Events first: how much of the ledger is needed depends on the oldest event that is left.
        let events = self.events.0.retain_now().await.map_err(|error| error.to_string());
        let events = events.map(|first| (before, first));
        let before = self.ledger.1.first().0;
        let ledger = match self.ledger_floor() {
            Ok(floor) => self.ledger.0.retain_from(floor.0).await.map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let ledger = ledger.map(|first| (before, first));
        vec![Retained { name: "events", first: events }, Retained { name: "ledger", first: ledger }]
    }

    /// The offset from which the ledger must stay: it keeps what is younger than the oldest event, and its last
    /// checkpoint.
    fn ledger_floor(&self) -> Result<LedgerOffset, ReadError> {
        let Some(checkpoint) = last_checkpoint(&self.ledger.1)? else { return Ok(LedgerOffset::FIRST) };
        let now_us = self.clock.now_us();
        let begun = self.events.1.untyped().segments().first().map_or(0, |segment| segment.created_us);
        // A time in the future means that the clock was wrong, so it does not show how old the events are.
        let oldest = if begun <= now_us { begun } else { 0 };
        let too_old = now_us.saturating_sub(self.max_age_us.load(Ordering::Relaxed));
        Ok(LedgerOffset(self.ledger.1.untyped().open_at(oldest.max(too_old), now_us)).min(checkpoint))
    }
}
