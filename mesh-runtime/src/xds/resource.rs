//! What travels: named, versioned resources, and the snapshot of all of them that one client is to have.

use std::collections::BTreeMap;
use std::sync::Arc;

use mesh_proto::google::protobuf::Any;
use mesh_proto::id::Revision;
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use super::Interest;

/// One resource, as it goes onto the wire. Cheap to clone.
#[derive(Debug, Clone, PartialEq)]
pub struct Resource {
    /// Unique within its type.
    pub name: Arc<str>,
    /// Equal exactly when the body is: a content hash, so that it is the same over replicas and restarts.
    pub version: Arc<str>,
    /// The message with its type URL.
    pub body: Arc<Any>,
}

/// The resources of one type, by name.
pub type Resources = BTreeMap<Arc<str>, Resource>;

/// Everything one client may see, at one moment. The server compares two of them by resource version, so unchanged types are best shared
/// (`Arc`) with the snapshot before: equal pointers are not compared further.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Names this state; sent as `system_version_info` (delta) and `version_info` (state of the world).
    pub revision: Revision,
    /// By type URL. A type that is absent is empty.
    pub types: BTreeMap<Arc<str>, Arc<Resources>>,
    /// By type URL, names whose absence may be the server's ignorance and not a deletion: see [`Builder::uncertain`].
    pub uncertain: BTreeMap<Arc<str>, Interest>,
}

/// Collects a [`Snapshot`].
#[derive(Debug, Default)]
pub struct Builder {
    types: BTreeMap<Arc<str>, Arc<Resources>>,
    uncertain: BTreeMap<Arc<str>, Interest>,
}

impl Resource {
    /// A resource whose version is the hash of its encoded body.
    ///
    /// The encoding of a message with `map` fields depends on their order in memory; whoever generates such bodies anew for equal content must either
    /// keep them or give a version of their own ([`Resource::with_version`]).
    #[must_use]
    pub fn new(name: impl Into<Arc<str>>, body: Any) -> Self {
        let version = format!("{:032x}", xxh3_128(&body.value)).into();
        Self { name: name.into(), version, body: Arc::new(body) }
    }

    /// A resource whose maker knows a better content hash.
    #[must_use]
    pub fn with_version(name: impl Into<Arc<str>>, version: impl Into<Arc<str>>, body: Any) -> Self {
        Self { name: name.into(), version: version.into(), body: Arc::new(body) }
    }
}

impl Snapshot {
    /// Collects resources type by type.
    #[must_use]
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The resources of a type; `None` reads as empty.
    #[must_use]
    pub fn resources(&self, type_url: &str) -> Option<&Arc<Resources>> {
        self.types.get(type_url)
    }

    /// One resource.
    #[must_use]
    pub fn resource(&self, type_url: &str, name: &str) -> Option<&Resource> {
        self.types.get(type_url)?.get(name)
    }
}

impl Builder {
    /// Adds or replaces one resource.
    pub fn insert(&mut self, type_url: &str, resource: Resource) -> &mut Self {
        let resources = self.types.entry(type_url.into()).or_default();
        Arc::make_mut(resources).insert(resource.name.clone(), resource);
        self
    }

    /// Takes over a whole type, for example from the snapshot before.
    pub fn share(&mut self, type_url: &str, resources: Arc<Resources>) -> &mut Self {
        self.types.insert(type_url.into(), resources);
        self
    }

    /// Says that these names may exist although they are not in the snapshot: the server lost sight of them over a restart. A client that comes back with one of
    /// them is not told that it is gone. Delta only: a full state-of-the-world response has no way to say so. Does not count for [`Builder::build`]'s revision.
    pub fn uncertain(&mut self, type_url: &str, names: Interest) -> &mut Self {
        self.uncertain.insert(type_url.into(), names);
        self
    }

    /// The snapshot, whose revision is the hash of all names and versions.
    #[must_use]
    pub fn build(self) -> Snapshot {
        let mut hash = Xxh3::new();
        for (type_url, resources) in self.types.iter().filter(|(_, resources)| !resources.is_empty()) {
            text(&mut hash, type_url);
            hash.update(&(resources.len() as u64).to_le_bytes());
            for resource in resources.values() {
                text(&mut hash, &resource.name);
                text(&mut hash, &resource.version);
            }
        }
        let revision = Revision::from_hash128(hash.digest128());
        self.build_at(revision)
    }

    /// The snapshot at a revision that the caller has from elsewhere.
    #[must_use]
    pub fn build_at(self, revision: Revision) -> Snapshot {
        Snapshot { revision, types: self.types, uncertain: self.uncertain }
    }
}

/// Length-prefixed, so that no two lists of names read alike.
fn text(hash: &mut Xxh3, text: &str) {
    hash.update(&(text.len() as u64).to_le_bytes());
    hash.update(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resource(name: &str, body: &str) -> Resource {
        Resource::new(name, Any { type_url: "t".into(), value: body.into() })
    }

    #[test]
    fn revisions_are_content_hashes() {
        let build = |resources: &[(&str, &str, &str)]| {
            let mut builder = Snapshot::builder();
            for (type_url, name, body) in resources {
                builder.insert(type_url, resource(name, body));
            }
            builder.build().revision
        };
        let one = build(&[("t", "a", "1"), ("t", "b", "2")]);
        assert_eq!(one, build(&[("t", "b", "2"), ("t", "a", "1")]));
        assert_ne!(one, build(&[("t", "a", "1"), ("u", "b", "2")]));
        assert_ne!(one, build(&[("t", "a", "2"), ("t", "b", "2")]));
    }
}
