//! The ledger's record of an attempt, made from its result and from what it came to.

use super::attempt_record::{AttemptRecord, Ending, Outcome};
use crate::model::{Attempt, AttemptResult};

/// What an attempt came to, for its record.
#[derive(Debug, Clone, Copy)]
pub(in crate::queues) struct Course {
    /// Attempts at the delivery, this one included.
    pub(in crate::queues) attempts: u16,
    /// Tries of it that count against the bound, this one included if it counts.
    pub(in crate::queues) tries: u16,
    /// Tries that the bound still allows.
    pub(in crate::queues) tries_left: u16,
    pub(in crate::queues) outcome: Outcome,
    /// When the next try is due (µs).
    pub(in crate::queues) due_us: Option<u64>,
}

/// The ledger's record of an attempt.
pub(in crate::queues) fn attempt_record(attempt: Attempt, course: Course) -> AttemptRecord {
    let Course { attempts, tries, tries_left, outcome, due_us } = course;
    let result = match attempt.result {
        AttemptResult::Shadow(Some(inner)) => *inner,
        result => result,
    };
    let ending = match result {
        AttemptResult::Answered(mut response) => {
            if outcome.is_answered() {
                response.retry_after_ms = None;
            }
            Ending::Answered(response)
        }
        AttemptResult::Failed(failure) => Ending::Failed(failure),
        AttemptResult::Ours(fault) => Ending::Ours(fault),
        AttemptResult::Unsendable(reason) => Ending::Unsendable(reason),
        AttemptResult::Shadow(_) => Ending::NotSent,
        AttemptResult::NothingToSend | AttemptResult::Expired => {
            Ending::Failed(crate::model::TransportError::Other.into())
        }
    };
    AttemptRecord {
        queue: attempt.key.queue.id(),
        offset: attempt.key.offset,
        attempt: attempts,
        tries,
        tries_left,
        outcome,
        ending,
        duration_us: attempt.duration_us,
        due_us,
        generation: Some(attempt.generation),
        sent: attempt.sent,
        phases: attempt.phases,
    }
}
