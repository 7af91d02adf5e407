//! A map that is bounded in bytes: the longest unused goes first.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::hash::Hash;

/// Values by key, with the order of their use.
#[derive(Debug)]
pub(crate) struct Lru<K, V = ()> {
    bytes_max: u64,
    bytes: u64,
    uses: u64,
    entries: HashMap<K, Entry<V>>,
    by_use: BTreeMap<u64, K>,
}

#[derive(Debug)]
struct Entry<V> {
    value: V,
    bytes: u64,
    used: u64,
}

impl<K: Clone + Eq + Hash, V> Lru<K, V> {
    pub(crate) fn new(bytes_max: u64) -> Self {
        Self { bytes_max, bytes: 0, uses: 0, entries: HashMap::new(), by_use: BTreeMap::new() }
    }

    /// Takes `value` in as just used, and gives the keys of what went for it. What is larger than the whole goes itself.
    pub(crate) fn insert(&mut self, key: K, value: V, bytes: u64) -> Vec<K> {
        self.remove(&key);
        self.uses += 1;
        self.bytes = self.bytes.saturating_add(bytes);
        self.by_use.insert(self.uses, key.clone());
        self.entries.insert(key, Entry { value, bytes, used: self.uses });
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

    /// The value, which is the last used then.
    pub(crate) fn get<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let entry = self.entries.get_mut(key)?;
        self.uses += 1;
        if let Some(key) = self.by_use.remove(&entry.used) {
            self.by_use.insert(self.uses, key);
        }
        entry.used = self.uses;
        Some(&entry.value)
    }

    pub(crate) fn remove<Q: Eq + Hash + ?Sized>(&mut self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
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
        assert!(lru.insert("a", (), 10).is_empty());
        assert!(lru.insert("b", (), 10).is_empty());
        assert!(lru.insert("c", (), 10).is_empty());
        assert!(lru.get("a").is_some());
        assert_eq!(lru.insert("d", (), 20), ["b", "c"]);
        assert!(lru.get("a").is_some() && lru.get("d").is_some() && lru.get("b").is_none());
        assert_eq!(lru.bytes(), 30);
    }

    #[test]
    fn what_is_larger_than_the_whole_goes_itself() {
        let mut lru = Lru::new(30);
        assert!(lru.insert("a", (), 10).is_empty());
        assert_eq!(lru.insert("b", (), 31), ["a", "b"]);
        assert_eq!(lru.bytes(), 0);
    }

    #[test]
    fn taking_in_again_replaces_the_size() {
        let mut lru = Lru::new(30);
        assert!(lru.insert("a", (), 20).is_empty());
        assert!(lru.insert("a", (), 30).is_empty());
        assert_eq!(lru.bytes(), 30);
        assert!(lru.remove("a") && !lru.remove("a"));
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
                        for gone in lru.insert(key, (), bytes) {
                            held.remove(&gone);
                        }
                    }
                    1 => prop_assert_eq!(lru.remove(&key), held.remove(&key).is_some()),
                    _ => prop_assert_eq!(lru.get(&key).is_some(), held.contains_key(&key)),
                }
                prop_assert_eq!(lru.bytes(), held.values().sum::<u64>());
                prop_assert!(lru.bytes() <= 40);
            }
        }
    }
}
