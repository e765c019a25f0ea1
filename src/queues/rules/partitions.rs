//! Partitions: the queues are divided into 256 parts, and each shard owns some of them. Pure.
//!
//! The partition of a queue is the upper 8 bits of the tag of its ledger records. That is the tag of its hook's id, also for
//! replays; for an account's callflow webhooks it is the tag of the id that is derived from the account's
//! ([`crate::model::AccountId::one_shot`]). So the partition of a queue never changes, and it is known of a ledger record
//! that has not been decoded.

use std::fmt;

use serde::{Serialize, Serializer};

use crate::model::HookId;

/// The number of partitions.
pub(in crate::queues) const COUNT: usize = 256;
const WORDS: usize = COUNT / 64;

/// One partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Partition(u8);

impl Partition {
    /// The partition of a hook's queue and of its replays.
    #[must_use]
    pub fn of(hook: HookId) -> Self {
        Self::of_tag(hook.tag())
    }

    /// The partition of a ledger record with this tag.
    #[must_use]
    pub fn of_tag(tag: u64) -> Self {
        Self(tag.to_be_bytes()[0])
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u8 {
        self.0
    }

    /// The partition with this number.
    #[must_use]
    pub fn numbered(number: u8) -> Self {
        Self(number)
    }

    /// Its index in an array of all partitions.
    pub(in crate::queues) fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A set of partitions.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Partitions([u64; WORDS]);

impl Partitions {
    /// All partitions.
    pub const ALL: Self = Self([u64::MAX; WORDS]);
    /// No partition.
    pub const NONE: Self = Self([0; WORDS]);

    /// The partitions that shard `at` of `shards` owns at a start.
    #[must_use]
    pub fn share(at: usize, shards: usize) -> Self {
        Self::ALL.iter().filter(|partition| partition.index() % shards.max(1) == at).collect()
    }

    /// Whether a partition belongs to the set.
    #[must_use]
    pub fn contains(&self, partition: Partition) -> bool {
        self.0.get(partition.index() / 64).is_some_and(|word| word >> (partition.index() % 64) & 1 == 1)
    }

    /// Adds a partition.
    pub fn insert(&mut self, partition: Partition) {
        if let Some(word) = self.0.get_mut(partition.index() / 64) {
            *word |= 1 << (partition.index() % 64);
        }
    }

    /// The partitions that are in at least one of the two sets.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        self.joined(other, |one, other| one | other)
    }

    /// The partitions that are in both sets.
    #[must_use]
    pub fn within(self, other: Self) -> Self {
        self.joined(other, |one, other| one & other)
    }

    /// The partitions that are not in the other set.
    #[must_use]
    pub fn without(self, other: Self) -> Self {
        self.joined(other, |one, other| one & !other)
    }

    /// Whether the set is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::NONE
    }

    /// The partitions in the order of their numbers.
    pub fn iter(self) -> impl Iterator<Item = Partition> {
        (0..=u8::MAX).map(Partition).filter(move |partition| self.contains(*partition))
    }

    /// The bytes that the ledger stores.
    pub(in crate::queues) fn to_bytes(self) -> [u8; COUNT / 8] {
        let mut bytes = [0; COUNT / 8];
        for (place, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }

    /// The set with these bytes, as [`Self::to_bytes`] made them.
    pub(in crate::queues) fn from_bytes(bytes: &[u8; COUNT / 8]) -> Self {
        let mut set = Self::NONE;
        let (words, _) = bytes.as_chunks::<8>();
        for (place, word) in set.0.iter_mut().zip(words) {
            *place = u64::from_le_bytes(*word);
        }
        set
    }

    fn joined(self, other: Self, join: impl Fn(u64, u64) -> u64) -> Self {
        let mut joined = self;
        for (word, other) in joined.0.iter_mut().zip(other.0) {
            *word = join(*word, other);
        }
        joined
    }
}

impl FromIterator<Partition> for Partitions {
    fn from_iter<I: IntoIterator<Item = Partition>>(partitions: I) -> Self {
        let mut set = Self::NONE;
        partitions.into_iter().for_each(|partition| set.insert(partition));
        set
    }
}

/// Written as ranges: `0-63,128`.
impl fmt::Display for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut ranges: Vec<(u8, u8)> = Vec::new();
        for Partition(number) in self.iter() {
            match ranges.last_mut() {
                Some((_, last)) if last.checked_add(1) == Some(number) => *last = number,
                _ => ranges.push((number, number)),
            }
        }
        for (at, (first, last)) in ranges.into_iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            if first == last {
                write!(f, "{comma}{first}")?;
            } else {
                write!(f, "{comma}{first}-{last}")?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Partitions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Partitions({self})")
    }
}

impl Serialize for Partitions {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_partition_has_one_shard_and_all_shards_have_about_as_many() {
        for shards in 1..=16 {
            let mut owned = Partitions::NONE;
            for at in 0..shards {
                let share = Partitions::share(at, shards);
                assert!(owned.within(share).is_empty(), "{at} of {shards}");
                assert!(share.iter().count().abs_diff(COUNT / shards) <= 1, "{share}");
                owned = owned.with(share);
            }
            assert_eq!(owned, Partitions::ALL);
        }
    }

    #[test]
    fn a_set_is_read_back_as_it_was_written() {
        for set in [Partitions::NONE, Partitions::ALL, Partitions::share(2, 5)] {
            assert_eq!(Partitions::from_bytes(&set.to_bytes()), set);
        }
        let set: Partitions = [0, 1, 2, 9, 254, 255].map(Partition::numbered).into_iter().collect();
        assert_eq!(set.to_string(), "0-2,9,254-255");
        assert_eq!(Partitions::ALL.without(set).with(set), Partitions::ALL);
    }
}
