//! One immutable state of the whole configuration, shared by reference; what is distributed, compared and versioned.
//!
//! A version is a hash of content: two replicas, or one before and after a restart, give the same configuration the
//! same revision. `resourceVersion` and `generation` are not content: they count writes.

use std::{collections::BTreeMap, sync::Arc};

use mesh_proto::id::Revision;
use xxhash_rust::xxh3::Xxh3;

use crate::{
    canonical,
    resource::{Key, Kind, Object, Resource, Spec},
};

/// An immutable configuration, indexed by kind and `namespace/name`.
#[derive(Clone, Debug)]
pub struct ConfigSnapshot {
    kinds: Kinds,
    revision: Revision,
}

type Kinds = BTreeMap<Kind, Arc<BTreeMap<Key, Entry>>>;

/// A resource and the hash of its content.
#[derive(Clone, Debug)]
pub struct Entry {
    resource: Resource,
    hash: u128,
}

/// What differs between two snapshots, in order of kind and key.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Only in the newer one.
    pub added: Vec<(Kind, Key)>,
    /// In both, with different content.
    pub changed: Vec<(Kind, Key)>,
    /// Only in the older one.
    pub removed: Vec<(Kind, Key)>,
}

/// Makes a snapshot, from nothing or from another.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    kinds: Kinds,
}

impl ConfigSnapshot {
    /// A snapshot without resources.
    pub fn empty() -> Arc<Self> {
        Builder::default().build()
    }

    /// A builder that starts with this snapshot's resources.
    pub fn to_builder(&self) -> Builder {
        Builder { kinds: self.kinds.clone() }
    }

    /// The hash of everything in it.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// How many resources it has.
    pub fn len(&self) -> usize {
        self.kinds.values().map(|entries| entries.len()).sum()
    }

    /// Whether it has no resource.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The object of kind `T` with this key.
    pub fn find<T: Spec>(&self, key: &Key) -> Option<&Arc<Object<T>>> {
        self.entry(T::KIND, key).and_then(|entry| T::of(&entry.resource))
    }

    /// The objects of kind `T`, by `namespace/name`.
    pub fn list<T: Spec>(&self) -> impl Iterator<Item = &Arc<Object<T>>> {
        self.entries(T::KIND).filter_map(|(_, entry)| T::of(&entry.resource))
    }

    /// The objects of kind `T`, oldest first; what has no creationTimestamp comes last, by `namespace/name`.
    pub fn by_precedence<T: Spec>(&self) -> Vec<&Arc<Object<T>>> {
        let mut objects: Vec<_> = self.list::<T>().collect();
        objects.sort_by(|a, b| a.meta.precedence().cmp(&b.meta.precedence()));
        objects
    }

    /// The resource of this kind with this key.
    pub fn entry(&self, kind: Kind, key: &Key) -> Option<&Entry> {
        self.kinds.get(&kind)?.get(key)
    }

    /// The resources of a kind, by `namespace/name`.
    pub fn entries(&self, kind: Kind) -> impl Iterator<Item = (&Key, &Entry)> {
        self.kinds.get(&kind).into_iter().flat_map(|entries| entries.iter())
    }

    /// Every resource, by kind and `namespace/name`.
    pub fn resources(&self) -> impl Iterator<Item = &Resource> {
        self.kinds.values().flat_map(|entries| entries.values()).map(|entry| &entry.resource)
    }

    /// What changed since `older`.
    pub fn diff(&self, older: &Self) -> Diff {
        let mut diff = Diff::default();
        for kind in Kind::ALL.iter().copied() {
            let (new, old) = (self.kinds.get(&kind), older.kinds.get(&kind));
            if let (Some(new), Some(old)) = (new, old)
                && Arc::ptr_eq(new, old)
            {
                continue;
            }
            for (key, entry) in self.entries(kind) {
                match older.entry(kind, key) {
                    None => diff.added.push((kind, key.clone())),
                    Some(before) if before.hash != entry.hash => diff.changed.push((kind, key.clone())),
                    Some(_) => {}
                }
            }
            diff.removed.extend(older.entries(kind).filter(|(key, _)| self.entry(kind, key).is_none()).map(|(key, _)| (kind, key.clone())));
        }
        diff
    }
}

impl PartialEq for ConfigSnapshot {
    /// By content.
    fn eq(&self, other: &Self) -> bool {
        self.revision == other.revision
    }
}

impl Entry {
    /// The resource.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// The hash of its content, as a version.
    pub fn version(&self) -> Revision {
        Revision::from_hash128(self.hash)
    }
}

impl Diff {
    /// Whether nothing differs.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.changed.is_empty() && self.removed.is_empty()
    }
}

impl Builder {
    /// Adds a resource, or replaces the one of its kind and key.
    pub fn insert(&mut self, resource: impl Into<Resource>) -> &mut Self {
        let resource = resource.into();
        let hash = content_hash(&resource);
        let entries = self.kinds.entry(resource.kind()).or_default();
        Arc::make_mut(entries).insert(resource.meta().key(), Entry { resource, hash });
        self
    }

    /// Takes a resource out; true if it was there.
    pub fn remove(&mut self, kind: Kind, key: &Key) -> bool {
        match self.kinds.get_mut(&kind) {
            Some(entries) if entries.contains_key(key) => Arc::make_mut(entries).remove(key).is_some(),
            _ => false,
        }
    }

    /// The snapshot.
    pub fn build(&self) -> Arc<ConfigSnapshot> {
        let kinds: Kinds = self.kinds.iter().filter(|(_, e)| !e.is_empty()).map(|(k, e)| (*k, Arc::clone(e))).collect();
        let mut hasher = Xxh3::new();
        for (kind, entries) in &kinds {
            for (key, entry) in entries.iter() {
                for text in [kind.as_str(), &key.namespace, &key.name] {
                    hasher.update(text.as_bytes());
                    hasher.update(&[0]);
                }
                hasher.update(&entry.hash.to_le_bytes());
            }
        }
        Arc::new(ConfigSnapshot { kinds, revision: Revision::from_hash128(hasher.digest128()) })
    }
}

impl<R: Into<Resource>> FromIterator<R> for Builder {
    fn from_iter<I: IntoIterator<Item = R>>(resources: I) -> Self {
        let mut builder = Self::default();
        for resource in resources {
            builder.insert(resource);
        }
        builder
    }
}

/// The hash of what a resource says, without the counters of its writes.
fn content_hash(resource: &Resource) -> u128 {
    let mut json = resource.to_json();
    if let Some(meta) = json.get_mut("metadata").and_then(serde_json::Value::as_object_mut) {
        meta.remove("resourceVersion");
        meta.remove("generation");
    }
    canonical::hash(&json)
}

#[cfg(test)]
mod tests;
