//! Routing: every event of the log goes once to the queues of the hooks that want it.

use std::sync::Arc;

use super::Engine;
use super::line::Routed;
use super::slots::SlotId;
use crate::kazoo;
use crate::log::{ReadError, Record};
use crate::model::{Account, Event, EventOffset, Family};
use crate::queues::ledger::record::HeldEvent;
use crate::queues::rules::partitions::Partition;
use crate::queues::rules::router::subject_hash;

const READ_BYTES: usize = 1 << 20;

impl Engine {
    /// Routes up to `max` events. Returns whether there are more.
    pub(super) fn route_some(&mut self, max: usize) -> Result<bool, ReadError> {
        // An account may have become known without a later event of its own, so its events are not left to
        // `route`.
        self.adopt_known()?;
        let (routed, end) = (self.desk.owned.routed(), self.stance.end(self.desk.events.end()));
        if routed >= end {
            return Ok(false);
        }
        let first = self.desk.events.first();
        if routed < first {
            self.fall_behind(routed, first);
        }
        let from = routed.max(first);
        let most = max.min(usize::try_from(end.since(from)).unwrap_or(max));
        let batch = self.desk.events.read(from, most, READ_BYTES)?;
        // The changes come after the read and before routing: a change that was answered before one of these events was
        // handed in is in the channel by now, so it applies to the event.
        self.take_changes();
        for record in batch.records.iter().filter(|record| record.offset < end) {
            self.route(record)?;
        }
        self.desk.owned.route_to(batch.next.min(end));
        Ok(self.desk.owned.routed() < self.stance.end(self.desk.events.end()) && !batch.records.is_empty())
    }

    /// Retention has dropped the events from `before` to `first`, which were to be routed next. The live queues read on from
    /// where they are, and report the gap.
    fn fall_behind(&mut self, before: EventOffset, first: EventOffset) {
        self.desk.owned.route_to(first);
        for id in self.slots.which(|slot| slot.live_line().is_live()) {
            self.slots.touch(&mut self.desk, id, |desk, slot| {
                let partition = slot.partition();
                // What the partition had had before this engine owned it is no gap.
                let before = before.max(desk.owned.begin(partition));
                slot.fall_behind(before, desk.owned.routed_to(partition));
            });
        }
    }

    fn route(&mut self, record: &Record<EventOffset>) -> Result<(), ReadError> {
        let Ok(event) = Event::decode(&record.payload) else {
            tracing::error!(offset = record.offset.0, "event record cannot be decoded and is skipped");
            return Ok(());
        };
        let (Some(family), Some(id)) = (event.family, event.account) else { return Ok(()) };
        if event.quarantine.is_some() {
            return Ok(());
        }
        let awaited_by = self.desk.owned.awaiting(record.offset);
        if awaited_by.is_empty() {
            return Ok(());
        }
        let Some(account) = self.desk.directory.account(id) else {
            let (offset, bytes) = (record.offset, record.payload.len() as u64);
            let event = HeldEvent { account: id, offset, bytes, awaited_by };
            self.unknown.hold(event, self.desk.options.unknown, self.desk.time.both());
            return Ok(());
        };
        // Earlier events of the account go first.
        self.adopt(id)?;
        if family == Family::Callflow {
            if awaited_by.contains(Partition::of(account.id.one_shot())) {
                let slot = self.one_shot_slot(account.id, record.offset);
                self.offer(&[slot], record, &event);
            }
            return Ok(());
        }
        let slots = self.wanting(&account, &event);
        self.offer(&slots, record, &event);
        Ok(())
    }

    /// The slots of all hooks that want an event.
    pub(super) fn wanting(&self, account: &Arc<Account>, event: &Event<'_>) -> Vec<SlotId> {
        let mut found = Vec::new();
        let families = kazoo::families_of(event);
        self.router.candidates(account, families, |id| {
            if self.slots.get(id).is_some_and(|slot| kazoo::wanted(slot.hook(), event)) {
                found.push(id);
            }
        });
        found
    }

    fn offer(&mut self, slots: &[SlotId], record: &Record<EventOffset>, event: &Event<'_>) {
        if slots.is_empty() {
            return;
        }
        let event = Routed { offset: record.offset, subject: subject_hash(event), record: &record.payload };
        for id in slots {
            self.slots.touch(&mut self.desk, *id, |desk, slot| {
                slot.offer(&event, desk.owned.begin(slot.partition()), &desk.budget);
            });
        }
    }
}
