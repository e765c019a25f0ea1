//! Queues that the ledger knows and that have no slot here. Checkpoints continue to name them, so that their settlements are
//! not forgotten.
//!
//! Some have no slot yet: callflow webhooks before their next event, and replays that have not been resumed. Others have none
//! any more: replays that have ended while their documents still say that they run. Without their images these would start
//! from the beginning after a restart.

use super::directory::Directory;
use crate::model::{AccountId, EventOffset, Hook, ReplayId};
use crate::queues::ledger::record::{HeldEvent, QueueImage};
use crate::queues::ledger::recover::Recovered;
use crate::queues::ledger::recovered_queue::RecoveredQueue;
use crate::queues::rules::partitions::{Partition, Partitions};

/// Queues without a slot.
#[derive(Debug)]
pub(super) struct Unclaimed {
    recovered: Recovered,
    ended_replays: Vec<QueueImage>,
}

impl Unclaimed {
    /// What the ledger says of the time before the start.
    pub(super) fn new(recovered: Recovered) -> Self {
        Self { recovered, ended_replays: Vec::new() }
    }

    /// Takes the events that waited for their accounts.
    pub(super) fn take_held(&mut self) -> impl Iterator<Item = HeldEvent> + use<> {
        std::mem::take(&mut self.recovered.held).into_values()
    }

    /// The accounts of which a checkpoint names a queue of callflow webhooks.
    pub(super) fn one_shots(&self) -> Vec<AccountId> {
        self.recovered.one_shots()
    }

    /// Where a hook's live queue begins if no checkpoint has its position; the log begins at `first`.
    pub(super) fn start_of(&self, hook: &Hook, first: EventOffset) -> EventOffset {
        match self.recovered.routed(Partition::of(hook.id)) {
            // The hook is missing in the checkpoint because it did not exist then, and not because everything was settled.
            Some(routed) if self.recovered.is_newer(hook) => routed.min(hook.start_offset),
            Some(routed) => routed,
            // Nothing was settled that the ledger does not name. What retention has dropped since then is reported as a gap
            // when the queue is read on.
            None if self.recovered.is_whole && !hook.one_shot => EventOffset::FIRST,
            None => first,
        }
    }

    /// Takes out what the ledger says of a hook's live queue. A queue of callflow webhooks belongs to its account, never to a
    /// hook whose id happens to be the same.
    pub(super) fn claim(&mut self, hook: &Hook) -> Option<RecoveredQueue> {
        let owner = hook.one_shot.then_some(hook.account);
        self.recovered.remember(hook);
        let queue = self.recovered.queues.get(&hook.id.into())?;
        let is_own = queue.image.one_shot.is_none_or(|account| Some(account) == owner);
        if is_own { self.recovered.queues.remove(&hook.id.into()) } else { None }
    }

    /// Takes out what the ledger says of a replay.
    pub(super) fn claim_replay(&mut self, replay: ReplayId) -> Option<RecoveredQueue> {
        self.recovered.queues.remove(&replay.into())
    }

    /// A replay has ended.
    pub(super) fn add_ended_replay(&mut self, image: QueueImage) {
        self.ended_replays.push(image);
    }

    /// Forgets the replays whose documents say that they have ended.
    pub(super) fn forget_ended(&mut self, directory: &dyn Directory) {
        self.ended_replays.retain(|image| directory.runs_replay(image.queue.as_replay()));
    }

    /// The images for a checkpoint. Queues of deleted accounts and of ended replays are left out.
    pub(super) fn images(&self, directory: &dyn Directory) -> impl Iterator<Item = QueueImage> {
        let recovered = self.recovered.queues.values().filter_map(|queue| self.image(queue, directory));
        recovered.chain(self.ended_replays.iter().cloned())
    }

    fn image(&self, queue: &RecoveredQueue, directory: &dyn Directory) -> Option<QueueImage> {
        let image = &queue.image;
        let runs = directory.runs_replay(image.queue.as_replay());
        if queue.placed {
            let exists = |account| directory.account(account).is_some();
            return (image.one_shot.is_some_and(exists) || runs).then(|| image.clone());
        }
        // It began after the last checkpoint, and what has been settled since then must not be forgotten with the next one.
        // A replay begins at its own start, so its position is not needed.
        if runs {
            return Some(image.clone());
        }
        let account = directory.account(image.queue.as_one_shot())?;
        // A queue of callflow webhooks. Its settlements lie at or above its partition's last checkpoint, so that is where it begins.
        let router = self.recovered.routed(Partition::of(image.queue.as_hook())).unwrap_or_default();
        Some(QueueImage {
            one_shot: Some(account.id),
            next: router,
            uncounted_until: router,
            ..image.clone()
        })
    }

    /// Adds what the ledger says of partitions that the engine has gained.
    pub(super) fn gain(&mut self, set: Partitions, recovered: Recovered) {
        self.recovered.extend(set, recovered);
    }

    /// Forgets partitions that the engine has lost.
    pub(super) fn lose(&mut self, set: Partitions) {
        self.recovered.forget(set);
        self.ended_replays.retain(|image| !image.partition.is_some_and(|of| set.contains(of)));
    }

    /// What the ledger says of queues without a slot.
    #[cfg(test)]
    pub(super) fn queues(&self) -> impl Iterator<Item = &RecoveredQueue> {
        self.recovered.queues.values()
    }
}
