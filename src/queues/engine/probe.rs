//! The recovery probe of a hook that failures have disabled: when the next one is due, and which delivery is under way as
//! one.

use crate::model::JobKey;
use crate::queues::rules::policy::{Policy, TOO_MANY_FAILURES, probe_delay_ms};

/// The probing of one hook. By default the hook is not probed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Probe {
    /// When the next probe is due (µs). `None`: the hook is not probed.
    due_us: Option<u64>,
    /// Failed probes since the hook was disabled; the wait doubles with each.
    failed: u16,
    /// The delivery that is under way as a probe.
    under_way: Option<JobKey>,
}

impl Probe {
    /// The first probe is due at `due_us`. `None`: the hook is not probed.
    pub(super) fn first(due_us: Option<u64>) -> Self {
        Self { due_us, ..Self::default() }
    }

    /// When the next probe is due. `None`: the hook is not probed.
    pub(super) fn due_us(&self) -> Option<u64> {
        self.due_us
    }

    /// When to look at the probe again: never while one is under way, because its result decides what follows.
    pub(super) fn next_us(&self) -> Option<u64> {
        self.due_us.filter(|_| self.under_way.is_none())
    }

    /// Whether a probe should start at this time.
    pub(super) fn is_due(&self, now_us: u64) -> bool {
        self.next_us().is_some_and(|due| due <= now_us)
    }

    /// Whether this delivery is under way as the probe. Its queue counts: a replay may have an attempt for the same event
    /// under way.
    pub(super) fn is(&self, key: JobKey) -> bool {
        self.under_way == Some(key)
    }

    /// The probe of this delivery has started.
    pub(super) fn started(&mut self, key: JobKey) {
        self.under_way = Some(key);
    }

    /// The probe under way has ended.
    pub(super) fn ended(&mut self) {
        self.under_way = None;
    }

    /// The next probe is due at this time.
    pub(super) fn set_due(&mut self, due_us: u64) {
        self.due_us = Some(due_us);
    }

    /// The receiver still fails: the next probe has to wait longer, and at least as long as the receiver asked for.
    pub(super) fn back_off(&mut self, policy: &Policy, now_us: u64, retry_after_ms: Option<u64>) {
        if self.due_us.is_some() {
            self.failed = self.failed.saturating_add(1);
            self.due_us = Some(now_us + 1000 * probe_delay_ms(policy, self.failed, retry_after_ms));
        }
    }

    /// The hook's document says that the hook is disabled, for this reason. Without a reason, a person disabled it.
    /// `first_us` is when the first probe after failures is due.
    pub(super) fn follow_document(&mut self, disable_reason: Option<&str>, first_us: Option<u64>) {
        match disable_reason {
            Some(TOO_MANY_FAILURES) => self.due_us = self.due_us.or(first_us),
            Some(_) => {}
            None => self.due_us = None,
        }
    }

    /// Probing was switched on in the configuration, with the first probe due at `first_us`, or off. A probe that has its
    /// time keeps it.
    pub(super) fn follow_configuration(&mut self, has_failed: bool, first_us: Option<u64>) {
        if first_us.is_none() || (self.due_us.is_none() && has_failed) {
            self.failed = 0;
            self.due_us = first_us;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Id, QueueKey};
    use crate::queues::testing::POLICY;

    const LIVE: JobKey = JobKey { queue: QueueKey::Hook(Id(1)), offset: 7 };

    #[test]
    fn nothing_is_due_while_a_probe_is_under_way() {
        let mut probe = Probe::first(Some(10));
        assert!(!probe.is_due(9) && probe.is_due(10));
        probe.started(LIVE);
        assert_eq!((probe.next_us(), probe.is_due(99)), (None, false));
        probe.ended();
        assert!(probe.is_due(99));
    }

    #[test]
    fn an_attempt_of_a_replay_for_the_same_event_is_not_the_probe() {
        let mut probe = Probe::first(Some(10));
        probe.started(LIVE);
        let of_replay = JobKey { queue: QueueKey::Replay(Id(2)), ..LIVE };
        let of_other_event = JobKey { offset: 8, ..LIVE };
        assert!(probe.is(LIVE) && !probe.is(of_replay) && !probe.is(of_other_event));
    }

    #[test]
    fn the_wait_doubles_with_each_failed_probe_and_is_never_shorter_than_the_receiver_asked_for() {
        let mut probe = Probe::first(Some(0));
        probe.back_off(&POLICY, 0, None);
        assert_eq!(probe.due_us(), Some(20_000_000));
        probe.back_off(&POLICY, 0, None);
        assert_eq!(probe.due_us(), Some(40_000_000));
        probe.back_off(&POLICY, 0, Some(90_000));
        assert_eq!(probe.due_us(), Some(90_000_000));
    }

    #[test]
    fn a_hook_that_a_person_disabled_is_not_probed_and_stays_so() {
        let mut probe = Probe::first(Some(10));
        probe.follow_document(None, Some(20));
        probe.back_off(&POLICY, 0, None);
        assert_eq!(probe, Probe::default());
    }

    #[test]
    fn a_probe_that_has_its_time_keeps_it_until_probing_is_switched_off() {
        let mut probe = Probe::first(Some(10));
        probe.follow_document(Some(TOO_MANY_FAILURES), Some(20));
        probe.follow_configuration(true, Some(30));
        assert_eq!(probe.due_us(), Some(10));
        probe.follow_configuration(true, None);
        assert_eq!(probe.due_us(), None);
        probe.follow_configuration(false, Some(30));
        assert_eq!(probe.due_us(), None, "a hook that has not failed is not probed");
        probe.follow_configuration(true, Some(30));
        assert_eq!(probe.due_us(), Some(30));
    }
}
