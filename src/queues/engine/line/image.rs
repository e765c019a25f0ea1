//! A line as a checkpoint holds it, and back from there.

use std::time::Duration;

use super::Line;
use crate::model::{EventOffset, Hook, Moment, Ordering, QueueKey};
use crate::queues::ledger::record::QueueImage;
use crate::queues::ledger::recovered_queue::RecoveredQueue;
use crate::queues::queue::Queue;
use crate::queues::queue::lane::ONE_LANE;
use crate::queues::queue::window::WindowLimits;
use crate::queues::rules::fate::Totals;
use crate::queues::rules::partitions::Partition;
use crate::queues::rules::replay::ReplayRun;

/// What a line is restored from.
#[derive(Debug, Clone, Copy)]
pub(in crate::queues::engine) struct Origin<'a> {
    /// The bounds of its queue.
    pub(in crate::queues::engine) limits: WindowLimits,
    /// Its hook.
    pub(in crate::queues::engine) hook: &'a Hook,
    /// What the ledger says, if it names the queue.
    pub(in crate::queues::engine) recovered: Option<&'a RecoveredQueue>,
    /// Where the queue begins if no checkpoint has its position.
    pub(in crate::queues::engine) start: EventOffset,
    /// The present moment and the longest delay of a retry: nothing that an earlier run recorded is due later.
    pub(in crate::queues::engine) now: Moment,
    pub(in crate::queues::engine) longest_delay: Duration,
}

impl Origin<'_> {
    /// Whether a checkpoint has the queue's position.
    fn is_placed(&self) -> bool {
        self.recovered.is_some_and(|recovered| recovered.placed)
    }

    fn line(self, key: QueueKey) -> Line {
        let Self { limits, hook, recovered, start, now, longest_delay } = self;
        let next = recovered.filter(|recovered| recovered.placed).map_or(start, |r| r.image.next);
        // The hook's ordering may have changed after the checkpoint. The rest of a lane can be found in the log only by the
        // lane's old key, and only lanes of subjects have rests: so the change waits until it is read, as without a restart.
        let has_spilled = recovered.is_some_and(|recovered| !recovered.image.spilled.is_empty());
        // The same holds for deliveries that the hook's one lane still has (`Queue::reorder`).
        let has_one_lane = recovered.is_some_and(|recovered| {
            let entries = &recovered.image.entries;
            !entries.is_empty() && entries.iter().all(|(_, lane, _)| *lane == ONE_LANE)
        });
        let ordering = match hook.ordering {
            _ if has_spilled => Ordering::Subject,
            Ordering::Subject if has_one_lane => Ordering::Hook,
            ordering => ordering,
        };
        let mut line = Line::new(key, Queue::new(limits, ordering, next));
        let Some(RecoveredQueue { image, .. }) = recovered else { return line };
        let mut entries = image.entries.clone();
        entries.sort_unstable_by_key(|(offset, _, _)| *offset);
        for (offset, lane, past) in entries {
            let lane = if ordering == Ordering::Subject { lane } else { line.queue.lane_of(offset, lane.0) };
            line.queue.restore(offset, lane, past.at(now, longest_delay));
        }
        for (lane, from) in &image.spilled {
            line.queue.restore_spilled(*lane, *from);
        }
        line.queue.restore_settled(image.settled.iter().copied());
        let past = image.past.iter().map(|(offset, past)| (*offset, past.at(now, longest_delay)));
        line.queue.restore_past(past);
        line.waiting = image.waiting;
        line.uncounted_until = image.uncounted_until;
        line.totals = image.totals;
        line
    }
}

impl Line {
    /// The live line of a hook. Everything below `routed` has been routed already, or soon will be.
    pub(in crate::queues::engine) fn live(origin: Origin<'_>, routed: EventOffset) -> Self {
        let start = origin.hook.start_offset;
        let mut line = origin.line(QueueKey::of(origin.hook));
        line.queue.raise_floor(start);
        line.uncounted_until = if origin.is_placed() {
            line.uncounted_until.max(start)
        } else {
            // The router does not count these events any more: they are counted when they are read.
            routed.max(line.queue.next())
        };
        line
    }

    /// The line of a replay; `origin.start` is not used.
    pub(in crate::queues::engine) fn of_replay(origin: Origin<'_>, run: ReplayRun) -> Self {
        let from = run.job.from;
        let mut line = Origin { start: from, ..origin }.line(QueueKey::Replay(run.job.id));
        line.queue.skip_to(from);
        line.uncounted_until = run.job.until;
        line.replay = Some(Box::new(run));
        line
    }

    /// Whether a restart could not restore the queue without an image. Without one, a queue is assumed to have looked at
    /// everything that was routed, with nothing unsettled.
    pub(in crate::queues::engine) fn needs_image(&self) -> bool {
        let is_behind = self.replay.is_some() || !self.live || self.queue.has_spilled();
        let has_been_tried = self.queue.past().next().is_some();
        is_behind || !self.queue.is_empty() || self.totals != Totals::default() || has_been_tried
    }

    /// The image for a checkpoint, without the hook's failures. Everything below `routed` has been routed.
    pub(in crate::queues::engine) fn image(&self, hook: &Hook, routed: EventOffset) -> QueueImage {
        let queue = &self.queue;
        QueueImage {
            queue: self.key.id(),
            partition: Some(Partition::of(hook.id)),
            one_shot: hook.one_shot.then_some(hook.account),
            next: if self.live { queue.next().max(routed) } else { queue.next() },
            waiting: self.waiting,
            uncounted_until: self.uncounted_until,
            totals: self.totals,
            entries: queue.unsettled().collect(),
            spilled: queue.spilled_lanes().collect(),
            settled: queue.settled().collect(),
            failures: Vec::new(),
            past: queue.past().collect(),
        }
    }
}
