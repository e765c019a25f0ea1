//! The beginning of a simulation: random limits and policies, and a small tree of accounts.

use std::time::Duration;

use super::cut_disk::CutDisk;
use super::life::Setup;
use super::random::Random;
use super::tenants::Tenants;
use super::time::Time;
use crate::log;
use crate::model::{Account, AccountId, FailureLimits};
use crate::queues::{Policy, QueueOptions, UnknownLimits};

/// The longest delay of a retry: the cap of `Retry-After`.
pub(super) const LONGEST_DELAY: Duration = Duration::from_secs(3_600);

fn policy(random: &mut Random) -> Policy {
    Policy {
        retry_initial: Duration::from_secs(1),
        retry_max: Duration::from_secs(8),
        failure_count: random.pick(&[None, Some(3), Some(6)]).flatten(),
        failure_window: Duration::from_secs(60),
        // The shorter delay lets a probe start while an attempt that hangs is still under way.
        probe_initial: random.pick(&[None, Some(2), Some(10)]).flatten().map(Duration::from_secs),
        probe_max: Duration::from_secs(40),
    }
}

/// Random limits and policies.
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

/// A random number of shards.
pub(super) fn shards(random: &mut Random) -> usize {
    random.pick(&[1, 2, 2, 5]).unwrap_or(1)
}

/// Everything with which a life is opened.
pub(super) fn setup(seed: u64, random: &mut Random, time: &Time, tenants: &Tenants) -> Setup {
    let log =
        |segment_bytes, max_bytes| log::LogOptions { segment_bytes, max_bytes, ..log::LogOptions::default() };
    Setup {
        disk: CutDisk::default(),
        clock: time.wall(),
        steady: time.steady(),
        options: options(random),
        events: log(random.between(600, 3000), random.percent(40).then_some(random.between(4000, 12_000))),
        ledger: log(random.between(600, 4000), None),
        tenants: tenants.clone(),
        seed,
        shards: shards(random),
    }
}

/// Creates the master account, two tenants, and an account below the first of them.
pub(super) fn tree(tenants: &Tenants) {
    for (id, tree) in [(1, &[][..]), (2, &[1]), (3, &[1]), (4, &[1, 2])] {
        tenants.put(Account {
            id: AccountId(id),
            tree: tree.iter().map(|id| AccountId(*id)).collect(),
            name: String::new(),
            realm: None,
            is_reseller: id <= 2,
            enabled: true,
            failure_limits: FailureLimits::default(),
        });
    }
}
