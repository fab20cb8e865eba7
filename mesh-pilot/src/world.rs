//! What the mesh is at one moment: a configuration snapshot with the indexes that generators ask.
//!
//! Built once a revision, immutable, pure. Istio's rules of precedence, visibility and inheritance live here and nowhere else; generators only translate.

mod authorization;
mod contents;
mod destination_rules;
mod fingerprint;
mod gateways;
mod guards;
mod hosts;
mod peer_authentication;
mod secrets;
mod sidecars;
mod view;
mod virtual_services;

use std::{collections::BTreeSet, sync::Arc};

use mesh_config::{
    registry::{Instance, Registry, Service, TlsMode, Workload, WorkloadSource},
    resource::{Labels, peer_authentication::MutualTlsMode, request_authentication::JwtRule, selector::selects},
    snapshot::ConfigSnapshot,
};
use mesh_proto::id::{Hostname, Revision, SpiffeId};

pub use authorization::Policy;
pub use destination_rules::Rule;
pub(crate) use fingerprint::Fingerprint;
pub use gateways::{MergedServer, Port as GatewayPort};
pub use guards::Plugin;
pub(crate) use hosts::specificity;
pub use hosts::{fqdn, provenance};
pub(crate) use secrets::BUNDLE;
pub use secrets::{Material, Withheld};
pub use view::{EgressView, View};
pub use virtual_services::RoutingRule;
pub(crate) use virtual_services::gateways;

use tokio::time::Instant;

use crate::{scope::ProxyScope, settings::MeshSettings, source::Received};

/// The mesh at one revision.
#[derive(Debug)]
pub struct World {
    revision: Revision,
    snapshot: Arc<ConfigSnapshot>,
    settings: MeshSettings,
    registry: Arc<Registry>,
    rules: destination_rules::Index,
    routing: virtual_services::Index,
    sidecars: sidecars::Index,
    gateways: gateways::Index,
    peers: peer_authentication::Index,
    policies: authorization::Index,
    guards: guards::Index,
    secrets: secrets::Index,
    contents: contents::Contents,
}

impl World {
    /// Reads a whole configuration once: services and workloads are in it as the objects that they are made of.
    pub fn build(snapshot: Arc<ConfigSnapshot>, settings: MeshSettings) -> Self {
        let registry = Arc::new(Registry::build(&snapshot));
        Self::new(Received { revision: snapshot.revision().clone(), snapshot, registry, at: Instant::now() }, settings, None)
    }

    /// Reads what was received once. `before` spares the hashing of what has not changed since.
    pub fn new(received: Received, settings: MeshSettings, before: Option<&Self>) -> Self {
        let Received { revision, snapshot, registry, at: _ } = received;
        let root = settings.root_namespace.as_str();
        let mut world = Self {
            revision,
            rules: destination_rules::Index::build(&snapshot),
            routing: virtual_services::Index::build(&snapshot),
            sidecars: sidecars::Index::build(&snapshot),
            gateways: gateways::Index::build(&snapshot),
            peers: peer_authentication::Index::build(&snapshot, root),
            policies: authorization::Index::build(&snapshot, root),
            guards: guards::Index::build(&snapshot, root),
            secrets: secrets::Index::build(&snapshot),
            contents: contents::Contents::default(),
            registry,
            settings,
            snapshot,
        };
        world.contents = contents::Contents::of(&world, before.map(|before| &before.contents));
        world
    }

    /// The revision of the configuration.
    pub fn revision(&self) -> &Revision {
        &self.revision
    }

    /// The configuration.
    pub fn snapshot(&self) -> &Arc<ConfigSnapshot> {
        &self.snapshot
    }

    /// Mesh-wide settings.
    pub fn settings(&self) -> &MeshSettings {
        &self.settings
    }

    /// Services and workloads.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// What a proxy may see.
    pub fn view<'w>(&'w self, scope: &ProxyScope) -> View<'w> {
        View::new(self, scope)
    }

    /// The merged DestinationRule that a client of this namespace with these labels uses for a service.
    pub fn destination_rule(&self, scope: &ProxyScope, host: &Hostname, service_namespace: &str) -> Option<&Rule> {
        self.rules.find(self, scope, host, service_namespace)
    }

    /// The gateways' servers for the workload, by port.
    pub fn gateway_ports<'w>(&'w self, scope: &ProxyScope) -> Vec<GatewayPort<'w>> {
        self.gateways.ports(self, scope)
    }

    /// What a workload accepts on one of its ports. Never UNSET.
    pub fn mutual_tls(&self, namespace: &str, labels: &Labels, port: u16) -> MutualTlsMode {
        self.peers.mode(namespace, labels, port)
    }

    /// The ports of a workload for which [`World::mutual_tls`] has an answer of their own, in order.
    pub fn mutual_tls_ports(&self, namespace: &str, labels: &Labels) -> Vec<u16> {
        let mut ports: Vec<u16> = self.peers.ports(namespace, labels).collect();
        ports.sort_unstable();
        ports
    }

    /// The authorization policies of a workload: of the root namespace first, then by name.
    pub fn policies(&self, namespace: &str, labels: &Labels) -> Vec<&Policy> {
        self.policies.of(namespace, labels)
    }

    /// The rules for the tokens that a proxy's workload understands, by issuer.
    pub fn tokens(&self, scope: &ProxyScope) -> Vec<&JwtRule> {
        self.guards.tokens(scope.namespace.as_str(), self.labels(scope))
    }

    /// The plugins that ought to run in a proxy, and without which traffic must not pass.
    pub fn plugins<'a>(&'a self, scope: &'a ProxyScope) -> impl Iterator<Item = &'a Plugin> {
        self.guards.plugins(scope.namespace.as_str(), self.labels(scope))
    }

    /// What an SDS name means to a proxy.
    ///
    /// # Errors
    /// Why it does not get it.
    pub fn secret(&self, scope: &ProxyScope, name: &str) -> Result<Material<'_>, Withheld> {
        let known = self.settings.trust_claimed_labels || self.described(scope).is_some_and(|workload| is_of(workload, scope));
        self.secrets.find(scope, known, name)
    }

    /// The workload beside a proxy and the service ports it stands behind.
    pub fn instances(&self, scope: &ProxyScope) -> Vec<(&Arc<Workload>, &Instance)> {
        let own = self.workloads(scope);
        own.flat_map(|workload| self.registry.instances(&workload.id).iter().map(move |instance| (workload, instance))).collect()
    }

    /// The labels that policies select a proxy by: those that the registry has for its workload, as Istio's are the Pod's. What the proxy says of itself
    /// counts only where the registry says nothing, or to tell apart several workloads that are all its own: relabelling itself frees it from no policy.
    pub fn labels<'a>(&'a self, scope: &'a ProxyScope) -> &'a Labels {
        self.described(scope).map_or(&scope.labels, |workload| &workload.labels)
    }

    /// The registry's workload whose labels are the proxy's.
    fn described<'w>(&'w self, scope: &ProxyScope) -> Option<&'w Arc<Workload>> {
        // An endpoint that a ServiceEntry lists without labels says where something is, not what it is.
        let described = |workload: &&Arc<Workload>| workload.id.source == WorkloadSource::WorkloadEntry || !workload.labels.is_empty();
        let rank =
            |workload: &&Arc<Workload>| (workload.id.source == WorkloadSource::WorkloadEntry, selects(&workload.labels, &scope.labels));
        // The first of equals stays.
        self.workloads(scope).filter(described).reduce(|best, next| if rank(&next) > rank(&best) { next } else { best })
    }

    /// The registry's workloads that the proxy may be: of its address, namespace and (where they name one) service account. So a proxy gets no other's
    /// listeners by claiming its address.
    fn workloads<'w>(&'w self, scope: &ProxyScope) -> impl Iterator<Item = &'w Arc<Workload>> {
        self.registry.workloads_at(scope.ip).filter(|workload| {
            let account = workload.service_account.as_str();
            workload.id.namespace == scope.namespace.as_str() && (account.is_empty() || account == scope.service_account.as_str())
        })
    }

    /// The identities that a service's endpoints may have, for every port of it.
    pub fn identities(&self, service: &Service) -> BTreeSet<String> {
        if !service.subject_alt_names.is_empty() {
            return service.subject_alt_names.iter().cloned().collect();
        }
        // Also those that are not healthy now: whether they are changes often, and who they are does not.
        let endpoints = service.ports.iter().flat_map(|port| self.registry.all_endpoints(&service.id, port.number));
        let workloads = endpoints.map(|endpoint| &endpoint.workload).filter(|workload| workload.tls == TlsMode::Istio);
        workloads.filter_map(|workload| self.identity(workload)).map(|id| id.to_string()).collect()
    }

    /// The SPIFFE id that a workload's certificate has.
    fn identity(&self, workload: &Workload) -> Option<SpiffeId> {
        Some(SpiffeId::new(&self.settings.trust_domain, &workload.id.namespace.parse().ok()?, &account(workload).parse().ok()?))
    }
}

fn account(workload: &Workload) -> &str {
    if workload.service_account.is_empty() { "default" } else { &workload.service_account }
}

/// Whether the registry says that the workload runs as the proxy's service account; [`World::workloads`] takes those, too, of which it says nothing.
fn is_of(workload: &Workload, scope: &ProxyScope) -> bool {
    account(workload) == scope.service_account.as_str()
}

#[cfg(test)]
mod tests;
