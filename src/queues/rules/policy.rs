//! What an attempt's result means, and the delays of retries and probes (`docs/reference/deliveries.md`). Pure.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::{AttemptResult, FailureLimits, Hook, Moment, Response, Success, Verb};

/// The longest `Retry-After` of a receiver that is respected.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(3_600);

/// The system's settings for retries, for disabling hooks, and for probes.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// The delay before the first retry.
    pub retry_initial: Duration,
    /// The longest delay before a retry.
    pub retry_max: Duration,
    /// The number of failed attempts within the window that disables a hook. `None`: failures never disable a hook.
    pub failure_count: Option<u32>,
    /// The window within which failures count.
    pub failure_window: Duration,
    /// The delay before the first recovery probe. `None`: hooks are not probed.
    pub probe_initial: Option<Duration>,
    /// The longest delay between two probes.
    pub probe_max: Duration,
}

impl Policy {
    /// This policy with the failure limits that an account sets.
    #[must_use]
    pub fn with(self, limits: FailureLimits) -> Self {
        Self {
            // KAZOO writes 0 where failures never disable a hook.
            failure_count: limits.count.map_or(self.failure_count, |count| (count > 0).then_some(count)),
            failure_window: limits.window_ms.map_or(self.failure_window, Duration::from_millis),
            ..self
        }
    }
}

/// The `disable_reason` after too many failures, in KAZOO's words (`docs/kazoo/webhooks.md#disabling`).
pub const TOO_MANY_FAILURES: &str = "too many failed attempts";
/// The `disable_reason` after a response with status 410.
pub const RECEIVER_GONE: &str = "receiver answered 410 gone";

/// Why the queues disable a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) enum DisableReason {
    /// Too many attempts failed, or the first attempt after the hook was enabled again found its receiver still down.
    TooManyFailures,
    /// The receiver responded with 410.
    ReceiverGone,
}

impl DisableReason {
    /// The `disable_reason` of the hook's document.
    pub(in crate::queues) fn text(self) -> &'static str {
        match self {
            Self::TooManyFailures => TOO_MANY_FAILURES,
            Self::ReceiverGone => RECEIVER_GONE,
        }
    }
}

/// What an attempt's result means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// The receiver accepted the event.
    Delivered,
    /// The hook's filter or the event's form left nothing to send.
    Skipped,
    /// Retention removed the event from the log.
    Expired,
    /// The attempt failed.
    Failed {
        /// The time that the receiver asked for with `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// A 429 or 503 with `Retry-After`: the receiver works, but asks for time.
    Busy {
        /// The time, more than zero and at most `RETRY_AFTER_MAX`.
        retry_after: Duration,
    },
    /// A 410: the receiver wants no more events.
    Gone,
    /// This machine could not make the attempt. The delivery is tried again, and no try or failure is counted.
    Ours,
    /// The event can never be sent to this hook.
    Unsendable,
    /// Another system delivers this event.
    Shadow,
}

/// Classifies a result. The hook says which responses are a success.
#[must_use]
pub fn classify(hook: &Hook, result: &AttemptResult) -> Class {
    let response = match result {
        AttemptResult::NothingToSend => return Class::Skipped,
        AttemptResult::Expired => return Class::Expired,
        AttemptResult::Ours(_) => return Class::Ours,
        AttemptResult::Unsendable(_) => return Class::Unsendable,
        AttemptResult::Shadow(_) => return Class::Shadow,
        AttemptResult::Failed(_) => return Class::Failed { retry_after: None },
        AttemptResult::Answered(response) => response,
    };
    let delivered = match hook.success {
        Success::Kazoo => response.status == 200 || (response.status == 201 && hook.verb == Verb::Put),
        Success::Any2xx => (200..300).contains(&response.status),
    };
    if delivered {
        Class::Delivered
    } else if response.status == 410 {
        Class::Gone
    } else if let Some(retry_after) = time_asked_for(response) {
        Class::Busy { retry_after }
    } else {
        Class::Failed { retry_after: response.retry_after_ms.map(Duration::from_millis) }
    }
}

/// How long a response asks the program to wait before anything else is sent, up to `RETRY_AFTER_MAX`.
///
/// Such a response uses up a try like any other failure, so that a receiver that always asks for time does not keep a
/// delivery forever. It never counts towards disabling the hook.
#[must_use]
pub(in crate::queues) fn time_asked_for(response: &Response) -> Option<Duration> {
    let asks = matches!(response.status, 429 | 503);
    // A wait of no time is no request for time: the usual delay applies.
    let asked = response.retry_after_ms.filter(|ms| asks && *ms > 0).map(Duration::from_millis);
    asked.map(|time| time.min(RETRY_AFTER_MAX))
}

/// The delay before try `tries + 1`: doubled with each try from the initial delay up to the longest one, then spread by up
/// to a fifth in both directions with `random` (0 to 1). Never shorter than the receiver asked for.
#[must_use]
pub fn retry_delay(
    policy: &Policy,
    hook: &Hook,
    tries: u16,
    retry_after: Option<Duration>,
    random: f64,
) -> Duration {
    let initial = hook.retry.initial_ms.map_or(policy.retry_initial, Duration::from_millis);
    // A hook may set a first delay above the longest one of the system. Then every delay is the first one.
    let max = hook.retry.max_ms.map_or(policy.retry_max, Duration::from_millis).max(initial);
    let delay = backed_off(initial, max, tries.saturating_sub(1));
    // Without the spread, all deliveries that a receiver failed at once would come back at once.
    let factor = 0.8 + 0.4 * random.clamp(0.0, 1.0);
    let spread = Duration::try_from_secs_f64(delay.as_secs_f64() * factor).unwrap_or(delay);
    spread.max(asked_for(retry_after))
}

/// The longest delay that [`retry_delay`] can return.
#[must_use]
pub(in crate::queues) fn longest_delay(policy: &Policy, hook: &Hook) -> Duration {
    let max = hook.retry.max_ms.map_or(policy.retry_max, Duration::from_millis);
    let initial = hook.retry.initial_ms.map_or(policy.retry_initial, Duration::from_millis);
    // A fifth more is the largest spread of `retry_delay`.
    let spread = max.max(initial).saturating_mul(6) / 5;
    spread.max(RETRY_AFTER_MAX)
}

/// The delay before probe `n` (from 0) of a disabled hook. Never shorter than the receiver asked for, up to
/// `RETRY_AFTER_MAX`. `None`: hooks are not probed.
#[must_use]
pub fn probe_delay(policy: &Policy, n: u16, retry_after: Option<Duration>) -> Option<Duration> {
    let initial = policy.probe_initial?;
    let delay = backed_off(initial, policy.probe_max.max(initial), n);
    Some(delay.max(asked_for(retry_after)))
}

fn asked_for(retry_after: Option<Duration>) -> Duration {
    retry_after.unwrap_or_default().min(RETRY_AFTER_MAX)
}

fn backed_off(initial: Duration, max: Duration, doublings: u16) -> Duration {
    // After 32 doublings, any delay has reached the longest one.
    let factor = 1_u32.checked_shl(u32::from(doublings)).unwrap_or(u32::MAX);
    initial.saturating_mul(factor).min(max)
}

/// A hook's recent failures and last success.
#[derive(Debug, Clone, Default)]
pub struct Health {
    failures: VecDeque<Moment>,
    /// When an attempt last succeeded since the start of the program.
    pub last_success: Option<Moment>,
}

impl Health {
    /// Counts a failure. Returns true if the hook must be disabled. At most `failure_count` failures are kept.
    pub fn failed(&mut self, policy: &Policy, now: Moment) -> bool {
        let Some(limit) = policy.failure_count else { return false };
        let oldest = now - policy.failure_window;
        // A window that was shortened meanwhile applies to the failures that are kept, too.
        self.failures.retain(|failure| *failure > oldest);
        self.failures.push_back(now);
        while self.failures.len() > limit as usize {
            self.failures.pop_front();
        }
        self.failures.len() >= limit as usize
    }

    /// Forgets all failures, because the hook was changed, enabled or disabled.
    pub fn reset(&mut self) {
        self.failures.clear();
    }

    /// The number of failures within the window that ends now.
    #[must_use]
    pub fn recent(&self, policy: &Policy, now: Moment) -> u32 {
        let oldest = now - policy.failure_window;
        u32::try_from(self.failures.iter().filter(|failure| **failure > oldest).count()).unwrap_or(u32::MAX)
    }

    /// The failures that are kept, oldest first.
    #[must_use]
    pub fn failures(&self) -> impl ExactSizeIterator<Item = Moment> + '_ {
        self.failures.iter().copied()
    }

    /// Restores a failure from before a restart. One that is later than now is left out, because the clock was wrong then:
    /// the failure would count for as long as the clock was ahead.
    pub fn restore(&mut self, failure: Moment, now: Moment) {
        if failure <= now {
            self.failures.push_back(failure);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::testing::{POLICY, hook};

    const fn seconds(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_probe_waits_as_long_as_the_receiver_asks_up_to_the_cap() {
        let delay = |n, asked| probe_delay(&POLICY, n, asked).unwrap();
        assert_eq!(delay(0, None), seconds(10));
        assert_eq!(delay(9, None), seconds(40));
        assert_eq!(delay(0, Some(seconds(5))), seconds(10));
        assert_eq!(delay(0, Some(seconds(120))), seconds(120));
        assert_eq!(delay(0, Some(Duration::MAX)), RETRY_AFTER_MAX);
    }

    #[test]
    fn a_retry_waits_as_long_as_the_receiver_asks_up_to_the_cap() {
        let hook = hook(1);
        assert_eq!(retry_delay(&POLICY, &hook, 1, Some(seconds(30)), 0.5), seconds(30));
        assert_eq!(retry_delay(&POLICY, &hook, 1, Some(Duration::MAX), 0.5), RETRY_AFTER_MAX);
    }

    #[test]
    fn a_retry_delay_of_any_length_is_spread_without_a_panic() {
        let mut hook = hook(1);
        hook.retry.initial_ms = Some(u64::MAX);
        for random in [0.0, 1.0, f64::NAN] {
            assert!(retry_delay(&POLICY, &hook, u16::MAX, None, random) > seconds(1));
        }
    }

    #[test]
    fn no_retry_waits_longer_than_the_longest_delay() {
        let mut hook = hook(1);
        for max_ms in [None, Some(90_000), Some(86_400_000)] {
            hook.retry.max_ms = max_ms;
            for (tries, asked) in [(1, None), (40, None), (40, Some(Duration::MAX))] {
                let delay = retry_delay(&POLICY, &hook, tries, asked, 1.0);
                assert!(delay <= longest_delay(&POLICY, &hook), "{delay:?} with {max_ms:?}");
            }
        }
    }

    #[test]
    fn only_429_and_503_with_a_time_ask_for_time() {
        let answer = |status, retry_after_ms| {
            let response = Response { status, retry_after_ms, ..Response::default() };
            classify(&hook(1), &AttemptResult::Answered(response))
        };
        let failed = |retry_after| Class::Failed { retry_after };
        for status in [429, 503] {
            assert_eq!(answer(status, Some(1_000)), Class::Busy { retry_after: seconds(1) });
            assert_eq!(answer(status, Some(u64::MAX)), Class::Busy { retry_after: RETRY_AFTER_MAX });
            assert_eq!(answer(status, Some(0)), failed(Some(Duration::ZERO)));
            assert_eq!(answer(status, None), failed(None));
        }
        assert_eq!(answer(500, Some(1_000)), failed(Some(seconds(1))));
        assert_eq!(answer(410, Some(1_000)), Class::Gone);
    }

    #[test]
    fn a_hook_is_disabled_by_failures_within_the_window_only() {
        let (mut health, policy) = (Health::default(), Policy { failure_count: Some(3), ..POLICY });
        let mut failed = |at: u64| health.failed(&policy, Moment::from_micros(at * 1_000_000));
        assert_eq!([failed(100), failed(170), failed(171), failed(172)], [false, false, false, true]);
    }

    #[test]
    fn failures_that_a_clock_recorded_in_the_future_do_not_count_after_a_restart() {
        let (mut health, now) = (Health::default(), Moment::from_micros(100_000_000));
        health.restore(now + seconds(5), now);
        health.restore(now - seconds(5), now);
        assert_eq!(health.recent(&POLICY, now), 1);
    }
}
