//! Time passes: retries become ready, suspects die, probes start, events of unknown accounts expire, failed reads are made
//! again.

use std::time::Duration;

use super::Engine;
use super::desk::Desk;
use super::dispatch::start_probe;
use super::shadow::QUIET_PROBE;
use super::slot::Slot;
use crate::model::Moment;
use crate::queues::ledger::record::{LedgerRecord, Settlement};

/// The interval at which everything without a timer is looked at.
const TICK: Duration = Duration::from_secs(1);
/// The longest sleep of the loop.
const IDLE: Duration = Duration::from_secs(1);
/// The same while partitions leave: the answer of the ledger that they wait for does not wake the loop.
const IDLE_WHILE_LEAVING: Duration = Duration::from_millis(5);

impl Engine {
    /// Does what has become due.
    pub(super) fn wake(&mut self) {
        let now = self.desk.time.now();
        let is_quiet = self.stance.is_quiet;
        while let Some(id) = self.desk.timers.pop(now) {
            self.slots.touch(&mut self.desk, id, |desk, slot| {
                wake_slot(desk, slot, now);
                // A probe that is not sent says nothing about the receiver, so it waits for the end of the quiet time.
                if is_quiet && slot.is_probe_due(now) {
                    slot.put_off_probe(now + QUIET_PROBE);
                }
                start_probe(desk, id, slot, now);
            });
        }
        if now >= self.next_tick {
            self.next_tick = now + TICK;
            let is_known = |account| self.desk.directory.account(account).is_some();
            self.unknown.expire(self.desk.options.unknown, self.desk.time.both(), is_known);
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
        let now = self.desk.time.now();
        let due = [self.desk.timers.next(), self.desk.permits.first_due(now)].into_iter().flatten().min();
        let due = due.map_or(idle, |due| due.since(now).min(idle));
        self.desk.ledger.due(now).map_or(due, |flush| due.min(flush))
    }
}

/// Retries of a slot that are due become ready. Suspects whose time is over are dead, and the ledger gets their settlements.
fn wake_slot(desk: &mut Desk, slot: &mut Slot, now: Moment) {
    let (tag, wall) = (slot.hook().id.tag(), desk.time.wall());
    slot.wake(now, |queue, offset| {
        let how = Settlement::Dead;
        desk.ledger.push(tag, wall, &LedgerRecord::Settled { queue: queue.id(), offset, how });
    });
}
