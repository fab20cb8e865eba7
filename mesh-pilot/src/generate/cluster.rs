//! Clusters: one for each visible service port and subset, those towards the application, and the fixed ones.

mod inbound;
mod policy;

use mesh_config::{
    registry::{Resolution, Service, ServiceId, ServicePort},
    resource::{
        Protocol,
        destination_rule::{ClientTls, ClientTlsMode, LoadBalancerPolicy, SimpleLb, Subset, TrafficPolicy},
        service::Transport,
    },
};
use mesh_proto::envoy::config::{
    cluster::v3::{
        Cluster,
        cluster::{ClusterDiscoveryType, DiscoveryType, DnsLookupFamily, EdsClusterConfig, LbPolicy, TransportSocketMatch},
    },
    core::v3::{Metadata, TransportSocket},
    endpoint::v3::ClusterLoadAssignment,
};

use super::{
    endpoint::{Selection, assignment},
    names,
    secret::Refusal,
    tls::{self, Traffic},
    wire::{ads, duration, list, metadata, object, text, value},
};
use crate::{
    scope::{Interception, ProxyScope, Role},
    world::{Rule, View, Withheld, World},
};

pub(crate) use inbound::inbound;
pub(crate) use policy::default_breakers;

/// A cluster and, if it is found by EDS, its endpoints.
pub(crate) struct Generated {
    pub(crate) cluster: Cluster,
    pub(crate) endpoints: Option<ClusterLoadAssignment>,
    /// The secrets that the cluster names.
    pub(crate) secrets: Vec<String>,
    /// The secret that it would need and must not name.
    pub(crate) refusal: Option<Refusal>,
}

/// All clusters of a proxy.
pub(crate) fn clusters(world: &World, scope: &ProxyScope, view: &View<'_>) -> Vec<Generated> {
    let mut all = vec![fixed(black_hole())];
    all.push(fixed(original_destination(names::PASSTHROUGH, world)));
    each(world, scope, view, |_| true, |target, subset| all.extend(outbound(world, scope, target, subset)));
    if scope.role == Role::Sidecar {
        all.extend(inbound(world, scope, view).into_iter().map(fixed));
    }
    all
}

/// The endpoints of the clusters of these services, where they travel by EDS.
pub(crate) fn assignments(
    world: &World,
    scope: &ProxyScope,
    view: &View<'_>,
    wanted: impl Fn(&ServiceId) -> bool,
) -> Vec<ClusterLoadAssignment> {
    let mut all = Vec::new();
    each(world, scope, view, wanted, |target, subset| {
        let policy = target.policy(subset);
        if target.unselected(scope, &policy).is_some() {
            return;
        }
        let selection = target.selection(subset, &policy);
        let mut cluster = Cluster { name: target.name(subset), ..Default::default() };
        all.extend(discovery(world, scope, &mut cluster, &selection).flatten());
    });
    all
}

/// Every cluster towards a service: port by port, all endpoints and then subset by subset.
fn each<'w>(
    world: &'w World,
    scope: &ProxyScope,
    view: &View<'w>,
    wanted: impl Fn(&ServiceId) -> bool,
    mut visit: impl FnMut(&Target<'w>, Option<&'w Subset>),
) {
    for service in view.services.iter().copied().filter(|service| wanted(&service.id)) {
        let rule = world.destination_rule(scope, &service.id.hostname, &service.id.namespace);
        for port in service.ports.iter().filter(|port| port.transport == Transport::Tcp && port.protocol != Some(Protocol::Udp)) {
            let target = Target { service, port, rule };
            visit(&target, None);
            rule.map_or(&[][..], |rule| &rule.subsets).iter().for_each(|subset| visit(&target, Some(subset)));
        }
    }
}

fn fixed(cluster: Cluster) -> Generated {
    Generated { cluster, endpoints: None, secrets: Vec::new(), refusal: None }
}

/// A service port and the rule for it.
struct Target<'w> {
    service: &'w Service,
    port: &'w ServicePort,
    rule: Option<&'w Rule>,
}

impl<'w> Target<'w> {
    fn policy(&self, subset: Option<&Subset>) -> TrafficPolicy {
        self.rule.map(|rule| rule.policy_for(subset, self.port.number)).unwrap_or_default()
    }

    fn name(&self, subset: Option<&Subset>) -> String {
        names::outbound(self.port.number, subset.map_or("", |subset| subset.name.as_str()), &self.service.id.hostname)
    }

    /// The credential of the rule's TLS if it does not hold here: at a sidecar, only a rule that selects workloads may name one (Istio). Every sidecar that sees
    /// the rule would ask for a key that is not its own.
    fn unselected(&self, scope: &ProxyScope, policy: &TrafficPolicy) -> Option<String> {
        let selective = self.rule.is_some_and(Rule::is_selective);
        if scope.role != Role::Sidecar || selective { None } else { policy.tls.as_ref().and_then(tls::client_credential) }
    }

    fn selection<'a>(&self, subset: Option<&'a Subset>, policy: &'a TrafficPolicy) -> Selection<'a>
    where
        'w: 'a,
    {
        Selection { service: self.service, port: self.port.number, labels: subset.map(|subset| &subset.labels), policy }
    }
}

/// `None`: the service's way of resolution is not implemented.
fn outbound(world: &World, scope: &ProxyScope, target: &Target<'_>, subset: Option<&Subset>) -> Option<Generated> {
    let Target { service, port, rule } = *target;
    let policy = target.policy(subset);
    let subset_name = subset.map_or("", |subset| subset.name.as_str());
    if let Some(name) = target.unselected(scope, &policy) {
        // Istio sends plaintext there. TLS was asked for: without it, nothing goes.
        let cluster = Cluster { name: target.name(subset), metadata: provenance(service, rule, subset_name), ..black_hole() };
        return Some(Generated { refusal: Some(Refusal { name, reason: Withheld::Unselected }), ..fixed(cluster) });
    }
    let mut cluster = Cluster {
        name: target.name(subset),
        connect_timeout: duration(world.settings().connect_timeout),
        metadata: provenance(service, rule, subset_name),
        ..Default::default()
    };
    let endpoints = discovery(world, scope, &mut cluster, &target.selection(subset, &policy))?;
    policy::apply(&mut cluster, &policy, port.protocol);
    secure(world, scope, &mut cluster, &Destination { service, port, subset: subset_name, policy: &policy });
    let secrets = policy.tls.iter().flat_map(tls::client_secrets).collect();
    Some(Generated { cluster, endpoints, secrets, refusal: None })
}

/// How endpoints are found; gives them if they travel by EDS.
#[expect(deprecated, reason = "the typed DNS cluster that replaces these fields is unknown to Envoys in use")]
fn discovery(world: &World, scope: &ProxyScope, cluster: &mut Cluster, selection: &Selection<'_>) -> Option<Option<ClusterLoadAssignment>> {
    let kind = |kind: DiscoveryType| Some(ClusterDiscoveryType::Type(kind.into()));
    let passthrough = matches!(
        selection.policy.load_balancer.as_ref().and_then(|lb| lb.policy.as_ref()),
        Some(LoadBalancerPolicy::Simple(SimpleLb::Passthrough))
    );
    // Without interception there is no original destination; gateways have none either.
    let intercepted = scope.interception != Interception::None && scope.role == Role::Sidecar;
    match &selection.service.resolution {
        Resolution::Static | Resolution::Passthrough
            if intercepted && (passthrough || selection.service.resolution == Resolution::Passthrough) =>
        {
            cluster.cluster_discovery_type = kind(DiscoveryType::OriginalDst);
            cluster.lb_policy = LbPolicy::ClusterProvided.into();
            Some(None)
        }
        Resolution::Static | Resolution::Passthrough => {
            cluster.cluster_discovery_type = kind(DiscoveryType::Eds);
            cluster.eds_cluster_config = Some(EdsClusterConfig { eds_config: Some(ads()), service_name: cluster.name.clone() });
            Some(Some(assignment(world, scope, cluster.name.clone(), selection)))
        }
        Resolution::Dns | Resolution::DnsRoundRobin | Resolution::Alias(_) => {
            let logical = selection.service.resolution == Resolution::DnsRoundRobin;
            cluster.cluster_discovery_type = kind(if logical { DiscoveryType::LogicalDns } else { DiscoveryType::StrictDns });
            cluster.dns_lookup_family = if scope.ip.is_ipv6() { DnsLookupFamily::All } else { DnsLookupFamily::V4Only }.into();
            cluster.dns_refresh_rate = duration(world.settings().dns_refresh_rate);
            cluster.respect_dns_ttl = true;
            let load = match &selection.service.resolution {
                Resolution::Alias(name) => alias(cluster.name.clone(), name, selection),
                _ => assignment(world, scope, cluster.name.clone(), selection),
            };
            cluster.load_assignment = Some(load);
            Some(None)
        }
        Resolution::DynamicDns => None,
    }
}

/// An ExternalName: the other name, on the service's own port.
fn alias(cluster: String, name: &str, selection: &Selection<'_>) -> ClusterLoadAssignment {
    use mesh_proto::envoy::config::endpoint::v3::{Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier};
    let address = super::wire::socket(name, selection.port);
    let endpoint = LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint { address: Some(address), ..Default::default() })),
        ..Default::default()
    };
    let locality = LocalityLbEndpoints { lb_endpoints: vec![endpoint], ..Default::default() };
    ClusterLoadAssignment { cluster_name: cluster, endpoints: vec![locality], ..Default::default() }
}

struct Destination<'w> {
    service: &'w Service,
    port: &'w ServicePort,
    subset: &'w str,
    policy: &'w TrafficPolicy,
}

/// TLS: what the DestinationRule asks for, else mutual TLS to every endpoint that takes it.
fn secure(world: &World, scope: &ProxyScope, cluster: &mut Cluster, destination: &Destination<'_>) {
    let Destination { service, port, policy, .. } = destination;
    let traffic = traffic(policy, port.protocol);
    match &policy.tls {
        Some(tls) if tls.mode == ClientTlsMode::IstioMutual => {
            cluster.transport_socket = Some(mesh_tls(world, scope, destination, Some(tls)))
        }
        Some(tls) => {
            let host = &service.id.hostname;
            let mut tls = tls.clone();
            if tls.mode != ClientTlsMode::Disable && tls.sni.is_empty() {
                if host.is_wildcard() {
                    // Only the request tells which host is meant: Istio's auto-SNI.
                    policy::auto_sni(cluster, tls.subject_alt_names.is_empty() && !tls.insecure_skip_verify.unwrap_or(false));
                } else {
                    tls.sni = host.to_string();
                }
            }
            if tls.subject_alt_names.is_empty() && !host.is_wildcard() {
                // A certificate of somebody else must not do, even if a known CA has signed it.
                tls.subject_alt_names = vec![if tls.sni.is_empty() { host.to_string() } else { tls.sni.clone() }];
            }
            cluster.transport_socket = tls::user_client(&tls, traffic);
        }
        None if world.settings().enable_auto_mtls && !service.mesh_external() => {
            let matched = |name: &str, mode: Option<&str>, socket: TransportSocket| TransportSocketMatch {
                name: name.to_owned(),
                r#match: Some(object(mode.map(|mode| ("tlsMode", text(mode))).into_iter().collect())),
                transport_socket: Some(socket),
            };
            cluster.transport_socket_matches = vec![
                matched("tlsMode-istio", Some("istio"), mesh_tls(world, scope, destination, None)),
                matched("tlsMode-disabled", None, tls::plaintext()),
            ];
        }
        None => {}
    }
}

fn mesh_tls(world: &World, scope: &ProxyScope, destination: &Destination<'_>, asked: Option<&ClientTls>) -> TransportSocket {
    let Destination { service, port, subset, policy } = destination;
    let sni = asked.map(|tls| tls.sni.clone()).filter(|sni| !sni.is_empty());
    let sni = sni.unwrap_or_else(|| names::sni(port.number, subset, &service.id.hostname));
    let asked_names =
        asked.map(|tls| tls.subject_alt_names.iter().cloned().collect()).filter(|names: &std::collections::BTreeSet<_>| !names.is_empty());
    let identities = asked_names.unwrap_or_else(|| world.identities(service));
    tls::mesh_client(scope, traffic(policy, port.protocol), sni, &identities)
}

/// What is spoken upstream.
fn traffic(policy: &TrafficPolicy, protocol: Option<Protocol>) -> Traffic {
    let http = policy.connection_pool.as_ref().and_then(|pool| pool.http.as_ref());
    let upgrade = http.is_some_and(|http| http.h2_upgrade_policy == mesh_config::resource::destination_rule::H2UpgradePolicy::Upgrade);
    match protocol {
        Some(protocol) if protocol.is_http2() => Traffic::Http2,
        Some(protocol) if protocol.is_http() && upgrade => Traffic::Http2,
        Some(protocol) if protocol.is_http() && http.is_some_and(|http| http.use_client_protocol) => Traffic::HttpAsClient,
        Some(protocol) if protocol.is_http() => Traffic::Http1,
        Some(_) => Traffic::Bytes,
        None => Traffic::HttpAsClient,
    }
}

/// The rule, the subset and the service: tools and metrics read them.
fn provenance(service: &Service, rule: Option<&Rule>, subset: &str) -> Option<Metadata> {
    let identity = object(vec![
        ("host", text(service.id.hostname.as_str())),
        ("name", text(service.name.as_str())),
        ("namespace", text(service.id.namespace.as_str())),
    ]);
    let mut fields = vec![("services", list(vec![value(identity)]))];
    if let Some(rule) = rule {
        fields.push(("config", text(rule.provenance.as_str())));
    }
    if !subset.is_empty() {
        fields.push(("subset", text(subset)));
    }
    metadata(vec![("istio", object(fields))])
}

/// No endpoint: what is sent there is answered 503 or closed.
fn black_hole() -> Cluster {
    Cluster {
        name: names::BLACK_HOLE.into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into())),
        connect_timeout: duration(std::time::Duration::from_secs(10)),
        ..Default::default()
    }
}

/// Wherever the client was going.
fn original_destination(name: &str, world: &World) -> Cluster {
    let mut cluster = Cluster {
        name: name.into(),
        cluster_discovery_type: Some(ClusterDiscoveryType::Type(DiscoveryType::OriginalDst.into())),
        lb_policy: LbPolicy::ClusterProvided.into(),
        connect_timeout: duration(world.settings().connect_timeout),
        circuit_breakers: Some(default_breakers()),
        ..Default::default()
    };
    policy::as_client(&mut cluster);
    cluster
}
