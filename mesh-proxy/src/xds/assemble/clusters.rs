//! Clusters and their endpoints: joined here, each kept when the other changes.

use std::sync::Arc;

use mesh_proto::{
    canonical,
    envoy::config::{cluster::v3::Cluster as WireCluster, endpoint::v3::ClusterLoadAssignment},
};
use mesh_runtime::xds::Rejection;
use xxhash_rust::xxh3::xxh3_64;

use super::{Assembler, Assignment, Kind, Origin, named, rejection};
use crate::{
    snapshot::{Cluster, Discovery},
    upstream::{balance, state::States},
    xds::{
        cluster::{self, Converted},
        context::{Context, Found},
        endpoint,
    },
};

/// One cluster's versions.
#[derive(Debug)]
pub(super) struct ClusterEntry {
    origin: Origin,
    current: Option<Version>,
    /// Newer than `current`, and not complete yet.
    waiting: Option<Version>,
    /// What is in the snapshot: `current` with its endpoints.
    joined: Option<Joined>,
}

#[derive(Debug)]
struct Version {
    base: Arc<Cluster>,
    weighted: bool,
    found: Found,
}

#[derive(Debug)]
struct Joined {
    cluster: Arc<Cluster>,
    base: Arc<Cluster>,
    /// Hash of the assignment that was joined.
    assignment: Option<u64>,
}

impl ClusterEntry {
    pub(super) fn in_force(&self) -> Option<&Arc<Cluster>> {
        self.joined.as_ref().map(|joined| &joined.cluster)
    }

    pub(super) fn founds(&self) -> impl Iterator<Item = &Found> {
        self.versions().map(|version| &version.found)
    }

    /// EDS names.
    pub(super) fn services(&self) -> impl Iterator<Item = &Arc<str>> {
        self.versions().filter_map(|version| service(&version.base))
    }

    fn versions(&self) -> impl Iterator<Item = &Version> {
        self.waiting.iter().chain(&self.current)
    }

    fn newest_hash(&self) -> Option<u64> {
        self.versions().next().map(|version| version.base.hash)
    }
}

fn service(cluster: &Cluster) -> Option<&Arc<str>> {
    match &cluster.discovery {
        Discovery::Eds(service) => Some(service),
        _ => None,
    }
}

impl Assembler {
    /// Takes clusters.
    pub fn clusters(&mut self, upserts: Vec<WireCluster>, removed: &[Arc<str>]) -> Vec<Rejection> {
        for name in removed {
            if self.clusters.get(name).is_some_and(|entry| entry.origin == Origin::Discovery) {
                self.clusters.remove(name);
                self.changed = true;
            }
        }
        upserts.into_iter().filter_map(|wire| self.cluster(&wire, Origin::Discovery).err()).collect()
    }

    /// Takes the bootstrap's clusters, which discovery can neither replace nor remove.
    pub(crate) fn static_clusters(&mut self, clusters: Vec<WireCluster>) -> Vec<Rejection> {
        clusters.into_iter().filter_map(|wire| self.cluster(&wire, Origin::Bootstrap).err()).collect()
    }

    /// Takes load assignments. One that is gone at the server stays in force, as in Envoy, while its cluster is there; one that the server says
    /// it does not have is not waited for.
    pub fn endpoints(&mut self, upserts: Vec<ClusterLoadAssignment>, removed: &[Arc<str>]) -> Vec<Rejection> {
        self.absent(Kind::Endpoints, removed);
        let mut rejections = Vec::new();
        for wire in upserts {
            let name: Arc<str> = wire.cluster_name.as_str().into();
            let hash = xxh3_64(&canonical::encode(&wire));
            if self.endpoints.get(&name).is_some_and(|assignment| assignment.hash == hash) {
                continue;
            }
            // Converted for each of its clusters when they are joined; here to see that it can be.
            let mut cx = Context::new(&mut self.slots, &mut self.secrets);
            let of = endpoint::Of { cluster: &name, transport_matches: &[], weighted: false, dns: false };
            match named(&name, &cx).and_then(|()| endpoint::set(&mut cx, &mut States::default(), &of, &wire)) {
                Ok(_) => {
                    let assignment = Assignment { wire: Arc::new(wire), hash, ignored: cx.finish().ignored };
                    self.given_up.remove(&(Kind::Endpoints, name.clone()));
                    self.endpoints.insert(name, assignment);
                }
                Err(refusal) => rejections.push(rejection(&name, &refusal)),
            }
        }
        rejections
    }

    fn cluster(&mut self, wire: &WireCluster, origin: Origin) -> Result<(), Rejection> {
        let name: Arc<str> = wire.name.as_str().into();
        let entry = self.clusters.get(&name);
        if entry.is_some_and(|entry| entry.origin == Origin::Bootstrap) {
            return Err(Rejection { name, reason: "the bootstrap has a cluster of this name".to_owned() });
        }
        let hash = xxh3_64(&canonical::encode(wire));
        if entry.and_then(ClusterEntry::newest_hash) == Some(hash) {
            return Ok(());
        }
        let (name, slot) = self.slots.cluster(&name);
        let mut cx = Context::new(&mut self.slots, &mut self.secrets);
        let converted = named(&name, &cx).and_then(|()| cluster::cluster(&mut cx, &mut self.states, slot, &name, wire));
        let Converted { cluster, weighted } = converted.map_err(|refusal| rejection(&name, &refusal))?;
        let version = Version { base: Arc::new(cluster), weighted, found: cx.finish() };
        let entry = self.clusters.entry(name).or_insert(ClusterEntry { origin, current: None, waiting: None, joined: None });
        let back = entry.current.as_ref().is_some_and(|current| current.base.hash == hash);
        entry.waiting = (!back).then_some(version);
        Ok(())
    }

    /// Puts versions in force that wait for nothing any more, or that are a cluster's first; joins what changed with its endpoints.
    pub(super) fn settle_clusters(&mut self) {
        let stale = |entry: &ClusterEntry| entry.waiting.is_some() || self.is_stale(entry);
        let names: Vec<Arc<str>> = self.clusters.iter().filter(|(_, entry)| stale(entry)).map(|(name, _)| name.clone()).collect();
        for name in names {
            let Some(mut entry) = self.clusters.remove(&name) else { continue };
            let ready = entry.waiting.as_ref().is_some_and(|version| entry.current.is_none() || self.is_ready(version));
            if ready {
                entry.current = entry.waiting.take().or(entry.current.take());
            }
            self.join(&mut entry);
            self.clusters.insert(name, entry);
        }
    }

    fn is_ready(&self, version: &Version) -> bool {
        service(&version.base).is_none_or(|service| self.is_here(Kind::Endpoints, service)) && self.is_complete(&version.found)
    }

    /// Whether what is in the snapshot is not made of what is here now.
    fn is_stale(&self, entry: &ClusterEntry) -> bool {
        let Some(version) = &entry.current else { return false };
        let hash = self.assignment(version).map(|assignment| assignment.hash);
        let warming = !self.is_ready(version);
        !entry.joined.as_ref().is_some_and(|joined| {
            joined.assignment == hash && joined.cluster.warming == warming && Arc::ptr_eq(&joined.base, &version.base)
        })
    }

    fn assignment(&self, version: &Version) -> Option<&Assignment> {
        self.endpoints.get(service(&version.base)?)
    }

    fn join(&mut self, entry: &mut ClusterEntry) {
        if !self.is_stale(entry) {
            return;
        }
        let Some(version) = &entry.current else { return };
        let warming = !self.is_ready(version);
        let assignment = self.assignment(version);
        let hash = assignment.map(|assignment| assignment.hash);
        let endpoints = match (assignment, service(&version.base)) {
            (Some(assignment), _) => {
                let wire = assignment.wire.clone();
                let of = endpoint::Of {
                    cluster: &version.base.name,
                    transport_matches: &version.base.transport_matches,
                    weighted: version.weighted,
                    dns: false,
                };
                let mut cx = Context::new(&mut self.slots, &mut self.secrets);
                // It was converted once before, when it came.
                Arc::new(endpoint::set(&mut cx, &mut self.states, &of, &wire).unwrap_or_else(|_| endpoint::none()))
            }
            (None, Some(_)) => Arc::new(endpoint::none()),
            (None, None) => version.base.endpoints.clone(),
        };
        let cluster = Arc::new(cluster::with_endpoints(&version.base, endpoints, warming));
        balance::compile(&cluster);
        entry.joined = Some(Joined { cluster, base: version.base.clone(), assignment: hash });
        self.changed = true;
    }
}
