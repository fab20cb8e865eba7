//! Holds the last accepted version of everything that came over the wire, and assembles it into snapshots.
//!
//! As in Envoy, what a resource needs is waited for: a new version of a listener that lacks its route table or a secret stays behind the version in
//! force until they are there; a cluster that lacks its endpoints is in the snapshot as `warming` if there was none before it. What did not change
//! keeps its `Arc` from one snapshot to the next, and slots keep their numbers.
//!
//! No clock and no I/O, but for files that secrets name. Whoever drives it decides how long to wait ([`Assembler::stop_waiting`]).

mod clusters;
mod listeners;
mod secrets;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use mesh_proto::{
    any, canonical,
    envoy::{
        config::{
            cluster::v3::Cluster as WireCluster, endpoint::v3::ClusterLoadAssignment, listener::v3::Listener as WireListener,
            route::v3::RouteConfiguration,
        },
        extensions::transport_sockets::tls::v3::Secret as WireSecret,
    },
    type_url,
};
use mesh_runtime::xds::{Rejection, Resource};
use prost::{Message, Name};
use xxhash_rust::xxh3::xxh3_64;

use self::{clusters::ClusterEntry, listeners::ListenerEntry};
use super::{
    context::{Context, Found, Refusal},
    route,
    secret::Registry,
    slots::Slots,
    source::Source,
};
use crate::{
    secret::SecretRef,
    snapshot::{RouteTable, Snapshot},
    upstream::state::States,
};

/// See the module's documentation.
#[derive(Debug, Default)]
pub struct Assembler {
    slots: Slots,
    secrets: Registry,
    states: States,
    listeners: BTreeMap<Arc<str>, ListenerEntry>,
    clusters: BTreeMap<Arc<str>, ClusterEntry>,
    routes: HashMap<Arc<str>, RouteEntry>,
    endpoints: HashMap<Arc<str>, Assignment>,
    /// What is not waited for any more, by kind and name.
    given_up: HashSet<(Kind, Arc<str>)>,
    current: Arc<Snapshot>,
    changed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Route,
    Endpoints,
    Secret,
}

#[derive(Debug)]
struct RouteEntry {
    table: Arc<RouteTable>,
    found: Found,
}

#[derive(Debug)]
struct Assignment {
    wire: Arc<ClusterLoadAssignment>,
    hash: u64,
    ignored: Vec<String>,
}

/// Where a resource comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Origin {
    Bootstrap,
    Discovery,
}

/// What to subscribe to.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Wanted {
    /// RDS names.
    pub routes: BTreeSet<Arc<str>>,
    /// EDS names.
    pub endpoints: BTreeSet<Arc<str>>,
    /// SDS names and where each comes from. Secrets of the bootstrap itself are not among them.
    pub secrets: BTreeMap<Arc<str>, Source>,
}

/// A field that was accepted and has no effect.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ignored {
    /// Kind and name of the resource.
    pub resource: String,
    /// Path of the field.
    pub path: String,
}

impl std::fmt::Display for Ignored {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.resource, self.path)
    }
}

impl Assembler {
    /// An assembler that has received nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes an update of any of the five types, as the xDS client delivers it. Removals first, then upserts.
    ///
    /// A resource that is rejected leaves its version before in force, and its siblings apply.
    pub fn apply(&mut self, type_url: &str, upserts: &[Resource], removed: &[Arc<str>]) -> Vec<Rejection> {
        let mut rejections = Vec::new();
        match type_url {
            type_url::LISTENER => {
                let decoded = decode(upserts, |wire: &WireListener| &wire.name, &mut rejections);
                rejections.extend(self.listeners(decoded, removed));
            }
            type_url::CLUSTER => {
                let decoded = decode(upserts, |wire: &WireCluster| &wire.name, &mut rejections);
                rejections.extend(self.clusters(decoded, removed));
            }
            type_url::ROUTE => {
                let decoded = decode(upserts, |wire: &RouteConfiguration| &wire.name, &mut rejections);
                rejections.extend(self.routes(decoded, removed));
            }
            type_url::ENDPOINT => {
                let decoded = decode(upserts, |wire: &ClusterLoadAssignment| &wire.cluster_name, &mut rejections);
                rejections.extend(self.endpoints(decoded, removed));
            }
            type_url::SECRET => {
                let decoded = decode(upserts, |wire: &WireSecret| &wire.name, &mut rejections);
                rejections.extend(self.secrets(decoded, removed));
            }
            other => {
                let reason = format!("{other} is not a type that is subscribed to");
                rejections.extend(upserts.iter().map(|resource| Rejection { name: resource.name.clone(), reason: reason.clone() }));
            }
        }
        rejections
    }

    /// Takes route tables. One that is gone at the server stays in force, as in Envoy, for a listener refers to it; one that the server says it does
    /// not have is not waited for.
    pub fn routes(&mut self, upserts: Vec<RouteConfiguration>, removed: &[Arc<str>]) -> Vec<Rejection> {
        self.absent(Kind::Route, removed);
        let mut rejections = Vec::new();
        for wire in upserts {
            let name: Arc<str> = wire.name.as_str().into();
            let hash = xxh3_64(&canonical::encode(&wire));
            if self.routes.get(&name).is_some_and(|entry| entry.table.hash == hash) {
                continue;
            }
            let mut cx = Context::new(&mut self.slots, &mut self.secrets);
            match named(&name, &cx).and_then(|()| route::table(&mut cx, &wire)) {
                Ok(table) => {
                    let entry = RouteEntry { table: Arc::new(table), found: cx.finish() };
                    self.given_up.remove(&(Kind::Route, name.clone()));
                    self.routes.insert(name, entry);
                    self.changed = true;
                }
                Err(refusal) => rejections.push(rejection(&name, &refusal)),
            }
        }
        rejections
    }

    /// What to subscribe to now. Ask after each [`Assembler::snapshot`].
    pub fn wanted(&self) -> Wanted {
        let mut wanted = Wanted::default();
        let founds = self.listeners.values().flat_map(ListenerEntry::founds).chain(self.clusters.values().flat_map(ClusterEntry::founds));
        for found in founds {
            wanted.routes.extend(found.routes.iter().cloned());
            let dynamic = found.secrets.iter().filter(|(_, source)| **source != Source::Static);
            wanted.secrets.extend(dynamic.map(|(name, source)| (name.clone(), source.clone())));
        }
        wanted.endpoints.extend(self.clusters.values().flat_map(ClusterEntry::services).cloned());
        wanted
    }

    /// Names that something waits for: route tables, endpoints and secrets that have not come yet.
    pub fn waiting(&self) -> BTreeSet<Arc<str>> {
        self.missing().into_iter().map(|(_, name)| name).collect()
    }

    /// Ends the wait for what has not come yet, as Envoy does after `initial_fetch_timeout` (15 s): listeners and clusters go into force without
    /// it. Whatever of it comes later takes effect then.
    pub fn stop_waiting(&mut self) {
        let missing = self.missing();
        self.changed |= !missing.is_empty();
        self.given_up.extend(missing);
    }

    /// Fields that were accepted and have no effect, of everything that is in force or waits.
    pub fn ignored(&self) -> Vec<Ignored> {
        self.report(|found| &found.ignored)
    }

    /// What was accepted and fails when it is used: filters and routes that answer 500 for what they lack.
    pub fn refusing(&self) -> Vec<Ignored> {
        self.report(|found| &found.refusing)
    }

    /// The place of the SDS secret of that name: for whoever fills it, or serves it to others.
    pub fn secret(&mut self, name: &str) -> SecretRef {
        self.secrets.named(name)
    }

    /// Reads certificate and bundle files again; returns what went wrong, and then the content before stays in force.
    pub fn reload_files(&mut self) -> Vec<String> {
        self.secrets.reload_files()
    }

    /// The configuration in force, made anew if anything changed.
    pub fn snapshot(&mut self) -> Arc<Snapshot> {
        self.settle_listeners();
        self.settle_clusters();
        if !self.changed {
            return self.current.clone();
        }
        self.changed = false;
        self.forget();
        self.current = Arc::new(self.build());
        self.current.clone()
    }

    fn build(&self) -> Snapshot {
        let mut snapshot = Snapshot { generation: self.current.generation + 1, ..Snapshot::default() };
        snapshot.listeners.resize_with(self.slots.listener_count(), || None);
        snapshot.clusters.resize_with(self.slots.cluster_count(), || None);
        snapshot.route_tables.resize_with(self.slots.route_count(), || None);
        for (name, listener) in self.listeners.iter().filter_map(|(name, entry)| Some((name, entry.in_force()?))) {
            snapshot.listener_names.insert(name.clone(), listener.slot);
            snapshot.listeners[listener.slot.index()] = Some(listener.clone());
        }
        for (name, cluster) in self.clusters.iter().filter_map(|(name, entry)| Some((name, entry.in_force()?))) {
            snapshot.cluster_names.insert(name.clone(), cluster.slot);
            snapshot.clusters[cluster.slot.index()] = Some(cluster.clone());
        }
        for (name, slot) in self.slots.route_tables() {
            if let Some(entry) = self.routes.get(name) {
                snapshot.route_table_names.insert(name.clone(), slot);
                snapshot.route_tables[slot.index()] = Some(entry.table.clone());
            }
        }
        snapshot
    }

    /// Forgets what nothing refers to any more. The server sends it again if it is wanted again.
    fn forget(&mut self) {
        let wanted = self.wanted();
        self.routes.retain(|name, _| wanted.routes.contains(name));
        self.endpoints.retain(|name, _| wanted.endpoints.contains(name));
        self.given_up.retain(|(kind, name)| match kind {
            Kind::Route => wanted.routes.contains(name),
            Kind::Endpoints => wanted.endpoints.contains(name),
            Kind::Secret => wanted.secrets.contains_key(name),
        });
        self.secrets.sweep();
        self.states.sweep();
    }

    /// What is referred to, not there, and still waited for.
    fn missing(&self) -> HashSet<(Kind, Arc<str>)> {
        let Wanted { routes, endpoints, secrets } = self.wanted();
        let routes = routes.into_iter().map(|name| (Kind::Route, name));
        let endpoints = endpoints.into_iter().map(|name| (Kind::Endpoints, name));
        let secrets = secrets.into_keys().map(|name| (Kind::Secret, name));
        routes.chain(endpoints).chain(secrets).filter(|(kind, name)| !self.is_here(*kind, name)).collect()
    }

    /// Whether something has come, or is not waited for any more.
    fn is_here(&self, kind: Kind, name: &Arc<str>) -> bool {
        let here = match kind {
            Kind::Route => self.routes.contains_key(name),
            Kind::Endpoints => self.endpoints.contains_key(name),
            Kind::Secret => self.secrets.known(name).is_some_and(|secret| secret.load().is_some()),
        };
        here || self.given_up.contains(&(kind, name.clone()))
    }

    /// Whether all that a resource refers to has come.
    fn is_complete(&self, found: &Found) -> bool {
        found.routes.iter().all(|name| self.is_here(Kind::Route, name))
            && found.secrets.iter().all(|(name, source)| *source == Source::Static || self.is_here(Kind::Secret, name))
    }

    /// The server does not have these: what is held stays, what is not is not waited for.
    fn absent(&mut self, kind: Kind, removed: &[Arc<str>]) {
        for name in removed {
            if !self.is_here(kind, name) {
                self.given_up.insert((kind, name.clone()));
                self.changed = true;
            }
        }
    }

    fn report(&self, lines: fn(&Found) -> &Vec<String>) -> Vec<Ignored> {
        let mut report = Vec::new();
        let mut add = |kind: &str, name: &str, paths: &[String]| {
            report.extend(paths.iter().map(|path| Ignored { resource: format!("{kind} {name}"), path: path.clone() }));
        };
        for (name, entry) in &self.listeners {
            entry.founds().for_each(|found| add("listener", name, lines(found)));
        }
        for (name, entry) in &self.clusters {
            entry.founds().for_each(|found| add("cluster", name, lines(found)));
        }
        for (name, entry) in &self.routes {
            add("route", name, lines(&entry.found));
        }
        for (name, entry) in &self.endpoints {
            let found = Found { ignored: entry.ignored.clone(), ..Found::default() };
            add("endpoints", name, lines(&found));
        }
        report.sort_unstable();
        report.dedup();
        report
    }
}

/// Decodes resources, and checks that each is what its envelope says.
fn decode<M: Message + Name + Default>(upserts: &[Resource], name: fn(&M) -> &String, rejections: &mut Vec<Rejection>) -> Vec<M> {
    let mut decoded = Vec::with_capacity(upserts.len());
    for resource in upserts {
        let reason = match any::unpack::<M>(&resource.body) {
            Ok(wire) if **name(&wire) == *resource.name => {
                decoded.push(wire);
                continue;
            }
            Ok(wire) => format!("the resource inside is named {:?}", name(&wire)),
            Err(error) => error.to_string(),
        };
        rejections.push(Rejection { name: resource.name.clone(), reason });
    }
    decoded
}

fn rejection(name: &Arc<str>, refusal: &Refusal) -> Rejection {
    Rejection { name: name.clone(), reason: refusal.to_string() }
}

fn named(name: &str, cx: &Context<'_>) -> super::context::Result<()> {
    if name.is_empty() { Err(cx.refuse_field("name", "is empty")) } else { Ok(()) }
}
