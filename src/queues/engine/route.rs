//! Routing: every event of the log, once, to the queues of the hooks that want it.

use std::sync::Arc;

use super::Engine;
use super::refill::keeps;
use super::slot::Slot;
use super::slots::SlotId;
use crate::kazoo;
use crate::log::{ReadError, Record};
use crate::model::{Account, Event, Family};
use crate::queues::ledger::record::HeldEvent;
use crate::queues::queue::entry::Taken;
use crate::queues::rules::partitions::Partition;
use crate::queues::rules::router::subject_hash;

const READ_BYTES: usize = 1 << 20;

impl Engine {
    /// Routes up to `max` events; true when there are more.
    pub(super) fn route_some(&mut self, max: usize) -> Result<bool, ReadError> {
        self.adopt_known()?;
        let end = self.stance.end(self.events.end());
        if self.routed >= end {
            return Ok(false);
        }
        if self.routed < self.events.first() {
            self.fall_behind();
        }
        let most = max.min(usize::try_from(end - self.routed).unwrap_or(max));
        let batch = self.events.read(self.routed, most, READ_BYTES)?;
        // A change that was answered before one of these events was handed in stands in the feed by now.
        while let Ok(change) = self.changes.try_recv() {
            self.change(change);
        }
        for record in batch.records.iter().filter(|record| record.offset < end) {
            self.route(record)?;
        }
        self.routed = batch.next.min(end).max(self.routed);
        Ok(self.routed < self.stance.end(self.events.end()) && !batch.records.is_empty())
    }

    /// Retention has dropped what was to be routed next: the queues read on from where they are, and report the gap.
    fn fall_behind(&mut self) {
        let before = std::mem::replace(&mut self.routed, self.events.first());
        for id in self.slots.which(|slot| slot.live_line.live) {
            self.touch(id, |engine, slot| {
                let partition = Partition::of(slot.hook.id);
                let routed = engine.owned.routed(partition, engine.routed);
                let line = &mut slot.live_line;
                line.queue.skip_to(engine.owned.routed(partition, before));
                line.live = line.queue.next() >= routed;
                line.uncounted_until = line.uncounted_until.max(routed);
            });
        }
    }

    fn route(&mut self, record: &Record) -> Result<(), ReadError> {
        let Ok(event) = Event::decode(&record.payload) else {
            tracing::error!(offset = record.offset, "event record cannot be decoded; it is passed over");
            return Ok(());
        };
        let (Some(family), Some(id)) = (event.family, event.account) else { return Ok(()) };
        if event.quarantine.is_some() {
            return Ok(());
        }
        let awaited_by = self.owned.awaiting(record.offset);
        if awaited_by.is_empty() {
            return Ok(());
        }
        let Some(account) = self.state.account(id) else {
            let (offset, bytes) = (record.offset, record.payload.len() as u64);
            let event = HeldEvent { account: id, offset, bytes, awaited_by };
            self.unknown.hold(event, self.options.unknown, self.times());
            return Ok(());
        };
        // Earlier events of the account go first.
        self.adopt(id)?;
        if family == Family::Callflow {
            if awaited_by.contains(Partition::of(account.id.one_shot())) {
                let slot = self.one_shot_slot(account.id, record.offset);
                self.offer(slot, record, &event);
            }
            return Ok(());
        }
        for slot in self.wanting(&account, &event) {
            self.offer(slot, record, &event);
        }
        Ok(())
    }

    pub(super) fn wanting(&self, account: &Arc<Account>, event: &Event<'_>) -> Vec<SlotId> {
        let mut found = Vec::new();
        let families = kazoo::families_of(event);
        self.router.candidates(account, families, |id| {
            if self.slots.get(id).is_some_and(|slot| kazoo::wanted(&slot.hook, event)) {
                found.push(id);
            }
        });
        found
    }

    fn offer(&mut self, id: SlotId, record: &Record, event: &Event<'_>) {
        self.touch(id, |engine, slot| {
            let open = slot.open();
            if record.offset < slot.hook.start_offset.max(engine.owned.begin(Partition::of(slot.hook.id))) {
                return;
            }
            let line = &mut slot.live_line;
            if record.offset >= line.uncounted_until {
                line.waiting += 1;
            }
            if !line.live {
                return;
            }
            line.queue.skip_to(record.offset);
            if Slot::room(open, &line.queue) == 0 {
                line.live = false;
                return;
            }
            let keep = open && keeps(line, engine.budget.is_scarce());
            let kept = if keep { engine.budget.keep(&record.payload) } else { None };
            let taken = line.queue.take(record.offset, subject_hash(event), kept);
            line.live = taken != Taken::Full;
        });
    }
}
