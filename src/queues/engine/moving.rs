//! What an engine owns changes while it works: it gives partitions up, or takes some from the ledger.
//!
//! Given up: nothing of them is started any more; when all that is under way has ended, a checkpoint of them is written,
//! and once it is on disk nothing of them is left here. Taken: what the ledger says of them, up to its end, is put back
//! as at a start, and the log is routed to them from where they were given up. In between nobody owns them, so each
//! delivery has one owner at a time.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Engine;
use super::leaving::Leaving;
use super::slots::SlotId;
use crate::model::{Hook, QueueKey};
use crate::queues::ledger::recover::Recovered;
use crate::queues::rules::partitions::{Partition, Partitions};

impl Engine {
    /// Begins to give partitions up; answered when a checkpoint of them is on disk and nothing of them is left here.
    pub(super) fn lose(&mut self, set: Partitions, answer: oneshot::Sender<()>) {
        let set = set.within(self.owned.set());
        for id in self.slots_of(set) {
            self.touch(id, |_, slot| slot.leaving = true);
        }
        self.leaving.push(Leaving { set, answer, written: None });
    }

    /// Whether a partition is being given up.
    pub(super) fn is_leaving(&self, partition: Partition) -> bool {
        self.leaving.iter().any(|leaving| leaving.set.contains(partition))
    }

    /// Goes on giving up partitions, as far as that is possible now.
    pub(super) fn leave(&mut self) {
        for mut leaving in std::mem::take(&mut self.leaving) {
            if leaving.written.is_none() && !self.ledger.stalled() && self.is_idle(leaving.set) {
                self.checkpoint(leaving.set);
                self.drop_all(leaving.set);
                leaving.written = Some(self.ledger.mark());
            }
            match leaving.written {
                Some(mark) if self.ledger.has_synced(mark) => {
                    // The caller may no longer wait for it.
                    let _gone = leaving.answer.send(()).is_err();
                }
                _ => self.leaving.push(leaving),
            }
        }
    }

    /// Whether nothing of these partitions is under way.
    fn is_idle(&self, set: Partitions) -> bool {
        let mut of_set = self.slots.iter().filter(|(_, slot)| set.contains(Partition::of(slot.hook.id)));
        of_set.all(|(_, slot)| slot.is_idle())
    }

    /// Forgets all queues of these partitions.
    fn drop_all(&mut self, set: Partitions) {
        for id in self.slots_of(set) {
            self.touch(id, |engine, slot| {
                engine.router.remove(&slot.hook, id);
                slot.gone = true;
            });
        }
        self.owned.lose(set);
        self.recovered.forget(set);
        self.ended_replays.retain(|image| !image.partition.is_some_and(|of| set.contains(of)));
        self.unknown.lose(set);
    }

    fn slots_of(&self, set: Partitions) -> Vec<SlotId> {
        self.slots.which(|slot| set.contains(Partition::of(slot.hook.id)))
    }

    /// Takes partitions that nobody owns, with what the ledger says of them up to its end. Their replays are begun by the
    /// caller, as at a start.
    pub(super) fn gain(&mut self, set: Partitions, mut recovered: Recovered) {
        let set = set.without(self.owned.set());
        // Older changes than what the state is read with below would undo it.
        while let Ok(change) = self.changes.try_recv() {
            self.change(change);
        }
        let recovered = recovered.take_out(set, |id| self.state.hook_of_replay(id));
        let first = self.events.first();
        let begin = |partition| recovered.routed(partition).unwrap_or(first).max(first);
        self.owned.gain(set, self.routed, begin);
        if let Some(earliest) = set.iter().map(begin).min() {
            self.routed = self.routed.min(earliest);
        }
        let (limits, times) = (self.options.unknown, self.times());
        for event in recovered.held.values() {
            self.unknown.hold(*event, limits, times);
        }
        self.adopt_due = true;
        let one_shots = recovered.one_shots();
        self.recovered.extend(set, recovered);
        let mut hooks: Vec<Arc<Hook>> = self.state.hooks();
        hooks.retain(|hook| {
            set.contains(Partition::of(hook.id)) && self.slots.owner(QueueKey::of(hook)).is_none()
        });
        for hook in &hooks {
            self.add_hook(hook);
        }
        self.restore_one_shots(one_shots);
    }
}
