//! What a simulation begins with: limits and policies that chance chooses, and a small tree of accounts.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering as Atomic};
use std::time::Duration;

use super::cut_disk::CutDisk;
use super::life::Setup;
use super::random::Random;
use super::tenants::Tenants;
use crate::log;
use crate::model::{Account, Clock, FailureLimits, Id};
use crate::queues::{Policy, QueueOptions, UnknownLimits};

/// Time at the start of every simulation, microseconds since 1970.
pub(super) const START_US: u64 = 1_760_000_000_000_000;

fn policy(random: &mut Random) -> Policy {
    Policy {
        retry_initial_ms: 1_000,
        retry_max_ms: 8_000,
        failure_count: random.pick(&[0, 3, 6]).unwrap_or(6),
        failure_window_ms: 60_000,
        // Also sooner than an attempt from before ends that hangs.
        probe_initial_ms: random.pick(&[0, 2_000, 10_000]).unwrap_or(0),
        probe_max_ms: 40_000,
    }
}

/// Limits and policies.
pub(super) fn options(random: &mut Random) -> QueueOptions {
    QueueOptions {
        max_in_flight: random.count(2, 12),
        per_hook_in_flight: u32::try_from(random.between(1, 5)).unwrap_or(1),
        per_host_in_flight: u32::try_from(random.between(1, 6)).unwrap_or(1),
        window: random.count(5, 14),
        lane: random.count(2, 5),
        keep_bytes: random.count(0, 3000),
        checkpoint_records: random.between(4, 60),
        max_reads: random.count(1, 3),
        max_replays: 2,
        unknown: UnknownLimits { wait: Duration::from_secs(60), bytes: 1 << 20 },
        grace: Duration::from_secs(5),
        policy: policy(random),
    }
}

/// How many shards a life has.
pub(super) fn shards(random: &mut Random) -> usize {
    random.pick(&[1, 2, 2, 5]).unwrap_or(1)
}

/// Everything that each life is opened with.
pub(super) fn setup(seed: u64, random: &mut Random, now: &Arc<AtomicU64>, tenants: &Tenants) -> Setup {
    let clock = Clock::new({
        let now = Arc::clone(now);
        move || now.load(Atomic::Relaxed)
    });
    let log =
        |segment_bytes, max_bytes| log::LogOptions { segment_bytes, max_bytes, ..log::LogOptions::default() };
    Setup {
        disk: CutDisk::default(),
        clock,
        options: options(random),
        events: log(random.between(600, 3000), random.percent(40).then_some(random.between(4000, 12_000))),
        ledger: log(random.between(600, 4000), None),
        tenants: tenants.clone(),
        seed,
        shards: shards(random),
    }
}

/// The master account, two tenants, and an account below the first of them.
pub(super) fn tree(tenants: &Tenants) {
    for (id, tree) in [(1, &[][..]), (2, &[1]), (3, &[1]), (4, &[1, 2])] {
        tenants.put(Account {
            id: Id(id),
            tree: tree.iter().map(|id| Id(*id)).collect(),
            name: String::new(),
            realm: None,
            is_reseller: id <= 2,
            enabled: true,
            failure_limits: FailureLimits::default(),
        });
    }
}
