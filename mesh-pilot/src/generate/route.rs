//! Route tables of sidecars' outbound listeners. The translation of one VirtualService route is in `route/action.rs`, of its match in `route/matches.rs`.

mod action;
mod matches;
mod retry;

use std::collections::BTreeSet;

use mesh_config::{
    registry::{Resolution, Service, ServicePort},
    resource::{Protocol, sidecar::OutboundMode},
};
use mesh_proto::{
    envoy::config::{
        core::v3::Metadata,
        route::v3::{
            Decorator, DirectResponseAction, Route, RouteAction, RouteConfiguration, RouteMatch, VirtualHost,
            route::Action,
            route_action::{ClusterSpecifier, MaxStreamDuration},
            route_match::PathSpecifier,
        },
    },
    id::Hostname,
};

pub(crate) use action::routes;
pub(crate) use retry::inbound as inbound_retries;

use super::{
    names,
    wire::{duration, flag, number},
};
use crate::{
    scope::ProxyScope,
    world::{EgressView, RoutingRule, View, World},
};

/// Bodies of direct responses: at most 1 MiB, as Istio allows.
const MOST_DIRECT_RESPONSE: u32 = 1_048_576;

/// Where a route is used: decides which matches apply and what a destination without a port means.
#[derive(Clone, Copy)]
pub(crate) struct Context<'w> {
    pub(crate) world: &'w World,
    pub(crate) scope: &'w ProxyScope,
    pub(crate) view: &'w View<'w>,
    /// `mesh`, or the gateways of the listener.
    pub(crate) gateways: &'w [&'w str],
    /// The port that clients called.
    pub(crate) port: u16,
}

/// Which services a table is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ports {
    /// Those of one port.
    One(u16),
    /// All: an HTTP proxy's clients name host and port themselves.
    All,
}

impl Ports {
    fn include(self, port: &ServicePort) -> bool {
        // What is spoken is not declared: it may be HTTP, so it has a route.
        let http = port.protocol.is_none_or(Protocol::is_http);
        http && (self == Self::All || self == Self::One(port.number))
    }
}

/// The table of one outbound listener.
pub(crate) fn outbound(
    world: &World,
    scope: &ProxyScope,
    view: &View<'_>,
    name: &str,
    listener: &EgressView<'_>,
    ports: Ports,
) -> RouteConfiguration {
    let mut table = Table { world, scope, view, taken: BTreeSet::new(), hosts: Vec::new(), ports };
    for service in &listener.services {
        for port in &service.ports {
            if ports.include(port) {
                table.service(listener, service, port);
            }
        }
    }
    table.without_services(listener);
    let mut hosts = table.hosts;
    hosts.sort_by(|a, b| a.name.cmp(&b.name));
    hosts.push(fallback(view));
    configuration(name, hosts, ports != Ports::All)
}

/// A table with Istio's settings. Whether the port in a request's host counts: a listener of one port serves that port whatever the host says.
pub(crate) fn configuration(name: &str, virtual_hosts: Vec<VirtualHost>, ignore_port: bool) -> RouteConfiguration {
    RouteConfiguration {
        name: name.to_owned(),
        virtual_hosts,
        validate_clusters: flag(false),
        max_direct_response_body_size_bytes: number(MOST_DIRECT_RESPONSE),
        ignore_port_in_host_matching: ignore_port,
        ..Default::default()
    }
}

/// The VirtualService for a host: exact names before wildcards, longer wildcards before shorter ones, older before younger.
pub(crate) fn rule_for<'w>(rules: &[&'w RoutingRule], host: &Hostname) -> Option<&'w RoutingRule> {
    let fits = |rule: &RoutingRule| rule.hosts.iter().filter_map(|pattern| crate::world::specificity(pattern, host)).max();
    let ranked = rules.iter().filter_map(|rule| Some((fits(rule)?, *rule)));
    // The first of equals stays: rules are given oldest first.
    ranked.reduce(|best, next| if next.0 > best.0 { next } else { best }).map(|(_, rule)| rule)
}

struct Table<'w> {
    world: &'w World,
    scope: &'w ProxyScope,
    view: &'w View<'w>,
    /// Domains given away; Envoy refuses a table that repeats one.
    taken: BTreeSet<String>,
    hosts: Vec<VirtualHost>,
    ports: Ports,
}

impl<'w> Table<'w> {
    fn service(&mut self, listener: &EgressView<'w>, service: &Service, port: &ServicePort) {
        let context = self.context(port.number);
        let rule = rule_for(&listener.routing, &service.id.hostname).filter(|rule| !rule.http.is_empty());
        let mut list = rule.map(|rule| routes(&context, rule, &service.id.hostname)).unwrap_or_default();
        if rule.is_none() {
            list.push(default_route(&context, service, port));
        }
        let domains = self.domains(service, port.number);
        self.host(&names::authority(service.id.hostname.as_str(), port.number), domains, list);
    }

    /// Hosts that only a VirtualService knows.
    fn without_services(&mut self, listener: &EgressView<'w>) {
        for rule in listener.routing.iter().filter(|rule| !rule.http.is_empty()) {
            for host in &rule.hosts {
                let known = listener
                    .services
                    .iter()
                    .any(|service| service.id.hostname == *host || (host.is_wildcard() && host.covers(&service.id.hostname)));
                // Of several for the same host, only the winner.
                let wins = rule_for(&listener.routing, host).is_some_and(|winner| std::ptr::eq(winner, *rule));
                if known || !wins {
                    continue;
                }
                let port = match self.ports {
                    Ports::One(port) => port,
                    Ports::All => 80,
                };
                let list = routes(&self.context(port), rule, host);
                let domains = self.forms(host.as_str(), port, true);
                self.host(&names::authority(host.as_str(), port), domains, list);
            }
        }
    }

    fn context(&self, port: u16) -> Context<'w> {
        Context { world: self.world, scope: self.scope, view: self.view, gateways: &["mesh"], port }
    }

    fn host(&mut self, name: &str, domains: Vec<String>, routes: Vec<Route>) {
        let domains: Vec<String> = domains.into_iter().filter(|domain| self.taken.insert(domain.to_ascii_lowercase())).collect();
        if !domains.is_empty() && !routes.is_empty() {
            self.hosts.push(VirtualHost {
                name: name.to_owned(),
                domains,
                routes,
                include_request_attempt_count: true,
                ..Default::default()
            });
        }
    }

    /// Every way in which a client may name a service: FQDN, the shorter forms of its search path, virtual addresses.
    fn domains(&self, service: &Service, port: u16) -> Vec<String> {
        // Without a port in the host, HTTP means port 80; or the only candidate there is.
        let http = service.ports.iter().filter(|port| port.protocol.is_none_or(Protocol::is_http));
        let bare = http.map(|port| port.number).min_by_key(|number| (*number != 80, *number)) == Some(port);
        let host = service.id.hostname.as_str();
        let mut all = self.forms(host, port, bare);
        for short in short_names(host, &self.scope.dns_domain) {
            all.extend(self.forms(&short, port, bare));
        }
        for address in service.addresses.iter().filter(|address| address.parse::<std::net::IpAddr>().is_ok()) {
            let literal = if address.contains(':') { format!("[{address}]") } else { address.clone() };
            all.extend(self.forms(&literal, port, bare));
        }
        all
    }

    fn forms(&self, host: &str, port: u16, bare: bool) -> Vec<String> {
        match self.ports {
            // The port in the host is ignored.
            Ports::One(_) => vec![host.to_owned()],
            // A suffix pattern cannot have a port behind its literal unless that is part of it.
            Ports::All if bare => vec![host.to_owned(), format!("{host}:{port}")],
            Ports::All => vec![format!("{host}:{port}")],
        }
    }
}

/// `reviews`, `reviews.shop`, `reviews.shop.svc` of `reviews.shop.svc.cluster.local`: what the search path of a client in `domain` completes.
fn short_names(host: &str, domain: &str) -> Vec<String> {
    // domain = "<namespace>.svc.cluster.local"
    let Some((namespace, rest)) = domain.split_once('.') else { return Vec::new() };
    let Some((svc, _)) = rest.split_once('.') else { return Vec::new() };
    let Some(stem) = host.strip_suffix(rest).and_then(|stem| stem.strip_suffix('.')) else { return Vec::new() };
    // stem = "reviews.shop"
    let Some((name, owner)) = stem.rsplit_once('.') else { return Vec::new() };
    let mut list = vec![stem.to_owned(), format!("{stem}.{svc}")];
    if owner == namespace {
        list.insert(0, name.to_owned());
    }
    list
}

/// Straight to the service.
pub(crate) fn default_route(context: &Context<'_>, service: &Service, port: &ServicePort) -> Route {
    let host = &service.id.hostname;
    let mut action = forward(ClusterSpecifier::Cluster(names::outbound(port.number, "", host)));
    action.hash_policy = action::hash_policy(context, host.as_str(), "", port.number);
    let hashed = !action.hash_policy.is_empty();
    action.retry_policy = Some(retry::default(hashed));
    if matches!(service.resolution, Resolution::Alias(_)) {
        // The other name's server knows itself by that name.
        action.host_rewrite_specifier = Some(mesh_proto::envoy::config::route::v3::route_action::HostRewriteSpecifier::AutoHostRewrite(
            mesh_proto::google::protobuf::BoolValue { value: true },
        ));
    }
    Route {
        name: "default".into(),
        r#match: Some(everything()),
        decorator: decorator(&names::authority(host.as_str(), port.number)),
        action: Some(Action::Route(action)),
        metadata: rule_metadata(context, host, &service.id.namespace),
        ..Default::default()
    }
}

fn rule_metadata(context: &Context<'_>, host: &Hostname, namespace: &str) -> Option<Metadata> {
    let rule = context.world.destination_rule(context.scope, host, namespace)?;
    super::wire::provenance(&rule.provenance)
}

/// Every request.
pub(crate) fn everything() -> RouteMatch {
    RouteMatch { path_specifier: Some(PathSpecifier::Prefix("/".into())), ..Default::default() }
}

/// The name of the span.
pub(crate) fn decorator(authority: &str) -> Option<Decorator> {
    Some(Decorator { operation: format!("{authority}/*"), ..Default::default() })
}

/// Forwarding without a time limit (Envoy's own default of 15 s is not Istio's); a gRPC client's own deadline holds.
pub(crate) fn forward(cluster: ClusterSpecifier) -> RouteAction {
    let none = duration(std::time::Duration::ZERO);
    RouteAction {
        cluster_specifier: Some(cluster),
        timeout: none,
        max_stream_duration: Some(MaxStreamDuration { grpc_timeout_header_max: none, ..Default::default() }),
        ..Default::default()
    }
}

/// What happens to requests for hosts that no one knows.
fn fallback(view: &View<'_>) -> VirtualHost {
    let (name, action) = match view.outbound {
        OutboundMode::AllowAny => ("allow_any", Action::Route(forward(ClusterSpecifier::Cluster(names::PASSTHROUGH.into())))),
        // Resolution of arbitrary names is not implemented: refuse rather than guess.
        OutboundMode::RegistryOnly | OutboundMode::AllowAnyDynamicDns => {
            ("block_all", Action::DirectResponse(DirectResponseAction { status: 502, ..Default::default() }))
        }
    };
    let route = Route { name: name.into(), r#match: Some(everything()), action: Some(action), ..Default::default() };
    VirtualHost {
        name: name.into(),
        domains: vec!["*".into()],
        routes: vec![route],
        include_request_attempt_count: true,
        ..Default::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_follow_the_search_path() {
        let names = |domain| short_names("ads.shop.svc.cluster.local", domain);
        assert_eq!(names("shop.svc.cluster.local"), ["ads", "ads.shop", "ads.shop.svc"]);
        assert_eq!(names("bank.svc.cluster.local"), ["ads.shop", "ads.shop.svc"]);
        assert!(short_names("example.com", "shop.svc.cluster.local").is_empty());
    }
}
