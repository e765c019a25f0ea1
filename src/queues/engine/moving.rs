//! Partitions move while the engine works: it loses some, or gains others.
//!
//! To lose partitions, the engine starts nothing more of them. When all that is under way has ended, it writes a checkpoint of
//! them; once that is on disk, nothing of them is left here. To gain partitions, it takes what the ledger says of them up to
//! its end, as at a start, and routes the log to them from where they were given up. In between nobody owns them, so each
//! delivery has one owner at a time.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Engine;
use super::checkpoint;
use super::slots::SlotId;
use crate::model::{Hook, QueueKey};
use crate::queues::ledger::recover::Recovered;
use crate::queues::rules::partitions::{Partition, Partitions};

impl Engine {
    /// Begins to give partitions up. Answered when a checkpoint of them is on disk and nothing of them is left here.
    pub(super) fn lose(&mut self, set: Partitions, answer: oneshot::Sender<()>) {
        let set = set.within(self.desk.owned.set());
        for id in self.slots_of(set) {
            self.slots.touch(&mut self.desk, id, |_, slot| slot.leave());
        }
        self.leaving.begin(set, answer);
    }

    /// Continues to give partitions up, as far as that is possible now.
    pub(super) fn leave(&mut self) {
        for set in self.leaving.without_checkpoint() {
            // A stalled ledger takes no checkpoint.
            if !self.desk.ledger.stalled() && self.is_idle(set) {
                checkpoint::write(set, &self.slots, &self.unknown, &mut self.desk);
                self.drop_all(set);
                // The mark is behind the checkpoint, so the answer waits until the checkpoint itself is on disk.
                self.leaving.written(set, self.desk.ledger.mark());
            }
        }
        let ledger = &self.desk.ledger;
        self.leaving.answer(|mark| ledger.has_synced(mark));
    }

    /// Whether nothing of these partitions is under way.
    fn is_idle(&self, set: Partitions) -> bool {
        let mut of_set = self.slots.iter().filter(|(_, slot)| set.contains(slot.partition()));
        of_set.all(|(_, slot)| slot.is_idle())
    }

    /// Forgets all queues of these partitions.
    fn drop_all(&mut self, set: Partitions) {
        for id in self.slots_of(set) {
            let hook = self.slots.touch(&mut self.desk, id, |_, slot| {
                slot.let_go();
                Arc::clone(slot.hook())
            });
            if let Some(hook) = hook {
                self.router.remove(&hook, id);
            }
        }
        self.desk.owned.lose(set);
        self.desk.unclaimed.lose(set);
        self.unknown.lose(set);
    }

    fn slots_of(&self, set: Partitions) -> Vec<SlotId> {
        self.slots.which(|slot| set.contains(slot.partition()))
    }

    /// Takes partitions that nobody owns, with what the ledger says of them up to its end. The caller begins their replays
    /// again, as at a start, and has taken the changes that wait: the documents that are read here are newer, and such a change
    /// would undo them later.
    pub(super) fn gain(&mut self, set: Partitions, mut recovered: Recovered) {
        let set = set.without(self.desk.owned.set());
        let recovered = recovered.take_out(set, |id| self.desk.directory.hook_of_replay(id));
        let first = self.desk.events.first();
        // First of all, because a hook that is added asks how far events have been routed to its partition.
        self.desk.owned.gain(set, |partition| recovered.routed(partition).unwrap_or(first).max(first));
        let now = self.desk.time.both();
        for event in recovered.held.values() {
            self.unknown.hold(*event, self.desk.options.unknown, now);
        }
        self.adopt_due = true;
        let one_shots = recovered.one_shots();
        // Before the hooks are added, because each takes its queue out of these.
        self.desk.unclaimed.gain(set, recovered);
        let mut hooks: Vec<Arc<Hook>> = self.desk.directory.hooks();
        hooks.retain(|hook| {
            set.contains(Partition::of(hook.id)) && self.slots.owner(QueueKey::of(hook)).is_none()
        });
        for hook in &hooks {
            self.add_hook(hook);
        }
        self.restore_one_shots(one_shots);
    }
}
