//! Whatever bytes come, nothing panics.

use mesh_proto::{google::protobuf::Any, type_url};
use mesh_runtime::xds::Resource;
use proptest::prelude::*;

use super::*;

const TYPES: &[&str] = &[type_url::LISTENER, type_url::ROUTE, type_url::CLUSTER, type_url::ENDPOINT, type_url::SECRET];

const NESTED: &[&str] = &[
    "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
    "envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
    "envoy.extensions.filters.network.rbac.v3.RBAC",
    "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
    "udpa.type.v1.TypedStruct",
    "stats.PluginConfig",
];

fn apply(type_url: &str, name: &str, value: Vec<u8>) {
    let mut assembler = Assembler::new();
    let body = Any { type_url: type_url.to_owned(), value };
    assembler.apply(type_url, &[Resource::new(name, body)], &[]);
    assembler.stop_waiting();
    assembler.snapshot();
    assembler.ignored();
}

/// A message with one byte changed is more often a message than noise is.
fn mutated(mut bytes: Vec<u8>, edits: &[(prop::sample::Index, u8)]) -> Vec<u8> {
    for (at, byte) in edits {
        if !bytes.is_empty() {
            let at = at.index(bytes.len());
            bytes[at] = *byte;
        }
    }
    bytes
}

proptest! {
    #[test]
    fn noise(kind in 0..TYPES.len(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        apply(TYPES[kind], "x", bytes);
    }

    #[test]
    fn noise_in_extensions(kind in 0..NESTED.len(), bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut listener = http_listener("l", "route_config: {name: r}", "");
        let any = Any { type_url: format!("x/{}", NESTED[kind]), value: bytes };
        let config = mesh_proto::envoy::config::listener::v3::filter::ConfigType::TypedConfig(any);
        listener.filter_chains[0].filters[0].config_type = Some(config);
        apply(type_url::LISTENER, "l", listener.encode_to_vec());
    }

    #[test]
    fn near_misses(edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let routes = "route_config: {name: r, virtual_hosts: [{name: v, domains: ['*'], routes: [{match: {safe_regex: {regex: '/a.*'}}, route: {cluster: a, timeout: 1s}}]}]}";
        apply(type_url::LISTENER, "l", mutated(http_listener("l", routes, "tracing: {}").encode_to_vec(), &edits));
        let wire = eds("c", "outlier_detection: {interval: 1s}\ncircuit_breakers: {thresholds: [{max_retries: 7}]}\nlb_policy: RING_HASH");
        apply(type_url::CLUSTER, "c", mutated(wire.encode_to_vec(), &edits));
        apply(type_url::ENDPOINT, "c", mutated(assignment("c", &[1, 2]).encode_to_vec(), &edits));
    }
}
