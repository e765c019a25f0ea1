//! A trial: after a hook is enabled again, or after its receiver asked for time, one delivery goes first. Pure.
//!
//! During a trial, a hook has at most one attempt under way, and the other deliveries follow its success. So a receiver that
//! is still down gets one attempt instead of the whole backlog, and so does a receiver that still asks for time.

use super::policy::Class;
use crate::model::{AttemptResult, JobKey};

/// Why there is a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) enum After {
    /// The hook or its account was disabled.
    Disabled,
    /// The receiver asked for time.
    AskedForTime,
}

/// The trial of a hook.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::queues) enum Trial {
    /// There is none.
    #[default]
    Off,
    /// The next attempt goes alone.
    Due(After),
    /// This attempt has gone alone and is under way.
    UnderWay(After, JobKey),
}

impl Trial {
    /// Whether an attempt may be started.
    pub(in crate::queues) fn admits(self) -> bool {
        !matches!(self, Self::UnderWay(..))
    }

    /// Notes that an attempt was started.
    pub(in crate::queues) fn started(&mut self, key: JobKey) {
        if let Self::Due(after) = *self {
            *self = Self::UnderWay(after, key);
        }
    }

    /// Notes that an attempt has ended. `waiting`: whether more deliveries wait. Attempts that were under way before the
    /// trial count only if they succeed. Returns true if the receiver is still down, so that the hook must be disabled
    /// again.
    pub(in crate::queues) fn ended(
        &mut self,
        key: JobKey,
        class: Class,
        result: &AttemptResult,
        waiting: bool,
    ) -> bool {
        let after = match *self {
            Self::UnderWay(after, trial) if trial == key => after,
            Self::UnderWay(..) | Self::Due(_) if class == Class::Delivered => {
                *self = Self::Off;
                return false;
            }
            _ => return false,
        };
        // Without further deliveries nothing is held back, and the next event should not wait for a trial of long ago.
        *self = if class == Class::Delivered || !waiting { Self::Off } else { Self::Due(after) };
        // After a request for time the receiver was there, so its failure counts like any other.
        let fails = matches!(class, Class::Failed { .. });
        fails && after == After::Disabled && is_down(result)
    }
}

/// Whether a failure means that the receiver is down. A status below 500 may be about this one event.
fn is_down(result: &AttemptResult) -> bool {
    match result {
        AttemptResult::Failed(_) => true,
        AttemptResult::Answered(response) => response.status >= 500,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventOffset, HookId, QueueKey, Response, TransportError};

    fn key(offset: u64) -> JobKey {
        JobKey { queue: QueueKey::Hook(HookId(1)), offset: EventOffset(offset) }
    }

    fn under_way(after: After) -> Trial {
        let mut trial = Trial::Due(after);
        trial.started(key(1));
        assert!(!trial.admits());
        trial
    }

    const FAILED: Class = Class::Failed { retry_after: None };

    #[test]
    fn a_receiver_that_is_still_down_costs_one_attempt() {
        let refused = AttemptResult::failed(TransportError::Refused);
        let mut trial = under_way(After::Disabled);
        assert!(!trial.ended(key(2), FAILED, &refused, true), "it was under way before the trial");
        assert!(!trial.admits());
        assert!(trial.ended(key(1), FAILED, &refused, true));
    }

    #[test]
    fn after_the_refusal_of_one_event_the_next_delivery_is_the_trial() {
        let refusal = AttemptResult::Answered(Response { status: 400, ..Response::default() });
        let mut trial = under_way(After::Disabled);
        assert!(!trial.ended(key(1), FAILED, &refusal, true));
        assert_eq!(trial, Trial::Due(After::Disabled));
    }

    #[test]
    fn a_success_or_an_empty_queue_ends_the_trial() {
        let ok = AttemptResult::Answered(Response { status: 200, ..Response::default() });
        for (class, waiting) in [(Class::Delivered, true), (Class::Skipped, false)] {
            let mut trial = under_way(After::Disabled);
            assert!(!trial.ended(key(1), class, &ok, waiting));
            assert_eq!(trial, Trial::Off);
        }
    }

    #[test]
    fn a_failure_after_the_time_that_the_receiver_asked_for_does_not_disable_the_hook_at_once() {
        let refused = AttemptResult::failed(TransportError::Refused);
        assert!(!under_way(After::AskedForTime).ended(key(1), FAILED, &refused, true));
    }
}
