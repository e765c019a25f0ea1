//! Where every queue stands, for the ledger: only what differs from "has looked at all that was routed".

use super::Engine;
use super::slot::{Line, Slot};
use crate::queues::ledger::record::{HeldEvent, QueueImage};
use crate::queues::ledger::recover::RecoveredQueue;
use crate::queues::ledger::writer::Checkpoint;
use crate::queues::rules::fate::Totals;
use crate::queues::rules::partitions::{Partition, Partitions};

impl Engine {
    /// Forgets the replays that have ended in their documents too.
    pub(super) fn forget_ended_replays(&mut self) {
        let state = &self.state;
        self.ended_replays.retain(|image| state.runs_replay(image.queue));
    }

    /// Writes down where the queues of some partitions stand: one checkpoint for all whose events have been routed equally
    /// far.
    pub(super) fn checkpoint(&mut self, partitions: Partitions) {
        self.forget_ended_replays();
        let time_us = self.clock.now_us();
        let (held, mut rest) = (self.unknown.image(), self.images());
        for (router, of_place) in self.owned.by_place(self.routed) {
            let covers = of_place.within(partitions);
            if covers.is_empty() {
                continue;
            }
            let is_covered = |image: &QueueImage| image.partition.is_some_and(|of| covers.contains(of));
            let images = rest.extract_if(.., |image| is_covered(image)).collect();
            let held = held.iter().filter_map(|event| {
                let awaited_by = event.awaited_by.within(covers);
                (!awaited_by.is_empty()).then_some(HeldEvent { awaited_by, ..*event })
            });
            self.ledger.checkpoint(Checkpoint { covers, router, held: held.collect(), images }, time_us);
        }
    }

    /// One image for each queue that a restart could not place by itself.
    pub(super) fn images(&self) -> Vec<QueueImage> {
        let slots = self.slots.iter().map(|(_, slot)| slot).filter(|slot| !slot.gone);
        let known = slots.flat_map(|slot| {
            slot.lines().filter_map(move |line| {
                let queue = &line.queue;
                let is_behind = line.replay.is_some() || !line.live || queue.has_spilled();
                let counted = line.totals != Totals::default() || slot.health.failures().len() > 0;
                let tried = queue.past().next().is_some();
                (is_behind || !queue.is_empty() || counted || tried).then(|| self.image(slot, line))
            })
        });
        // Queues whose hooks have not come back yet (one-shot queues, replays of the time before).
        let unclaimed = self.recovered.queues.values().filter_map(|queue| self.unclaimed(queue));
        known.chain(unclaimed).chain(self.ended_replays.iter().cloned()).collect()
    }

    /// A queue that may come back. Those of deleted hooks and ended replays are forgotten.
    fn unclaimed(&self, queue: &RecoveredQueue) -> Option<QueueImage> {
        let image = &queue.image;
        let runs = self.state.runs_replay(image.queue);
        if queue.placed {
            let is_there = |account| self.state.account(account).is_some();
            return (image.one_shot.is_some_and(is_there) || runs).then(|| image.clone());
        }
        // Begun after the last checkpoint: what has been settled since must not be forgotten with this one.
        if runs {
            // A replay begins at its own start.
            return Some(image.clone());
        }
        let account = self.state.account(image.queue.one_shot())?;
        let router = self.recovered.routed(Partition::of(image.queue)).unwrap_or(0);
        Some(QueueImage {
            one_shot: Some(account.id),
            next: router,
            uncounted_until: router,
            ..image.clone()
        })
    }

    /// A line of a slot as a checkpoint holds it.
    pub(super) fn image(&self, slot: &Slot, line: &Line) -> QueueImage {
        let queue = &line.queue;
        let mut image = QueueImage {
            queue: line.key.id(),
            partition: Some(Partition::of(slot.hook.id)),
            one_shot: slot.hook.one_shot.then_some(slot.hook.account),
            next: if line.live { queue.next().max(self.routed_to(slot.hook.id)) } else { queue.next() },
            waiting: line.waiting,
            uncounted_until: line.uncounted_until,
            totals: line.totals,
            ..QueueImage::default()
        };
        image.entries = queue.unsettled().collect();
        image.spilled = queue.spilled_lanes().collect();
        image.past = queue.past().collect();
        image.settled = queue.settled().collect();
        if line.replay.is_none() {
            image.failures = slot.health.failures().collect();
        }
        image
    }
}
