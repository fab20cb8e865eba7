//! `generate`: the resources of one proxy, from the World and the proxy's scope and nothing else.
//!
//! Listeners decide which route tables and clusters are named; tables are made with the listeners that name them, clusters from what the proxy may see.
//! Every name is Istio's (`names.rs`); every route and cluster says in its metadata which resource made it.

mod authz;
mod chains;
mod cluster;
mod endpoint;
mod filters;
mod gateway;
mod guards;
mod inbound;
mod incremental;
mod listener_inbound;
mod listener_outbound;
mod names;
mod route;
mod secret;
mod tcp;
mod tls;
mod wire;

use std::collections::BTreeSet;

use mesh_proto::{any::pack, type_url};
use mesh_runtime::xds::{Resource, Snapshot};

use crate::{
    scope::{ProxyScope, Role},
    world::{View, World},
};
pub(crate) use incremental::{Made, Work, generate_after};
pub(crate) use listener_outbound::Conflict;
use listener_outbound::Outbound;
#[cfg(test)]
pub(crate) use route::rule_for;
pub(crate) use secret::Refusal;

/// The resources of a proxy. Pure: the same World and scope give the same bytes, and an equal resource has an equal version across revisions.
pub fn generate(world: &World, scope: &ProxyScope) -> Snapshot {
    generate_reporting(world, scope).0
}

/// What a proxy goes without, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Report {
    /// Server names that an older resource has.
    pub(crate) conflicts: Vec<Conflict>,
    /// Secrets that it does not get.
    pub(crate) refusals: Vec<Refusal>,
    /// Ports of its Sidecar resource whose own TLS does not hold, because the mesh's mutual TLS is not switched off there.
    pub(crate) ingress_tls: Vec<u16>,
}

/// [`generate`], and what had to be left out.
pub(crate) fn generate_reporting(world: &World, scope: &ProxyScope) -> (Snapshot, Report) {
    generate_seeing(world, scope, &world.view(scope))
}

fn generate_seeing(world: &World, scope: &ProxyScope, view: &View<'_>) -> (Snapshot, Report) {
    let mut builder = Snapshot::builder();
    let mut names = BTreeSet::new();
    let mut report = Report::default();
    for generated in cluster::clusters(world, scope, view) {
        if let Some(endpoints) = generated.endpoints {
            builder.insert(type_url::ENDPOINT, Resource::new(endpoints.cluster_name.clone(), pack(&endpoints)));
        }
        builder.insert(type_url::CLUSTER, Resource::new(generated.cluster.name.clone(), pack(&generated.cluster)));
        names.extend(generated.secrets);
        if let Some(refusal) = generated.refusal.filter(|refusal| !report.refusals.contains(refusal)) {
            report.refusals.push(refusal);
        }
    }
    let Outbound { mut listeners, tables, conflicts, secrets } = match scope.role {
        Role::Sidecar => listener_outbound::outbound(world, scope, view),
        Role::Router => gateway::gateway(world, scope, view),
    };
    names.extend(secrets);
    if scope.role == Role::Sidecar {
        listeners.extend(listener_inbound::listeners(world, scope, view));
        names.extend(inbound::ports(world, scope, view).into_iter().filter_map(|port| port.tls).flat_map(tls::server_secrets));
        report.ingress_tls = inbound::unheeded(world, scope, view);
    }
    for listener in listeners {
        builder.insert(type_url::LISTENER, Resource::new(listener.name.clone(), pack(&listener)));
    }
    for table in tables {
        builder.insert(type_url::ROUTE, Resource::new(table.name.clone(), pack(&table)));
    }
    let (secrets, refusals) = secret::secrets(world, scope, names);
    for secret in secrets {
        builder.insert(type_url::SECRET, Resource::new(secret.name.clone(), pack(&secret)));
    }
    report.refusals.extend(refusals);
    (builder.build(), Report { conflicts, ..report })
}

#[cfg(test)]
mod tests;
