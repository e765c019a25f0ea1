//! What this engine owns: its partitions, and from which place of the log on it routes for each of them. Pure.
//!
//! The engine reads the log once for all of its partitions. A partition whose last checkpoint is later than another's, or
//! that was there when another one was gained, has had the events before its beginning already: they pass it by.

use crate::queues::rules::partitions::{COUNT, Partition, Partitions};

/// The partitions of one engine.
#[derive(Debug)]
pub(super) struct Owned {
    set: Partitions,
    /// By partition: events below this offset have been routed to its queues before.
    begins: Box<[u64; COUNT]>,
    /// The latest of these.
    latest: u64,
}

impl Owned {
    /// These partitions, each with its beginning.
    pub(super) fn new(set: Partitions, begin: impl Fn(Partition) -> u64) -> Self {
        let mut owned = Self { set: Partitions::NONE, begins: Box::new([0; COUNT]), latest: 0 };
        owned.add(set, begin);
        owned
    }

    /// All of them.
    pub(super) fn set(&self) -> Partitions {
        self.set
    }

    /// Whether a partition is one of them.
    pub(super) fn contains(&self, partition: Partition) -> bool {
        self.set.contains(partition)
    }

    /// From which offset on events are routed to the queues of a partition.
    pub(super) fn begin(&self, partition: Partition) -> u64 {
        self.begins.get(partition.index()).copied().unwrap_or(0)
    }

    /// Where the first of them begins; `None`: there are none.
    pub(super) fn earliest(&self) -> Option<u64> {
        self.set.iter().map(|partition| self.begin(partition)).min()
    }

    /// Those to whose queues an event at this offset is routed.
    pub(super) fn awaiting(&self, offset: u64) -> Partitions {
        if offset >= self.latest {
            return self.set;
        }
        self.set.iter().filter(|partition| self.begin(*partition) <= offset).collect()
    }

    /// How far events have been routed to the queues of a partition, when the engine has read the log up to `router`.
    pub(super) fn routed(&self, partition: Partition, router: u64) -> u64 {
        router.max(self.begin(partition))
    }

    /// The partitions by how far events have been routed to them.
    pub(super) fn by_place(&self, router: u64) -> Vec<(u64, Partitions)> {
        if router >= self.latest {
            return if self.set.is_empty() { Vec::new() } else { vec![(router, self.set)] };
        }
        let mut groups: Vec<(u64, Partitions)> = Vec::new();
        for partition in self.set.iter() {
            let routed = self.routed(partition, router);
            match groups.iter_mut().find(|(place, _)| *place == routed) {
                Some((_, of_place)) => of_place.insert(partition),
                None => groups.push((routed, [partition].into_iter().collect())),
            }
        }
        groups
    }

    /// Takes more partitions, each with its beginning. For those that were there all events below `router` have been routed.
    pub(super) fn gain(&mut self, set: Partitions, router: u64, begin: impl Fn(Partition) -> u64) {
        for partition in self.set.iter() {
            if let Some(place) = self.begins.get_mut(partition.index()) {
                *place = (*place).max(router);
            }
        }
        self.latest = self.latest.max(router);
        self.add(set, begin);
    }

    fn add(&mut self, set: Partitions, begin: impl Fn(Partition) -> u64) {
        for partition in set.iter() {
            if let Some(place) = self.begins.get_mut(partition.index()) {
                *place = begin(partition);
                self.latest = self.latest.max(*place);
            }
        }
        self.set = self.set.with(set);
    }

    /// Gives partitions up.
    pub(super) fn lose(&mut self, set: Partitions) {
        self.set = self.set.without(set);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(numbers: &[u8]) -> Partitions {
        numbers.iter().map(|number| Partition::numbered(*number)).collect()
    }

    #[test]
    fn an_event_is_routed_to_a_partition_once_whatever_was_gained_meanwhile() {
        let mut owned = Owned::new(set(&[1, 2]), |partition| u64::from(partition.number()) * 10);
        assert_eq!((owned.earliest(), owned.awaiting(9)), (Some(10), Partitions::NONE));
        assert_eq!((owned.awaiting(15), owned.awaiting(20)), (set(&[1]), set(&[1, 2])));
        owned.gain(set(&[3]), 50, |_| 30);
        assert_eq!((owned.awaiting(40), owned.awaiting(50)), (set(&[3]), set(&[1, 2, 3])));
        assert_eq!(owned.by_place(40), [(50, set(&[1, 2])), (40, set(&[3]))]);
        assert_eq!(owned.by_place(50), [(50, set(&[1, 2, 3]))]);
        owned.lose(set(&[1, 2]));
        assert_eq!(owned.by_place(40), [(40, set(&[3]))]);
        owned.lose(set(&[3]));
        assert_eq!((owned.by_place(60), owned.earliest()), (Vec::new(), None));
    }
}
