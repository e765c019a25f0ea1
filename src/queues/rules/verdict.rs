//! The rule by which a delivery is settled, tried again, set aside or held after an attempt, and its hook disabled. Pure:
//! everything that it depends on is a plain fact, and the random number is an argument.

use super::fate::Fate;
use super::policy::{Class, DisableReason, Policy, retry_delay_ms};
use crate::model::Hook;

/// What a failure means for whether its hook stays enabled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) enum Weight {
    /// It may fail more often, or its failures do not count.
    Bearable,
    /// This failure is one too many within the window.
    TooMany,
    /// The attempt went ahead of the others after its hook was enabled, and its receiver is still down.
    StillDown,
}

/// What is known when an attempt has ended.
#[derive(Debug, Clone, Copy)]
pub(in crate::queues) struct Facts<'a> {
    /// The system's policy with the limits of the hook's account.
    pub(in crate::queues) policy: &'a Policy,
    /// The hook, as it is now.
    pub(in crate::queues) hook: &'a Hook,
    /// Now (µs).
    pub(in crate::queues) now_us: u64,
    /// What the result means.
    pub(in crate::queues) class: Class,
    /// Whether hook and account are enabled. One that was disabled meanwhile holds what it has.
    pub(in crate::queues) serves: bool,
    /// What a failure of this attempt means for its hook.
    pub(in crate::queues) weight: Weight,
    /// Attempts at this delivery, this one included.
    pub(in crate::queues) attempts: u16,
    /// Tries of this delivery that count against its bound, this one included if it counts.
    pub(in crate::queues) tries: u16,
    /// The bound.
    pub(in crate::queues) max_tries: u16,
    /// When this delivery first failed since it last got fresh tries (µs); with this attempt, if that failed.
    pub(in crate::queues) first_failed_us: Option<u64>,
    /// When anything was last delivered to the hook since the start (µs).
    pub(in crate::queues) last_success_us: Option<u64>,
    /// Whether no delivery of its lane stands before it.
    pub(in crate::queues) is_head: bool,
}

/// What follows for the delivery, and for its hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) enum Verdict {
    /// The delivery is over.
    Settled(Fate),
    /// It is tried again.
    RetryAt(u64),
    /// It is out of tries and nobody knows yet whether the hook works: it is set aside until then (µs), and its lane goes on.
    SuspectUntil(u64),
    /// It waits for its turn at the head of its lane.
    Held,
    /// It waits, and the hook is disabled.
    Disable(DisableReason),
}

impl Facts<'_> {
    /// Judges; `random` (0 to 1) spreads retries.
    pub(in crate::queues) fn verdict(&self, random: f64) -> Verdict {
        match self.class {
            Class::Delivered => Verdict::Settled(Fate::Delivered),
            Class::Skipped => Verdict::Settled(Fate::Skipped),
            Class::Expired => Verdict::Settled(Fate::Expired),
            Class::Shadow => Verdict::Settled(Fate::Shadow),
            Class::Unsendable => Verdict::Settled(Fate::Dead),
            _ if !self.serves => Verdict::Held,
            Class::Ours => {
                let faults = self.attempts.saturating_sub(self.tries).max(1);
                self.retry(faults, None, random)
            }
            Class::Gone => self.failed(None, random),
            Class::Busy { retry_after_ms } => self.failed(Some(retry_after_ms), random),
            Class::Failed { retry_after_ms } => self.failed(retry_after_ms, random),
        }
    }

    fn failed(&self, retry_after_ms: Option<u64>, random: f64) -> Verdict {
        if let Some(reason) = self.disables() {
            Verdict::Disable(reason)
        } else if self.tries < self.max_tries {
            self.retry(self.tries, retry_after_ms, random)
        } else if self.works() {
            Verdict::Settled(Fate::Dead)
        } else if self.is_head {
            Verdict::SuspectUntil(self.now_us + self.policy.failure_window_ms * 1000)
        } else {
            Verdict::Held
        }
    }

    fn retry(&self, tries: u16, retry_after_ms: Option<u64>, random: f64) -> Verdict {
        let delay_ms = retry_delay_ms(self.policy, self.hook, tries, retry_after_ms, random);
        Verdict::RetryAt(self.now_us + 1000 * delay_ms)
    }

    /// Targets of callflows are no hook's: nothing disables them.
    fn disables(&self) -> Option<DisableReason> {
        let may = !self.hook.one_shot;
        let fails = match self.weight {
            Weight::Bearable => false,
            Weight::TooMany => true,
            Weight::StillDown => self.policy.failure_count > 0,
        };
        match self.class {
            Class::Gone if may => Some(DisableReason::ReceiverGone),
            Class::Failed { .. } if may && fails => Some(DisableReason::TooManyFailures),
            _ => None,
        }
    }

    /// Whether the hook is known to work, so that this delivery alone is at fault: it is given up at once.
    fn works(&self) -> bool {
        let has_since = self
            .last_success_us
            .is_some_and(|success| self.first_failed_us.is_none_or(|failed| success >= failed));
        self.hook.one_shot || has_since || self.policy.failure_count == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::testing::hook;

    const NOW_US: u64 = 1_000_000_000;
    const FAILED: Class = Class::Failed { retry_after_ms: None };
    const POLICY: Policy = Policy {
        retry_initial_ms: 1_000,
        retry_max_ms: 60_000,
        failure_count: 6,
        failure_window_ms: 60_000,
        probe_initial_ms: 10_000,
        probe_max_ms: 40_000,
    };

    /// The first of three tries of the only delivery of a hook that has delivered nothing yet.
    fn facts(hook: &Hook, class: Class) -> Facts<'_> {
        Facts {
            policy: &POLICY,
            hook,
            now_us: NOW_US,
            class,
            serves: true,
            weight: Weight::Bearable,
            attempts: 1,
            tries: 1,
            max_tries: 3,
            first_failed_us: Some(NOW_US),
            last_success_us: None,
            is_head: true,
        }
    }

    #[test]
    fn what_needs_no_further_attempt_is_settled_whatever_the_hook_s_state() {
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
            assert_eq!(facts.verdict(0.5), Verdict::RetryAt(NOW_US + 1000 * delay_ms));
        }
        let asked = facts(&hook, Class::Busy { retry_after_ms: 30_000 });
        assert_eq!(asked.verdict(0.5), Verdict::RetryAt(NOW_US + 30_000_000));
        let [early, late] = [0.0, 1.0].map(|random| facts(&hook, FAILED).verdict(random));
        assert_eq!((early, late), (Verdict::RetryAt(NOW_US + 800_000), Verdict::RetryAt(NOW_US + 1_200_000)));
    }

    #[test]
    fn the_last_try_is_dead_when_the_hook_works_and_suspect_when_nobody_knows() {
        let hook = hook(1);
        let last = Facts { tries: 3, ..facts(&hook, FAILED) };
        assert_eq!(last.verdict(0.5), Verdict::SuspectUntil(NOW_US + 60_000_000));
        assert_eq!(Facts { is_head: false, ..last }.verdict(0.5), Verdict::Held);
        let before = Facts { last_success_us: Some(NOW_US - 1), ..last };
        assert_eq!(before.verdict(0.5), Verdict::SuspectUntil(NOW_US + 60_000_000));
        let works = Facts { last_success_us: Some(NOW_US), ..last };
        assert_eq!(works.verdict(0.5), Verdict::Settled(Fate::Dead));
        let never_disables = Policy { failure_count: 0, ..POLICY };
        assert_eq!(Facts { policy: &never_disables, ..last }.verdict(0.5), Verdict::Settled(Fate::Dead));
    }

    #[test]
    fn a_hook_is_disabled_by_one_failure_too_many_by_a_410_and_when_it_is_still_down() {
        let hook = hook(1);
        let too_many = Verdict::Disable(DisableReason::TooManyFailures);
        let failed = facts(&hook, FAILED);
        assert_eq!(Facts { weight: Weight::TooMany, ..failed }.verdict(0.5), too_many);
        assert_eq!(Facts { weight: Weight::StillDown, ..failed }.verdict(0.5), too_many);
        assert_eq!(facts(&hook, Class::Gone).verdict(0.5), Verdict::Disable(DisableReason::ReceiverGone));
        let never_disables = Policy { failure_count: 0, ..POLICY };
        let still_down = Facts { weight: Weight::StillDown, policy: &never_disables, ..failed };
        assert!(matches!(still_down.verdict(0.5), Verdict::RetryAt(_)));
    }

    #[test]
    fn what_a_disabled_hook_has_under_way_is_held_however_it_fails() {
        let hook = hook(1);
        let busy = Class::Busy { retry_after_ms: 5 };
        for class in [FAILED, busy, Class::Gone, Class::Ours] {
            let facts = Facts { serves: false, weight: Weight::TooMany, tries: 3, ..facts(&hook, class) };
            assert_eq!(facts.verdict(0.5), Verdict::Held, "{class:?}");
        }
    }

    #[test]
    fn neither_a_receiver_that_asks_for_time_nor_this_machine_s_own_faults_disable_a_hook() {
        let hook = hook(1);
        for class in [Class::Busy { retry_after_ms: 5 }, Class::Ours] {
            for weight in [Weight::TooMany, Weight::StillDown] {
                let facts = Facts { weight, ..facts(&hook, class) };
                assert!(matches!(facts.verdict(0.5), Verdict::RetryAt(_)), "{class:?}");
            }
        }
        let ours = Facts { attempts: 9, tries: 6, max_tries: 3, ..facts(&hook, Class::Ours) };
        assert_eq!(
            ours.verdict(0.5),
            Verdict::RetryAt(NOW_US + 4_000_000),
            "its own faults have their own delays"
        );
    }

    #[test]
    fn a_callflow_s_target_is_never_disabled_and_its_last_try_is_dead() {
        let one_shot = Hook { one_shot: true, ..hook(1) };
        let gone = Facts { tries: 3, ..facts(&one_shot, Class::Gone) };
        assert_eq!(gone.verdict(0.5), Verdict::Settled(Fate::Dead));
        assert!(matches!(facts(&one_shot, FAILED).verdict(0.5), Verdict::RetryAt(_)));
    }
}
