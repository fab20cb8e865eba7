//! Clusters whose endpoints are DNS names. Names are resolved on the control side and never by a request: what they
//! resolve to is put into the snapshot like any other endpoint.
//!
//! `STRICT_DNS`: all addresses of every name. `LOGICAL_DNS`: the first. A lookup that fails changes nothing (Envoy docs:
//! "Service discovery"). [`follow`] is the loop; it is given the way to look names up.

use std::{
    collections::HashMap,
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::{Duration, Instant},
};

use mesh_runtime::connect::Connector;

use super::state::States;
use crate::{
    server::DataPlane,
    snapshot::{Address, Cluster, Discovery, Endpoint, EndpointSet, Health, Locality, Snapshot},
    xds,
};

/// A name to resolve.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Name {
    /// The host name.
    pub host: Arc<str>,
    /// How often.
    pub refresh: Duration,
}

/// What names resolved to.
#[derive(Debug, Default)]
pub(crate) struct Resolutions {
    known: HashMap<Arc<str>, Vec<IpAddr>>,
    states: States,
    /// Clusters as they were filled last, by the cluster they were made of: an unchanged one keeps its place in balancers.
    filled: HashMap<Arc<str>, Filled>,
}

/// A cluster without and with its addresses.
#[derive(Debug)]
struct Filled {
    from: Arc<Cluster>,
    addresses: Vec<SocketAddr>,
    cluster: Arc<Cluster>,
}

/// Resolves the names of `plane` again and again. Ends only by being dropped.
pub async fn follow(plane: Arc<DataPlane>, connector: Connector) {
    let mut due: HashMap<Name, Instant> = HashMap::new();
    let mut tick = tokio::time::interval(Duration::from_millis(100));
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let names = plane.names();
        due.retain(|name, _| names.contains(name));
        for name in names {
            let now = Instant::now();
            if due.get(&name).is_some_and(|at| *at > now) {
                continue;
            }
            match tokio::time::timeout(LOOKUP, connector.lookup(&name.host)).await {
                Ok(Ok(addresses)) => plane.resolved(&name.host, addresses),
                Ok(Err(error)) => tracing::warn!(name = %name.host, %error, "lookup failed; the last addresses stay"),
                Err(_) => tracing::warn!(name = %name.host, "lookup took too long; the last addresses stay"),
            }
            due.insert(name.clone(), Instant::now() + name.refresh);
        }
    }
}

/// A lookup may take so long.
const LOOKUP: Duration = Duration::from_secs(5);

/// The names that clusters of `snapshot` consist of.
pub(crate) fn names(snapshot: &Snapshot) -> Vec<Name> {
    let mut names: Vec<Name> = Vec::new();
    for cluster in snapshot.clusters.iter().flatten() {
        let Some(refresh) = refresh(cluster) else { continue };
        for (host, _) in &cluster.endpoints.names {
            if !names.iter().any(|known| known.host == *host) {
                names.push(Name { host: host.clone(), refresh });
            }
        }
    }
    names
}

fn refresh(cluster: &Cluster) -> Option<Duration> {
    match cluster.discovery {
        Discovery::StrictDns { refresh } | Discovery::LogicalDns { refresh } => Some(refresh.max(MIN_REFRESH)),
        _ => None,
    }
}

/// No name is asked for more often.
const MIN_REFRESH: Duration = Duration::from_millis(500);

impl Resolutions {
    /// Takes note; false if nothing changed.
    pub(crate) fn learn(&mut self, host: &str, mut addresses: Vec<IpAddr>) -> bool {
        // Servers rotate their answers: the order means nothing for strict DNS.
        addresses.sort_unstable();
        addresses.dedup();
        match self.known.get_mut(host) {
            Some(known) if *known == addresses => false,
            Some(known) => {
                *known = addresses;
                true
            }
            None => {
                self.known.insert(host.into(), addresses);
                true
            }
        }
    }

    /// `snapshot` with the endpoints of DNS clusters filled in.
    pub(crate) fn fill(&mut self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        let wanted = names(&snapshot);
        self.known.retain(|host, _| wanted.iter().any(|name| name.host == *host));
        self.filled.retain(|name, _| snapshot.cluster_names.contains_key(name));
        if wanted.is_empty() {
            return snapshot;
        }
        let clusters = snapshot.clusters.iter().map(|cluster| match cluster {
            Some(cluster) if refresh(cluster).is_some() && !cluster.endpoints.names.is_empty() => Some(self.filled(cluster)),
            other => other.clone(),
        });
        let clusters = clusters.collect();
        self.states.sweep();
        Arc::new(Snapshot {
            generation: snapshot.generation,
            listeners: snapshot.listeners.clone(),
            clusters,
            route_tables: snapshot.route_tables.clone(),
            cluster_names: snapshot.cluster_names.clone(),
            route_table_names: snapshot.route_table_names.clone(),
            listener_names: snapshot.listener_names.clone(),
        })
    }

    fn filled(&mut self, cluster: &Arc<Cluster>) -> Arc<Cluster> {
        let addresses = self.addresses(cluster);
        if let Some(last) = self.filled.get(&cluster.name)
            && Arc::ptr_eq(&last.from, cluster)
            && addresses.iter().map(|(address, _)| address).eq(&last.addresses)
        {
            return last.cluster.clone();
        }
        let endpoints = addresses.iter().map(|(address, host)| {
            let address = Address::Socket(*address);
            let state = self.states.endpoint(&cluster.name, &address);
            Arc::new(endpoint(address, host.clone(), state))
        });
        let locality = Locality {
            region: Arc::default(),
            zone: Arc::default(),
            sub_zone: Arc::default(),
            weight: None,
            endpoints: endpoints.collect(),
        };
        let mut priorities = cluster.endpoints.priorities.clone();
        // What was given as an address already stands beside what was given as a name.
        match priorities.first_mut() {
            Some(first) => first.push(locality),
            None => priorities.push(vec![locality]),
        }
        let set = EndpointSet {
            priorities,
            overprovisioning: cluster.endpoints.overprovisioning,
            drop: cluster.endpoints.drop.clone(),
            names: cluster.endpoints.names.clone(),
        };
        let filled = Arc::new(xds::cluster::with_endpoints(cluster, Arc::new(set), false));
        let addresses = addresses.into_iter().map(|(address, _)| address).collect();
        let last = Filled { from: cluster.clone(), addresses, cluster: filled.clone() };
        self.filled.insert(cluster.name.clone(), last);
        filled
    }

    fn addresses(&self, cluster: &Cluster) -> Vec<(SocketAddr, Arc<str>)> {
        let logical = matches!(cluster.discovery, Discovery::LogicalDns { .. });
        let most = if logical { 1 } else { usize::MAX };
        let names = cluster.endpoints.names.iter();
        names
            .flat_map(|(host, port)| {
                let known = self.known.get(host).map(Vec::as_slice).unwrap_or_default();
                known.iter().take(most).map(|ip| (SocketAddr::new(*ip, *port), host.clone()))
            })
            .collect()
    }
}

fn endpoint(address: Address, host: Arc<str>, state: Arc<super::state::EndpointState>) -> Endpoint {
    Endpoint {
        address,
        hostname: Some(host),
        weight: 1,
        health: Health::Healthy,
        transport_metadata: Vec::new(),
        subset_metadata: Vec::new(),
        workload: None,
        transport_match: None,
        state,
    }
}
