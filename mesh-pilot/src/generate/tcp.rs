//! Where bytes go: VirtualServices' `tcp` and `tls` routes, else straight to the service.

use mesh_config::{
    registry::{Service, ServicePort},
    resource::{
        Protocol,
        selector::selects,
        virtual_service::{Destination, RouteDestination, TcpMatch, TlsMatch},
    },
};
use mesh_proto::envoy::config::listener::v3::{FilterChain, FilterChainMatch};

use super::{
    filters::{self, leaving},
    names,
    route::{Context, rule_for},
};
use crate::world::{EgressView, RoutingRule, fqdn, gateways};

/// The filter chains of a port that is not HTTP. TLS is told apart by SNI; of plain bytes, only the first service that has the port can be meant.
pub(crate) fn chains(context: &Context<'_>, egress: &EgressView<'_>, port: u16, protocol: Option<Protocol>) -> Vec<FilterChain> {
    let candidates = egress.services.iter().filter_map(|service| Some((*service, service.port(port)?)));
    let mut candidates =
        candidates.filter(|(_, port)| port.protocol.is_none_or(|protocol| !protocol.is_http() && protocol != Protocol::Udp));
    if protocol.is_some_and(Protocol::is_tls) {
        return candidates.flat_map(|(service, port)| by_name(context, egress, service, port)).collect();
    }
    let Some((service, port)) = candidates.next() else { return Vec::new() };
    let clusters = bytes(context, egress, service, port);
    vec![FilterChain { filters: filters::tcp(context.world, context.scope, leaving(context.scope), &clusters), ..Default::default() }]
}

/// The clusters of a TCP port, by weight.
fn bytes(context: &Context<'_>, egress: &EgressView<'_>, service: &Service, port: &ServicePort) -> Vec<(String, u32)> {
    let rule = rule_for(&egress.routing, &service.id.hostname).filter(|rule| !rule.object.spec.tcp.is_empty());
    rule.and_then(|rule| tcp_route(context, rule)).unwrap_or_else(|| vec![(names::outbound(port.number, "", &service.id.hostname), 1)])
}

/// The first `tcp` route that applies here. Matches on destination subnets need an original destination per connection and are passed over.
pub(crate) fn tcp_route(context: &Context<'_>, rule: &RoutingRule) -> Option<Vec<(String, u32)>> {
    let here = |matcher: &TcpMatch| {
        let place = Place {
            port: matcher.port,
            gateways: gateways_of(&matcher.gateways, rule),
            namespace: &matcher.source_namespace,
            subnets: &matcher.destination_subnets,
        };
        place.applies(context) && selects(&matcher.source_labels, context.world.labels(context.scope))
    };
    let route = rule.object.spec.tcp.iter().find(|route| route.r#match.is_empty() || route.r#match.iter().any(here))?;
    Some(weighted(context, rule, &route.route))
}

/// The chains of a TLS port: what VirtualServices say of its SNI names, else the service's own name.
fn by_name(context: &Context<'_>, egress: &EgressView<'_>, service: &Service, port: &ServicePort) -> Vec<FilterChain> {
    let rule = rule_for(&egress.routing, &service.id.hostname).filter(|rule| !rule.object.spec.tls.is_empty());
    let routed = rule.map(|rule| tls_routes(context, rule)).unwrap_or_default();
    if !routed.is_empty() {
        return routed;
    }
    let clusters = [(names::outbound(port.number, "", &service.id.hostname), 1)];
    let filters = filters::tcp(context.world, context.scope, leaving(context.scope), &clusters);
    vec![FilterChain { filters, filter_chain_match: Some(named(vec![service.id.hostname.to_string()])), ..Default::default() }]
}

/// The chains of a VirtualService's `tls` routes that apply here.
pub(crate) fn tls_routes(context: &Context<'_>, rule: &RoutingRule) -> Vec<FilterChain> {
    let mut list = Vec::new();
    for route in &rule.object.spec.tls {
        let here = |matcher: &&TlsMatch| {
            let place = Place {
                port: matcher.port,
                gateways: gateways_of(&matcher.gateways, rule),
                namespace: &matcher.source_namespace,
                subnets: &matcher.destination_subnets,
            };
            place.applies(context) && selects(&matcher.source_labels, context.world.labels(context.scope))
        };
        for matcher in route.r#match.iter().filter(here) {
            let clusters = weighted(context, rule, &route.route);
            let filters = filters::tcp(context.world, context.scope, leaving(context.scope), &clusters);
            list.push(FilterChain { filters, filter_chain_match: Some(named(matcher.sni_hosts.clone())), ..Default::default() });
        }
    }
    list
}

/// By SNI; `*` alone is "any", which Envoy writes as nothing.
pub(crate) fn named(hosts: Vec<String>) -> FilterChainMatch {
    let any = hosts.iter().any(|host| host == "*");
    // Envoy reads names from the wire in lower case.
    let server_names = if any { Vec::new() } else { hosts.iter().map(|host| host.to_ascii_lowercase()).collect() };
    FilterChainMatch { transport_protocol: "tls".into(), server_names, ..Default::default() }
}

fn gateways_of(own: &[String], rule: &RoutingRule) -> Vec<String> {
    if own.is_empty() { rule.gateways.clone() } else { gateways(own, rule.namespace()) }
}

/// The parts of a match that the control plane decides.
struct Place<'m> {
    port: Option<u16>,
    gateways: Vec<String>,
    namespace: &'m str,
    subnets: &'m [String],
}

impl Place<'_> {
    fn applies(&self, context: &Context<'_>) -> bool {
        self.subnets.is_empty()
            && self.port.is_none_or(|port| port == 0 || port == context.port)
            && (self.namespace.is_empty() || self.namespace == context.scope.namespace.as_str())
            && self.gateways.iter().any(|name| context.gateways.contains(&name.as_str()))
    }
}

fn weighted(context: &Context<'_>, rule: &RoutingRule, destinations: &[RouteDestination]) -> Vec<(String, u32)> {
    let list: Vec<(String, u32)> = match destinations {
        [only] => vec![(cluster(context, rule, &only.destination), 1)],
        several => several
            .iter()
            .filter_map(|part| {
                Some((cluster(context, rule, &part.destination), u32::try_from(part.weight).ok().filter(|weight| *weight > 0)?))
            })
            .collect(),
    };
    // No weight at all: nowhere to go.
    if list.is_empty() { vec![(names::BLACK_HOLE.into(), 1)] } else { list }
}

fn cluster(context: &Context<'_>, rule: &RoutingRule, destination: &Destination) -> String {
    let host = fqdn(&destination.host, rule.namespace());
    let only = || match context.view.service(&host).map(|service| service.ports.as_slice()) {
        Some([only]) => Some(only.number),
        _ => None,
    };
    let port = destination.port.as_ref().map(|port| port.number).or_else(only).unwrap_or(context.port);
    format!("outbound|{port}|{}|{host}", destination.subset)
}
