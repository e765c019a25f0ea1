//! Retention applied while nothing is written: events and ledger are dropped by age also on a quiet night.

use std::time::Duration;

use crate::log::{Appender, ReadError, Reader};
use crate::model::Clock;
use crate::queues::last_checkpoint;
use crate::tasks::Stop;

const EVERY: Duration = Duration::from_secs(600);

/// The task.
pub(super) struct Retention {
    pub(super) events: (Appender, Reader),
    pub(super) ledger: (Appender, Reader),
    pub(super) clock: Clock,
    pub(super) max_age_us: u64,
}

impl Retention {
    pub(super) async fn run(self, stop: Stop) {
        loop {
            self.once().await;
            if stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_none() {
                return;
            }
        }
    }

    async fn once(&self) {
        if let Err(error) = self.events.0.retain_now().await {
            tracing::warn!(%error, "events cannot be retained now");
        }
        match self.ledger_floor() {
            Ok(0) => {}
            Ok(floor) => {
                if let Err(error) = self.ledger.0.retain_from(floor).await {
                    tracing::warn!(%error, "ledger cannot be retained now");
                }
            }
            Err(error) => tracing::error!(%error, "ledger cannot be read"),
        }
    }

    /// The ledger keeps what is younger than the oldest kept event, and always its last checkpoint.
    fn ledger_floor(&self) -> Result<u64, ReadError> {
        let Some(checkpoint) = last_checkpoint(&self.ledger.1)? else { return Ok(0) };
        let oldest = self.events.1.get(self.events.1.first())?.map_or(0, |event| event.time_us);
        let too_old = self.clock.now_us().saturating_sub(self.max_age_us);
        Ok(self.ledger.1.offset_at_time(oldest.max(too_old))?.min(checkpoint))
    }
}
