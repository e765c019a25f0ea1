//! The limits and policies of the queues.

use std::time::Duration;

use crate::queues::rules::policy::Policy;

/// Most attempts at once that can be asked for.
pub const MOST_IN_FLIGHT: usize = 100_000;

/// Everything that the configuration says about queues.
#[derive(Debug, Clone)]
pub struct Options {
    /// Attempts at once in total.
    pub max_in_flight: usize,
    /// Attempts at once for one hook, unless it says otherwise.
    pub per_hook_in_flight: u32,
    /// Attempts at once to one receiver host.
    pub per_host_in_flight: u32,
    /// Most unsettled deliveries of one queue in memory.
    pub window: usize,
    /// Most of them of one subject.
    pub lane: usize,
    /// Bytes of event records kept in memory for deliveries that are about to start.
    pub keep_bytes: usize,
    /// Ledger records between checkpoints.
    pub checkpoint_records: u64,
    /// Reads of the log at once for queues that are behind.
    pub max_reads: usize,
    /// Replays running at once for one hook.
    pub max_replays: usize,
    /// How long shutdown waits for attempts under way.
    pub grace: Duration,
    /// How long, and how many, events wait for an account that is not known yet.
    pub unknown: UnknownLimits,
    /// Retries, disabling, probes.
    pub policy: Policy,
}

/// Bounds of what waits for accounts that are not known yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownLimits {
    /// How long an event waits; zero: not at all.
    pub wait: Duration,
    /// How many bytes of events wait together; 0: none.
    pub bytes: u64,
}

impl UnknownLimits {
    /// Whether nothing waits.
    #[must_use]
    pub fn is_off(self) -> bool {
        self.wait.is_zero() || self.bytes == 0
    }

    /// How long an event waits, in microseconds.
    #[must_use]
    pub fn wait_us(self) -> u64 {
        u64::try_from(self.wait.as_micros()).unwrap_or(u64::MAX)
    }
}
