//! A hook and a policy for the unit tests of the queues.

use std::time::Duration;

use super::rules::policy::Policy;
use crate::model::{AccountId, Family, Format, Hook, HookId, Trigger};

/// A plain enabled hook of account 1 for `channel_create`.
pub(super) fn hook(id: u128) -> Hook {
    let trigger = Trigger::Family(Family::ChannelCreate);
    Hook {
        format: Format::Json,
        ..Hook::new(HookId(id), AccountId(1), trigger, "http://127.0.0.1/".to_owned())
    }
}

/// Six failures within a minute disable a hook; the first probe follows after ten seconds.
pub(super) const POLICY: Policy = Policy {
    retry_initial: Duration::from_secs(1),
    retry_max: Duration::from_secs(60),
    failure_count: Some(6),
    failure_window: Duration::from_secs(60),
    probe_initial: Some(Duration::from_secs(10)),
    probe_max: Duration::from_secs(40),
};
