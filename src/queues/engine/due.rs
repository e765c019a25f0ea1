//! Time passes: retries become ready, suspects die, probes start, events of unknown accounts expire, failed reads are made
//! again.

use std::time::Duration;

use super::Engine;
use super::desk::Desk;
use super::dispatch::start_probe;
use super::shadow::QUIET_PROBE_US;
use super::slot::Slot;
use crate::queues::ledger::record::{LedgerRecord, Settlement};

/// Between two looks at what has no timer of its own, µs.
const TICK_US: u64 = 1_000_000;
/// The longest sleep of the loop.
const IDLE: Duration = Duration::from_secs(1);
/// The same while partitions leave: the answer of the ledger that they wait for does not wake the loop.
const IDLE_WHILE_LEAVING: Duration = Duration::from_millis(5);

impl Engine {
    /// Does what has become due.
    pub(super) fn wake(&mut self) {
        let now_us = self.desk.time.now_us();
        let is_quiet = self.stance.is_quiet;
        while let Some(id) = self.desk.timers.pop(now_us) {
            self.slots.touch(&mut self.desk, id, |desk, slot| {
                wake_slot(desk, slot, now_us);
                // A probe that is not sent says nothing about the receiver, so it waits for the end of the quiet time.
                if is_quiet && slot.is_probe_due(now_us) {
                    slot.put_off_probe(now_us + QUIET_PROBE_US);
                }
                start_probe(desk, id, slot, now_us);
            });
        }
        if now_us >= self.next_tick_us {
            self.next_tick_us = now_us + TICK_US;
            self.unknown.expire(self.desk.options.unknown, self.desk.time.moment());
            // A safety net: normally the change of an account that has become known leads to this before.
            self.adopt_due = !self.unknown.is_empty();
            for id in self.desk.reads.take_failed() {
                self.slots.refresh(&mut self.desk, id);
            }
        }
    }

    /// How long the loop may sleep if nothing comes in.
    pub(super) fn until_next_timer(&self) -> Duration {
        let idle = if self.leaving.is_empty() { IDLE } else { IDLE_WHILE_LEAVING };
        let now_us = self.desk.time.now_us();
        let due = self.desk.timers.next_us().map(|due| due.saturating_sub(now_us));
        let due = due.map_or(idle, |us| Duration::from_micros(us).min(idle));
        self.desk.ledger.due(now_us).map_or(due, |flush| due.min(flush))
    }
}

/// Retries of a slot that are due become ready. Suspects whose time is over are dead, and the ledger gets their settlements.
fn wake_slot(desk: &mut Desk, slot: &mut Slot, now_us: u64) {
    let (tag, wall_us) = (slot.hook().id.tag(), desk.time.wall_us());
    slot.wake(now_us, |queue, offset| {
        let how = Settlement::Dead;
        desk.ledger.push(tag, wall_us, &LedgerRecord::Settled { queue: queue.id(), offset, how });
    });
}
