//! Endpoints of clusters: EDS resources, and the same list inside DNS clusters.

use std::collections::BTreeMap;

use mesh_config::{
    registry::{Endpoint, EndpointAddress, Locality, Service, TlsMode, Workload},
    resource::{
        Labels,
        destination_rule::{LocalityLbSetting, TrafficPolicy},
        peer_authentication::MutualTlsMode,
        selector::selects,
    },
};
use mesh_proto::envoy::config::{
    core::v3::{self as core, Metadata},
    endpoint::v3::{self as wire, ClusterLoadAssignment, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier},
};

use super::wire::{metadata, number, object, pipe, socket, text};
use crate::{scope::ProxyScope, world::World};

/// Labels of a subset; empty: all endpoints.
pub(crate) struct Selection<'a> {
    pub(crate) service: &'a Service,
    pub(crate) port: u16,
    pub(crate) labels: Option<&'a Labels>,
    pub(crate) policy: &'a TrafficPolicy,
}

/// The endpoints of a cluster, by locality and priority.
pub(crate) fn assignment(world: &World, scope: &ProxyScope, name: String, selection: &Selection<'_>) -> ClusterLoadAssignment {
    let failover = failover(selection.policy);
    let distribute = failover.and_then(|setting| setting.distribute.iter().find(|rule| covers(&rule.from, &scope.locality)));
    let mut groups: BTreeMap<(u32, Locality), Vec<&Endpoint>> = BTreeMap::new();
    let endpoints = world.registry().endpoints(&selection.service.id, selection.port);
    let selected = endpoints.iter().filter(|e| selection.labels.is_none_or(|labels| selects(labels, &e.workload.labels)));
    for endpoint in selected.filter(|e| reachable(scope, e)) {
        let priority = match failover {
            Some(setting) if distribute.is_none() => priority(setting, world, scope, &endpoint.workload),
            _ => 0,
        };
        groups.entry((priority, endpoint.workload.locality.clone())).or_default().push(endpoint);
    }
    // Envoy wants priorities without gaps.
    let mut levels: Vec<u32> = groups.keys().map(|(priority, _)| *priority).collect();
    levels.dedup();
    let groups = groups.into_iter().filter_map(|((priority, locality), endpoints)| {
        let weight = match distribute {
            Some(rule) => {
                rule.to.iter().find(|(to, _)| covers(to, &locality)).map(|(_, percent)| *percent).filter(|percent| *percent > 0)?
            }
            None => endpoints.iter().map(|endpoint| endpoint.workload.weight).fold(0, u32::saturating_add),
        };
        let level = levels.iter().position(|level| *level == priority).and_then(|level| u32::try_from(level).ok()).unwrap_or(0);
        Some(LocalityLbEndpoints {
            locality: Some(core::Locality { region: locality.region, zone: locality.zone, sub_zone: locality.subzone }),
            lb_endpoints: endpoints.into_iter().filter_map(|endpoint| lb_endpoint(world, endpoint)).collect(),
            load_balancing_weight: number(weight),
            priority: level,
            ..Default::default()
        })
    });
    ClusterLoadAssignment { cluster_name: name, endpoints: groups.collect(), ..Default::default() }
}

/// Endpoints on another network are reached through its gateway, which this mesh does not know yet: they are left out rather than dialled in vain.
fn reachable(scope: &ProxyScope, endpoint: &Endpoint) -> bool {
    let network = &endpoint.workload.network;
    endpoint.address != EndpointAddress::Network && (network.is_empty() || scope.network.is_empty() || *network == scope.network)
}

fn lb_endpoint(world: &World, endpoint: &Endpoint) -> Option<LbEndpoint> {
    let (address, port) = match &endpoint.address {
        EndpointAddress::Socket(address) => (socket(&address.ip().to_string(), address.port()), address.port()),
        EndpointAddress::Dns(name, port) => (socket(name, *port), *port),
        EndpointAddress::Unix(path) => (pipe(path), 0),
        EndpointAddress::Network => return None,
    };
    Some(LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(wire::Endpoint { address: Some(address), ..Default::default() })),
        load_balancing_weight: number(endpoint.workload.weight),
        metadata: endpoint_metadata(world, &endpoint.workload, port),
        ..Default::default()
    })
}

/// Who it is, and whether it takes mutual TLS on that port: its own settings and its PeerAuthentication decide.
fn endpoint_metadata(world: &World, workload: &Workload, port: u16) -> Option<Metadata> {
    let mode = world.mutual_tls(&workload.id.namespace, &workload.labels, port);
    let mut filters = vec![("istio", object(vec![("workload", text(workload_text(workload)))]))];
    if workload.tls == TlsMode::Istio && mode != MutualTlsMode::Disable {
        filters.push(("envoy.transport_socket_match", object(vec![("tlsMode", text("istio"))])));
    }
    metadata(filters)
}

/// `name;namespace;canonical name;canonical revision;cluster`.
fn workload_text(workload: &Workload) -> String {
    let label = |names: [&str; 3], default: &str| {
        names.iter().find_map(|name| workload.labels.get(*name)).map_or_else(|| default.to_owned(), Clone::clone)
    };
    let name = label(["service.istio.io/canonical-name", "app.kubernetes.io/name", "app"], &workload.id.name);
    let revision = label(["service.istio.io/canonical-revision", "app.kubernetes.io/version", "version"], "latest");
    format!("{};{};{name};{revision};Kubernetes", workload.id.name, workload.id.namespace)
}

/// Locality failover works only where broken endpoints are noticed: with outlier detection (Istio's rule).
pub(crate) fn failover(policy: &TrafficPolicy) -> Option<&LocalityLbSetting> {
    policy.outlier_detection.as_ref()?;
    let setting = policy.load_balancer.as_ref().and_then(|lb| lb.locality.as_ref())?;
    setting.enabled.unwrap_or(true).then_some(setting)
}

/// 0 is used first. By labels (`failoverPriority`), else by how much of the locality is shared; a region named as failover target comes before others.
fn priority(setting: &LocalityLbSetting, world: &World, scope: &ProxyScope, workload: &Workload) -> u32 {
    if !setting.failover_priority.is_empty() {
        let own = world.labels(scope);
        let same = setting.failover_priority.iter().take_while(|entry| {
            let (label, wanted) = entry.split_once('=').map_or((entry.as_str(), None), |(label, value)| (label, Some(value)));
            let theirs = workload.labels.get(label).map(String::as_str);
            let ours = wanted.or_else(|| own.get(label).map(String::as_str));
            theirs == ours
        });
        let same = same.count();
        return u32::try_from(setting.failover_priority.len() - same).unwrap_or(u32::MAX);
    }
    let (ours, theirs) = (&scope.locality, &workload.locality);
    if ours.region != theirs.region {
        let target = setting.failover.iter().find(|rule| rule.from == ours.region).map(|rule| rule.to.as_str());
        return if target.is_none() || target == Some(theirs.region.as_str()) { 3 } else { 4 };
    }
    match (ours.zone == theirs.zone, ours.subzone == theirs.subzone) {
        (true, true) => 0,
        (true, false) => 1,
        (false, _) => 2,
    }
}

/// `region/zone/*` and the like.
fn covers(pattern: &str, locality: &Locality) -> bool {
    let parts = [&locality.region, &locality.zone, &locality.subzone];
    pattern.split('/').zip(parts).all(|(pattern, part)| pattern == "*" || pattern == part)
}
