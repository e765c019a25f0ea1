//! What follows from an attempt: the outcome rules and the retry schedule (`docs/reference/deliveries.md`), pure.

use crate::model::{AttemptResult, FailureLimits, Hook, Response, Success, Verb};

/// The largest time that a receiver's `Retry-After` is honoured for.
const RETRY_AFTER_MAX_MS: u64 = 3_600_000;

/// The system's retry and disable settings.
#[derive(Debug, Clone, Copy)]
pub struct Policy {
    /// First delay before a retry, ms.
    pub retry_initial_ms: u64,
    /// Largest delay before a retry, ms.
    pub retry_max_ms: u64,
    /// Failed attempts within the window that disable a hook; 0: never.
    pub failure_count: u32,
    /// The window in which failures count, ms.
    pub failure_window_ms: u64,
    /// First delay before a recovery probe, ms; 0: no probe.
    pub probe_initial_ms: u64,
    /// Largest delay between probes, ms.
    pub probe_max_ms: u64,
}

impl Policy {
    /// The policy for an account that sets limits of its own.
    #[must_use]
    pub fn with(self, limits: FailureLimits) -> Self {
        Self {
            failure_count: limits.count.unwrap_or(self.failure_count),
            failure_window_ms: limits.window_ms.unwrap_or(self.failure_window_ms),
            ..self
        }
    }
}

/// The reason that KAZOO gives (`docs/kazoo/webhooks.md#disabling`).
pub const TOO_MANY_FAILURES: &str = "too many failed attempts";
/// The reason after a 410.
pub const RECEIVER_GONE: &str = "receiver answered 410 gone";

/// Why the queues disable a hook.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::queues) enum DisableReason {
    /// It failed too often, or its receiver was still down after it had been enabled again.
    TooManyFailures,
    /// Its receiver wants no more.
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
    /// The receiver has it.
    Delivered,
    /// There was nothing to send.
    Skipped,
    /// The event is gone from the log.
    Expired,
    /// It failed; the receiver may have asked for time.
    Failed {
        /// From `Retry-After`.
        retry_after_ms: Option<u64>,
    },
    /// 429 or 503 with `Retry-After`: the receiver is there and asked for time, up to the cap.
    Busy {
        /// From `Retry-After`; not 0.
        retry_after_ms: u64,
    },
    /// 410: the receiver wants no more.
    Gone,
    /// This machine could not make the attempt: tried again, and nothing is counted.
    Ours,
    /// It can never be sent.
    Unsendable,
    /// It is another system's to send.
    Shadow,
}

/// Classifies a result by the hook's own rule of success.
#[must_use]
pub fn classify(hook: &Hook, result: &AttemptResult) -> Class {
    let response = match result {
        AttemptResult::NothingToSend => return Class::Skipped,
        AttemptResult::Expired => return Class::Expired,
        AttemptResult::Ours(_) => return Class::Ours,
        AttemptResult::Unsendable(_) => return Class::Unsendable,
        AttemptResult::Shadow(_) => return Class::Shadow,
        AttemptResult::Failed(_) => return Class::Failed { retry_after_ms: None },
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
    } else if let Some(retry_after_ms) = time_asked_for(response) {
        Class::Busy { retry_after_ms }
    } else {
        Class::Failed { retry_after_ms: response.retry_after_ms }
    }
}

/// For how long an answer asks that nothing be sent, in ms, up to the cap. Such an answer uses up a try, as any other
/// failure, so that a receiver that says it for ever comes to an end. It never counts towards disabling.
#[must_use]
pub(in crate::queues) fn time_asked_for(response: &Response) -> Option<u64> {
    let asks = matches!(response.status, 429 | 503);
    response.retry_after_ms.filter(|ms| asks && *ms > 0).map(|ms| ms.min(RETRY_AFTER_MAX_MS))
}

/// Delay before try `tries + 1`, in ms: doubling from the initial delay to the cap, with up to a fifth of
/// jitter either way from `random` (0 to 1); never less than the receiver asked for.
#[must_use]
pub fn retry_delay_ms(
    policy: &Policy,
    hook: &Hook,
    tries: u16,
    retry_after_ms: Option<u64>,
    random: f64,
) -> u64 {
    let initial = hook.retry.initial_ms.unwrap_or(policy.retry_initial_ms);
    let max = hook.retry.max_ms.unwrap_or(policy.retry_max_ms).max(initial);
    let delay = backed_off(initial, max, tries.saturating_sub(1));
    let jitter = 0.8 + 0.4 * random.clamp(0.0, 1.0);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        clippy::cast_precision_loss,
        reason = "milliseconds, far below 2^52 and never negative"
    )]
    let jittered = (delay as f64 * jitter) as u64;
    jittered.max(asked_for(retry_after_ms))
}

/// Delay before probe `n` (from 0) of a disabled hook, in ms; never less than the receiver asked for, up to
/// the same cap as for retries.
#[must_use]
pub fn probe_delay_ms(policy: &Policy, n: u16, retry_after_ms: Option<u64>) -> u64 {
    let delay = backed_off(policy.probe_initial_ms, policy.probe_max_ms.max(policy.probe_initial_ms), n);
    delay.max(asked_for(retry_after_ms))
}

/// The time that the receiver asked for, in ms, up to the cap.
fn asked_for(retry_after_ms: Option<u64>) -> u64 {
    retry_after_ms.unwrap_or(0).min(RETRY_AFTER_MAX_MS)
}

fn backed_off(initial: u64, max: u64, doublings: u16) -> u64 {
    let factor = 1_u64.checked_shl(u32::from(doublings)).unwrap_or(u64::MAX);
    initial.saturating_mul(factor).min(max)
}

/// A hook's recent failures and last success.
#[derive(Debug, Clone, Default)]
pub struct Health {
    failures: std::collections::VecDeque<u64>,
    /// When an attempt last succeeded since the start (µs).
    pub last_success_us: Option<u64>,
}

impl Health {
    /// Counts a failure; true when the hook must be disabled. Holds at most `failure_count` times.
    pub fn failed(&mut self, policy: &Policy, now_us: u64) -> bool {
        let limit = policy.failure_count as usize;
        if limit == 0 {
            return false;
        }
        let oldest = now_us.saturating_sub(policy.failure_window_ms * 1000);
        self.failures.retain(|t| *t > oldest);
        self.failures.push_back(now_us);
        while self.failures.len() > limit {
            self.failures.pop_front();
        }
        self.failures.len() >= limit
    }

    /// Forgets all failures: the hook was changed, enabled or disabled.
    pub fn reset(&mut self) {
        self.failures.clear();
    }

    /// How many failures count now.
    #[must_use]
    pub fn recent(&self, policy: &Policy, now_us: u64) -> u32 {
        let oldest = now_us.saturating_sub(policy.failure_window_ms * 1000);
        u32::try_from(self.failures.iter().filter(|t| **t > oldest).count()).unwrap_or(u32::MAX)
    }

    /// The failures that are remembered, oldest first.
    #[must_use]
    pub fn failures(&self) -> impl ExactSizeIterator<Item = u64> + '_ {
        self.failures.iter().copied()
    }

    /// Puts back a failure from before a restart.
    pub fn restore(&mut self, at_us: u64) {
        self.failures.push_back(at_us);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queues::testing::hook;

    const POLICY: Policy = Policy {
        retry_initial_ms: 1_000,
        retry_max_ms: 60_000,
        failure_count: 3,
        failure_window_ms: 60_000,
        probe_initial_ms: 10_000,
        probe_max_ms: 40_000,
    };

    #[test]
    fn a_probe_waits_as_long_as_the_receiver_asks_up_to_the_cap() {
        assert_eq!(probe_delay_ms(&POLICY, 0, None), 10_000);
        assert_eq!(probe_delay_ms(&POLICY, 9, None), 40_000);
        assert_eq!(probe_delay_ms(&POLICY, 0, Some(5_000)), 10_000);
        assert_eq!(probe_delay_ms(&POLICY, 0, Some(120_000)), 120_000);
        assert_eq!(probe_delay_ms(&POLICY, 0, Some(u64::MAX)), RETRY_AFTER_MAX_MS);
    }

    #[test]
    fn a_retry_waits_as_long_as_the_receiver_asks_up_to_the_cap() {
        let hook = hook(1);
        assert_eq!(retry_delay_ms(&POLICY, &hook, 1, Some(30_000), 0.5), 30_000);
        assert_eq!(retry_delay_ms(&POLICY, &hook, 1, Some(u64::MAX), 0.5), RETRY_AFTER_MAX_MS);
    }

    #[test]
    fn only_429_and_503_with_a_time_ask_for_time() {
        let answer = |status, retry_after_ms| {
            let response = Response { status, retry_after_ms, ..Response::default() };
            classify(&hook(1), &AttemptResult::Answered(response))
        };
        for status in [429, 503] {
            assert_eq!(answer(status, Some(1_000)), Class::Busy { retry_after_ms: 1_000 });
            assert_eq!(answer(status, Some(u64::MAX)), Class::Busy { retry_after_ms: RETRY_AFTER_MAX_MS });
            assert_eq!(answer(status, Some(0)), Class::Failed { retry_after_ms: Some(0) });
            assert_eq!(answer(status, None), Class::Failed { retry_after_ms: None });
        }
        assert_eq!(answer(500, Some(1_000)), Class::Failed { retry_after_ms: Some(1_000) });
        assert_eq!(answer(410, Some(1_000)), Class::Gone);
    }

    #[test]
    fn a_hook_is_disabled_by_failures_within_the_window_only() {
        let mut health = Health::default();
        assert!(!health.failed(&POLICY, 100_000_000));
        assert!(!health.failed(&POLICY, 170_000_000));
        assert!(!health.failed(&POLICY, 171_000_000));
        assert!(health.failed(&POLICY, 172_000_000));
    }
}
