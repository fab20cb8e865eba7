//! Clusters towards the application beside a sidecar.

use mesh_proto::envoy::config::{
    cluster::v3::{
        Cluster,
        cluster::{ClusterDiscoveryType, DiscoveryType, LbPolicy},
    },
    core::v3::{Address, BindConfig, SocketAddress, address},
    endpoint::v3::{ClusterLoadAssignment, Endpoint, LbEndpoint, LocalityLbEndpoints, lb_endpoint::HostIdentifier},
};

use super::{
    super::{
        inbound::{App, Port, ports},
        names,
        wire::{duration, list, metadata, object, pipe, socket, text, value},
    },
    default_breakers, original_destination, policy,
};
use crate::{
    scope::{Interception, ProxyScope},
    world::{View, World},
};

/// Connections that a sidecar opens to its own application come from this address, so that they are not redirected to it again (Istio).
const MAGIC: (&str, &str) = ("127.0.0.6", "::6");

/// One cluster a port, and where traffic is redirected one for all other ports.
pub(crate) fn inbound(world: &World, scope: &ProxyScope, view: &View<'_>) -> Vec<Cluster> {
    let mut all: Vec<Cluster> = ports(world, scope, view).iter().map(|port| cluster(world, scope, port)).collect();
    if scope.interception != Interception::None {
        let mut passthrough = original_destination(names::INBOUND_PASSTHROUGH, world);
        passthrough.upstream_bind_config = Some(from_magic(scope));
        all.push(passthrough);
    }
    all
}

fn cluster(world: &World, scope: &ProxyScope, port: &Port<'_>) -> Cluster {
    let mut cluster = Cluster {
        name: names::inbound(port.target),
        connect_timeout: duration(world.settings().connect_timeout),
        circuit_breakers: Some(default_breakers()),
        metadata: metadata(vec![("istio", object(vec![("services", services(port))]))]),
        ..Default::default()
    };
    match &port.app {
        App::OriginalDestination => {
            cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::OriginalDst.into()));
            cluster.lb_policy = LbPolicy::ClusterProvided.into();
            cluster.upstream_bind_config = Some(from_magic(scope));
        }
        App::Socket(ip, number) => at(&mut cluster, socket(ip, *number)),
        App::Unix(path) => at(&mut cluster, pipe(path)),
    }
    policy::apply_pool(&mut cluster, port.pool);
    match port.protocol {
        Some(protocol) if protocol.is_http2() => policy::http2(&mut cluster),
        Some(protocol) if !protocol.is_http() => {}
        // The application gets the version that the client speaks, gRPC on a port declared HTTP included.
        _ => policy::as_client(&mut cluster),
    }
    cluster
}

fn at(cluster: &mut Cluster, address: Address) {
    let endpoint = LbEndpoint {
        host_identifier: Some(HostIdentifier::Endpoint(Endpoint { address: Some(address), ..Default::default() })),
        ..Default::default()
    };
    let locality = LocalityLbEndpoints { lb_endpoints: vec![endpoint], ..Default::default() };
    cluster.cluster_discovery_type = Some(ClusterDiscoveryType::Type(DiscoveryType::Static.into()));
    cluster.load_assignment =
        Some(ClusterLoadAssignment { cluster_name: cluster.name.clone(), endpoints: vec![locality], ..Default::default() });
}

fn services(port: &Port<'_>) -> mesh_proto::google::protobuf::Value {
    list(
        port.services
            .iter()
            .map(|service| {
                value(object(vec![
                    ("host", text(service.id.hostname.as_str())),
                    ("name", text(service.name.as_str())),
                    ("namespace", text(service.id.namespace.as_str())),
                ]))
            })
            .collect(),
    )
}

fn from_magic(scope: &ProxyScope) -> BindConfig {
    let ip = if scope.ip.is_ipv6() { MAGIC.1 } else { MAGIC.0 };
    let source_address = match socket(ip, 0).address {
        Some(address::Address::SocketAddress(address)) => address,
        _ => SocketAddress::default(),
    };
    BindConfig { source_address: Some(source_address), ..Default::default() }
}
