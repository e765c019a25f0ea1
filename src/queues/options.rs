//! The limits and policies of the queues.

use std::time::Duration;

use super::policy::Policy;

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
    /// Retries, disabling, probes.
    pub policy: Policy,
}
