//! Makes the ledger's record of an attempt from its result and from what followed.

use super::attempt_record::{AttemptRecord, Ending, Outcome};
use crate::model::{Attempt, AttemptResult, Moment};

/// What followed from an attempt.
#[derive(Debug, Clone, Copy)]
pub(in crate::queues) struct Course {
    /// The attempts of the delivery, including this one.
    pub(in crate::queues) attempts: u16,
    /// The tries of the delivery, including this attempt if it counts as one.
    pub(in crate::queues) tries: u16,
    /// The tries that are left.
    pub(in crate::queues) tries_left: u16,
    pub(in crate::queues) outcome: Outcome,
    /// When the next try is due.
    pub(in crate::queues) due: Option<Moment>,
}

/// The ledger's record of an attempt.
pub(in crate::queues) fn attempt_record(attempt: Attempt, course: Course) -> AttemptRecord {
    let Course { attempts, tries, tries_left, outcome, due } = course;
    let result = match attempt.result {
        AttemptResult::Shadow(Some(inner)) => *inner,
        result => result,
    };
    let ending = match result {
        AttemptResult::Answered(mut response) => {
            // A success asks for nothing. Without the time, the record is a few bytes shorter.
            if outcome.is_good() {
                response.retry_after_ms = None;
            }
            Ending::Answered(response)
        }
        AttemptResult::Failed(failure) => Ending::Failed(failure),
        AttemptResult::Ours(fault) => Ending::Ours(fault),
        AttemptResult::Unsendable(reason) => Ending::Unsendable(reason),
        AttemptResult::Shadow(_) => Ending::NotSent,
        // These two have another record (`Settled`), so this is not reached.
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
        due,
        generation: Some(attempt.generation),
        sent: attempt.sent,
        phases: attempt.phases,
    }
}
