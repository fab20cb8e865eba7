//! Which endpoint of a cluster takes a request.
//!
//! Order of decision, as Envoy's: priority (by health, overprovisioned), panic, locality (when weighted), then the balancer;
//! endpoints that an earlier try used are passed over while attempts last. Each worker owns one [`BalancerState`], so that
//! nothing here takes a lock; random numbers come from the caller.

use std::{
    fmt,
    sync::{Arc, atomic::Ordering},
};

use crate::{
    snapshot::{Balancer, Cluster, Endpoint, EndpointSet, Locality, Snapshot, SubsetFallback, Subsets},
    upstream::{
        balance::{self, Availability, Compiled, Lookup, Source},
        edf::Edf,
    },
};

/// What a pick depends on besides the cluster.
#[derive(Debug, Clone, Default)]
pub struct PickRequest<'a> {
    /// From the route's hash policy; `None`: random.
    pub hash: Option<u64>,
    /// Endpoints that earlier tries of this request used, to be avoided (`previous_hosts`).
    pub excluded: &'a [Arc<Endpoint>],
    /// Draws after the first in search of an endpoint that is not excluded (`host_selection_retry_max_attempts`).
    pub host_attempts: u32,
    /// The route's `metadata_match`.
    pub metadata_match: &'a [(Arc<str>, Arc<str>)],
}

/// The endpoint chosen, or why there is none.
#[derive(Debug, Clone)]
pub enum Pick {
    /// This one.
    Endpoint(Picked),
    /// `ORIGINAL_DST`: the connection's own original destination.
    OriginalDestination,
    /// None: 503, `UH`.
    Nothing(Nothing),
}

/// An endpoint, and how it came to be chosen.
#[derive(Debug, Clone)]
pub struct Picked {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// Its priority.
    pub priority: usize,
    /// It was wanted as healthy or as degraded; `None` in panic: health was not looked at.
    pub availability: Option<Availability>,
    /// Index of the locality, if one was chosen first.
    pub locality: Option<usize>,
}

/// Why there is no endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nothing {
    /// The cluster has no endpoints at all.
    NoEndpoints,
    /// None is healthy, and the cluster does not panic.
    NoHealthyEndpoint,
    /// No endpoint has the metadata that the route wants.
    NoSubset,
}

/// A worker's positions in the clusters' schedules.
#[derive(Debug)]
pub struct BalancerState {
    seed: u64,
    clusters: Vec<Option<Cursor>>,
}

/// Keys and values that all endpoints of a subset have.
type Metadata = Vec<(Arc<str>, Arc<str>)>;

#[derive(Debug)]
struct Cursor {
    compiled: Arc<Compiled>,
    sources: Vec<SourceCursor>,
    localities: Vec<[Option<Edf>; 2]>,
    subsets: Vec<(Metadata, Cursor)>,
}

#[derive(Debug, Default)]
struct SourceCursor {
    next: u64,
    edf: Option<Edf>,
}

/// Picks an endpoint of `cluster`.
pub fn pick(cluster: &Cluster, state: &mut BalancerState, request: &PickRequest<'_>, draw: &mut dyn FnMut() -> u64) -> Pick {
    if cluster.balancer == Balancer::OriginalDestination {
        return Pick::OriginalDestination;
    }
    let seed = state.seed;
    let cursor = state.cursor(cluster);
    match subset(cluster, request.metadata_match) {
        Subset::All => cursor.pick(cluster, seed, request, draw),
        Subset::Of(criteria) => match cursor.subset(cluster, criteria, seed) {
            Some(cursor) => cursor.pick(cluster, seed, request, draw),
            None => match cluster.subsets.as_ref().map(|subsets| &subsets.fallback) {
                Some(SubsetFallback::Any) => cursor.pick(cluster, seed, request, draw),
                Some(SubsetFallback::Default(criteria)) => match cursor.subset(cluster, criteria, seed) {
                    Some(cursor) => cursor.pick(cluster, seed, request, draw),
                    None => Pick::Nothing(Nothing::NoSubset),
                },
                _ => Pick::Nothing(Nothing::NoSubset),
            },
        },
        Subset::Missing => Pick::Nothing(Nothing::NoSubset),
    }
}

/// The category under which a request is to be dropped (`policy.drop_overloads`), if `draw` falls on one.
pub fn dropped(endpoints: &EndpointSet, draw: &mut dyn FnMut() -> u64) -> Option<Arc<str>> {
    endpoints.drop.iter().find(|(_, share)| share.hits(draw())).map(|(category, _)| category.clone())
}

impl BalancerState {
    /// Positions that start where `seed`, a random number, says: workers must not march in step.
    pub fn new(seed: u64) -> Self {
        Self { seed, clusters: Vec::new() }
    }

    /// Forgets clusters that `snapshot` no longer has or has with other endpoints.
    pub fn sweep(&mut self, snapshot: &Snapshot) {
        for (cursor, slot) in self.clusters.iter_mut().zip(0..) {
            let now = snapshot.cluster(crate::snapshot::ClusterSlot(slot)).map(|cluster| &cluster.endpoints);
            if let Some(old) = cursor
                && now.is_none_or(|endpoints| !Arc::ptr_eq(endpoints, &old.compiled.endpoints))
            {
                *cursor = None;
            }
        }
    }

    fn cursor(&mut self, cluster: &Cluster) -> &mut Cursor {
        let slot = cluster.slot.index();
        if self.clusters.len() <= slot {
            self.clusters.resize_with(slot + 1, || None);
        }
        let place = &mut self.clusters[slot];
        if !place.as_ref().is_some_and(|cursor| balance::is_current(cluster, &cursor.compiled)) {
            *place = Some(Cursor::new(balance::current(cluster), place.take(), self.seed));
        }
        place.get_or_insert_with(|| Cursor::empty(cluster))
    }
}

impl fmt::Display for Pick {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Endpoint(picked) => {
                write!(f, "endpoint {} of priority {}", picked.endpoint.address, picked.priority)?;
                if let Some(locality) = picked.locality {
                    write!(f, ", locality #{locality}")?;
                }
                match picked.availability {
                    Some(Availability::Healthy) => write!(f, ", healthy"),
                    Some(Availability::Degraded) => write!(f, ", degraded"),
                    None => write!(f, ", in panic"),
                }
            }
            Self::OriginalDestination => write!(f, "the connection's original destination"),
            Self::Nothing(Nothing::NoEndpoints) => write!(f, "nothing: the cluster has no endpoints"),
            Self::Nothing(Nothing::NoHealthyEndpoint) => write!(f, "nothing: no endpoint is healthy"),
            Self::Nothing(Nothing::NoSubset) => write!(f, "nothing: no endpoint has the metadata wanted"),
        }
    }
}

enum Subset<'a> {
    All,
    Of(&'a [(Arc<str>, Arc<str>)]),
    Missing,
}

/// Which endpoints a request's criteria name: those of a configured selector with just these keys, else the fallback.
fn subset<'a>(cluster: &'a Cluster, criteria: &'a [(Arc<str>, Arc<str>)]) -> Subset<'a> {
    let Some(Subsets { selectors, fallback }) = &cluster.subsets else {
        return Subset::All;
    };
    let selected = selectors
        .iter()
        .any(|keys| keys.len() == criteria.len() && keys.iter().all(|key| criteria.iter().any(|(wanted, _)| wanted == key)));
    match fallback {
        _ if selected && !criteria.is_empty() => Subset::Of(criteria),
        SubsetFallback::Any => Subset::All,
        SubsetFallback::Default(criteria) => Subset::Of(criteria),
        SubsetFallback::None => Subset::Missing,
    }
}

impl Cursor {
    fn new(compiled: Arc<Compiled>, old: Option<Self>, seed: u64) -> Self {
        let sources = compiled
            .sources
            .iter()
            .map(|source| {
                let kept = old.as_ref().and_then(|old| {
                    let at = old.compiled.sources.iter().position(|o| o.key == source.key)?;
                    Some(old.sources[at].next)
                });
                let edf = source.weighted.then(|| Edf::new(weights(source), seed));
                SourceCursor { next: kept.unwrap_or(seed), edf }
            })
            .collect();
        let localities = compiled
            .priorities
            .iter()
            .map(|priority| {
                [&priority.healthy_localities, &priority.degraded_localities]
                    .map(|list| (!list.is_empty()).then(|| Edf::new(list.iter().map(|(_, weight)| *weight), seed)))
            })
            .collect();
        Self { compiled, sources, localities, subsets: Vec::new() }
    }

    fn empty(cluster: &Cluster) -> Self {
        Self::new(Arc::new(Compiled::new(cluster, Arc::default(), 0)), None, 0)
    }

    /// The cursor over the endpoints that meet `criteria`, if there are any.
    fn subset(&mut self, cluster: &Cluster, criteria: &[(Arc<str>, Arc<str>)], seed: u64) -> Option<&mut Self> {
        let at = match self.subsets.iter().position(|(known, _)| known == criteria) {
            Some(at) => at,
            None => {
                let endpoints = Arc::new(narrowed(&self.compiled.endpoints, criteria)?);
                let compiled = Compiled::new(cluster, endpoints, self.compiled.epoch);
                self.subsets.push((criteria.to_vec(), Self::new(Arc::new(compiled), None, seed)));
                self.subsets.len() - 1
            }
        };
        self.subsets.get_mut(at).map(|(_, cursor)| cursor)
    }

    fn pick(&mut self, cluster: &Cluster, seed: u64, request: &PickRequest<'_>, draw: &mut dyn FnMut() -> u64) -> Pick {
        if self.compiled.endpoints.priorities.iter().flatten().all(|locality| locality.endpoints.is_empty()) {
            return Pick::Nothing(Nothing::NoEndpoints);
        }
        let hashing = matches!(cluster.balancer, Balancer::RingHash { .. } | Balancer::Maglev { .. });
        let hash = if hashing { request.hash.unwrap_or_else(&mut *draw) } else { seed };
        let mut last = None;
        for attempt in 0..=request.host_attempts {
            let picked = if hashing { self.by_hash(hash, attempt) } else { self.by_schedule(&cluster.balancer, &mut *draw) };
            let Some(picked) = picked else { break };
            if !is_excluded(&picked.endpoint, request.excluded) {
                return Pick::Endpoint(picked);
            }
            last = Some(picked);
        }
        last.map_or(Pick::Nothing(Nothing::NoHealthyEndpoint), Pick::Endpoint)
    }

    fn by_hash(&self, hash: u64, attempt: u32) -> Option<Picked> {
        let (priority, _) = self.compiled.loads.choose(hash)?;
        let table = &self.compiled.priorities[priority].table;
        let index = match &table.lookup {
            Lookup::Ring(ring) => ring.choose(hash, attempt),
            Lookup::Maglev(maglev) => maglev.choose(hash, attempt),
            Lookup::None => None,
        }?;
        let endpoint = table.endpoints.get(index)?.clone();
        let availability = (!self.compiled.loads.panic[priority]).then_some(Availability::Healthy);
        Some(Picked { endpoint, priority, availability, locality: None })
    }

    fn by_schedule(&mut self, balancer: &Balancer, draw: &mut dyn FnMut() -> u64) -> Option<Picked> {
        let (priority, availability) = self.compiled.loads.choose(draw())?;
        let panic = self.compiled.loads.panic[priority];
        let source = if panic { self.compiled.priorities[priority].all } else { self.source(priority, availability) };
        let source_of = &self.compiled.sources[source];
        let index = self.sources[source].choose(balancer, source_of, draw)?;
        let endpoint = source_of.endpoints.get(index)?.clone();
        let availability = (!panic).then_some(availability);
        Some(Picked { endpoint, priority, availability, locality: source_of.key.locality })
    }

    /// The list to pick from: a locality's, when localities have weights and any of them is usable.
    fn source(&mut self, priority: usize, availability: Availability) -> usize {
        let lists = &self.compiled.priorities[priority];
        let (whole, localities, which) = match availability {
            Availability::Healthy => (lists.healthy, &lists.healthy_localities, 0),
            Availability::Degraded => (lists.degraded, &lists.degraded_localities, 1),
        };
        let chosen = self.localities[priority][which].as_mut().and_then(|edf| edf.pick(|index| localities[index].1));
        chosen.map_or(whole, |index| localities[index].0)
    }
}

impl SourceCursor {
    fn choose(&mut self, balancer: &Balancer, source: &Source, draw: &mut dyn FnMut() -> u64) -> Option<usize> {
        let len = source.endpoints.len() as u64;
        if len == 0 {
            return None;
        }
        let index = match balancer {
            Balancer::Random => draw() % len,
            Balancer::LeastRequest { choices } => match &mut self.edf {
                Some(edf) => return edf.pick(|index| least_request_weight(&source.endpoints[index])),
                None => least_loaded(*choices, source, draw),
            },
            _ => match &mut self.edf {
                Some(edf) => return edf.pick(|index| f64::from(source.endpoints[index].weight)),
                None => {
                    self.next = self.next.wrapping_add(1);
                    self.next.wrapping_sub(1) % len
                }
            },
        };
        usize::try_from(index).ok()
    }
}

/// The best of `choices` draws by requests in flight; the first of equals.
fn least_loaded(choices: u32, source: &Source, draw: &mut dyn FnMut() -> u64) -> u64 {
    let len = source.endpoints.len() as u64;
    let active = |index: u64| {
        let endpoint = usize::try_from(index).ok().and_then(|index| source.endpoints.get(index));
        endpoint.map_or(u32::MAX, |endpoint| endpoint.state.active.load(Ordering::Relaxed))
    };
    let first = draw() % len;
    (1..choices.max(1)).fold(first, |best, _| {
        let other = draw() % len;
        if active(other) < active(best) { other } else { best }
    })
}

/// Envoy: weight / (active requests + 1), with `active_request_bias` 1.
fn least_request_weight(endpoint: &Endpoint) -> f64 {
    f64::from(endpoint.weight) / (f64::from(endpoint.state.active.load(Ordering::Relaxed)) + 1.0)
}

fn weights(source: &Source) -> impl ExactSizeIterator<Item = f64> + Clone + '_ {
    source.endpoints.iter().map(|endpoint| f64::from(endpoint.weight))
}

fn is_excluded(endpoint: &Endpoint, excluded: &[Arc<Endpoint>]) -> bool {
    excluded.iter().any(|earlier| Arc::ptr_eq(&earlier.state, &endpoint.state))
}

fn narrowed(endpoints: &EndpointSet, criteria: &[(Arc<str>, Arc<str>)]) -> Option<EndpointSet> {
    let meets = |endpoint: &&Arc<Endpoint>| criteria.iter().all(|pair| endpoint.subset_metadata.contains(pair));
    let priorities: Vec<Vec<Locality>> = endpoints
        .priorities
        .iter()
        .map(|localities| {
            localities.iter().map(|l| Locality { endpoints: l.endpoints.iter().filter(meets).cloned().collect(), ..l.clone() }).collect()
        })
        .collect();
    let any = priorities.iter().flatten().any(|locality| !locality.endpoints.is_empty());
    any.then(|| EndpointSet { priorities, overprovisioning: endpoints.overprovisioning, drop: Vec::new(), names: Vec::new() })
}

#[cfg(test)]
mod tests;
