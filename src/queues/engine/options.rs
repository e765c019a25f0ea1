//! Limits and policies of the queues.

use std::time::Duration;

use crate::queues::rules::policy::Policy;

/// The highest limit of simultaneous attempts that can be configured.
pub const MOST_IN_FLIGHT: usize = 100_000;

/// The part of the configuration that an engine needs.
#[derive(Debug, Clone)]
pub struct QueueOptions {
    /// Most attempts at once, in all shards together.
    pub max_in_flight: usize,
    /// Most attempts at once for a hook that has no limit of its own.
    pub per_hook_in_flight: u32,
    /// Most attempts at once to one receiver host.
    pub per_host_in_flight: u32,
    /// Most unsettled deliveries of a queue in memory.
    pub window: usize,
    /// Most unsettled deliveries of one subject among them.
    pub lane: usize,
    /// Most bytes of records in memory, for deliveries that start soon.
    pub keep_bytes: usize,
    /// Ledger records between checkpoints.
    pub checkpoint_records: u64,
    /// Most threads that read the log for queues that are behind.
    pub max_reads: usize,
    /// Most replays of a hook at once.
    pub max_replays: usize,
    /// How long a shutdown waits for attempts under way.
    pub grace: Duration,
    /// Bounds of events whose account is not known yet.
    pub unknown: UnknownLimits,
    /// Retries, disabling, probes.
    pub policy: Policy,
}

/// Bounds of events that wait for their accounts to become known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UnknownLimits {
    /// How long an event waits. Zero: no event waits.
    pub wait: Duration,
    /// How many bytes of events may wait together. Zero: no event waits.
    pub bytes: u64,
}

impl UnknownLimits {
    /// Whether no event waits.
    #[must_use]
    pub fn is_off(self) -> bool {
        self.wait.is_zero() || self.bytes == 0
    }
}
