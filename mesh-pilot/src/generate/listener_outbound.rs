//! Outbound listeners of sidecars, and the route tables they name.
//!
//! Without interception (the local mesh): an HTTP proxy listener for everything HTTP, and the listeners that Sidecar resources write out. With interception:
//! Istio's `virtualOutbound`, which hands connections over to listeners per port and per address that bind nothing.

use std::collections::{BTreeMap, BTreeSet};

use mesh_config::{
    registry::{Service, ServicePort},
    resource::{Protocol, sidecar::OutboundMode},
};
use mesh_proto::envoy::{
    config::{
        core::v3::TrafficDirection,
        listener::v3::{Filter, FilterChain, FilterChainMatch, Listener},
        route::v3::RouteConfiguration,
    },
    extensions::filters::listener::original_dst::v3::OriginalDst,
};

use super::{
    chains::Chains,
    filters::{self, Direction, Routes},
    listener_inbound::{http_inspector, tls_inspector},
    names,
    route::{self, Context, Ports},
    tcp,
    wire::{duration, flag, listener_filter, number, pipe, socket},
};
use crate::{
    scope::{Interception, ProxyScope},
    world::{EgressView, View, World},
};

/// Listeners and the tables they name.
#[derive(Default)]
pub(crate) struct Outbound {
    pub(crate) listeners: Vec<Listener>,
    pub(crate) tables: Vec<RouteConfiguration>,
    pub(crate) conflicts: Vec<Conflict>,
    /// The secrets that the listeners name.
    pub(crate) secrets: BTreeSet<String>,
}

impl Outbound {
    /// Takes note of what a listener goes without.
    pub(crate) fn conflict(&mut self, listener: &str, dropped: Vec<String>) {
        self.conflicts.extend(dropped.into_iter().map(|server_name| Conflict { listener: listener.to_owned(), server_name }));
    }
}

/// A server name of a listener that several resources ask for: the first one has it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Conflict {
    /// The listener.
    pub(crate) listener: String,
    /// The name as SNI has it; `*`: whatever no other takes.
    pub(crate) server_name: String,
}

/// All outbound listeners of a sidecar.
pub(crate) fn outbound(world: &World, scope: &ProxyScope, view: &View<'_>) -> Outbound {
    let mut made = Maker { world, scope, view, out: Outbound::default(), names: BTreeSet::new() };
    for egress in view.egress.iter().filter(|egress| egress.listener.is_some_and(|listener| listener.port.is_some())) {
        made.written(egress);
    }
    let rest = view.egress.iter().find(|egress| egress.listener.is_none_or(|listener| listener.port.is_none()));
    if let Some(rest) = rest {
        if let Some(port) = scope.http_proxy_port {
            made.http_proxy(rest, port);
        }
        if scope.interception != Interception::None {
            made.redirected(rest);
        }
    }
    if scope.interception != Interception::None {
        made.virtual_outbound();
    }
    made.out
}

struct Maker<'w> {
    world: &'w World,
    scope: &'w ProxyScope,
    view: &'w View<'w>,
    out: Outbound,
    names: BTreeSet<String>,
}

impl<'w> Maker<'w> {
    fn add(&mut self, listener: Listener) {
        // The first one of a name counts: Sidecar resources come before what is derived.
        if self.names.insert(listener.name.clone()) {
            self.out.listeners.push(listener);
        }
    }

    fn table(&mut self, name: &str, egress: &EgressView<'_>, ports: Ports) {
        if self.out.tables.iter().all(|table| table.name != name) {
            self.out.tables.push(route::outbound(self.world, self.scope, self.view, name, egress, ports));
        }
    }

    /// Everything HTTP, for clients that are told of a proxy.
    fn http_proxy(&mut self, egress: &EgressView<'_>, port: u16) {
        let bind = self.scope.bind_address("127.0.0.1");
        let filter =
            filters::http(self.world, self.scope, Direction::Outbound, "outbound_http_proxy", Routes::Named(names::HTTP_PROXY.into()));
        let chain = FilterChain { filters: vec![filter], ..Default::default() };
        self.table(names::HTTP_PROXY, egress, Ports::All);
        self.add(Listener {
            name: names::listener(&bind, port),
            address: Some(socket(&bind, port)),
            filter_chains: vec![chain],
            ..outbound_listener()
        });
    }

    /// A listener that a Sidecar resource writes out. Only the first service fits a TCP port: bytes do not say where they want to go.
    fn written(&mut self, egress: &EgressView<'w>) {
        let Some(listener) = egress.listener else { return };
        let Some(asked) = &listener.port else { return };
        let unix = listener.bind.strip_prefix("unix://");
        let bind = if listener.bind.is_empty() { self.scope.bind_address("127.0.0.1") } else { listener.bind.clone() };
        let address = unix.map_or_else(|| socket(&bind, asked.number), pipe);
        let name = names::listener(unix.unwrap_or(&bind), asked.number);
        let http = asked.protocol.is_none_or(Protocol::is_http);
        let bound = self.scope.interception == Interception::None || unix.is_some() || !listener.bind.is_empty();
        let mut made =
            Listener { name, address: Some(address), bind_to_port: if bound { None } else { flag(false) }, ..outbound_listener() };
        if http {
            let table = unix.map_or_else(|| asked.number.to_string(), str::to_owned);
            // A Unix socket has no port of its own: every service behind it is served.
            self.table(&table, egress, if asked.number == 0 || unix.is_some() { Ports::All } else { Ports::One(asked.number) });
            made.filter_chains = vec![FilterChain { filters: vec![self.manager(&table)], ..Default::default() }];
        } else {
            let mut chains = Chains::default();
            chains.extend(tcp::chains(&self.context(asked.number), egress, asked.number, asked.protocol));
            self.fill(&mut made, chains);
            if made.filter_chains.is_empty() {
                return;
            }
        }
        self.add(made);
    }

    fn context(&self, port: u16) -> Context<'w> {
        Context { world: self.world, scope: self.scope, view: self.view, gateways: &["mesh"], port }
    }

    fn manager(&self, table: &str) -> Filter {
        filters::http(self.world, self.scope, Direction::Outbound, &format!("outbound_0.0.0.0_{table}"), Routes::Named(table.to_owned()))
    }

    /// Istio's listeners by address and port: HTTP on all addresses, everything else on the services' virtual ones, and on all where a service has none. What
    /// shares an address and a port shares a listener: HTTP is told by its first bytes, TLS by its name, and the first service of plain bytes has the rest.
    fn redirected(&mut self, egress: &EgressView<'w>) {
        let mut gathered: BTreeMap<(String, u16), Chains> = BTreeMap::new();
        let any = self.any();
        for (service, port) in egress.services.iter().flat_map(|service| service.ports.iter().map(move |port| (*service, port))) {
            let binds = match port.protocol {
                Some(Protocol::Udp) => continue,
                Some(protocol) if protocol.is_http() => vec![any.to_owned()],
                _ => binds(service, any),
            };
            for bind in binds {
                let chains = gathered.entry((bind, port.number)).or_default();
                self.gather(egress, service, port, chains);
            }
        }
        for ((bind, port), chains) in gathered {
            let mut made = Listener {
                name: names::listener(&bind, port),
                address: Some(socket(&bind, port)),
                bind_to_port: flag(false),
                ..outbound_listener()
            };
            if bind == any && !chains.exhaustive() {
                made.default_filter_chain = Some(self.unknown("PassthroughFilterChain"));
            }
            self.fill(&mut made, chains);
            self.add(made);
        }
    }

    /// The chains of a service's port. On a virtual address of its own its HTTP has a table of its own; elsewhere all HTTP of the port shares one.
    fn gather(&mut self, egress: &EgressView<'w>, service: &'w Service, port: &ServicePort, chains: &mut Chains) {
        let wide = binds(service, self.any()) == [self.any()];
        match port.protocol {
            Some(protocol) if protocol.is_http() => return self.gather_http(port.number.to_string(), egress, port.number, chains),
            None if wide => self.gather_http(port.number.to_string(), egress, port.number, chains),
            _ => {}
        }
        let only = EgressView {
            listener: egress.listener,
            services: egress.services.iter().copied().filter(|other| other.id == service.id).collect(),
            routing: egress.routing.clone(),
        };
        if port.protocol.is_none() && !wide {
            self.gather_http(names::authority(service.id.hostname.as_str(), port.number), &only, port.number, chains);
        }
        chains.extend(tcp::chains(&self.context(port.number), &only, port.number, port.protocol.or(Some(Protocol::Tcp))));
    }

    fn gather_http(&mut self, table: String, egress: &EgressView<'_>, port: u16, chains: &mut Chains) {
        if !chains.inspect_http() {
            self.table(&table, egress, Ports::One(port));
            chains.add(FilterChain { filters: vec![self.manager(&table)], ..plain_http() });
        }
    }

    /// Gives a listener its chains and the inspectors that they need.
    fn fill(&mut self, listener: &mut Listener, chains: Chains) {
        if chains.inspect_tls() {
            listener.listener_filters.push(tls_inspector());
        }
        if chains.inspect_http() {
            listener.listener_filters.push(http_inspector());
        }
        let (chains, dropped) = chains.finish();
        self.out.conflict(&listener.name, dropped);
        listener.filter_chains = chains;
    }

    /// Where redirected connections arrive.
    fn virtual_outbound(&mut self) {
        let port = self.world.settings().outbound_port;
        let guard = FilterChain {
            name: "virtualOutbound-blackhole".into(),
            filter_chain_match: Some(FilterChainMatch { destination_port: number(port.into()), ..Default::default() }),
            filters: self.bytes(names::BLACK_HOLE),
            ..Default::default()
        };
        let any = self.any();
        let catch_all = self.unknown("virtualOutbound-catchall-tcp");
        self.add(Listener {
            name: "virtualOutbound".into(),
            address: Some(socket(any, port)),
            use_original_dst: flag(true),
            filter_chains: vec![guard, catch_all],
            listener_filters: vec![listener_filter("envoy.filters.listener.original_dst", &OriginalDst {})],
            ..outbound_listener()
        });
    }

    /// What no listener and no chain takes.
    fn unknown(&self, name: &str) -> FilterChain {
        let cluster = match self.view.outbound {
            OutboundMode::AllowAny => names::PASSTHROUGH,
            OutboundMode::RegistryOnly | OutboundMode::AllowAnyDynamicDns => names::BLACK_HOLE,
        };
        FilterChain { name: name.to_owned(), filters: self.bytes(cluster), ..Default::default() }
    }

    fn bytes(&self, cluster: &str) -> Vec<Filter> {
        filters::tcp(self.world, self.scope, Direction::Outbound, &[(cluster.to_owned(), 1)])
    }

    fn any(&self) -> &'static str {
        if self.scope.ip.is_ipv6() { "::" } else { "0.0.0.0" }
    }
}

/// Where a service's bytes are recognized: its virtual addresses, or all addresses if it has none.
fn binds(service: &Service, any: &str) -> Vec<String> {
    let literal: Vec<String> = service.addresses.iter().filter(|text| text.parse::<std::net::IpAddr>().is_ok()).cloned().collect();
    if literal.is_empty() { vec![any.to_owned()] } else { literal }
}

fn outbound_listener() -> Listener {
    Listener {
        traffic_direction: TrafficDirection::Outbound.into(),
        listener_filters_timeout: duration(std::time::Duration::ZERO),
        ..Default::default()
    }
}

/// Plaintext that the HTTP inspector found to be HTTP.
fn plain_http() -> FilterChain {
    let matcher = FilterChainMatch {
        transport_protocol: "raw_buffer".into(),
        application_protocols: vec!["http/1.0".into(), "http/1.1".into(), "h2c".into()],
        ..Default::default()
    };
    FilterChain { filter_chain_match: Some(matcher), ..Default::default() }
}
