//! What balancing needs to know of a cluster's endpoints, computed once per change of membership or health.
//!
//! The rules are Envoy's ("Load balancing" in its architecture overview): priority loads with the overprovisioning factor,
//! panic, locality weights, rings and tables. A [`Compiled`] is immutable and shared by all workers; it says for which
//! health epoch it holds, and the first pick after an ejection or a return computes the next one.

mod load;

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use arc_swap::ArcSwapOption;

pub use self::load::{Availability, Loads};
use self::load::{Census, loads};
use super::hash::{Maglev, Ring, Share};
use crate::snapshot::{Balancer, Cluster, Endpoint, EndpointSet, Health, Locality};

/// Where a cluster keeps its [`Compiled`]. Empty until [`compile`] or the first pick.
#[derive(Debug, Default)]
pub struct CompiledCell(ArcSwapOption<Compiled>);

/// Endpoints sorted by what they may be used for, as of one health epoch.
#[derive(Debug)]
pub struct Compiled {
    /// Value of `ClusterState::health_epoch` this was computed at.
    pub epoch: u64,
    /// What it was computed from.
    pub endpoints: Arc<EndpointSet>,
    /// Which priority gets how much.
    pub loads: Loads,
    /// By priority.
    pub priorities: Vec<Priority>,
    /// Lists to pick from; [`Priority`] names them by index.
    pub sources: Vec<Source>,
}

/// One priority's lists.
#[derive(Debug)]
pub struct Priority {
    /// Every endpoint, for panic.
    pub all: usize,
    /// The healthy ones.
    pub healthy: usize,
    /// The degraded ones.
    pub degraded: usize,
    /// Healthy ones by locality, with the localities' effective weights; empty when localities have no weights.
    pub healthy_localities: Vec<(usize, f64)>,
    /// Degraded ones likewise.
    pub degraded_localities: Vec<(usize, f64)>,
    /// For hashing balancers.
    pub table: Table,
}

/// A hashing balancer's lookup, over `endpoints`.
#[derive(Debug, Default)]
pub struct Table {
    /// What its indexes mean.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// The lookup.
    pub lookup: Lookup,
}

/// The kinds of lookup.
#[derive(Debug, Default)]
pub enum Lookup {
    /// The balancer does not hash.
    #[default]
    None,
    /// Ketama.
    Ring(Ring),
    /// Maglev.
    Maglev(Maglev),
}

/// A list to pick from.
#[derive(Debug)]
pub struct Source {
    /// Which list it is: the same after a rebuild, so that cursors carry over.
    pub key: SourceKey,
    /// The list.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// Weights differ, so it needs a schedule.
    pub weighted: bool,
}

/// Names a list of endpoints within a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SourceKey {
    /// Priority.
    pub priority: usize,
    /// Healthy, degraded; `None` is all.
    pub availability: Option<Availability>,
    /// Only this locality.
    pub locality: Option<usize>,
}

/// Computes `cluster`'s tables ahead of the first request. Called when a snapshot is built, off the request path.
pub fn compile(cluster: &Cluster) {
    current(cluster);
}

/// The tables that hold now.
pub fn current(cluster: &Cluster) -> Arc<Compiled> {
    let epoch = cluster.state.health_epoch.load(Ordering::Acquire);
    if let Some(compiled) = cluster.compiled.0.load_full()
        && compiled.holds(cluster, epoch)
    {
        return compiled;
    }
    let compiled = Arc::new(Compiled::new(cluster, cluster.endpoints.clone(), epoch));
    cluster.compiled.0.store(Some(compiled.clone()));
    compiled
}

/// Whether `known` is what [`current`] would return. Touches nothing that other workers write to, but when health changes.
pub fn is_current(cluster: &Cluster, known: &Arc<Compiled>) -> bool {
    let stored = cluster.compiled.0.load();
    stored.as_ref().is_some_and(|stored| Arc::ptr_eq(stored, known))
        && known.holds(cluster, cluster.state.health_epoch.load(Ordering::Acquire))
}

/// What use an endpoint is now: its EDS health, unless it is ejected.
pub fn availability(endpoint: &Endpoint) -> Option<Availability> {
    if endpoint.state.ejected_until_ms.load(Ordering::Acquire) != 0 {
        return None;
    }
    match endpoint.health {
        Health::Healthy => Some(Availability::Healthy),
        Health::Degraded => Some(Availability::Degraded),
        Health::Unhealthy | Health::Draining => None,
    }
}

/// Marks what was computed from endpoints' health as out of date.
pub fn health_changed(epoch: &AtomicU64) {
    epoch.fetch_add(1, Ordering::AcqRel);
}

impl Compiled {
    fn holds(&self, cluster: &Cluster, epoch: u64) -> bool {
        self.epoch == epoch && Arc::ptr_eq(&self.endpoints, &cluster.endpoints)
    }

    /// The tables for `endpoints` (all of `cluster`'s, or a subset of them).
    pub fn new(cluster: &Cluster, endpoints: Arc<EndpointSet>, epoch: u64) -> Self {
        let factor = if endpoints.overprovisioning == 0 { 140 } else { endpoints.overprovisioning };
        let sorted: Vec<Vec<Sorted>> = endpoints.priorities.iter().map(|localities| localities.iter().map(Sorted::new).collect()).collect();
        let census: Vec<Census> = sorted.iter().map(|localities| Census::of(localities)).collect();
        let loads = loads(&census, factor, cluster.panic_threshold);
        let mut sources = Vec::new();
        let priorities = sorted
            .iter()
            .zip(&endpoints.priorities)
            .enumerate()
            .map(|(index, (sorted, localities))| {
                let table = table(&cluster.balancer, sorted, localities, loads.panic[index]);
                priority(index, sorted, localities, factor, table, &mut sources)
            })
            .collect();
        Self { epoch, endpoints, loads, priorities, sources }
    }
}

/// One locality's endpoints by availability.
pub(super) struct Sorted {
    all: Vec<Arc<Endpoint>>,
    healthy: Vec<Arc<Endpoint>>,
    degraded: Vec<Arc<Endpoint>>,
}

impl Sorted {
    fn new(locality: &Locality) -> Self {
        let those = |wanted| locality.endpoints.iter().filter(move |e| availability(e) == Some(wanted)).cloned().collect::<Vec<_>>();
        Self { all: locality.endpoints.clone(), healthy: those(Availability::Healthy), degraded: those(Availability::Degraded) }
    }

    fn list(&self, availability: Option<Availability>) -> &Vec<Arc<Endpoint>> {
        match availability {
            None => &self.all,
            Some(Availability::Healthy) => &self.healthy,
            Some(Availability::Degraded) => &self.degraded,
        }
    }
}

fn priority(index: usize, sorted: &[Sorted], localities: &[Locality], factor: u32, table: Table, sources: &mut Vec<Source>) -> Priority {
    let mut add = |availability, locality, endpoints: Vec<Arc<Endpoint>>| {
        let weighted = endpoints.windows(2).any(|pair| pair[0].weight != pair[1].weight);
        sources.push(Source { key: SourceKey { priority: index, availability, locality }, endpoints, weighted });
        sources.len() - 1
    };
    let mut whole = |availability| {
        let endpoints = sorted.iter().flat_map(|locality| locality.list(availability)).cloned().collect();
        add(availability, None, endpoints)
    };
    let all = whole(None);
    let healthy = whole(Some(Availability::Healthy));
    let degraded = whole(Some(Availability::Degraded));
    let mut by_locality = |availability| {
        if localities.iter().all(|locality| locality.weight.is_none()) {
            return Vec::new();
        }
        sorted
            .iter()
            .zip(localities)
            .enumerate()
            .filter_map(|(locality, (sorted, configured))| {
                let list = sorted.list(Some(availability));
                let weight = effective_weight(configured.weight.unwrap_or(0), list.len(), sorted.all.len(), factor);
                (weight > 0.0).then(|| (add(Some(availability), Some(locality), list.clone()), weight))
            })
            .collect()
    };
    let healthy_localities = by_locality(Availability::Healthy);
    let degraded_localities = by_locality(Availability::Degraded);
    Priority { all, healthy, degraded, healthy_localities, degraded_localities, table }
}

/// A locality's weight, less when too few of its endpoints are usable (Envoy docs: "Locality weighted load balancing").
#[expect(clippy::cast_precision_loss, reason = "counts of endpoints")]
fn effective_weight(weight: u32, usable: usize, all: usize, factor: u32) -> f64 {
    if all == 0 {
        return 0.0;
    }
    let ratio = usable as f64 / all as f64;
    f64::from(weight) * (f64::from(factor) / 100.0 * ratio).min(1.0)
}

fn table(balancer: &Balancer, sorted: &[Sorted], localities: &[Locality], panic: bool) -> Table {
    if !matches!(balancer, Balancer::RingHash { .. } | Balancer::Maglev { .. }) {
        return Table::default();
    }
    let wanted = if panic { None } else { Some(Availability::Healthy) };
    let weighted = localities.iter().any(|locality| locality.weight.is_some());
    let mut endpoints = Vec::new();
    let mut shares = Vec::new();
    if weighted {
        let total: u64 = localities.iter().map(|locality| u64::from(locality.weight.unwrap_or(0))).sum();
        for (sorted, locality) in sorted.iter().zip(localities) {
            let weight = locality.weight.unwrap_or(0);
            if weight > 0 {
                add_shares(sorted.list(wanted).iter(), ratio(weight, total), &mut endpoints, &mut shares);
            }
        }
    } else {
        add_shares(sorted.iter().flat_map(|locality| locality.list(wanted)), 1.0, &mut endpoints, &mut shares);
    }
    let lookup = match *balancer {
        Balancer::RingHash { minimum, maximum } => Lookup::Ring(Ring::new(&shares, minimum, maximum)),
        Balancer::Maglev { table_size } => Lookup::Maglev(Maglev::new(&shares, table_size)),
        _ => Lookup::None,
    };
    Table { endpoints, lookup }
}

fn add_shares<'a>(
    list: impl Iterator<Item = &'a Arc<Endpoint>> + Clone,
    share: f64,
    endpoints: &mut Vec<Arc<Endpoint>>,
    shares: &mut Vec<Share>,
) {
    let total: u64 = list.clone().map(|endpoint| u64::from(endpoint.weight)).sum();
    for endpoint in list {
        let weight = share * ratio(endpoint.weight, total);
        shares.push(Share { key: hash_key(endpoint), weight });
        endpoints.push(endpoint.clone());
    }
}

#[expect(clippy::cast_precision_loss, reason = "sums of u32 weights")]
fn ratio(part: u32, total: u64) -> f64 {
    f64::from(part) / total.max(1) as f64
}

/// `envoy.lb` metadata `hash_key` if there is one, else the address.
fn hash_key(endpoint: &Endpoint) -> String {
    match endpoint.subset_metadata.iter().find(|(key, value)| &**key == "hash_key" && !value.is_empty()) {
        Some((_, key)) => key.to_string(),
        None => endpoint.address.to_string(),
    }
}
