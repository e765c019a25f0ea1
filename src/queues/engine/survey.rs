//! A survey of all queues at one moment, for the operator: how far behind each hook is, and which replays run.

use std::sync::Arc;

use crate::model::{AccountId, EventOffset, Hook, QueueState, QueueStatus, ReplayStatus};

/// All queues at one moment. It takes the engine about a microsecond for each hook.
#[derive(Debug, Clone, Default)]
pub struct Survey {
    /// Attempts under way.
    pub in_flight: usize,
    /// Every event below this offset has been routed.
    pub routed: EventOffset,
    /// Hooks with their queues, in no particular order, without callflow webhooks.
    pub hooks: Vec<SurveyedHook>,
    /// Deliveries of callflow webhooks that are not settled.
    pub one_shots_waiting: u64,
    /// Replays that have not ended, with the accounts of their hooks.
    pub replays: Vec<(AccountId, ReplayStatus)>,
}

/// A hook and its queue.
#[derive(Debug, Clone)]
pub struct SurveyedHook {
    /// The hook, as the engine knows it.
    pub hook: Arc<Hook>,
    /// Its queue. The age of the oldest waiting delivery is that of its block in the log (`Reader::time_near`).
    pub status: QueueStatus,
    /// The oldest unsettled delivery.
    pub oldest: Option<EventOffset>,
}

impl Survey {
    /// The surveys of all shards, joined.
    #[must_use]
    pub fn of_all(shards: Vec<Self>) -> Self {
        let mut all = Self { routed: EventOffset::MAX, ..Self::default() };
        for shard in shards {
            all.in_flight += shard.in_flight;
            all.routed = all.routed.min(shard.routed);
            all.one_shots_waiting += shard.one_shots_waiting;
            all.hooks.extend(shard.hooks);
            all.replays.extend(shard.replays);
        }
        all
    }

    /// Deliveries that are not settled.
    #[must_use]
    pub fn waiting(&self) -> u64 {
        self.one_shots_waiting + self.hooks.iter().map(|hook| hook.status.waiting).sum::<u64>()
    }

    /// How many hooks have a queue in this state.
    #[must_use]
    pub fn in_state(&self, state: QueueState) -> u64 {
        self.hooks.iter().filter(|hook| hook.status.state == state).count() as u64
    }

    /// The age of the oldest delivery that is not settled, in milliseconds; without callflow webhooks.
    #[must_use]
    pub fn oldest_age_ms(&self) -> Option<u64> {
        self.hooks.iter().filter_map(|hook| hook.status.oldest_waiting_age_ms).max()
    }
}

impl SurveyedHook {
    /// Whether the hook has recent failures, or was disabled because of failures.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        self.status.recent_failures > 0 || self.status.disable_reason.is_some()
    }
}
