//! The time of the simulated world. The steady clock only follows the time that passes; the machine's clock can be set.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use crate::model::{Clock, Moment};

/// The time at the start of every simulation.
pub(super) const START: Moment = Moment::from_micros(1_760_000_000_000_000);

/// Both clocks. Clones share them.
#[derive(Debug, Clone, Default)]
pub(super) struct Time {
    passed_us: Arc<AtomicU64>,
    /// By how much the machine's clock differs from the time that has passed.
    shift_us: Arc<AtomicI64>,
}

impl Time {
    /// The time by which the world works. An engine's moments differ from it by what the machine's clock was off when the
    /// engine started.
    pub(super) fn now(&self) -> Moment {
        START + Duration::from_micros(self.passed_us.load(Ordering::Relaxed))
    }

    /// Lets time pass.
    pub(super) fn pass(&self, length: Duration) {
        self.passed_us.fetch_add(u64::try_from(length.as_micros()).unwrap(), Ordering::Relaxed);
    }

    /// Sets the machine's clock forward or back by a number of seconds.
    pub(super) fn set_clock(&self, by_s: i64) {
        self.shift_us.fetch_add(by_s * 1_000_000, Ordering::Relaxed);
    }

    /// The machine's clock.
    pub(super) fn wall(&self) -> Clock {
        let time = self.clone();
        Clock::new(move || time.now().micros().saturating_add_signed(time.shift_us.load(Ordering::Relaxed)))
    }

    /// The steady clock.
    pub(super) fn steady(&self) -> Clock {
        let passed_us = Arc::clone(&self.passed_us);
        Clock::new(move || passed_us.load(Ordering::Relaxed))
    }
}
