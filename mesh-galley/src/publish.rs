//! A configuration as MCP resources: one an object, under the type of its kind, and one a service and one a workload, as the registry makes them of objects that
//! subscribers do not see. What is no subscriber's business is not served.

mod registry;

use std::sync::{Arc, Mutex};

use mesh_config::{
    registry::SOURCES,
    resource::{Key, Kind},
    snapshot::ConfigSnapshot,
};
use mesh_proto::{
    id::Revision,
    mcp::{self, Object},
};
use mesh_runtime::xds::{self, Interest, Resource};
use tokio::sync::watch;
use xxhash_rust::xxh3::Xxh3;

use crate::{secret::References, store::Uncertain};
use registry::Registry;

/// What subscribers of each sort are served: the same revision, but Secrets go to those only who may have them.
#[derive(Clone, Debug)]
pub(crate) struct Served {
    /// Everything.
    pub(crate) trusted: Arc<xds::Snapshot>,
    /// Everything but Secrets.
    pub(crate) others: Arc<xds::Snapshot>,
}

/// Where what is served is put, and read from.
#[derive(Debug)]
pub(crate) struct Outlet {
    served: watch::Sender<Option<Served>>,
    trusted: watch::Sender<Option<Arc<xds::Snapshot>>>,
    others: watch::Sender<Option<Arc<xds::Snapshot>>>,
    registry: Mutex<Registry>,
}

impl Outlet {
    pub(crate) fn new() -> (Self, watch::Receiver<Option<Served>>) {
        let (served, receiver) = watch::channel(None);
        (Self { served, trusted: watch::Sender::new(None), others: watch::Sender::new(None), registry: Mutex::default() }, receiver)
    }

    /// With Secrets.
    pub(crate) fn trusted(&self) -> watch::Receiver<Option<Arc<xds::Snapshot>>> {
        self.trusted.subscribe()
    }

    /// Without.
    pub(crate) fn others(&self) -> watch::Receiver<Option<Arc<xds::Snapshot>>> {
        self.others.subscribe()
    }

    /// Serves a configuration, unless it is what is served already.
    pub(crate) fn put(&self, snapshot: &Arc<ConfigSnapshot>, uncertain: &Uncertain) {
        let before = self.served.borrow().clone();
        let mut registry = self.registry.lock().unwrap_or_else(|poisoned| {
            // A panic in the middle of a change: it is made anew, from the whole.
            self.registry.clear_poison();
            let mut registry = poisoned.into_inner();
            *registry = Registry::default();
            registry
        });
        registry.follow(snapshot);
        let next = served(snapshot, &registry, uncertain, before.as_ref());
        drop(registry);
        let revision = &next.trusted.revision;
        if before.is_some_and(|before| before.trusted.revision == *revision) {
            return;
        }
        let resources: usize = next.trusted.types.values().map(|resources| resources.len()).sum();
        tracing::info!(%revision, resources, "new configuration in force");
        let (trusted, others) = (next.trusted.clone(), next.others.clone());
        // First what answers are held against: a subscriber may refuse something before this function has returned.
        self.served.send_replace(Some(next));
        self.trusted.send_replace(Some(trusted));
        self.others.send_replace(Some(others));
    }
}

/// Which resources of a kind are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Extent {
    All,
    /// Those that something refers to.
    Referenced,
    /// None: it is for Galley itself, or for nobody here.
    None,
}

/// The kinds that subscribers may see: Istio's, the Gateway API's, Services, and Secrets in use. Pods, Nodes, ConfigMaps and whatever else of Kubernetes Galley
/// reads to know who is there stay here (DESIGN.md D1, D2).
fn extent(kind: Kind) -> Extent {
    match kind {
        Kind::Service => Extent::All,
        Kind::Secret => Extent::Referenced,
        other if other.group().ends_with(".istio.io") || other.group() == "gateway.networking.k8s.io" => Extent::All,
        _ => Extent::None,
    }
}

/// What is served of a configuration. Kinds that did not change share their resources with what was served before.
fn served(snapshot: &ConfigSnapshot, registry: &Registry, uncertain: &Uncertain, before: Option<&Served>) -> Served {
    let before = before.map(|before| &*before.trusted);
    let references = References::of(snapshot);
    let mut types: Vec<Type> = Vec::new();
    for kind in Kind::ALL.iter().copied().filter(|kind| extent(*kind) != Extent::None) {
        let type_url = mcp::type_url(kind.id());
        let resources = resources(kind, &type_url, snapshot, &references, before);
        let of_kind = uncertain.ids.iter().filter(|(of, _)| *of == kind);
        types.push(Type { type_url, resources, uncertain: Interest::names(of_kind.map(|(_, key)| name(key))) });
    }
    // What an object that is not known would have made is not known either.
    let doubtful = uncertain.ids.iter().any(|(kind, _)| SOURCES.contains(kind));
    let doubts = if doubtful { Interest::All } else { Interest::names::<&str>([]) };
    for (name, resources) in [(mcp::SERVICE, registry.services()), (mcp::WORKLOAD, registry.workloads())] {
        types.push(Type { type_url: mcp::type_url(name), resources, uncertain: doubts.clone() });
    }
    let revision = revision(&types, uncertain);
    let secrets = mcp::type_url(Kind::Secret.id());
    let build = |trusted: bool| {
        let mut builder = xds::Snapshot::builder();
        for of in types.iter().filter(|of| trusted || of.type_url != secrets) {
            builder.share(&of.type_url, of.resources.clone());
            if uncertain.all {
                builder.uncertain(&of.type_url, Interest::All);
            } else if !uncertain.is_empty() {
                builder.uncertain(&of.type_url, of.uncertain.clone());
            }
        }
        Arc::new(builder.build_at(revision.clone()))
    };
    Served { trusted: build(true), others: build(false) }
}

/// What is served of one type.
struct Type {
    type_url: String,
    resources: Arc<xds::Resources>,
    uncertain: Interest,
}

fn resources(
    kind: Kind,
    type_url: &str,
    snapshot: &ConfigSnapshot,
    references: &References,
    before: Option<&xds::Snapshot>,
) -> Arc<xds::Resources> {
    let wanted = snapshot.entries(kind).filter(|(key, _)| extent(kind) == Extent::All || references.wants(key));
    let resources: xds::Resources = wanted
        .map(|(key, entry)| {
            let name = name(key);
            let version: Arc<str> = entry.version().to_string().into();
            let same = before.and_then(|before| before.resource(type_url, &name)).filter(|old| old.version == version);
            let resource = same.cloned().unwrap_or_else(|| {
                let object = Object {
                    kind: kind.id().into(),
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
    let old = before.and_then(|before| before.resources(type_url));
    old.filter(|old| ***old == resources).cloned().unwrap_or_else(|| Arc::new(resources))
}

/// What it is called: a hash of all that is served. Doubts count: when one goes, subscribers must hear what is gone with it.
fn revision(types: &[Type], uncertain: &Uncertain) -> Revision {
    let mut hash = Xxh3::new();
    let mut text = |text: &str| {
        hash.update(text.as_bytes());
        hash.update(&[0]);
    };
    for of in types.iter().filter(|of| !of.resources.is_empty()) {
        text(&of.type_url);
        for resource in of.resources.values() {
            text(&resource.name);
            text(&resource.version);
        }
    }
    if uncertain.all {
        text("?");
    }
    let heard = |kind: Kind| extent(kind) != Extent::None || SOURCES.contains(&kind);
    for (kind, key) in uncertain.ids.iter().filter(|(kind, _)| heard(*kind)) {
        text("?");
        text(kind.id());
        text(&key.to_string());
    }
    Revision::from_hash128(hash.digest128())
}

fn name(key: &Key) -> Arc<str> {
    key.to_string().into()
}

#[cfg(test)]
mod tests;
