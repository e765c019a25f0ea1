//! Partitions that an engine gives up: how far each set of them is on its way out.

use tokio::sync::oneshot;

use crate::queues::rules::partitions::{Partition, Partitions};

/// All sets of partitions that are being given up.
#[derive(Debug, Default)]
pub(super) struct Leaving(Vec<Leave>);

#[derive(Debug)]
struct Leave {
    set: Partitions,
    /// Answered when a checkpoint of the set is on disk.
    answer: oneshot::Sender<()>,
    /// The ledger's mark behind the checkpoint of the set. `None`: attempts or reads of the set are still under way.
    checkpoint: Option<u64>,
}

impl Leaving {
    /// Whether nothing is being given up.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a partition is being given up.
    pub(super) fn contains(&self, partition: Partition) -> bool {
        self.0.iter().any(|leave| leave.set.contains(partition))
    }

    /// Begins to give up a set, which is answered at its end.
    pub(super) fn begin(&mut self, set: Partitions, answer: oneshot::Sender<()>) {
        self.0.push(Leave { set, answer, checkpoint: None });
    }

    /// The sets whose checkpoint has not been written.
    pub(super) fn without_checkpoint(&self) -> Vec<Partitions> {
        self.0.iter().filter(|leave| leave.checkpoint.is_none()).map(|leave| leave.set).collect()
    }

    /// The checkpoint of a set has been written, and ends before this mark of the ledger.
    pub(super) fn written(&mut self, set: Partitions, mark: u64) {
        for leave in self.0.iter_mut().filter(|leave| leave.set == set) {
            leave.checkpoint = leave.checkpoint.or(Some(mark));
        }
    }

    /// Answers for the sets whose checkpoint is on disk.
    pub(super) fn answer(&mut self, is_synced: impl Fn(u64) -> bool) {
        for leave in self.0.extract_if(.., |leave| leave.checkpoint.is_some_and(&is_synced)) {
            // A caller that no longer waits misses nothing: the partitions are in the ledger.
            let _gone = leave.answer.send(()).is_err();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_is_given_up_only_when_its_checkpoint_is_on_disk() {
        let mut leaving = Leaving::default();
        let (one, two) = (Partitions::share(0, 2), Partitions::share(1, 2));
        let (answer_one, mut one_left) = oneshot::channel();
        let (answer_two, mut two_left) = oneshot::channel();
        leaving.begin(one, answer_one);
        leaving.begin(two, answer_two);
        leaving.written(one, 7);
        assert_eq!(leaving.without_checkpoint(), [two]);
        leaving.answer(|mark| mark < 7);
        assert!(one_left.try_recv().is_err(), "its checkpoint may be lost in a crash");
        leaving.answer(|mark| mark <= 7);
        assert!(one_left.try_recv().is_ok() && two_left.try_recv().is_err());
        assert!(leaving.without_checkpoint() == [two] && !leaving.is_empty());
    }
}
