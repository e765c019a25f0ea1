//! Where every queue stands, for the ledger: only what differs from "has looked at all that was routed".

use super::engine::Engine;
use super::entry::{EntryState, Past};
use super::record::QueueImage;
use super::slot::{Line, Slot};

impl Engine {
    /// One image for each queue that a restart could not place by itself.
    pub(super) fn images(&self) -> Vec<QueueImage> {
        let slots = self.slots.iter().flatten().filter(|slot| !slot.gone);
        let known = slots.flat_map(|slot| {
            slot.lines.iter().enumerate().filter_map(move |(at, line)| {
                let needed = at > 0 || !line.live || !line.queue.is_empty() || line.queue.has_spilled();
                let counted = line.totals != [0; 3] || slot.health.failures().len() > 0;
                let tried = !line.queue.past.is_empty();
                (needed || counted || tried).then(|| self.image(slot, at, line))
            })
        });
        // Queues whose hooks have not come back yet (one-shot queues, replays of the time before).
        let unclaimed = self.recovered.queues.values().filter(|q| q.placed && self.may_come_back(q));
        let unclaimed = unclaimed.map(|q| q.image.clone());
        known.chain(unclaimed).collect()
    }

    /// Queues of deleted hooks and ended replays are forgotten.
    fn may_come_back(&self, queue: &super::recover::RecoveredQueue) -> bool {
        queue.image.one_shot.is_some() || self.state.runs_replay(queue.image.queue)
    }

    fn image(&self, slot: &Slot, at: usize, line: &Line) -> QueueImage {
        let queue = &line.queue;
        let mut image = QueueImage {
            queue: line.key.id(),
            one_shot: slot.hook.one_shot.then_some(slot.hook.account),
            next: if line.live { queue.next().max(self.routed) } else { queue.next() },
            waiting: line.waiting,
            uncounted_until: line.uncounted_until,
            totals: line.totals,
            ..QueueImage::default()
        };
        for (offset, entry) in &queue.entries {
            let suspect = u16::from(matches!(entry.state, EntryState::Suspect { .. }));
            let past = Past {
                attempts: entry.attempts,
                tries: entry.tries.saturating_sub(suspect),
                due_us: queue.due_of(*offset, entry),
                first_failed_us: entry.first_failed_us,
            };
            image.entries.push((*offset, entry.lane, past));
        }
        image.spilled = queue.lanes.iter().filter_map(|(key, lane)| Some((*key, lane.spilled?))).collect();
        image.past = queue.past.iter().map(|(offset, past)| (*offset, *past)).collect();
        image.settled = queue.settled.iter().copied().collect();
        if at == 0 {
            image.failures = slot.health.failures().collect();
        }
        image
    }
}
