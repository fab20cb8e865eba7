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
mod inbound;
mod listener_inbound;
mod listener_outbound;
mod names;
mod route;
mod tcp;
mod tls;
mod wire;

use mesh_proto::{any::pack, type_url};
use mesh_runtime::xds::{Resource, Snapshot};

use crate::{
    scope::{ProxyScope, Role},
    world::World,
};
pub(crate) use listener_outbound::Conflict;
use listener_outbound::Outbound;
#[cfg(test)]
pub(crate) use route::rule_for;

/// The resources of a proxy. Pure: the same World and scope give the same bytes, and an equal resource has an equal version across revisions.
pub fn generate(world: &World, scope: &ProxyScope) -> Snapshot {
    generate_reporting(world, scope).0
}

/// [`generate`], and what had to be left out because an older resource has it.
pub(crate) fn generate_reporting(world: &World, scope: &ProxyScope) -> (Snapshot, Vec<Conflict>) {
    let view = world.view(scope);
    let mut builder = Snapshot::builder();
    for generated in cluster::clusters(world, scope, &view) {
        if let Some(endpoints) = generated.endpoints {
            builder.insert(type_url::ENDPOINT, Resource::new(endpoints.cluster_name.clone(), pack(&endpoints)));
        }
        builder.insert(type_url::CLUSTER, Resource::new(generated.cluster.name.clone(), pack(&generated.cluster)));
    }
    let Outbound { mut listeners, tables, conflicts } = match scope.role {
        Role::Sidecar => listener_outbound::outbound(world, scope, &view),
        Role::Router => gateway::gateway(world, scope, &view),
    };
    if scope.role == Role::Sidecar {
        listeners.extend(listener_inbound::listeners(world, scope, &view));
    }
    for listener in listeners {
        builder.insert(type_url::LISTENER, Resource::new(listener.name.clone(), pack(&listener)));
    }
    for table in tables {
        builder.insert(type_url::ROUTE, Resource::new(table.name.clone(), pack(&table)));
    }
    (builder.build(), conflicts)
}

#[cfg(test)]
mod tests;
