//! The ports that a sidecar serves for its application: from its Sidecar resource, else from the services that its workload stands behind.

use mesh_config::{
    registry::Service,
    resource::{
        Protocol,
        destination_rule::ConnectionPool,
        gateway::{ServerTls, ServerTlsMode},
        peer_authentication::MutualTlsMode,
        sidecar::{CaptureMode, IngressListener},
    },
};

use crate::{
    scope::{AppEndpoint, Interception, ProxyScope},
    world::{View, World},
};

/// One port.
pub(crate) struct Port<'w> {
    /// The workload's port: names clusters, listeners and policies.
    pub(crate) target: u16,
    /// The port that clients of the service use; the workload's own if a Sidecar resource defines it.
    pub(crate) service_port: u16,
    /// After TLS of callers outside the mesh has been ended. Absent: to be found out from the first bytes.
    pub(crate) protocol: Option<Protocol>,
    /// The services behind which this port stands.
    pub(crate) services: Vec<&'w Service>,
    /// Where the application is.
    pub(crate) app: App,
    /// The address that the listener of its own binds; `None`: it is part of the listener for redirected traffic.
    pub(crate) bind: Option<String>,
    /// Ends TLS of callers outside the mesh.
    pub(crate) tls: Option<&'w ServerTls>,
    /// Limits towards the application.
    pub(crate) pool: Option<&'w ConnectionPool>,
}

/// Where the application listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum App {
    /// Where the caller wanted to go.
    OriginalDestination,
    /// On an address.
    Socket(String, u16),
    /// On a Unix socket.
    Unix(String),
}

/// The ports, in order of number.
pub(crate) fn ports<'w>(world: &'w World, scope: &ProxyScope, view: &View<'w>) -> Vec<Port<'w>> {
    let mut list = if view.ingress.is_empty() { derived(world, scope, view) } else { written(world, scope, view) };
    list.sort_by_key(|port| port.target);
    list.dedup_by_key(|port| port.target);
    list
}

/// One port for each that some service sends traffic to; where several services share it, the first declares the protocol.
fn derived<'w>(world: &'w World, scope: &ProxyScope, view: &View<'w>) -> Vec<Port<'w>> {
    let mut list: Vec<Port<'w>> = Vec::new();
    for (_, instance) in world.instances(scope) {
        let Some(service) = world.registry().service(&instance.service) else { continue };
        if instance.port.protocol == Some(Protocol::Udp) {
            continue;
        }
        if let Some(known) = list.iter_mut().find(|port| port.target == instance.target_port) {
            known.services.push(service);
            continue;
        }
        list.push(Port {
            target: instance.target_port,
            service_port: instance.port.number,
            protocol: instance.port.protocol,
            services: vec![service],
            app: app(scope, instance.target_port),
            bind: bind(scope, CaptureMode::Default, ""),
            tls: None,
            pool: view.inbound_pool,
        });
    }
    list
}

fn written<'w>(world: &'w World, scope: &ProxyScope, view: &View<'w>) -> Vec<Port<'w>> {
    let instances = world.instances(scope);
    let port = |listener: &'w IngressListener| {
        let target = listener.port.number;
        let tls = listener.tls.as_ref().filter(|_| ends_own_tls(world, scope, target));
        let behind = instances.iter().filter(|(_, instance)| instance.target_port == target || instance.port.number == target);
        Port {
            target,
            service_port: target,
            protocol: listener
                .port
                .protocol
                .map(|protocol| if tls.is_some_and(terminates) { after_termination(protocol) } else { protocol }),
            services: behind.filter_map(|(_, instance)| world.registry().service(&instance.service)).map(AsRef::as_ref).collect(),
            app: default_endpoint(&listener.default_endpoint, scope).unwrap_or_else(|| app(scope, target)),
            bind: bind(scope, listener.capture_mode, &listener.bind),
            tls,
            pool: listener.connection_pool.as_ref().or(view.inbound_pool),
        }
    };
    view.ingress.iter().map(port).collect()
}

/// Whether a Sidecar's `ingress[].tls` holds on a port: only where PeerAuthentication has switched the mesh's own mutual TLS off (Istio).
fn ends_own_tls(world: &World, scope: &ProxyScope, target: u16) -> bool {
    world.mutual_tls(scope.namespace.as_str(), world.labels(scope), target) == MutualTlsMode::Disable
}

/// The ports whose `ingress[].tls` does not hold.
pub(crate) fn unheeded(world: &World, scope: &ProxyScope, view: &View<'_>) -> Vec<u16> {
    let with_tls = view.ingress.iter().filter(|listener| listener.tls.is_some()).map(|listener| listener.port.number);
    with_tls.filter(|target| !ends_own_tls(world, scope, *target)).collect()
}

fn terminates(tls: &ServerTls) -> bool {
    !matches!(tls.mode, ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough)
}

/// What is inside of TLS that has been ended.
fn after_termination(protocol: Protocol) -> Protocol {
    match protocol {
        Protocol::Https => Protocol::Http,
        Protocol::Tls => Protocol::Tcp,
        other => other,
    }
}

/// What the launcher said of the application, else its port on loopback, or wherever redirected traffic was going.
fn app(scope: &ProxyScope, target: u16) -> App {
    match scope.app_endpoints.get(&target) {
        Some(AppEndpoint::Unix(path)) => App::Unix(path.to_string_lossy().into_owned()),
        Some(AppEndpoint::Socket(address)) => App::Socket(address.ip().to_string(), address.port()),
        None if scope.interception == Interception::None => {
            App::Socket(if scope.ip.is_ipv6() { "::1" } else { "127.0.0.1" }.to_owned(), target)
        }
        None => App::OriginalDestination,
    }
}

/// `127.0.0.1:port`, `0.0.0.0:port` (the workload's own address), `[::1]:port`, `[::]:port`, `unix:///path`.
fn default_endpoint(text: &str, scope: &ProxyScope) -> Option<App> {
    if let Some(path) = text.strip_prefix("unix://") {
        return Some(App::Unix(path.to_owned()));
    }
    let address: std::net::SocketAddr = text.parse().ok()?;
    let ip = if address.ip().is_unspecified() { scope.ip } else { address.ip() };
    Some(App::Socket(ip.to_string(), address.port()))
}

/// Where a listener of its own binds. Without interception every port has one, on the workload's address.
fn bind(scope: &ProxyScope, mode: CaptureMode, address: &str) -> Option<String> {
    let own = mode == CaptureMode::None || (mode == CaptureMode::Default && scope.interception == Interception::None);
    own.then(|| if address.is_empty() { scope.ip.to_string() } else { address.to_owned() })
}
