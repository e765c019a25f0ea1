//! What an engine owns changes while it works: it gives partitions up, or takes some from the ledger.
//!
//! Given up: nothing of them is started any more; when all that is under way has ended, a checkpoint of them is written,
//! and once it is on disk nothing of them is left here. Taken: what the ledger says of them, up to its end, is put back
//! as at a start, and the log is routed to them from where they were given up. In between nobody owns them, so each
//! delivery has one owner at a time.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Engine;
use crate::model::{Hook, QueueKey};
use crate::queues::ledger::recover::Recovered;
use crate::queues::rules::partitions::{Partition, Partitions};

/// Partitions that are given up.
#[derive(Debug)]
pub(super) struct Leaving {
    set: Partitions,
    answer: oneshot::Sender<()>,
    /// The ledger's records that have to be on disk, once their checkpoint has been written.
    written: Option<u64>,
}

impl Engine {
    /// Begins to give partitions up; answered when a checkpoint of them is on disk and nothing of them is left here.
    pub(super) fn lose(&mut self, set: Partitions, answer: oneshot::Sender<()>) {
        let set = set.within(self.owned.set());
        for at in self.slots_of(set) {
            if let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) {
                slot.leaving = true;
            }
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
        self.slots_of(set).into_iter().all(|at| {
            let slot = self.slots.get(at).and_then(Option::as_ref);
            slot.is_none_or(|slot| slot.claim.held() == 0 && !slot.lines.iter().any(|line| line.reading))
        })
    }

    /// Forgets all queues of these partitions.
    fn drop_all(&mut self, set: Partitions) {
        for at in self.slots_of(set) {
            if let Some(slot) = self.slots.get_mut(at).and_then(Option::as_mut) {
                self.router.remove(&slot.hook, at);
                slot.gone = true;
            }
            self.drop_if_gone(at);
        }
        self.owned.lose(set);
        self.recovered.forget(set);
        self.ended_replays.retain(|image| !image.partition.is_some_and(|of| set.contains(of)));
        self.unknown.lose(set);
    }

    fn slots_of(&self, set: Partitions) -> Vec<usize> {
        let of_set = |(at, slot): (usize, &Option<super::slot::Slot>)| {
            let partition = Partition::of(slot.as_ref()?.hook.id);
            set.contains(partition).then_some(at)
        };
        self.slots.iter().enumerate().filter_map(of_set).collect()
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
            set.contains(Partition::of(hook.id)) && !self.owner.contains_key(&QueueKey::of(hook))
        });
        for hook in &hooks {
            self.add_hook(hook);
        }
        self.restore_one_shots(one_shots);
    }
}
