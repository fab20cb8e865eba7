//! Inbound listeners: which chain takes a connection is decided by PeerAuthentication and the port's protocol.
//!
//! Source: Istio's `listener_inbound.go`. A chain for mutual TLS of the mesh recognizes it by ALPN, so that TLS which the application itself ends is not mistaken for it.

use std::time::Duration;

use mesh_config::resource::{Protocol, peer_authentication::MutualTlsMode};
use mesh_proto::envoy::{
    config::{
        core::v3::{Address, TrafficDirection},
        listener::v3::{Filter, FilterChain, FilterChainMatch, Listener, ListenerFilter},
        route::v3::{Route, RouteConfiguration, VirtualHost, route::Action, route_action::ClusterSpecifier},
    },
    extensions::filters::listener::{http_inspector::v3::HttpInspector, original_dst::v3::OriginalDst, tls_inspector::v3::TlsInspector},
};

use super::{
    filters::{self, Direction, Routes},
    inbound::{Port, ports},
    names,
    route::{configuration, decorator, everything, forward, inbound_retries},
    tls::{self, MESH_ALPN, MESH_HTTP_ALPN, MESH_TCP_ALPN},
    wire::{duration, flag, listener_filter, number, pipe, socket},
};
use crate::{
    scope::{Interception, ProxyScope},
    world::{View, World},
};

const TLS: &str = "tls";
const RAW: &str = "raw_buffer";
/// What the HTTP inspector finds in plaintext.
const PLAIN_HTTP: [&str; 3] = ["http/1.0", "http/1.1", "h2c"];

/// All inbound listeners of a sidecar.
pub(crate) fn listeners(world: &World, scope: &ProxyScope, view: &View<'_>) -> Vec<Listener> {
    let mut own = Vec::new();
    let mut redirected = Vec::new();
    let mut inspect_http = false;
    let mut declared = vec![world.settings().inbound_port];
    for port in ports(world, scope, view) {
        declared.push(port.target);
        let chains = port_chains(world, scope, &port);
        match &port.bind {
            Some(bind) => own.push(bound(world, bind, &port, chains)),
            None => {
                inspect_http |= port.protocol.is_none();
                redirected.extend(chains.into_iter().map(|chain| for_port(chain, port.target)));
            }
        }
    }
    if scope.interception != Interception::None {
        // A policy may name a port that no service declares.
        for port in world.mutual_tls_ports(scope.namespace.as_str(), world.labels(scope)) {
            if !declared.contains(&port) {
                redirected.extend(passthrough(world, scope, port).into_iter().map(|chain| for_port(chain, port)));
            }
        }
        own.push(virtual_inbound(world, scope, redirected, inspect_http));
    }
    own
}

/// A listener that clients address.
fn bound(world: &World, bind: &str, port: &Port<'_>, chains: Vec<FilterChain>) -> Listener {
    let mut listener_filters = inspectors(&chains);
    if port.protocol.is_none() {
        listener_filters.push(http_inspector());
    }
    Listener {
        name: names::listener(bind, port.target),
        address: Some(address(bind, port.target)),
        filter_chains: chains,
        listener_filters,
        ..inbound_listener(world)
    }
}

fn address(bind: &str, port: u16) -> Address {
    bind.strip_prefix("unix://").map_or_else(|| socket(bind, port), pipe)
}

fn inbound_listener(world: &World) -> Listener {
    Listener {
        traffic_direction: TrafficDirection::Inbound.into(),
        listener_filters_timeout: duration(world.settings().protocol_detection_timeout),
        continue_on_listener_filters_timeout: world.settings().protocol_detection_timeout != Duration::ZERO,
        ..Default::default()
    }
}

/// The listener for redirected traffic, with a chain for whatever no service declares.
fn virtual_inbound(world: &World, scope: &ProxyScope, mut chains: Vec<FilterChain>, inspect_http: bool) -> Listener {
    let any = if scope.ip.is_ipv6() { "::" } else { "0.0.0.0" };
    let inbound_port = world.settings().inbound_port;
    let loop_guard = for_port(
        FilterChain {
            name: "virtualInbound-blackhole".into(),
            filters: filters::tcp(world, scope, Direction::Inbound, &[(names::BLACK_HOLE.into(), 1)]),
            ..Default::default()
        },
        inbound_port,
    );
    chains.insert(0, loop_guard);
    chains.extend(passthrough(world, scope, 0));
    let mut listener_filters = vec![listener_filter("envoy.filters.listener.original_dst", &OriginalDst {})];
    listener_filters.extend(inspectors(&chains));
    if inspect_http {
        listener_filters.push(http_inspector());
    }
    Listener {
        name: "virtualInbound".into(),
        address: Some(socket(any, inbound_port)),
        filter_chains: chains,
        listener_filters,
        use_original_dst: flag(true),
        ..inbound_listener(world)
    }
}

/// Chains for a port that no service declares, or for all of them (0): the mesh's policies hold there, too.
fn passthrough(world: &World, scope: &ProxyScope, port: u16) -> Vec<FilterChain> {
    let mode = world.mutual_tls(scope.namespace.as_str(), world.labels(scope), port);
    let bytes = || filters::tcp(world, scope, Direction::Inbound, &[(names::INBOUND_PASSTHROUGH.into(), 1)]);
    let mut list = chains_for(world, mode, &Content::Tcp(bytes()));
    for chain in &mut list {
        chain.name = "virtualInbound".into();
    }
    list
}

/// What is inside of a connection.
enum Content {
    Http(Box<Filter>),
    Tcp(Vec<Filter>),
    /// To be found out.
    Either {
        http: Box<Filter>,
        tcp: Vec<Filter>,
    },
}

fn port_chains(world: &World, scope: &ProxyScope, port: &Port<'_>) -> Vec<FilterChain> {
    let tcp = || filters::tcp(world, scope, Direction::Inbound, &[(names::inbound(port.target), 1)]);
    let http = || Box::new(http(world, scope, port));
    let content = match port.protocol {
        Some(protocol) if protocol.is_http() => Content::Http(http()),
        Some(_) => Content::Tcp(tcp()),
        None => Content::Either { http: http(), tcp: tcp() },
    };
    let mut chains = match port.tls {
        Some(own) => user_tls(world, own, content),
        None => chains_for(world, world.mutual_tls(scope.namespace.as_str(), world.labels(scope), port.target), &content),
    };
    let any = if scope.ip.is_ipv6() { "::" } else { "0.0.0.0" };
    for chain in &mut chains {
        chain.name = names::listener(port.bind.as_deref().unwrap_or(any), port.target);
    }
    chains
}

/// A Sidecar's ingress listener that ends TLS itself. What is inside and not declared is taken for HTTP: nothing gets past the filters for it.
fn user_tls(world: &World, own: &mesh_config::resource::gateway::ServerTls, content: Content) -> Vec<FilterChain> {
    let (http, filters) = match content {
        Content::Http(filter) | Content::Either { http: filter, .. } => (true, vec![*filter]),
        Content::Tcp(filters) => (false, filters),
    };
    let transport_socket = tls::user_server(world.settings(), own, http);
    vec![FilterChain { filters, transport_socket, ..matching(TLS, &[]) }]
}

/// The chains of a port by mode and content.
fn chains_for(world: &World, mode: MutualTlsMode, content: &Content) -> Vec<FilterChain> {
    let mutual = |alpn: &[&str], http: bool, filters: Vec<Filter>| FilterChain {
        filters,
        transport_socket: Some(tls::mesh_server(world.settings(), http)),
        ..matching(TLS, alpn)
    };
    let plain = |transport: &str, alpn: &[&str], filters: Vec<Filter>| FilterChain { filters, ..matching(transport, alpn) };
    match (mode, content) {
        (MutualTlsMode::Disable, Content::Http(http)) => vec![plain("", &[], vec![(**http).clone()])],
        (MutualTlsMode::Disable, Content::Tcp(tcp)) => vec![plain("", &[], tcp.clone())],
        (MutualTlsMode::Disable, Content::Either { http, tcp }) => {
            vec![plain(RAW, &PLAIN_HTTP, vec![(**http).clone()]), plain("", &[], tcp.clone())]
        }
        (MutualTlsMode::Strict, Content::Http(http)) => vec![mutual(&[], true, vec![(**http).clone()])],
        (MutualTlsMode::Strict, Content::Tcp(tcp)) => vec![mutual(&[], false, tcp.clone())],
        (MutualTlsMode::Strict, Content::Either { http, tcp }) => {
            vec![mutual(&MESH_HTTP_ALPN, true, vec![(**http).clone()]), mutual(&[], false, tcp.clone())]
        }
        (MutualTlsMode::Permissive | MutualTlsMode::Unset, Content::Http(http)) => {
            vec![mutual(&MESH_ALPN, true, vec![(**http).clone()]), plain(RAW, &[], vec![(**http).clone()])]
        }
        (MutualTlsMode::Permissive | MutualTlsMode::Unset, Content::Tcp(tcp)) => {
            vec![mutual(&MESH_ALPN, false, tcp.clone()), plain(RAW, &[], tcp.clone()), plain(TLS, &[], tcp.clone())]
        }
        (MutualTlsMode::Permissive | MutualTlsMode::Unset, Content::Either { http, tcp }) => vec![
            mutual(&MESH_HTTP_ALPN, true, vec![(**http).clone()]),
            plain(RAW, &PLAIN_HTTP, vec![(**http).clone()]),
            mutual(&MESH_TCP_ALPN, false, tcp.clone()),
            plain(RAW, &[], tcp.clone()),
            plain(TLS, &[], tcp.clone()),
        ],
    }
}

fn matching(transport: &str, alpn: &[&str]) -> FilterChain {
    if transport.is_empty() && alpn.is_empty() {
        return FilterChain::default();
    }
    let matcher = FilterChainMatch {
        transport_protocol: transport.to_owned(),
        application_protocols: alpn.iter().map(|protocol| (*protocol).to_owned()).collect(),
        ..Default::default()
    };
    FilterChain { filter_chain_match: Some(matcher), ..Default::default() }
}

fn for_port(mut chain: FilterChain, port: u16) -> FilterChain {
    chain.filter_chain_match.get_or_insert_default().destination_port = number(port.into());
    chain
}

/// TLS is looked for where a chain asks for it.
fn inspectors(chains: &[FilterChain]) -> Vec<ListenerFilter> {
    let asks = chains.iter().any(|chain| chain.filter_chain_match.as_ref().is_some_and(|asked| !asked.transport_protocol.is_empty()));
    if asks { vec![tls_inspector()] } else { Vec::new() }
}

pub(crate) fn tls_inspector() -> ListenerFilter {
    listener_filter("envoy.filters.listener.tls_inspector", &TlsInspector::default())
}

pub(crate) fn http_inspector() -> ListenerFilter {
    listener_filter("envoy.filters.listener.http_inspector", &HttpInspector {})
}

/// HTTP to the application, with the route table inside: it changes only with the listener.
fn http(world: &World, scope: &ProxyScope, port: &Port<'_>) -> Filter {
    let name = names::inbound(port.target);
    let mut action = forward(ClusterSpecifier::Cluster(name.clone()));
    // A gRPC client retries by itself.
    if !matches!(port.protocol, Some(Protocol::Grpc | Protocol::GrpcWeb)) {
        action.retry_policy = Some(inbound_retries());
    }
    let authority = port.services.first().map_or("unknown", |service| service.id.hostname.as_str());
    let route = Route {
        name: "default".into(),
        r#match: Some(everything()),
        decorator: decorator(&names::authority(authority, port.service_port)),
        action: Some(Action::Route(action)),
        ..Default::default()
    };
    let host = VirtualHost {
        name: format!("inbound|http|{}", port.service_port),
        domains: vec!["*".into()],
        routes: vec![route],
        ..Default::default()
    };
    let table = RouteConfiguration { max_direct_response_body_size_bytes: None, ..configuration(&name, vec![host], false) };
    let stat_prefix = format!("inbound_0.0.0.0_{}", port.target);
    filters::http(world, scope, Direction::Inbound, &stat_prefix, Routes::Inline(Box::new(table)))
}
