//! The recent activity of every queue, in memory: its last attempt, and its attempts in each minute of the last hour.
//!
//! The ledger has all attempts, but pages with 10,000 hooks cannot wait until it is read. Empty after a start.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::attempt_record::{AttemptRecord, Ending, Outcome};
use crate::model::{LastAttempt, Minute, Pulse, QueueId, WallTime};

const MINUTE_US: u64 = 60_000_000;
/// The reason that is shown when nothing was sent on purpose.
const NOT_SENT: &str = "shadow: not sent";

/// The minutes that are stored for a queue. Minutes without an attempt take no memory.
const MINUTES: u64 = 60;

/// The activity of every queue that has made an attempt.
#[derive(Debug, Default)]
pub(in crate::queues) struct Recent(Mutex<BTreeMap<QueueId, Seen>>);

#[derive(Debug, Clone)]
struct Seen {
    last: LastAttempt,
    /// The minutes with attempts, in order.
    minutes: VecDeque<Minute>,
}

impl Seen {
    fn add(&mut self, minute: u64, failed: bool) {
        while self.minutes.front().is_some_and(|oldest| oldest.minute + MINUTES <= minute) {
            self.minutes.pop_front();
        }
        // After the clock was set back, attempts count in the latest minute until the clock has passed it.
        if self.minutes.back().is_none_or(|latest| latest.minute < minute) {
            self.minutes.push_back(Minute { minute, attempts: 0, failed: 0 });
        }
        if let Some(latest) = self.minutes.back_mut() {
            latest.attempts = latest.attempts.saturating_add(1);
            latest.failed = latest.failed.saturating_add(u32::from(failed));
        }
    }

    fn in_minute(&self, minute: u64) -> Minute {
        let found = self.minutes.iter().rev().find(|one| one.minute == minute);
        found.copied().unwrap_or(Minute { minute, attempts: 0, failed: 0 })
    }

    /// The last attempt and the counts of the last 60 seconds: those of this minute, and of the minute before the part that
    /// is within the 60 seconds.
    fn pulse(&self, now: WallTime) -> Pulse {
        let minute = now.micros() / MINUTE_US;
        let (this, before) = (self.in_minute(minute), self.in_minute(minute.saturating_sub(1)));
        let left = MINUTE_US - now.micros() % MINUTE_US;
        let with_part = |this: u32, before: u32| {
            let part = u32::try_from(u64::from(before) * left / MINUTE_US).unwrap_or(u32::MAX);
            this.saturating_add(part)
        };
        Pulse {
            last: self.last,
            per_minute: with_part(this.attempts, before.attempts),
            failed_per_minute: with_part(this.failed, before.failed),
        }
    }
}

impl Recent {
    /// Notes an attempt that ended at this time.
    pub(in crate::queues) fn note(&self, ended: WallTime, attempt: &AttemptRecord) {
        let delivered = attempt.outcome == Outcome::Delivered;
        let failed = !matches!(attempt.outcome, Outcome::Delivered | Outcome::Shadow);
        let (status, client_error) = match &attempt.ending {
            Ending::Answered(response) => (Some(response.status), None),
            Ending::Failed(failure) => (None, Some(failure.error.text())),
            Ending::Ours(fault) => (None, Some(fault.text())),
            Ending::Unsendable(reason) => (None, Some(reason.text())),
            Ending::NotSent => (None, Some(NOT_SENT)),
        };
        let duration_us = attempt.duration_us;
        let last = LastAttempt { ended_us: ended.micros(), delivered, status, client_error, duration_us };
        let mut all = self.lock();
        let seen = all.entry(attempt.queue).or_insert_with(|| Seen { last, minutes: VecDeque::new() });
        seen.last = last;
        seen.add(ended.micros() / MINUTE_US, failed);
    }

    /// The recent activity of a queue. `None`: no attempt since the start.
    pub(in crate::queues) fn pulse(&self, queue: QueueId, now: WallTime) -> Option<Pulse> {
        self.lock().get(&queue).map(|seen| seen.pulse(now))
    }

    /// The minutes of the last hour in which a queue made attempts, in order.
    pub(in crate::queues) fn hour(&self, queue: QueueId, now: WallTime) -> Vec<Minute> {
        let since = (now.micros() / MINUTE_US + 1).saturating_sub(MINUTES);
        let all = self.lock();
        let minutes = all.get(&queue).into_iter().flat_map(|seen| &seen.minutes);
        minutes.filter(|one| one.minute >= since).copied().collect()
    }

    /// Removes all queues but the wanted ones.
    pub(in crate::queues) fn retain(&self, wanted: impl Fn(QueueId) -> bool) {
        let queues: Vec<QueueId> = self.lock().keys().copied().collect();
        // The engine waits for this lock when it notes an attempt, so it is released between any two queues.
        for queue in queues.into_iter().filter(|queue| !wanted(*queue)) {
            self.lock().remove(&queue);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<QueueId, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventOffset, Response, TransportError};

    fn attempt(ending: Ending, outcome: Outcome) -> AttemptRecord {
        AttemptRecord {
            queue: QueueId(7),
            offset: EventOffset(1),
            attempt: 1,
            tries: 1,
            tries_left: 0,
            outcome,
            ending,
            duration_us: 5,
            due: None,
            generation: Some(1),
            sent: None,
            phases: crate::model::Phases::default(),
        }
    }

    #[test]
    fn a_pulse_counts_the_last_sixty_seconds_and_shows_the_last_attempt() {
        let recent = Recent::default();
        let ok = Ending::Answered(Response { status: 200, ..Response::default() });
        let refused = Ending::Failed(TransportError::Refused.into());
        for at in 0..10 {
            recent.note(WallTime::from_micros(30_000_000 + at), &attempt(ok.clone(), Outcome::Delivered));
        }
        recent.note(WallTime::from_micros(MINUTE_US), &attempt(refused, Outcome::Retry));
        let rates = |now_us| {
            let pulse = recent.pulse(QueueId(7), WallTime::from_micros(now_us)).unwrap();
            (pulse.per_minute, pulse.failed_per_minute)
        };
        assert_eq!(rates(MINUTE_US), (11, 1));
        assert_eq!(rates(MINUTE_US + MINUTE_US / 2), (6, 1));
        assert_eq!(rates(2 * MINUTE_US), (1, 1));
        assert_eq!(rates(3 * MINUTE_US), (0, 0));
        let last = recent.pulse(QueueId(7), WallTime::from_micros(MINUTE_US)).unwrap().last;
        assert_eq!((last.status, last.client_error), (None, Some("failed_connect: econnrefused")));
        assert!(!last.delivered && last.ended_us == MINUTE_US);
        let hour = |now_us| {
            let minutes = recent.hour(QueueId(7), WallTime::from_micros(now_us));
            minutes.iter().map(|one| one.attempts).collect::<Vec<_>>()
        };
        assert_eq!(hour(2 * MINUTE_US), [10, 1]);
        assert_eq!(hour(60 * MINUTE_US), [1]);
        assert!(hour(61 * MINUTE_US).is_empty());
        recent.retain(|queue| queue != QueueId(7));
        assert_eq!(recent.pulse(QueueId(7), WallTime::from_micros(MINUTE_US)), None);
    }
}
