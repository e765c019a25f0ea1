//! What every queue did last, kept in memory: its last attempt, and how many it made within a minute. The ledger holds
//! all attempts; this answers for 10,000 hooks without reading it, and begins empty with every start.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::attempt_record::{AttemptRecord, Ending, Outcome};
use crate::model::{Id, LastAttempt, Pulse};

const MINUTE_US: u64 = 60_000_000;

/// The last attempt of every queue that made one, by the queue's id.
#[derive(Debug, Default)]
pub(super) struct Recent(Mutex<BTreeMap<Id, Seen>>);

#[derive(Debug, Clone, Copy)]
struct Seen {
    last: LastAttempt,
    /// The minute that `now` counts.
    minute: u64,
    now: Count,
    /// The minute before.
    before: Count,
}

#[derive(Debug, Clone, Copy, Default)]
struct Count {
    attempts: u32,
    failed: u32,
}

impl Count {
    fn add(&mut self, delivered: bool) {
        self.attempts = self.attempts.saturating_add(1);
        self.failed = self.failed.saturating_add(u32::from(!delivered));
    }

    /// This minute's count and the part of the one before that lies within the last 60 seconds.
    fn over_a_minute(self, before: Self, into_us: u64) -> [u32; 2] {
        let part = |count: u32| {
            let left = MINUTE_US.saturating_sub(into_us);
            u32::try_from(u64::from(count) * left / MINUTE_US).unwrap_or(u32::MAX)
        };
        [(self.attempts, before.attempts), (self.failed, before.failed)]
            .map(|(now, before)| now.saturating_add(part(before)))
    }
}

impl Seen {
    /// The counts as they are in a later minute.
    fn turned(mut self, minute: u64) -> Self {
        if minute > self.minute {
            self.before = if minute == self.minute + 1 { self.now } else { Count::default() };
            (self.now, self.minute) = (Count::default(), minute);
        }
        self
    }
}

impl Recent {
    /// Takes note of an attempt that ended at `time_us`.
    pub(super) fn note(&self, time_us: u64, attempt: &AttemptRecord) {
        let delivered = attempt.outcome == Outcome::Delivered;
        let (status, client_error) = match &attempt.ending {
            Ending::Answered(response) => (Some(response.status), None),
            Ending::Failed(failure) => (None, Some(failure.error.text())),
            Ending::Ours(fault) => (None, Some(fault.text())),
            Ending::Unsendable(reason) => (None, Some(reason.text())),
        };
        let duration_us = attempt.duration_us;
        let last = LastAttempt { ended_us: time_us, delivered, status, client_error, duration_us };
        let minute = time_us / MINUTE_US;
        let new = Seen { last, minute, now: Count::default(), before: Count::default() };
        let mut all = self.lock();
        let seen = all.entry(attempt.queue).or_insert(new);
        *seen = Seen { last, ..seen.turned(minute) };
        seen.now.add(delivered);
    }

    /// What a queue did last; `None`: nothing since the program started.
    pub(super) fn pulse(&self, queue: Id, now_us: u64) -> Option<Pulse> {
        let seen = self.lock().get(&queue).copied()?.turned(now_us / MINUTE_US);
        let [per_minute, failed_per_minute] = seen.now.over_a_minute(seen.before, now_us % MINUTE_US);
        Some(Pulse { last: seen.last, per_minute, failed_per_minute })
    }

    /// Forgets the queues that are not wanted any more.
    pub(super) fn retain(&self, wanted: impl Fn(Id) -> bool) {
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
            due_us: 0,
            generation: Some(1),
            sent: None,
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
        recent.retain(|queue| queue != Id(7));
        assert_eq!(recent.pulse(Id(7), MINUTE_US), None);
    }
}
