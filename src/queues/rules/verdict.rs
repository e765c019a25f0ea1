//! The rule of what follows from an attempt: the delivery is settled, tried again, set aside or held, and its hook may be
//! disabled. Pure: the rule depends only on plain facts, and the random number is an argument.

use std::time::Duration;

use super::fate::Fate;
use super::policy::{Class, DisableReason, Policy, retry_delay};
use crate::model::{Hook, Moment};

/// What a failure means for the hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) enum Weight {
    /// The hook may fail more often, or this failure does not count.
    Bearable,
    /// With this failure the hook has reached the limit within the window.
    TooMany,
    /// The attempt was the first one after the hook was enabled, and the receiver is still down.
    StillDown,
}

/// What is known when an attempt has ended.
#[derive(Debug, Clone, Copy)]
pub(in crate::queues) struct Facts<'a> {
    /// The system's policy with the limits of the hook's account.
    pub(in crate::queues) policy: &'a Policy,
    /// The hook as it is now.
    pub(in crate::queues) hook: &'a Hook,
    /// The time when the attempt ended.
    pub(in crate::queues) now: Moment,
    /// What the result means.
    pub(in crate::queues) class: Class,
    /// Whether hook and account are enabled. Either may have been disabled during the attempt.
    pub(in crate::queues) serves: bool,
    /// What a failure of this attempt means for the hook.
    pub(in crate::queues) weight: Weight,
    /// Attempts of this delivery, including this one.
    pub(in crate::queues) attempts: u16,
    /// Tries of this delivery, including this attempt if it counts as one.
    pub(in crate::queues) tries: u16,
    /// The most tries of a delivery.
    pub(in crate::queues) max_tries: u16,
    /// When this delivery first failed since it last got new tries, including this attempt if it failed.
    pub(in crate::queues) first_failed: Option<Moment>,
    /// When anything was last delivered to the hook since the start of the program.
    pub(in crate::queues) last_success: Option<Moment>,
    /// Whether this delivery is the first one in its lane, suspects aside.
    pub(in crate::queues) is_head: bool,
}

/// What follows for the delivery and for its hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) enum Verdict {
    /// The delivery is settled.
    Settled(Fate),
    /// The delivery is tried again at this time.
    RetryAt(Moment),
    /// The delivery is out of tries, and it is not known yet whether the hook works: the delivery is set aside until this
    /// time, and its lane continues.
    SuspectUntil(Moment),
    /// The delivery waits for its turn again.
    Held,
    /// The delivery waits, and the hook is disabled.
    Disable(DisableReason),
}

impl Facts<'_> {
    /// The verdict. `random` (0 to 1) spreads retries.
    pub(in crate::queues) fn verdict(&self, random: f64) -> Verdict {
        match self.class {
            // These come before the check of `serves`: they settle the delivery whether or not the hook was disabled
            // meanwhile.
            Class::Delivered => Verdict::Settled(Fate::Delivered),
            Class::Skipped => Verdict::Settled(Fate::Skipped),
            Class::Expired => Verdict::Settled(Fate::Expired),
            Class::Shadow => Verdict::Settled(Fate::Shadow),
            Class::Unsendable => Verdict::Settled(Fate::Dead),
            // Nothing may be lost because a hook was disabled during an attempt: a failure after that costs no try.
            _ if !self.serves => Verdict::Held,
            Class::Ours => {
                // The delays after faults of this machine are counted separately, because such faults use up no tries.
                let faults = self.attempts.saturating_sub(self.tries).max(1);
                self.retry(faults, None, random)
            }
            Class::Gone => self.failed(None, random),
            Class::Busy { retry_after } => self.failed(Some(retry_after), random),
            Class::Failed { retry_after } => self.failed(retry_after, random),
        }
    }

    fn failed(&self, retry_after: Option<Duration>, random: f64) -> Verdict {
        // The hook comes before the delivery: when it is disabled, the delivery keeps its place and gets new tries
        // later, even if this was its last one.
        if let Some(reason) = self.disables() {
            Verdict::Disable(reason)
        } else if self.tries < self.max_tries {
            self.retry(self.tries, retry_after, random)
        } else if self.works() {
            Verdict::Settled(Fate::Dead)
        } else if self.is_head {
            // A bad event or a dead receiver? The next success shows that the event is at fault, and the delivery is dead.
            // Enough failures disable the hook, and the delivery gets new tries. If neither happens within the window,
            // the delivery is dead.
            Verdict::SuspectUntil(self.now + self.policy.failure_window)
        } else {
            // During the attempt, the hook was disabled and enabled again, so earlier suspects of the lane wait ahead of
            // this delivery. Only the first deliveries of a lane may be suspects.
            Verdict::Held
        }
    }

    fn retry(&self, tries: u16, retry_after: Option<Duration>, random: f64) -> Verdict {
        Verdict::RetryAt(self.now + retry_delay(self.policy, self.hook, tries, retry_after, random))
    }

    /// Why this failure disables the hook. The target of a callflow has no hook that could be disabled.
    fn disables(&self) -> Option<DisableReason> {
        let may = !self.hook.one_shot;
        let fails = match self.weight {
            Weight::Bearable => false,
            Weight::TooMany => true,
            Weight::StillDown => self.policy.failure_count.is_some(),
        };
        match self.class {
            Class::Gone if may => Some(DisableReason::ReceiverGone),
            Class::Failed { .. } if may && fails => Some(DisableReason::TooManyFailures),
            _ => None,
        }
    }

    /// Whether the hook is known to work, so that only this delivery is at fault. If failures never disable the hook,
    /// nothing would release a suspect, so its delivery is dead at once too.
    fn works(&self) -> bool {
        let has_since =
            self.last_success.is_some_and(|success| self.first_failed.is_none_or(|failed| success >= failed));
        self.hook.one_shot || has_since || self.policy.failure_count.is_none()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::testing::{POLICY, hook};

    const NOW: Moment = Moment::from_micros(1_000_000_000);
    const FAILED: Class = Class::Failed { retry_after: None };
    const BUSY: Class = Class::Busy { retry_after: Duration::from_secs(30) };
    const NEVER_DISABLES: Policy = Policy { failure_count: None, ..POLICY };

    fn retry_after_ms(delay: u64) -> Verdict {
        Verdict::RetryAt(NOW + Duration::from_millis(delay))
    }

    fn suspect() -> Verdict {
        Verdict::SuspectUntil(NOW + Duration::from_secs(60))
    }

    /// The first of three tries of the only delivery of a hook that has delivered nothing yet.
    fn facts(hook: &Hook, class: Class) -> Facts<'_> {
        Facts {
            policy: &POLICY,
            hook,
            now: NOW,
            class,
            serves: true,
            weight: Weight::Bearable,
            attempts: 1,
            tries: 1,
            max_tries: 3,
            first_failed: Some(NOW),
            last_success: None,
            is_head: true,
        }
    }

    #[test]
    fn a_delivery_without_further_attempts_is_settled_also_when_its_hook_is_disabled() {
        let hook = hook(1);
        for (class, fate) in [
            (Class::Delivered, Fate::Delivered),
            (Class::Skipped, Fate::Skipped),
            (Class::Expired, Fate::Expired),
            (Class::Shadow, Fate::Shadow),
            (Class::Unsendable, Fate::Dead),
        ] {
            for serves in [true, false] {
                let facts = Facts { serves, ..facts(&hook, class) };
                assert_eq!(facts.verdict(0.5), Verdict::Settled(fate));
            }
        }
    }

    #[test]
    fn a_failure_is_retried_with_growing_delays_as_long_as_there_are_tries() {
        let hook = hook(1);
        for (tries, delay_ms) in [(1, 1_000), (2, 2_000)] {
            let facts = Facts { tries, ..facts(&hook, FAILED) };
            assert_eq!(facts.verdict(0.5), retry_after_ms(delay_ms));
        }
        assert_eq!(facts(&hook, BUSY).verdict(0.5), retry_after_ms(30_000));
        let [early, late] = [0.0, 1.0].map(|random| facts(&hook, FAILED).verdict(random));
        assert_eq!((early, late), (retry_after_ms(800), retry_after_ms(1_200)));
    }

    #[test]
    fn the_last_try_is_dead_if_the_hook_works_and_suspect_if_that_is_not_known() {
        let hook = hook(1);
        let last = Facts { tries: 3, ..facts(&hook, FAILED) };
        assert_eq!(last.verdict(0.5), suspect());
        assert_eq!(Facts { is_head: false, ..last }.verdict(0.5), Verdict::Held);
        let before = Facts { last_success: Some(NOW - Duration::from_micros(1)), ..last };
        assert_eq!(before.verdict(0.5), suspect());
        let works = Facts { last_success: Some(NOW), ..last };
        assert_eq!(works.verdict(0.5), Verdict::Settled(Fate::Dead));
        assert_eq!(Facts { policy: &NEVER_DISABLES, ..last }.verdict(0.5), Verdict::Settled(Fate::Dead));
    }

    #[test]
    fn too_many_failures_a_410_and_a_receiver_that_is_still_down_disable_a_hook() {
        let hook = hook(1);
        let too_many = Verdict::Disable(DisableReason::TooManyFailures);
        let failed = facts(&hook, FAILED);
        assert_eq!(Facts { weight: Weight::TooMany, ..failed }.verdict(0.5), too_many);
        assert_eq!(Facts { weight: Weight::StillDown, ..failed }.verdict(0.5), too_many);
        assert_eq!(facts(&hook, Class::Gone).verdict(0.5), Verdict::Disable(DisableReason::ReceiverGone));
        let still_down = Facts { weight: Weight::StillDown, policy: &NEVER_DISABLES, ..failed };
        assert!(matches!(still_down.verdict(0.5), Verdict::RetryAt(_)));
    }

    #[test]
    fn failed_attempts_of_a_disabled_hook_are_held_whatever_the_failure() {
        let hook = hook(1);
        for class in [FAILED, BUSY, Class::Gone, Class::Ours] {
            let facts = Facts { serves: false, weight: Weight::TooMany, tries: 3, ..facts(&hook, class) };
            assert_eq!(facts.verdict(0.5), Verdict::Held, "{class:?}");
        }
    }

    #[test]
    fn a_receiver_that_asks_for_time_and_faults_of_this_machine_disable_no_hook() {
        let hook = hook(1);
        for class in [BUSY, Class::Ours] {
            for weight in [Weight::TooMany, Weight::StillDown] {
                let facts = Facts { weight, ..facts(&hook, class) };
                assert!(matches!(facts.verdict(0.5), Verdict::RetryAt(_)), "{class:?}");
            }
        }
        let ours = Facts { attempts: 9, tries: 6, max_tries: 3, ..facts(&hook, Class::Ours) };
        assert_eq!(ours.verdict(0.5), retry_after_ms(4_000), "the third fault of this machine's own");
    }

    #[test]
    fn the_target_of_a_callflow_is_never_disabled_and_its_last_try_is_dead() {
        let one_shot = Hook { one_shot: true, ..hook(1) };
        let gone = Facts { tries: 3, ..facts(&one_shot, Class::Gone) };
        assert_eq!(gone.verdict(0.5), Verdict::Settled(Fate::Dead));
        assert!(matches!(facts(&one_shot, FAILED).verdict(0.5), Verdict::RetryAt(_)));
    }
}
