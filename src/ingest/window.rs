//! A bounded memory of recent keys: which messages were logged, and which account a call belongs to.
//!
//! It surely remembers the latest half of its capacity, and never holds more than its capacity. A key that is read
//! counts as recent. Keys are hashed with a secret of this process, so nobody can prepare two texts with the same hash.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash, RandomState};

/// A window of two generations. When the young one is full, it becomes the old one, and the old one is dropped.
#[derive(Debug)]
pub(super) struct Window<V> {
    half: usize,
    secret: RandomState,
    young: HashMap<u64, V>,
    old: HashMap<u64, V>,
}

impl<V: Copy> Window<V> {
    /// An empty window for at most `capacity` keys (at least 2).
    pub(super) fn new(capacity: usize) -> Self {
        let half = (capacity / 2).max(1);
        Self { half, secret: RandomState::new(), young: HashMap::new(), old: HashMap::new() }
    }

    /// The hash of `of` in this window.
    pub(super) fn key(&self, of: impl Hash) -> u64 {
        self.secret.hash_one(of)
    }

    /// Remembers `value` for `key`, and replaces an earlier value.
    pub(super) fn put(&mut self, key: u64, value: V) {
        if self.young.len() >= self.half && !self.young.contains_key(&key) {
            // Dropping a whole generation costs nothing per key, unlike a list in order of use.
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// The value for `key`. Reading it makes the key recent.
    pub(super) fn get(&mut self, key: u64) -> Option<V> {
        if let Some(value) = self.young.get(&key) {
            return Some(*value);
        }
        // Moved to the young generation, so that a call in use is not forgotten while its events come.
        let value = self.old.remove(&key)?;
        self.put(key, value);
        Some(value)
    }

    /// Forgets `key`.
    pub(super) fn remove(&mut self, key: u64) {
        self.young.remove(&key);
        self.old.remove(&key);
    }

    /// The number of remembered keys.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_half_is_remembered_and_never_more_than_the_capacity() {
        let mut window = Window::new(100);
        for n in 0..1000_u64 {
            window.put(n, n);
            assert!(window.len() <= 100, "{} keys after {n}", window.len());
        }
        for n in 951..1000 {
            assert_eq!(window.get(n), Some(n));
        }
        assert_eq!(window.get(0), None);
    }

    #[test]
    fn what_is_used_stays() {
        let mut window = Window::new(10);
        window.put(7, ());
        for n in 100..200 {
            window.put(n, ());
            assert_eq!(window.get(7), Some(()), "forgotten after {n}");
        }
    }

    #[test]
    fn the_last_value_counts() {
        let mut window = Window::new(4);
        window.put(1, 'a');
        window.put(2, 'b');
        window.put(3, 'c');
        window.put(1, 'd');
        assert_eq!(window.get(1), Some('d'));
    }

    #[test]
    fn parts_of_a_key_cannot_be_shifted_into_one_another() {
        let window = Window::<()>::new(2);
        assert_eq!(window.key(("ab", "c")), window.key(("ab", "c")));
        assert_ne!(window.key(("ab", "c")), window.key(("a", "bc")));
    }
}
