//! One delivery goes first: after a hook was enabled again, and after its receiver asked for time. Pure.
//!
//! While a trial is on, a hook has at most one attempt under way, and the rest follows its success. So a receiver that
//! is still down costs one attempt, and a receiver that still asks for time is asked once, not by the whole backlog.

use super::policy::Class;
use crate::model::{AttemptResult, JobKey};

/// What the trial follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) enum After {
    /// The hook or its account was disabled.
    Disabled,
    /// The receiver asked for time.
    AskedForTime,
}

/// Whether a hook's deliveries are held back for one that goes first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::queues) enum Trial {
    /// They are not.
    #[default]
    Off,
    /// The next attempt goes alone.
    Due(After),
    /// This attempt is under way.
    UnderWay(After, JobKey),
}

impl Trial {
    /// Whether an attempt may be started.
    pub(in crate::queues) fn admits(self) -> bool {
        !matches!(self, Self::UnderWay(..))
    }

    /// An attempt was started.
    pub(in crate::queues) fn started(&mut self, key: JobKey) {
        if let Self::Due(after) = *self {
            *self = Self::UnderWay(after, key);
        }
    }

    /// An attempt ended; `waiting`: whether more deliveries wait. Results of attempts that were under way before the
    /// trial say nothing, except a success. True when the receiver is still down: the hook is disabled again.
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
        *self = if class == Class::Delivered || !waiting { Self::Off } else { Self::Due(after) };
        let fails = matches!(class, Class::Failed { .. });
        fails && after == After::Disabled && is_down(result)
    }
}

/// Whether a failure means that the receiver is down. An answer below 500 may be about this one event only.
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
    use crate::model::{Id, QueueKey, Response, TransportError};

    fn key(offset: u64) -> JobKey {
        JobKey { queue: QueueKey::Hook(Id(1)), offset }
    }

    fn under_way(after: After) -> Trial {
        let mut trial = Trial::Due(after);
        trial.started(key(1));
        assert!(!trial.admits());
        trial
    }

    const FAILED: Class = Class::Failed { retry_after_ms: None };

    #[test]
    fn a_receiver_that_is_still_down_costs_one_attempt() {
        let refused = AttemptResult::failed(TransportError::Refused);
        let mut trial = under_way(After::Disabled);
        assert!(!trial.ended(key(2), FAILED, &refused, true), "it began before the trial");
        assert!(!trial.admits());
        assert!(trial.ended(key(1), FAILED, &refused, true));
    }

    #[test]
    fn a_refusal_of_one_event_lets_the_next_one_try() {
        let refusal = AttemptResult::Answered(Response { status: 400, ..Response::default() });
        let mut trial = under_way(After::Disabled);
        assert!(!trial.ended(key(1), FAILED, &refusal, true));
        assert_eq!(trial, Trial::Due(After::Disabled));
    }

    #[test]
    fn a_success_ends_the_trial_and_so_does_an_empty_queue() {
        let ok = AttemptResult::Answered(Response { status: 200, ..Response::default() });
        for (class, waiting) in [(Class::Delivered, true), (Class::Skipped, false)] {
            let mut trial = under_way(After::Disabled);
            assert!(!trial.ended(key(1), class, &ok, waiting));
            assert_eq!(trial, Trial::Off);
        }
    }

    #[test]
    fn a_failure_after_the_asked_time_does_not_disable_at_once() {
        let refused = AttemptResult::failed(TransportError::Refused);
        assert!(!under_way(After::AskedForTime).ended(key(1), FAILED, &refused, true));
    }
}
