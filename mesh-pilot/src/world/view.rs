//! What one proxy may see: services and VirtualServices that are exported to it and that its Sidecar resource imports.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use mesh_config::{
    registry::Service,
    resource::{
        Object, Sidecar,
        destination_rule::ConnectionPool,
        sidecar::{EgressListener, IngressListener, OutboundMode},
        virtual_service::HttpAction,
    },
};
use mesh_proto::id::Hostname;

use super::{RoutingRule, World, fqdn, virtual_services::MESH};
use crate::scope::{ProxyScope, Role};

/// What one proxy may see.
#[derive(Debug)]
pub struct View<'w> {
    /// Everything of any listener, one service a host name, by host name.
    pub services: Vec<&'w Arc<Service>>,
    /// Everything of any listener, oldest first.
    pub routing: Vec<&'w RoutingRule>,
    /// Outbound listeners; one without a port where there is no Sidecar resource.
    pub egress: Vec<EgressView<'w>>,
    /// Inbound listeners that are written out; empty: derived from the services.
    pub ingress: &'w [IngressListener],
    /// Pool limits towards the application.
    pub inbound_pool: Option<&'w ConnectionPool>,
    /// What happens to unknown hosts.
    pub outbound: OutboundMode,
    by_host: BTreeMap<&'w str, &'w Arc<Service>>,
}

/// One outbound listener.
#[derive(Debug)]
pub struct EgressView<'w> {
    /// The listener as the Sidecar has it; `None`: the default.
    pub listener: Option<&'w EgressListener>,
    /// Its services, by host name.
    pub services: Vec<&'w Arc<Service>>,
    /// Its VirtualServices bound to `mesh`, oldest first.
    pub routing: Vec<&'w RoutingRule>,
}

impl<'w> View<'w> {
    pub(super) fn new(world: &'w World, scope: &ProxyScope) -> Self {
        let all = visible_services(world, scope);
        let routing: Vec<&RoutingRule> = world.routing.visible(scope.namespace.as_str());
        let sidecar = match scope.role {
            Role::Sidecar => world.sidecars.find(world, scope),
            Role::Router => None,
        };
        let egress = egress(sidecar, scope, &all, &routing);
        let mut by_host = BTreeMap::new();
        for service in egress.iter().flat_map(|listener| &listener.services) {
            by_host.insert(service.id.hostname.as_str(), *service);
        }
        if scope.role == Role::Router {
            by_host = all.iter().map(|service| (service.id.hostname.as_str(), *service)).collect();
        }
        let used =
            |rule: &&RoutingRule| scope.role == Role::Router || egress.iter().any(|l| l.routing.iter().any(|r| std::ptr::eq(*r, *rule)));
        Self {
            services: by_host.values().copied().collect(),
            routing: routing.iter().copied().filter(used).collect(),
            egress,
            ingress: sidecar.map_or(&[], |sidecar| &sidecar.spec.ingress),
            inbound_pool: sidecar.and_then(|sidecar| sidecar.spec.inbound_connection_pool.as_ref()),
            outbound: outbound(world, sidecar),
            by_host,
        }
    }

    /// The service of this host name, if the proxy may see it.
    pub fn service(&self, host: &str) -> Option<&'w Arc<Service>> {
        self.by_host.get(host).copied()
    }
}

/// One service a host name: the viewer's own namespace first, then Kubernetes, then the oldest (the registry's order).
fn visible_services<'w>(world: &'w World, scope: &ProxyScope) -> Vec<&'w Arc<Service>> {
    let mut list: Vec<&Arc<Service>> = Vec::new();
    for service in world.registry.services() {
        let known = list.last().is_some_and(|last| last.id.hostname == service.id.hostname);
        if !known && let Some(service) = world.registry.resolve(&service.id.hostname, scope.namespace.as_str()) {
            list.push(service);
        }
    }
    list
}

fn outbound(world: &World, sidecar: Option<&Arc<Object<Sidecar>>>) -> OutboundMode {
    // A Sidecar's mode ALLOW_ANY_DYNAMIC_DNS is refused by validation; read as the stricter one.
    match sidecar.and_then(|sidecar| sidecar.spec.outbound_traffic_policy.as_ref()).map(|policy| policy.mode) {
        Some(OutboundMode::AllowAny) => OutboundMode::AllowAny,
        Some(_) => OutboundMode::RegistryOnly,
        None => world.settings.outbound_mode,
    }
}

fn egress<'w>(
    sidecar: Option<&'w Arc<Object<Sidecar>>>,
    scope: &ProxyScope,
    services: &[&'w Arc<Service>],
    routing: &[&'w RoutingRule],
) -> Vec<EgressView<'w>> {
    let bound: Vec<&RoutingRule> = routing.iter().copied().filter(|rule| rule.bound_to(MESH)).collect();
    let listeners = sidecar.map_or(&[][..], |sidecar| &sidecar.spec.egress);
    if listeners.is_empty() {
        return vec![EgressView { listener: None, services: services.to_vec(), routing: bound }];
    }
    let import = |listener: &'w EgressListener| {
        let imports: Vec<Import<'_>> = listener.hosts.iter().filter_map(|text| Import::parse(text, scope)).collect();
        let taken = |namespace: &str, host: &Hostname| imports.iter().any(|import| import.takes(namespace, host));
        let rules: Vec<&RoutingRule> =
            bound.iter().copied().filter(|rule| rule.hosts.iter().any(|host| taken(rule.namespace(), host))).collect();
        let named: BTreeSet<String> = rules.iter().flat_map(|rule| destinations(rule)).collect();
        let services = services.iter().copied().filter(|service| {
            // The destinations of an imported VirtualService come along, as in Istio.
            taken(&service.id.namespace, &service.id.hostname) || named.contains(service.id.hostname.as_str())
        });
        EgressView { listener: Some(listener), services: services.collect(), routing: rules }
    };
    listeners.iter().map(import).collect()
}

/// The hosts that a VirtualService sends requests and connections to.
fn destinations(rule: &RoutingRule) -> Vec<String> {
    let mut hosts = Vec::new();
    for route in &rule.http {
        if let HttpAction::Route(list) = &route.action {
            hosts.extend(list.iter().map(|weighted| weighted.destination.host.clone()));
        }
        hosts.extend(route.mirrors.iter().map(|mirror| mirror.destination.host.clone()));
    }
    let spec = &rule.object.spec;
    let bytes = spec.tls.iter().flat_map(|route| &route.route).chain(spec.tcp.iter().flat_map(|route| &route.route));
    hosts.extend(bytes.map(|weighted| fqdn(&weighted.destination.host, rule.namespace())));
    hosts
}

/// One `namespace/host` of a Sidecar's egress.
struct Import<'s> {
    namespace: Option<&'s str>,
    host: Hostname,
}

impl<'s> Import<'s> {
    /// `None`: the namespace is `~`, nothing is imported.
    fn parse(text: &'s str, scope: &'s ProxyScope) -> Option<Self> {
        let (namespace, host) = text.split_once('/').unwrap_or(("*", text));
        let namespace = match namespace {
            "*" => None,
            "." => Some(scope.namespace.as_str()),
            "~" => return None,
            name => Some(name),
        };
        Some(Self { namespace, host: host.parse().ok()? })
    }

    fn takes(&self, namespace: &str, host: &Hostname) -> bool {
        self.namespace.is_none_or(|own| own == namespace) && (self.host.covers(host) || (host.is_wildcard() && host.covers(&self.host)))
    }
}
