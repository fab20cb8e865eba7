//! Conversion and assembly, from messages as control planes send them.

#![allow(clippy::unwrap_used)]

mod assembly;
mod fuzz;
mod refusals;
mod tables;
mod trust;

use std::sync::Arc;

use mesh_proto::{
    envoy::config::{cluster::v3::Cluster, endpoint::v3::ClusterLoadAssignment, listener::v3::Listener, route::v3::RouteConfiguration},
    json,
};
use mesh_runtime::xds::Rejection;
use prost::{Message, Name};

use super::Assembler;
use crate::snapshot::Snapshot;

/// A message from YAML.
fn wire<M: Message + Name + Default>(yaml: &str) -> M {
    json::from_yaml(yaml).unwrap()
}

/// A route table with these routes, and what the proxy says to it.
fn table(virtual_hosts: &str) -> (Arc<Snapshot>, Vec<Rejection>) {
    let routes: RouteConfiguration = wire(&format!("{{name: r, virtual_hosts: [{virtual_hosts}]}}"));
    super::compile(vec![http_listener("l", "rds: {route_config_name: r, config_source: {ads: {}}}", "")], vec![], vec![routes], vec![])
}

/// A listener with one HTTP chain; `routes` and `more` are members of the connection manager.
fn http_listener(name: &str, routes: &str, more: &str) -> Listener {
    wire(&format!(
        r#"
name: {name}
address: {{socket_address: {{address: 127.0.0.1, port_value: 0}}}}
filter_chains:
- filters:
  - name: hcm
    typed_config:
      "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
      stat_prefix: x
      http_filters: [{{name: router, typed_config: {{"@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router}}}}]
      {routes}
      {more}
"#
    ))
}

/// A cluster; `more` are members of it.
fn cluster(name: &str, more: &str) -> Cluster {
    wire(&format!("name: {name}\n{more}"))
}

/// An EDS cluster.
fn eds(name: &str, more: &str) -> Cluster {
    cluster(name, &format!("type: EDS\neds_cluster_config: {{eds_config: {{ads: {{}}}}}}\n{more}"))
}

/// One endpoint on each port.
fn assignment(name: &str, ports: &[u16]) -> ClusterLoadAssignment {
    let endpoints: Vec<String> = ports
        .iter()
        .map(|port| format!("{{endpoint: {{address: {{socket_address: {{address: 10.0.0.1, port_value: {port}}}}}}}}}"))
        .collect();
    wire(&format!("{{cluster_name: {name}, endpoints: [{{lb_endpoints: [{}]}}]}}", endpoints.join(", ")))
}
