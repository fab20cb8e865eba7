//! Wire messages to a snapshot in one step: for tests of control planes, simulation and explanation.

use mesh_proto::envoy::config::{
    cluster::v3::Cluster, endpoint::v3::ClusterLoadAssignment, listener::v3::Listener, route::v3::RouteConfiguration,
};
use mesh_runtime::xds::Rejection;

use super::Assembler;
use crate::snapshot::Snapshot;

/// Converts everything, waits for nothing, and returns what came of it and what was refused.
pub fn compile(
    listeners: Vec<Listener>,
    clusters: Vec<Cluster>,
    routes: Vec<RouteConfiguration>,
    endpoints: Vec<ClusterLoadAssignment>,
) -> (std::sync::Arc<Snapshot>, Vec<Rejection>) {
    let mut assembler = Assembler::new();
    let mut rejections = assembler.clusters(clusters, &[]);
    rejections.extend(assembler.endpoints(endpoints, &[]));
    rejections.extend(assembler.listeners(listeners, &[]));
    rejections.extend(assembler.routes(routes, &[]));
    assembler.stop_waiting();
    (assembler.snapshot(), rejections)
}
