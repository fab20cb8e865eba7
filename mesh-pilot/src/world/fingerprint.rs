//! What one proxy's configuration is made of, as hashes: equal fingerprints mean equal bytes.
//!
//! This must hash everything that a generator may ask a World about a scope. What is not worth telling apart is taken coarsely, so that a mistake costs work and not
//! truth; a property of random histories (`generate/incremental/tests.rs`) compares with generation from nothing.

use std::hash::{Hash as _, Hasher as _};

use mesh_config::resource::Kind;
use xxhash_rust::xxh3::Xxh3;

use super::{View, World, contents};
use crate::scope::{ProxyScope, Role};

/// See the module's documentation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint {
    /// Of everything but endpoints.
    pub(crate) shape: u128,
    /// Of the endpoints of each service that the proxy sees, in the view's order, which is part of the shape.
    pub(crate) endpoints: Vec<u128>,
}

impl World {
    /// The fingerprint of a proxy that sees this.
    pub(crate) fn fingerprint(&self, scope: &ProxyScope, view: &View<'_>) -> Fingerprint {
        let mut hash = Xxh3::new();
        self.contents.settings().hash(&mut hash);
        self.own(scope, &mut hash);
        self.policies_of(scope, &mut hash);
        self.seen(scope, view, &mut hash);
        let endpoints = view.services.iter().map(|service| self.contents.endpoints(&service.id)).collect();
        Fingerprint { shape: hash.digest128(), endpoints }
    }

    /// The workload beside the proxy.
    fn own(&self, scope: &ProxyScope, hash: &mut Xxh3) {
        self.labels(scope).hash(hash);
        for workload in self.workloads(scope) {
            self.contents.workload(workload).hash(hash);
        }
        for (workload, instance) in self.instances(scope) {
            workload.id.hash(hash);
            (&instance.service, &instance.port, instance.target_port).hash(hash);
            if let Some(service) = self.registry.service(&instance.service) {
                self.contents.service(service).hash(hash);
            }
        }
    }

    /// What holds for the workload, or may.
    fn policies_of(&self, scope: &ProxyScope, hash: &mut Xxh3) {
        let snapshot = &self.snapshot;
        let own = scope.namespace.as_str();
        for policy in self.policies(own, self.labels(scope)) {
            contents::object(snapshot, &policy.object, hash);
        }
        let here = |namespace: &str| namespace == own || namespace == self.settings.root_namespace;
        for kind in [Kind::RequestAuthentication, Kind::WasmPlugin, Kind::TrafficExtension, Kind::Sidecar] {
            contents::kind(snapshot, kind, here, hash);
        }
        // They say of every endpoint whether it takes mutual TLS.
        contents::kind(snapshot, Kind::PeerAuthentication, |_| true, hash);
        if scope.role == Role::Router {
            contents::kind(snapshot, Kind::Gateway, |_| true, hash);
        }
        if scope.is_authenticated {
            contents::kind(snapshot, Kind::Secret, |namespace| namespace == own, hash);
        }
    }

    /// Services and rules that the proxy sees, listener by listener.
    fn seen(&self, scope: &ProxyScope, view: &View<'_>, hash: &mut Xxh3) {
        for service in &view.services {
            service.id.hash(hash);
            self.contents.service(service).hash(hash);
            self.destination_rule(scope, &service.id.hostname, &service.id.namespace).map(super::Rule::content).hash(hash);
        }
        for rule in &view.routing {
            rule.content().hash(hash);
        }
        for listener in &view.egress {
            hash.write_u8(0);
            listener.services.iter().for_each(|service| service.id.hash(hash));
            listener.routing.iter().for_each(|rule| rule.content().hash(hash));
        }
    }
}
