//! What a bounded cache holds and what it gives up first: the longest unused. Only names and sizes; the things are elsewhere.

use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Sizes by name, with the order of their use.
#[derive(Debug)]
pub(crate) struct Lru<K> {
    bytes_max: u64,
    bytes: u64,
    uses: u64,
    entries: HashMap<K, Entry>,
    by_use: BTreeMap<u64, K>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    bytes: u64,
    used: u64,
}

impl<K: Clone + Eq + Hash> Lru<K> {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, bytes: 0, uses: 0, entries: HashMap::new(), by_use: BTreeMap::new() }
    }

    /// Takes `key` in as just used, and names what must go for it. What is larger than the whole goes itself.
    #[must_use]
    pub(crate) fn insert(&mut self, key: K, bytes: u64) -> Vec<K> {
        self.remove(&key);
        self.uses += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.by_use.insert(self.uses, key.clone());
        self.entries.insert(key, Entry { bytes, used: self.uses });
        let mut gone = Vec::new();
        while self.bytes > self.bytes_max
            && let Some((_, oldest)) = self.by_use.pop_first()
        {
            if let Some(entry) = self.entries.remove(&oldest) {
                self.bytes = self.bytes.saturating_sub(entry.bytes);
            }
            gone.push(oldest);
        }
        gone
    }

    /// Whether `key` is there; it is the last used then.
    pub(crate) fn touch(&mut self, key: &K) -> bool {
        let Some(entry) = self.entries.get_mut(key) else {
            return false;
        };
        self.uses += 1;
        if let Some(key) = self.by_use.remove(&entry.used) {
            self.by_use.insert(self.uses, key);
        }
        entry.used = self.uses;
        true
    }

    pub(crate) fn remove(&mut self, key: &K) -> bool {
        let Some(entry) = self.entries.remove(key) else {
            return false;
        };
        self.by_use.remove(&entry.used);
        self.bytes = self.bytes.saturating_sub(entry.bytes);
        true
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_longest_unused_goes_first() {
        let mut lru = Lru::new(30);
        assert!(lru.insert("a", 10).is_empty());
        assert!(lru.insert("b", 10).is_empty());
        assert!(lru.insert("c", 10).is_empty());
        assert!(lru.touch(&"a"));
        assert_eq!(lru.insert("d", 20), ["b", "c"]);
        assert!(lru.touch(&"a") && lru.touch(&"d") && !lru.touch(&"b"));
        assert_eq!(lru.bytes(), 30);
    }

    #[test]
    fn what_is_larger_than_the_whole_goes_itself() {
        let mut lru = Lru::new(30);
        assert!(lru.insert("a", 10).is_empty());
        assert_eq!(lru.insert("b", 31), ["a", "b"]);
        assert_eq!(lru.bytes(), 0);
    }

    #[test]
    fn taking_in_again_replaces_the_size() {
        let mut lru = Lru::new(30);
        assert!(lru.insert("a", 20).is_empty());
        assert!(lru.insert("a", 30).is_empty());
        assert_eq!(lru.bytes(), 30);
        assert!(lru.remove(&"a") && !lru.remove(&"a"));
        assert_eq!(lru.bytes(), 0);
    }

    proptest! {
        #[test]
        fn the_sum_is_always_that_of_what_is_held(steps in prop::collection::vec((0_u8..8, 0_u64..20, 0_u8..3), 0..60)) {
            let mut lru = Lru::new(40);
            let mut held: HashMap<u8, u64> = HashMap::new();
            for (key, bytes, step) in steps {
                match step {
                    0 => {
                        held.insert(key, bytes);
                        for gone in lru.insert(key, bytes) {
                            held.remove(&gone);
                        }
                    }
                    1 => prop_assert_eq!(lru.remove(&key), held.remove(&key).is_some()),
                    _ => prop_assert_eq!(lru.touch(&key), held.contains_key(&key)),
                }
                prop_assert_eq!(lru.bytes(), held.values().sum::<u64>());
                prop_assert!(lru.bytes() <= 40);
            }
        }
    }
}
