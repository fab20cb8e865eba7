//! Listeners and route tables of gateways.
//!
//! Source: Istio's `gateway.go`: plaintext HTTP servers of a port share the table `http.<port>`; every HTTPS server has a chain by SNI and the table
//! `https.<port>.<port name>.<gateway>.<namespace>`; VirtualServices of one host are merged, oldest first, with routes that take everything last.

use std::collections::{BTreeMap, BTreeSet};

use mesh_config::resource::{Protocol, gateway::ServerTlsMode};
use mesh_proto::{
    envoy::config::{
        core::v3::TrafficDirection,
        listener::v3::{FilterChain, FilterChainMatch, Listener},
        route::v3::{Route, RouteConfiguration, VirtualHost, virtual_host::TlsRequirementType},
    },
    id::Hostname,
};

use super::{
    chains::Chains,
    filters::{self, Direction, Routes},
    listener_inbound::tls_inspector,
    listener_outbound::Outbound,
    names,
    route::{Context, configuration, everything, routes},
    tcp, tls,
    wire::{duration, pipe, socket},
};
use crate::{
    scope::ProxyScope,
    world::{GatewayPort, MergedServer, RoutingRule, View, World},
};

/// All listeners of a gateway.
pub(crate) fn gateway(world: &World, scope: &ProxyScope, view: &View<'_>) -> Outbound {
    let mut out = Outbound::default();
    for port in world.gateway_ports(scope) {
        let maker = Maker { world, scope, view, port: &port };
        let mut chains = Chains::default();
        if port.plain_http() {
            let table = format!("http.{}", port.number);
            out.tables.push(maker.table(&table, &port.servers));
            let filter =
                filters::http(world, scope, Direction::Gateway, &format!("outbound_0.0.0.0_{}", port.number), Routes::Named(table));
            chains.add(FilterChain { filters: vec![filter], ..Default::default() });
        } else {
            for server in &port.servers {
                if maker.server(server, &mut chains, &mut out.tables) {
                    out.secrets.extend(server.server.tls.iter().flat_map(tls::server_secrets));
                }
            }
        }
        let (chains, dropped) = chains.finish();
        if !chains.is_empty() {
            let listener = maker.listener(chains);
            out.conflict(&listener.name, dropped);
            out.listeners.push(listener);
        }
    }
    out
}

struct Maker<'w> {
    world: &'w World,
    scope: &'w ProxyScope,
    view: &'w View<'w>,
    port: &'w GatewayPort<'w>,
}

impl Maker<'_> {
    fn listener(&self, chains: Vec<FilterChain>) -> Listener {
        let any = if self.scope.ip.is_ipv6() { "::" } else { "0.0.0.0" };
        let unix = self.port.bind.strip_prefix("unix://");
        let bind = if self.port.bind.is_empty() { self.scope.bind_address(any) } else { self.port.bind.clone() };
        let by_name = chains.iter().any(|chain| chain.filter_chain_match.is_some());
        Listener {
            name: names::listener(unix.unwrap_or(&bind), self.port.number),
            address: Some(unix.map_or_else(|| socket(&bind, self.port.number), pipe)),
            filter_chains: chains,
            listener_filters: if by_name { vec![tls_inspector()] } else { Vec::new() },
            listener_filters_timeout: duration(std::time::Duration::from_secs(15)),
            traffic_direction: TrafficDirection::Outbound.into(),
            ..Default::default()
        }
    }

    /// The chains of a server that is not plaintext HTTP, and its table. False: nothing is left of it.
    fn server(&self, merged: &MergedServer<'_>, chains: &mut Chains, tables: &mut Vec<RouteConfiguration>) -> bool {
        let server = merged.server;
        let mode = server.tls.as_ref().map(|tls| tls.mode);
        if merged.ends_https() {
            let (namespace, name) = merged.gateway.split_once('/').unwrap_or(("", &merged.gateway));
            let table = format!("https.{}.{}.{name}.{namespace}", self.port.number, server.port.name);
            let filter = filters::http(
                self.world,
                self.scope,
                Direction::Gateway,
                &format!("outbound_0.0.0.0_{}", self.port.number),
                Routes::Named(table.clone()),
            );
            let transport_socket = server.tls.as_ref().and_then(|asked| tls::user_server(self.world.settings(), asked, true));
            let filter_chain_match = self.names(merged);
            let added = chains.add(FilterChain { filters: vec![filter], transport_socket, filter_chain_match, ..Default::default() });
            if added {
                tables.push(self.table(&table, std::slice::from_ref(merged)));
            }
            return added;
        }
        let gateways = [merged.gateway.as_str()];
        let context = self.context(&gateways);
        let bound = self.view.routing.iter().filter(|rule| rule.bound_to(&merged.gateway) && !self.shared(merged, rule).is_empty());
        match (server.port.protocol, mode) {
            (_, Some(ServerTlsMode::AutoPassthrough)) => false,
            (Protocol::Tls | Protocol::Https, Some(ServerTlsMode::Passthrough) | None) => {
                chains.extend(bound.flat_map(|rule| tcp::tls_routes(&context, rule)));
                true
            }
            (_, mode) => {
                // TCP, with or without TLS that ends here.
                let Some(clusters) = bound.filter_map(|rule| tcp::tcp_route(&context, rule)).next() else { return false };
                let ended = mode.and(server.tls.as_ref()).and_then(|asked| tls::user_server(self.world.settings(), asked, false));
                let filter_chain_match = if ended.is_some() { self.names(merged) } else { None };
                let filters = filters::tcp(self.world, self.scope, Direction::Gateway, &clusters);
                chains.add(FilterChain { filters, transport_socket: ended, filter_chain_match, ..Default::default() })
            }
        }
    }

    fn names(&self, merged: &MergedServer<'_>) -> Option<FilterChainMatch> {
        let hosts =
            merged.server.hosts.iter().map(|host| host.split_once('/').map_or(host.as_str(), |(_, host)| host).to_owned()).collect();
        Some(tcp::named(hosts))
    }

    fn context<'c>(&'c self, gateways: &'c [&'c str]) -> Context<'c> {
        Context { world: self.world, scope: self.scope, view: self.view, gateways, port: self.port.service_port }
    }

    /// The table of some servers: every VirtualService bound to them, by host.
    fn table(&self, name: &str, servers: &[MergedServer<'_>]) -> RouteConfiguration {
        let mut hosts: BTreeMap<String, Merged> = BTreeMap::new();
        for merged in servers {
            let gateways = [merged.gateway.as_str()];
            let context = self.context(&gateways);
            let redirect = merged.server.tls.as_ref().is_some_and(|tls| tls.https_redirect);
            for rule in self.view.routing.iter().filter(|rule| rule.bound_to(&merged.gateway) && !rule.http.is_empty()) {
                for host in self.shared(merged, rule) {
                    hosts.entry(host.to_string()).or_default().add(routes(&context, rule, &host), redirect, &rule.provenance);
                }
            }
            if redirect {
                // Even hosts without a route are sent to https.
                for host in merged.server.hosts.iter().map(|host| host.split_once('/').map_or(host.as_str(), |(_, host)| host)) {
                    hosts.entry(host.to_ascii_lowercase()).or_default().redirect = true;
                }
            }
        }
        let port = self.port.number;
        let mut list: Vec<VirtualHost> = hosts.into_iter().map(|(host, merged)| merged.finish(&host, port)).collect();
        if list.is_empty() {
            list.push(VirtualHost { name: format!("blackhole:{port}"), domains: vec!["*".into()], ..Default::default() });
        }
        configuration(name, list, true)
    }

    /// The hosts of a VirtualService that a server serves: the narrower of each pair that meets, once.
    fn shared(&self, merged: &MergedServer<'_>, rule: &RoutingRule) -> BTreeSet<Hostname> {
        let allowed = merged.server.hosts.iter().filter_map(move |text| {
            let (namespace, host) = text.split_once('/').unwrap_or(("*", text));
            let admitted = match namespace {
                "*" => true,
                "." => rule.namespace() == merged.object.meta.namespace,
                name => rule.namespace() == name,
            };
            admitted.then(|| host.parse::<Hostname>().ok()).flatten()
        });
        let pairs = allowed.flat_map(|server| {
            rule.hosts.iter().filter_map(move |host| match (server.covers(host), host.covers(&server)) {
                (true, _) => Some(host.clone()),
                (false, true) => Some(server.clone()),
                (false, false) => None,
            })
        });
        pairs.collect()
    }
}

/// The routes of one host, from all its VirtualServices.
#[derive(Default)]
struct Merged {
    routes: Vec<Route>,
    redirect: bool,
    from: Vec<String>,
}

impl Merged {
    fn add(&mut self, routes: Vec<Route>, redirect: bool, from: &str) {
        self.redirect |= redirect;
        // Two Gateways of one port may both bind the same rule.
        if !self.from.iter().any(|known| known == from) {
            self.from.push(from.to_owned());
            self.routes.extend(routes);
        }
    }

    fn finish(self, host: &str, port: u16) -> VirtualHost {
        let (last, mut routes): (Vec<Route>, Vec<Route>) = self.routes.into_iter().partition(|route| route.r#match == Some(everything()));
        routes.extend(last);
        VirtualHost {
            name: names::authority(host, port),
            domains: vec![host.to_owned()],
            routes,
            require_tls: if self.redirect { TlsRequirementType::All } else { TlsRequirementType::None }.into(),
            include_request_attempt_count: true,
            ..Default::default()
        }
    }
}
