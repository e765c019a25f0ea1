//! What every queue did last, kept in memory: its last attempt, and its attempts in every minute of the last hour. The
//! ledger holds all attempts; this answers for 10,000 hooks without reading it, and begins empty with every start.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::attempt_record::{AttemptRecord, Ending, Outcome};
use crate::model::{Id, LastAttempt, Minute, Pulse};

const MINUTE_US: u64 = 60_000_000;
/// Stands where the reason of a failure does.
const NOT_SENT: &str = "shadow: not sent";

/// Minutes that are kept of a queue. Those without an attempt take no memory.
const KEPT: u64 = 60;

/// The last attempt of every queue that made one, by the queue's id.
#[derive(Debug, Default)]
pub(in crate::queues) struct Recent(Mutex<BTreeMap<Id, Seen>>);

#[derive(Debug, Clone)]
struct Seen {
    last: LastAttempt,
    /// Minutes with attempts, in their order.
    minutes: VecDeque<Minute>,
}

impl Seen {
    fn add(&mut self, minute: u64, failed: bool) {
        while self.minutes.front().is_some_and(|oldest| oldest.minute + KEPT <= minute) {
            self.minutes.pop_front();
        }
        // A clock that was set back goes on counting in the latest minute.
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

    /// This minute's counts and the part of the minute before that lies within the last 60 seconds.
    fn over_a_minute(&self, now_us: u64) -> [u32; 2] {
        let minute = now_us / MINUTE_US;
        let (now, before) = (self.in_minute(minute), self.in_minute(minute.saturating_sub(1)));
        let left = MINUTE_US - now_us % MINUTE_US;
        let part = |count: u32| u32::try_from(u64::from(count) * left / MINUTE_US).unwrap_or(u32::MAX);
        [(now.attempts, before.attempts), (now.failed, before.failed)]
            .map(|(now, before)| now.saturating_add(part(before)))
    }
}

impl Recent {
    /// Takes note of an attempt that ended at `time_us`.
    pub(in crate::queues) fn note(&self, time_us: u64, attempt: &AttemptRecord) {
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
        let last = LastAttempt { ended_us: time_us, delivered, status, client_error, duration_us };
        let mut all = self.lock();
        let seen = all.entry(attempt.queue).or_insert_with(|| Seen { last, minutes: VecDeque::new() });
        seen.last = last;
        seen.add(time_us / MINUTE_US, failed);
    }

    /// What a queue did last; `None`: nothing since the program started.
    pub(in crate::queues) fn pulse(&self, queue: Id, now_us: u64) -> Option<Pulse> {
        let all = self.lock();
        let seen = all.get(&queue)?;
        let [per_minute, failed_per_minute] = seen.over_a_minute(now_us);
        Some(Pulse { last: seen.last, per_minute, failed_per_minute })
    }

    /// The minutes of the last hour in which a queue made attempts, in their order.
    pub(in crate::queues) fn hour(&self, queue: Id, now_us: u64) -> Vec<Minute> {
        let since = (now_us / MINUTE_US + 1).saturating_sub(KEPT);
        let all = self.lock();
        let minutes = all.get(&queue).into_iter().flat_map(|seen| &seen.minutes);
        minutes.filter(|one| one.minute >= since).copied().collect()
    }

    /// Forgets the queues that are not wanted any more.
    pub(in crate::queues) fn retain(&self, wanted: impl Fn(Id) -> bool) {
        let queues: Vec<Id> = self.lock().keys().copied().collect();
        // The engine notes attempts under the same lock, so it is never held for long.
        for queue in queues.into_iter().filter(|queue| !wanted(*queue)) {
            self.lock().remove(&queue);
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Id, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Response, TransportError};

    fn attempt(ending: Ending, outcome: Outcome) -> AttemptRecord {
        AttemptRecord {
            queue: Id(7),
            offset: 1,
            attempt: 1,
            tries: 1,
            tries_left: 0,
            outcome,
            ending,
            duration_us: 5,
            due_us: None,
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
            recent.note(30_000_000 + at, &attempt(ok.clone(), Outcome::Delivered));
        }
        recent.note(MINUTE_US, &attempt(refused, Outcome::Retry));
        let rates = |now_us| {
            let pulse = recent.pulse(Id(7), now_us).unwrap();
            (pulse.per_minute, pulse.failed_per_minute)
        };
        assert_eq!(rates(MINUTE_US), (11, 1));
        assert_eq!(rates(MINUTE_US + MINUTE_US / 2), (6, 1));
        assert_eq!(rates(2 * MINUTE_US), (1, 1));
        assert_eq!(rates(3 * MINUTE_US), (0, 0));
        let last = recent.pulse(Id(7), MINUTE_US).unwrap().last;
        assert_eq!((last.status, last.client_error), (None, Some("failed_connect: econnrefused")));
        assert!(!last.delivered && last.ended_us == MINUTE_US);
        let hour = |now_us| recent.hour(Id(7), now_us).iter().map(|one| one.attempts).collect::<Vec<_>>();
        assert_eq!(hour(2 * MINUTE_US), [10, 1]);
        assert_eq!(hour(60 * MINUTE_US), [1]);
        assert!(hour(61 * MINUTE_US).is_empty());
        recent.retain(|queue| queue != Id(7));
        assert_eq!(recent.pulse(Id(7), MINUTE_US), None);
    }
}
