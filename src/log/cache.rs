//! A cache for closed segments: recently used parts of indexes, within a budget of bytes, and open files.
//!
//! An eviction costs a reader time, never correctness.

use std::collections::HashMap;
use std::sync::Arc;

use super::index::Directory;
use super::postings::Postings;
use super::sparse::Sparse;
use crate::disk::File;

/// Most files of closed segments kept open.
const FILES: usize = 32;

/// A part of a segment's index. Segments are named by their first offset, postings also by their tag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Key {
    Sparse(u64),
    Directory(u64),
    Postings(u64, u64),
}

impl Key {
    pub(super) fn first(self) -> u64 {
        match self {
            Self::Sparse(first) | Self::Directory(first) | Self::Postings(first, _) => first,
        }
    }
}

#[derive(Debug, Clone)]
pub(super) enum Part {
    Sparse(Arc<Sparse>),
    Directory(Arc<Directory>),
    Postings(Arc<Postings>),
}

impl Part {
    fn weight(&self) -> usize {
        64 + match self {
            Self::Sparse(part) => part.weight(),
            Self::Directory(part) => part.weight(),
            Self::Postings(part) => part.weight(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Cache {
    /// The parts, each with the value of `now` at its last use.
    parts: HashMap<Key, (Part, u64)>,
    bytes: usize,
    budget: usize,
    /// Counts the uses. Only their order matters.
    now: u64,
    /// Open files by the first offset of their segment, the most recently used one first.
    files: Vec<(u64, Arc<dyn File>)>,
}

impl Cache {
    pub(super) fn new(budget: usize) -> Self {
        Self { parts: HashMap::new(), bytes: 0, budget, now: 0, files: Vec::new() }
    }

    pub(super) fn get(&mut self, key: Key) -> Option<Part> {
        self.now += 1;
        let (part, used) = self.parts.get_mut(&key)?;
        *used = self.now;
        Some(part.clone())
    }

    pub(super) fn put(&mut self, key: Key, part: Part) {
        self.now += 1;
        self.bytes += part.weight();
        if let Some((old, _)) = self.parts.insert(key, (part, self.now)) {
            self.bytes -= old.weight();
        }
        if self.bytes > self.budget {
            self.shrink();
        }
    }

    /// Evicts the least recently used parts until three quarters of the budget are left, so that evictions are rare.
    fn shrink(&mut self) {
        let mut ages: Vec<(u64, Key)> = self.parts.iter().map(|(key, (_, used))| (*used, *key)).collect();
        ages.sort_unstable_by_key(|(used, _)| *used);
        for (_, key) in ages {
            if self.bytes <= self.budget / 4 * 3 {
                break;
            }
            self.drop_part(key);
        }
    }

    fn drop_part(&mut self, key: Key) {
        if let Some((part, _)) = self.parts.remove(&key) {
            self.bytes -= part.weight();
        }
    }

    pub(super) fn file(&mut self, first: u64) -> Option<Arc<dyn File>> {
        let at = self.files.iter().position(|(of, _)| *of == first)?;
        if let Some(used) = self.files.get_mut(..=at) {
            used.rotate_right(1);
        }
        self.files.first().map(|(_, file)| Arc::clone(file))
    }

    pub(super) fn put_file(&mut self, first: u64, file: Arc<dyn File>) {
        self.files.retain(|(of, _)| *of != first);
        self.files.truncate(FILES - 1);
        self.files.insert(0, (first, file));
    }

    /// Evicts everything of a removed segment.
    pub(super) fn forget(&mut self, first: u64) {
        self.files.retain(|(of, _)| *of != first);
        let keys: Vec<Key> = self.parts.keys().copied().filter(|key| key.first() == first).collect();
        for key in keys {
            self.drop_part(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_part_is_evicted_and_the_budget_holds() {
        let mut cache = Cache::new(2000);
        for first in 0..100 {
            cache.put(Key::Sparse(first), Part::Sparse(Arc::default()));
            assert!(cache.get(Key::Sparse(0)).is_some(), "used at every step");
            assert!(cache.bytes <= 2000);
        }
        assert!(cache.get(Key::Sparse(1)).is_none());
        assert!(cache.get(Key::Sparse(99)).is_some());
        cache.forget(99);
        assert!(cache.get(Key::Sparse(99)).is_none());
        for first in 0..100 {
            cache.forget(first);
        }
        assert_eq!(cache.bytes, 0);
    }
}
