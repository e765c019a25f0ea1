//! Resources that this machine lacked for attempts. Readiness reports a shortage while it lasts.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{AttemptResult, OwnFault};

/// A shortage is over when no attempt has met it for this time.
const OVER_AFTER: Duration = Duration::from_secs(10);

/// The shortages that attempts have met. Clones share them.
#[derive(Debug, Clone, Default)]
pub struct Shortages(Arc<Mutex<Vec<Met>>>);

#[derive(Debug, Clone, Copy)]
struct Met {
    fault: OwnFault,
    last: Instant,
    attempts: u64,
}

/// A present shortage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shortage {
    /// The missing resource.
    pub fault: OwnFault,
    /// Attempts that have met the shortage since it began.
    pub attempts: u64,
}

impl Shortages {
    /// Records the result of an attempt. An unreadable record is not a shortage; the log reports it.
    pub(super) fn note(&self, result: &AttemptResult, now: Instant) {
        let AttemptResult::Ours(fault) = result else { return };
        if *fault == OwnFault::LogUnreadable {
            return;
        }
        let mut met = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        met.retain(|met| now.duration_since(met.last) < OVER_AFTER);
        match met.iter_mut().find(|met| met.fault == *fault) {
            Some(met) => (met.last, met.attempts) = (now, met.attempts + 1),
            None => met.push(Met { fault: *fault, last: now, attempts: 1 }),
        }
    }

    /// The shortages that attempts have met within the last ten seconds.
    #[must_use]
    pub fn lasting(&self) -> Vec<Shortage> {
        self.lasting_at(Instant::now())
    }

    fn lasting_at(&self, now: Instant) -> Vec<Shortage> {
        let met = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let lasting = met.iter().filter(|met| now.duration_since(met.last) < OVER_AFTER);
        lasting.map(|met| Shortage { fault: met.fault, attempts: met.attempts }).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TransportError;

    #[test]
    fn a_shortage_is_reported_while_it_lasts() {
        let (shortages, mut now) = (Shortages::default(), Instant::now());
        shortages.note(&AttemptResult::failed(TransportError::Timeout), now);
        shortages.note(&AttemptResult::Ours(OwnFault::LogUnreadable), now);
        assert_eq!(shortages.lasting_at(now), []);
        for _ in 0..3 {
            now += OVER_AFTER / 2;
            shortages.note(&AttemptResult::Ours(OwnFault::NoFile), now);
        }
        assert_eq!(shortages.lasting_at(now), [Shortage { fault: OwnFault::NoFile, attempts: 3 }]);
        assert_eq!(shortages.lasting_at(now + OVER_AFTER), []);
    }
}
