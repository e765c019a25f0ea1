//! The flow of events in each minute of the last hour, sampled from the counters every ten seconds. Needs a few
//! kilobytes of memory, whatever the load.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::http::{Flow, Hour};
use crate::ingest::Ingest;
use crate::model::Clock;
use crate::queues::Queues;
use crate::tasks::Stop;

const EVERY: Duration = Duration::from_secs(10);
const MINUTE_US: u64 = 60_000_000;
/// The samples of an hour, plus one to compare the first with.
const KEPT: usize = 361;

/// The samples. Cheap to clone; all clones share them.
#[derive(Debug, Clone)]
pub(super) struct Flows {
    samples: Arc<Mutex<VecDeque<Sample>>>,
    ingest: Ingest,
    queues: Queues,
    clock: Clock,
}

/// The counters at one time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Sample {
    at_us: u64,
    received: u64,
    delivered: u64,
    failed: u64,
}

impl Flows {
    pub(super) fn new(ingest: Ingest, queues: Queues, clock: Clock) -> Self {
        let flows = Self { samples: Arc::default(), ingest, queues, clock };
        flows.look();
        flows
    }

    /// Samples the counters until `stop` is cancelled.
    pub(super) async fn run(self, stop: Stop) {
        while stop.run_until_cancelled(tokio::time::sleep(EVERY)).await.is_some() {
            self.look();
            self.queues.forget_gone();
        }
    }

    /// The minutes of the last hour, up to now.
    pub(super) fn hour(&self) -> Hour {
        let samples: Vec<Sample> = self.lock().iter().copied().chain([self.sample()]).collect();
        Hour { minutes: minutes(&samples), last: last_minute(&samples) }
    }

    fn look(&self) {
        let sample = self.sample();
        let mut samples = self.lock();
        if samples.len() == KEPT {
            samples.pop_front();
        }
        samples.push_back(sample);
    }

    fn sample(&self) -> Sample {
        let taken = self.ingest.counts().all();
        let received = taken.iter().filter(|(_, result, _)| matches!(*result, "taken" | "quarantined"));
        let tally = self.queues.tally();
        let delivered = tally.deliveries().find(|(how, _)| *how == "delivered").map_or(0, |(_, count)| count);
        let attempts: u64 = tally.attempts().map(|(_, count)| count).sum();
        Sample {
            at_us: self.clock.now_us(),
            received: received.map(|(.., count)| count).sum(),
            delivered,
            failed: attempts.saturating_sub(delivered),
        }
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Sample>> {
        self.samples.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The flow of each minute. What lies between two samples counts for the minute of the first.
fn minutes(samples: &[Sample]) -> Vec<Flow> {
    let mut minutes: BTreeMap<u64, Flow> = BTreeMap::new();
    for (from, to) in samples.iter().zip(samples.iter().skip(1)) {
        let at_us = from.at_us / MINUTE_US * MINUTE_US;
        let (more, sum) = (between(from, to), minutes.entry(at_us).or_default());
        *sum = Flow {
            at_us,
            received: sum.received + more.received,
            delivered: sum.delivered + more.delivered,
            failed: sum.failed + more.failed,
        };
    }
    let too_many = minutes.len().saturating_sub(60);
    minutes.into_values().skip(too_many).collect()
}

/// The flow of the last 60 seconds, or since the start if that is shorter.
fn last_minute(samples: &[Sample]) -> Flow {
    let Some(last) = samples.last() else { return Flow::default() };
    let since = last.at_us.saturating_sub(MINUTE_US);
    samples.iter().find(|sample| sample.at_us >= since).map_or_else(Flow::default, |from| between(from, last))
}

fn between(from: &Sample, to: &Sample) -> Flow {
    Flow {
        at_us: from.at_us,
        received: to.received.saturating_sub(from.received),
        delivered: to.delivered.saturating_sub(from.delivered),
        failed: to.failed.saturating_sub(from.failed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minutes_of_an_hour_count_everything_once() {
        let sample = |n: u64| Sample { at_us: n * 10_000_000, received: n * 7, delivered: n * 5, failed: n };
        let samples: Vec<Sample> = (3..400).map(sample).collect();
        let hour = minutes(&samples);
        assert_eq!(hour.len(), 60);
        assert!(
            hour.iter().rev().skip(1).all(|one| (one.received, one.delivered, one.failed) == (42, 30, 6))
        );
        assert!(hour.is_sorted_by_key(|one| one.at_us));
        let first: Vec<Sample> = (3..9).map(sample).collect();
        let received: Vec<u64> = minutes(&first).iter().map(|one| one.received).collect();
        assert_eq!(received, [21, 14], "the first minute has no samples before the start");
        assert_eq!(last_minute(&samples).received, 42);
        assert_eq!(last_minute(&first).received, 35);
        assert_eq!(minutes(&samples[..1]), []);
    }
}
