//! A slot for unit tests, and what the simulation looks at.

use std::sync::Arc;

use super::super::line::Line;
use super::super::probe::Probe;
use super::{Slot, Standing};
use crate::model::{AccountId, EventOffset, Hook, Moment, Ordering, QueueKey};
use crate::queues::queue::Queue;
use crate::queues::queue::window::WindowLimits;
use crate::queues::rules::pace::Pace;
use crate::queues::rules::permits::{Claim, Permits};
use crate::queues::testing::{POLICY, hook};

/// The slot of a plain hook whose queue is empty and live.
pub(in crate::queues::engine) fn slot(id: u128) -> Slot {
    slot_of(hook(id))
}

/// The slot of this hook, whose queue is empty and live.
pub(in crate::queues::engine) fn slot_of(hook: Hook) -> Slot {
    let hook = Arc::new(hook);
    let holders = Permits::new(8, 8, 1).holders_of(&hook, AccountId::default());
    let mut slot =
        Slot::new(Arc::clone(&hook), Claim::new(holders), line(&hook), Standing::new(true, POLICY));
    slot.catch_up(EventOffset::FIRST);
    slot
}

/// An empty live line of a hook.
pub(in crate::queues::engine) fn line(hook: &Hook) -> Line {
    Line::new(
        QueueKey::of(hook),
        Queue::new(WindowLimits { window: 8, lane: 8 }, Ordering::Subject, EventOffset::FIRST),
    )
}

impl Slot {
    /// Its recovery probe.
    pub(in crate::queues::engine) fn probe(&self) -> &Probe {
        &self.probe
    }

    /// Until when its receiver asked for time.
    pub(in crate::queues::engine) fn asked_until(&self) -> Option<Moment> {
        self.asked_until
    }

    /// The hook's rate limit.
    pub(in crate::queues::engine) fn pace(&self) -> Pace {
        self.pace
    }
}
