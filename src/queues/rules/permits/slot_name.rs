//! The name of a slot.

/// The name of a slot among the slots of all shards.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(in crate::queues) struct SlotName {
    /// Its number in its shard.
    pub(in crate::queues) number: usize,
    /// Its shard.
    pub(in crate::queues) shard: usize,
}
