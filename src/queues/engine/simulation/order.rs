//! The invariants of the order of deliveries within a lane.

use super::hold;
use super::recorded::{Ended, Unsynced};
use super::world::World;
use crate::model::{EventOffset, Job, JobKey, Ordering, QueueId, QueueKey};
use crate::queues::Outcome;

impl World {
    /// Within a lane, one delivery is under way at a time, none overtakes another, and none follows the delivery of a later
    /// event.
    pub(super) fn check_lane(&mut self, job: &Job, unsynced: &Unsynced) {
        let (key, queue, offset) = (job.key, job.key.queue.id(), job.key.offset);
        let Some((ordering, from)) = self.ordering(key.queue) else { return };
        if ordering == Ordering::None || offset < from {
            return;
        }
        let lane = |other: EventOffset| {
            other >= from && (ordering == Ordering::Hook || self.oracle.same_subject(other, offset))
        };
        let others = self.flights.iter().filter(|flight| flight.key.queue == key.queue);
        let beside = others.map(|flight| flight.key.offset).find(|other| lane(*other));
        hold(beside.is_none(), "at most one delivery of a lane is under way", || {
            format!("queue {queue}: {offset} beside {beside:?}")
        });
        // An event that waited for its account keeps its order only among the events of that account.
        let waited = |other: EventOffset| ordering == Ordering::Hook && self.oracle.is_late(other);
        if waited(offset) {
            return;
        }
        let lane = |other: EventOffset| lane(other) && !waited(other);
        let ahead = self.unsettled_before(key, from, unsynced).find(|other| lane(*other));
        hold(ahead.is_none(), "no delivery overtakes another of its lane", || {
            format!("queue {queue}: {offset} before {ahead:?}")
        });
        let is_due = self.oracle.due.get(&queue).is_some_and(|due| due.contains(&offset));
        // A delivery that the ledger forgot in a crash is repeated, also one that was dead.
        let is_repeated =
            self.received.contains(&(queue, offset)) || self.oracle.ended_unrecorded(queue, offset);
        let later = self.delivered_after(key, unsynced).find(|other| lane(*other));
        hold(
            later.is_none() || !is_due || is_repeated,
            "nothing is tried after a later delivery of its lane",
            || format!("queue {queue}: {offset} after {later:?}"),
        );
    }

    /// What a queue has to deliver before an offset, and is neither settled nor set aside as suspect.
    fn unsettled_before<'a>(
        &'a self,
        key: JobKey,
        from: EventOffset,
        unsynced: &'a Unsynced,
    ) -> impl Iterator<Item = EventOffset> + 'a {
        let (queue, offset) = (key.queue.id(), key.offset);
        let from = from.max(self.life.events.reader.first()).min(offset);
        let course = self.oracle.course(queue);
        let last = move |other: EventOffset| {
            let on_disk = || course.and_then(|course| course.last.get(&other));
            unsynced.last.get(&(queue, other)).or_else(on_disk).copied()
        };
        let due = self.oracle.due.get(&queue).into_iter().flat_map(move |due| due.range(from..offset));
        due.copied().filter(move |other| {
            self.ended(queue, *other, unsynced).is_none()
                && !self.oracle.ended_unrecorded(queue, *other)
                && last(*other) != Some(Outcome::Suspect)
        })
    }

    /// What has been delivered to a queue behind an offset.
    fn delivered_after<'a>(
        &'a self,
        key: JobKey,
        unsynced: &'a Unsynced,
    ) -> impl Iterator<Item = EventOffset> + 'a {
        let (queue, behind) = (key.queue.id(), key.offset + 1);
        let course = self.oracle.course(queue).into_iter();
        let on_disk =
            course.flat_map(move |course| course.settled.range(behind..)).map(|(at, how)| (*at, *how));
        let in_memory = unsynced
            .ended
            .range((queue, behind)..(queue, EventOffset::MAX))
            .map(|((_, at), how)| (*at, *how));
        on_disk.chain(in_memory).filter(|(_, how)| *how == Ended::Delivered).map(|(at, _)| at)
    }

    /// How a queue's deliveries are ordered, and from which offset on that can be told.
    fn ordering(&mut self, queue: QueueKey) -> Option<(Ordering, EventOffset)> {
        let (_, slot) = self.life.slot_with(queue)?;
        let birth = slot.hook().birth.events;
        let now = slot.lines().find(|line| line.key() == queue)?.queue().ordering();
        let end = self.life.events.reader.end();
        let known = self.order.get(&queue.id()).filter(|(known, _)| *known == now).copied();
        // The first that is seen of a queue has always been so; a change can be told only from new events on.
        let from =
            if self.order.contains_key(&queue.id()) || self.changed_order(queue.id()) { end } else { birth };
        Some(*self.order.entry(queue.id()).insert_entry(known.unwrap_or((now, from))).get())
    }

    pub(super) fn changed_order(&self, queue: QueueId) -> bool {
        let hook = self.replays.get(&queue.as_replay()).map_or(queue.as_hook(), |job| job.hook);
        self.oracle.has_changed_order(hook)
    }
}
