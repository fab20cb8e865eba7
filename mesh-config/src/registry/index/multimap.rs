//! A map from a key to a set.

use std::{
    collections::{BTreeSet, HashMap},
    hash::Hash,
};

/// Whether an entry comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    Add,
    Remove,
}

/// Keys with the values that each has; a key without values is not there.
#[derive(Clone, Debug)]
pub(super) struct Multimap<K, V>(HashMap<K, BTreeSet<V>>);

impl<K, V> Default for Multimap<K, V> {
    fn default() -> Self {
        Self(HashMap::new())
    }
}

impl<K: Eq + Hash, V: Ord> Multimap<K, V> {
    pub(super) fn step(&mut self, step: Step, key: K, value: V) {
        match step {
            Step::Add => drop(self.0.entry(key).or_default().insert(value)),
            Step::Remove => {
                if let Some(values) = self.0.get_mut(&key) {
                    values.remove(&value);
                    if values.is_empty() {
                        self.0.remove(&key);
                    }
                }
            }
        }
    }

    pub(super) fn of(&self, key: &K) -> impl Iterator<Item = &V> + use<'_, K, V> {
        self.0.get(key).into_iter().flatten()
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }
}
