//! The servers of the Gateways that select a workload, merged by port.
//!
//! Source: Istio's `MergeGateways`: plaintext HTTP servers of one port share one route table; every TLS server has its own filter chain and, if it ends
//! TLS, its own route table; a server whose protocol does not fit the port's first one is left out.

use std::{collections::BTreeMap, sync::Arc};

use mesh_config::{
    resource::{Gateway, Object, Protocol, gateway::Server, gateway::ServerTlsMode, selector::selects},
    snapshot::ConfigSnapshot,
};

use super::World;
use crate::scope::ProxyScope;

/// One server of one Gateway.
#[derive(Clone, Debug)]
pub struct MergedServer<'w> {
    /// `namespace/name`, as VirtualServices name it.
    pub gateway: String,
    /// The Gateway.
    pub object: &'w Object<Gateway>,
    /// The server.
    pub server: &'w Server,
}

/// One listener's servers.
#[derive(Clone, Debug)]
pub struct Port<'w> {
    /// `bind` of the servers; empty: the default.
    pub bind: String,
    /// Where it listens: the target port of the gateway's Service for the servers' port, as that is where the Service sends traffic.
    pub number: u16,
    /// The port that the servers and clients name.
    pub service_port: u16,
    /// In order of precedence; plaintext HTTP, or all of the others.
    pub servers: Vec<MergedServer<'w>>,
}

/// Oldest first.
#[derive(Debug, Default)]
pub(super) struct Index(Vec<Arc<Object<Gateway>>>);

impl Index {
    pub(super) fn build(snapshot: &ConfigSnapshot) -> Self {
        Self(snapshot.by_precedence::<Gateway>().into_iter().map(Arc::clone).collect())
    }

    pub(super) fn ports<'w>(&'w self, world: &World, scope: &ProxyScope) -> Vec<Port<'w>> {
        let targets: BTreeMap<u16, u16> =
            world.instances(scope).iter().map(|(_, instance)| (instance.port.number, instance.target_port)).collect();
        let mut ports: BTreeMap<(u16, String), Port<'w>> = BTreeMap::new();
        let labels = world.labels(scope);
        let default = scope.bind_address(if scope.ip.is_ipv6() { "::" } else { "0.0.0.0" });
        for object in self.0.iter().filter(|object| selects(&object.spec.selector, labels)) {
            for server in &object.spec.servers {
                let number = targets.get(&server.port.number).copied().unwrap_or(server.port.number);
                let bind = if server.bind == default { String::new() } else { server.bind.clone() };
                let port = ports.entry((number, bind.clone())).or_insert_with(|| Port {
                    bind,
                    number,
                    service_port: server.port.number,
                    servers: Vec::new(),
                });
                let fits = port.servers.first().is_none_or(|first| plain_http(first.server) == plain_http(server));
                if fits {
                    let gateway = format!("{}/{}", object.meta.namespace, object.meta.name);
                    port.servers.push(MergedServer { gateway, object, server });
                }
            }
        }
        ports.into_values().collect()
    }
}

impl Port<'_> {
    /// Whether it is a port of plaintext HTTP.
    pub fn plain_http(&self) -> bool {
        self.servers.first().is_some_and(|first| plain_http(first.server))
    }
}

impl MergedServer<'_> {
    /// Whether TLS is ended here and HTTP is inside.
    pub fn ends_https(&self) -> bool {
        let passes =
            self.server.tls.as_ref().is_none_or(|tls| matches!(tls.mode, ServerTlsMode::Passthrough | ServerTlsMode::AutoPassthrough));
        self.server.port.protocol == Protocol::Https && !passes
    }
}

fn plain_http(server: &Server) -> bool {
    server.port.protocol.is_http()
}
