//! The partitions of an engine, and how far events have been routed to each of them. Pure.
//!
//! The engine reads the log once for all of its partitions. A partition may begin later than others: its last checkpoint may
//! be later, or it was there already when another one with an older checkpoint was gained. It has had the events before its
//! beginning, so they are not routed to it again.

use crate::model::EventOffset;
use crate::queues::rules::partitions::{COUNT, Partition, Partitions};

/// The partitions of one engine.
#[derive(Debug)]
pub(super) struct Owned {
    set: Partitions,
    /// By partition: events below this offset had been routed to its queues before.
    begins: Box<[EventOffset; COUNT]>,
    /// The latest of these.
    latest: EventOffset,
    /// Everything below has been read from the log and routed, except to partitions that begin later.
    routed: EventOffset,
}

impl Owned {
    /// These partitions, each with its beginning. Without any, routing begins at `first`.
    pub(super) fn new(set: Partitions, first: EventOffset, begin: impl Fn(Partition) -> EventOffset) -> Self {
        let mut owned = Self {
            set: Partitions::NONE,
            begins: Box::new([EventOffset::FIRST; COUNT]),
            latest: EventOffset::FIRST,
            routed: first,
        };
        owned.add(set, begin);
        // Read from the earliest beginning on; `awaiting` leaves out what a later partition has had.
        owned.routed = owned.earliest().unwrap_or(first);
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

    /// Events below this offset had been routed to the queues of a partition before this engine had it.
    pub(super) fn begin(&self, partition: Partition) -> EventOffset {
        self.begins.get(partition.index()).copied().unwrap_or_default()
    }

    fn earliest(&self) -> Option<EventOffset> {
        self.set.iter().map(|partition| self.begin(partition)).min()
    }

    /// Those to whose queues an event at this offset has to be routed.
    pub(super) fn awaiting(&self, offset: EventOffset) -> Partitions {
        // Nearly always so. The search below is only needed while routing has gone back for partitions that were
        // gained.
        if offset >= self.latest {
            return self.set;
        }
        self.set.iter().filter(|partition| self.begin(*partition) <= offset).collect()
    }

    /// The offset of the next event to route.
    pub(super) fn routed(&self) -> EventOffset {
        self.routed
    }

    /// Every event below this offset has been routed to the queues of a partition.
    pub(super) fn routed_to(&self, partition: Partition) -> EventOffset {
        self.routed.max(self.begin(partition))
    }

    /// Every event below `next` has been routed now.
    pub(super) fn route_to(&mut self, next: EventOffset) {
        self.routed = self.routed.max(next);
    }

    /// The partitions by how far events have been routed to them.
    pub(super) fn by_routed(&self) -> Vec<(EventOffset, Partitions)> {
        if self.routed >= self.latest {
            return if self.set.is_empty() { Vec::new() } else { vec![(self.routed, self.set)] };
        }
        let mut groups: Vec<(EventOffset, Partitions)> = Vec::new();
        for partition in self.set.iter() {
            let routed = self.routed_to(partition);
            match groups.iter_mut().find(|(offset, _)| *offset == routed) {
                Some((_, of_offset)) => of_offset.insert(partition),
                None => groups.push((routed, [partition].into_iter().collect())),
            }
        }
        groups
    }

    /// Adds partitions, each with its beginning. Routing goes back to the first of these, and passes by the partitions that were
    /// there already.
    pub(super) fn gain(&mut self, set: Partitions, begin: impl Fn(Partition) -> EventOffset) {
        for partition in self.set.iter() {
            if let Some(place) = self.begins.get_mut(partition.index()) {
                *place = (*place).max(self.routed);
            }
        }
        // Routing goes back for the new partitions; the others have had everything below the present position.
        self.latest = self.latest.max(self.routed);
        let earliest = set.iter().map(&begin).min();
        self.routed = earliest.map_or(self.routed, |begin| begin.min(self.routed));
        self.add(set, begin);
    }

    fn add(&mut self, set: Partitions, begin: impl Fn(Partition) -> EventOffset) {
        for partition in set.iter() {
            if let Some(place) = self.begins.get_mut(partition.index()) {
                *place = begin(partition);
                self.latest = self.latest.max(*place);
            }
        }
        self.set = self.set.with(set);
    }

    /// Removes partitions.
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
    fn an_event_is_routed_to_a_partition_once_even_when_others_are_gained() {
        let mut owned = Owned::new(set(&[1, 2]), EventOffset(5), |partition| {
            EventOffset(u64::from(partition.number()) * 10)
        });
        assert_eq!((owned.routed(), owned.awaiting(EventOffset(9))), (EventOffset(10), Partitions::NONE));
        assert_eq!(
            (owned.awaiting(EventOffset(15)), owned.awaiting(EventOffset(20))),
            (set(&[1]), set(&[1, 2]))
        );
        owned.route_to(EventOffset(50));
        owned.gain(set(&[3]), |_| EventOffset(30));
        assert_eq!(
            (owned.routed(), owned.awaiting(EventOffset(40)), owned.awaiting(EventOffset(50))),
            (EventOffset(30), set(&[3]), set(&[1, 2, 3]))
        );
        owned.route_to(EventOffset(40));
        assert_eq!(owned.by_routed(), [(EventOffset(50), set(&[1, 2])), (EventOffset(40), set(&[3]))]);
        owned.route_to(EventOffset(50));
        assert_eq!(owned.by_routed(), [(EventOffset(50), set(&[1, 2, 3]))]);
        owned.lose(set(&[1, 2]));
        assert_eq!(owned.by_routed(), [(EventOffset(50), set(&[3]))]);
        owned.lose(set(&[3]));
        assert_eq!(owned.by_routed(), []);
    }

    #[test]
    fn a_partition_with_a_later_checkpoint_does_not_move_routing_forward() {
        let mut owned = Owned::new(set(&[1]), EventOffset(5), |_| EventOffset(10));
        owned.gain(set(&[2]), |_| EventOffset(90));
        assert_eq!(
            (owned.routed(), owned.routed_to(Partition::numbered(2))),
            (EventOffset(10), EventOffset(90))
        );
        assert_eq!(
            (owned.awaiting(EventOffset(89)), owned.awaiting(EventOffset(90))),
            (set(&[1]), set(&[1, 2]))
        );
    }

    #[test]
    fn without_partitions_routing_begins_at_the_first_event() {
        assert_eq!(Owned::new(Partitions::NONE, EventOffset(5), |_| EventOffset(0)).routed(), EventOffset(5));
    }
}
