//! The recovery probe of a hook that failures have disabled: when the next one is due, and which delivery is under way as
//! one.

use std::time::Duration;

use crate::model::{JobKey, Moment};
use crate::queues::rules::policy::{Policy, TOO_MANY_FAILURES, probe_delay};

/// The probing of one hook. By default the hook is not probed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Probe {
    /// When the next probe is due. `None`: the hook is not probed.
    due: Option<Moment>,
    /// Failed probes since the hook was disabled; the wait doubles with each.
    failed: u16,
    /// The delivery that is under way as a probe.
    under_way: Option<JobKey>,
}

impl Probe {
    /// The first probe is due at `due`. `None`: the hook is not probed.
    pub(super) fn first(due: Option<Moment>) -> Self {
        Self { due, ..Self::default() }
    }

    /// When the next probe is due. `None`: the hook is not probed.
    pub(super) fn due(&self) -> Option<Moment> {
        self.due
    }

    /// When to look at the probe again: never while one is under way, because its result decides what follows.
    pub(super) fn next(&self) -> Option<Moment> {
        self.due.filter(|_| self.under_way.is_none())
    }

    /// Whether a probe should start at this time.
    pub(super) fn is_due(&self, now: Moment) -> bool {
        self.next().is_some_and(|due| due <= now)
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
    pub(super) fn set_due(&mut self, due: Moment) {
        self.due = Some(due);
    }

    /// The receiver still fails: the next probe has to wait longer, and at least as long as the receiver asked for.
    pub(super) fn back_off(&mut self, policy: &Policy, now: Moment, retry_after: Option<Duration>) {
        if self.due.is_some() {
            self.failed = self.failed.saturating_add(1);
            self.due = probe_delay(policy, self.failed, retry_after).map(|delay| now + delay);
        }
    }

    /// The hook's document says that the hook is disabled, for this reason. Without a reason, a person disabled it.
    /// `first` is when the first probe after failures is due.
    pub(super) fn follow_document(&mut self, disable_reason: Option<&str>, first: Option<Moment>) {
        match disable_reason {
            // A time that is set stays, otherwise each change of the document would put off the probe.
            Some(TOO_MANY_FAILURES) => self.due = self.due.or(first),
            Some(_) => {}
            None => self.due = None,
        }
    }

    /// Probing was switched on in the configuration, with the first probe due at `first`, or off. A probe that has its
    /// time keeps it.
    pub(super) fn follow_configuration(&mut self, has_failed: bool, first: Option<Moment>) {
        if first.is_none() || (self.due.is_none() && has_failed) {
            self.failed = 0;
            self.due = first;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{EventOffset, HookId, QueueKey, ReplayId};
    use crate::queues::testing::POLICY;

    const LIVE: JobKey = JobKey { queue: QueueKey::Hook(HookId(1)), offset: EventOffset(7) };

    fn at(seconds: u64) -> Moment {
        Moment::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn nothing_is_due_while_a_probe_is_under_way() {
        let mut probe = Probe::first(Some(at(10)));
        assert!(!probe.is_due(at(9)) && probe.is_due(at(10)));
        probe.started(LIVE);
        assert_eq!((probe.next(), probe.is_due(at(99))), (None, false));
        probe.ended();
        assert!(probe.is_due(at(99)));
    }

    #[test]
    fn an_attempt_of_a_replay_for_the_same_event_is_not_the_probe() {
        let mut probe = Probe::first(Some(at(10)));
        probe.started(LIVE);
        let of_replay = JobKey { queue: QueueKey::Replay(ReplayId(2)), ..LIVE };
        let of_other_event = JobKey { offset: EventOffset(8), ..LIVE };
        assert!(probe.is(LIVE) && !probe.is(of_replay) && !probe.is(of_other_event));
    }

    #[test]
    fn the_wait_doubles_with_each_failed_probe_and_is_never_shorter_than_the_receiver_asked_for() {
        let mut probe = Probe::first(Some(at(0)));
        probe.back_off(&POLICY, at(0), None);
        assert_eq!(probe.due(), Some(at(20)));
        probe.back_off(&POLICY, at(0), None);
        assert_eq!(probe.due(), Some(at(40)));
        probe.back_off(&POLICY, at(0), Some(Duration::from_secs(90)));
        assert_eq!(probe.due(), Some(at(90)));
    }

    #[test]
    fn a_hook_that_a_person_disabled_is_not_probed_and_stays_so() {
        let mut probe = Probe::first(Some(at(10)));
        probe.follow_document(None, Some(at(20)));
        probe.back_off(&POLICY, at(0), None);
        assert_eq!(probe, Probe::default());
    }

    #[test]
    fn a_probe_that_has_its_time_keeps_it_until_probing_is_switched_off() {
        let mut probe = Probe::first(Some(at(10)));
        probe.follow_document(Some(TOO_MANY_FAILURES), Some(at(20)));
        probe.follow_configuration(true, Some(at(30)));
        assert_eq!(probe.due(), Some(at(10)));
        probe.follow_configuration(true, None);
        assert_eq!(probe.due(), None);
        probe.follow_configuration(false, Some(at(30)));
        assert_eq!(probe.due(), None, "a hook that has not failed is not probed");
        probe.follow_configuration(true, Some(at(30)));
        assert_eq!(probe.due(), Some(at(30)));
    }
}
