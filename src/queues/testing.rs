//! A hook and a policy for the unit tests of the queues.

use super::rules::policy::Policy;
use crate::model::{Family, Format, Hook, Id, Trigger};

/// A plain enabled hook of account 1 for `channel_create`.
pub(super) fn hook(id: u128) -> Hook {
    let trigger = Trigger::Family(Family::ChannelCreate);
    Hook { format: Format::Json, ..Hook::new(Id(id), Id(1), trigger, "http://127.0.0.1/".to_owned()) }
}

/// Six failures within a minute disable a hook; it is probed after ten seconds.
pub(super) const POLICY: Policy = Policy {
    retry_initial_ms: 1_000,
    retry_max_ms: 60_000,
    failure_count: 6,
    failure_window_ms: 60_000,
    probe_initial_ms: 10_000,
    probe_max_ms: 40_000,
};
