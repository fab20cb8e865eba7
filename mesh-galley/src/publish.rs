//! A configuration as MCP resources.

use std::{collections::BTreeMap, sync::Arc};

use mesh_config::{
    resource::{Key, Kind},
    snapshot::ConfigSnapshot,
};
use mesh_proto::{
    id::Revision,
    mcp::{self, Object},
};
use mesh_runtime::xds::{self, Interest, Resource};
use xxhash_rust::xxh3::Xxh3;

use crate::store::Uncertain;

/// What a configuration is called. Doubts count: when one goes, subscribers must hear what is gone with it.
pub(crate) fn revision(snapshot: &ConfigSnapshot, uncertain: &Uncertain) -> Revision {
    if uncertain.is_empty() {
        return snapshot.revision().clone();
    }
    let mut hash = Xxh3::new();
    hash.update(snapshot.revision().as_str().as_bytes());
    hash.update(&[u8::from(uncertain.all)]);
    for (kind, key) in &uncertain.ids {
        for text in [kind.as_str(), &key.namespace, &key.name] {
            hash.update(text.as_bytes());
            hash.update(&[0]);
        }
    }
    Revision::from_hash128(hash.digest128())
}

/// Every kind, even the empty ones; kinds that did not change share their resources with the snapshot before.
pub(crate) fn resources(
    revision: Revision,
    snapshot: &ConfigSnapshot,
    uncertain: &Uncertain,
    before: Option<&xds::Snapshot>,
) -> xds::Snapshot {
    let mut builder = xds::Snapshot::builder();
    for kind in Kind::ALL.iter().copied() {
        let type_url = mcp::type_url(kind.as_str());
        let resources: BTreeMap<Arc<str>, Resource> = snapshot
            .entries(kind)
            .map(|(key, entry)| {
                let name = name(key);
                let version: Arc<str> = entry.version().to_string().into();
                let same = before.and_then(|before| before.resource(&type_url, &name)).filter(|old| old.version == version);
                let resource = same.cloned().unwrap_or_else(|| {
                    let object = Object {
                        kind: kind.as_str().into(),
                        api_version: kind.api_version(),
                        name: key.name.clone(),
                        namespace: key.namespace.clone(),
                        json: entry.resource().to_json().to_string().into(),
                        ..Object::default()
                    };
                    Resource::with_version(name.clone(), version, mcp::pack(&object))
                });
                (name, resource)
            })
            .collect();
        if uncertain.all {
            builder.uncertain(&type_url, Interest::All);
        } else if !uncertain.is_empty() {
            let of_kind = uncertain.ids.iter().filter(|(of, _)| *of == kind);
            builder.uncertain(&type_url, Interest::names(of_kind.map(|(_, key)| name(key))));
        }
        let old = before.and_then(|before| before.resources(&type_url));
        match old {
            Some(old) if **old == resources => builder.share(&type_url, old.clone()),
            _ => builder.share(&type_url, Arc::new(resources)),
        };
    }
    builder.build_at(revision)
}

fn name(key: &Key) -> Arc<str> {
    key.to_string().into()
}
