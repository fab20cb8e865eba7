//! The bootstrap of an Envoy beside our agent: who it is, where Pilot is, and where its secrets are. No secret is in it.

use serde_json::{Value, json};

use crate::mesh::{role::Envoy, spec::Ads};

/// The static cluster of the control plane, by Istio's name.
const XDS_CLUSTER: &str = "xds-grpc";
/// The static cluster of the agent's socket: Pilot's TLS contexts name it.
const SDS_CLUSTER: &str = "sds-grpc";
/// The workload's certificate, as Pilot's TLS contexts name it.
const SDS_CERTIFICATE: &str = "default";
/// The mesh's roots.
const SDS_ROOTS: &str = "ROOTCA";
/// Connections from callers and from the application together; more are refused, so that memory stays bounded.
const MAX_CONNECTIONS: u32 = 20_000;

/// The bootstrap as protobuf JSON. `pilot` is the SPIFFE id that the control plane must prove.
pub(super) fn document(role: &Envoy, pilot: &str) -> Value {
    let proxy = &role.proxy;
    json!({
        "node": {"id": proxy.node_id, "cluster": proxy.node_cluster, "metadata": proxy.metadata},
        "admin": {"address": socket(&proxy.admin)},
        "dynamic_resources": {
            "lds_config": from_ads(),
            "cds_config": from_ads(),
            "ads_config": {
                "api_type": match role.ads { Ads::Delta => "DELTA_GRPC", Ads::Sotw => "GRPC" },
                "transport_api_version": "V3",
                "set_node_on_first_message_only": true,
                "grpc_services": [{"envoy_grpc": {"cluster_name": XDS_CLUSTER, "retry_policy": patience()}}],
            },
        },
        "static_resources": {"clusters": [
            cluster(XDS_CLUSTER, &socket(&proxy.pilot), Some(&mutual_tls(pilot))),
            cluster(SDS_CLUSTER, &json!({"pipe": {"path": role.sds}}), None),
        ]},
        "overload_manager": {"resource_monitors": [{
            "name": "envoy.resource_monitors.global_downstream_max_connections",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                "max_active_downstream_connections": MAX_CONNECTIONS,
            },
        }]},
    })
}

/// Waits for the first configuration for as long as it takes: an Envoy without one would answer that nobody is there.
fn from_ads() -> Value {
    json!({"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"})
}

/// Comes back soon when the control plane was away.
fn patience() -> Value {
    json!({"retry_back_off": {"base_interval": "0.1s", "max_interval": "2s"}})
}

fn socket(address: &std::net::SocketAddr) -> Value {
    json!({"socket_address": {"address": address.ip().to_string(), "port_value": address.port()}})
}

/// A gRPC server at one address.
fn cluster(name: &str, address: &Value, transport: Option<&Value>) -> Value {
    let mut cluster = json!({
        "name": name,
        "type": "STATIC",
        "connect_timeout": "5s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": address}}]}]},
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http2_protocol_options": {"connection_keepalive": {"interval": "10s", "timeout": "5s"}}},
        }},
    });
    if let (Some(transport), Some(cluster)) = (transport, cluster.as_object_mut()) {
        cluster.insert("transport_socket".into(), transport.clone());
    }
    cluster
}

/// The workload's own certificate towards the control plane, which must prove `peer`.
fn mutual_tls(peer: &str) -> Value {
    let secret = |name: &str| {
        json!({"name": name, "sds_config": {
            "resource_api_version": "V3",
            "api_config_source": {
                "api_type": "GRPC",
                "transport_api_version": "V3",
                "grpc_services": [{"envoy_grpc": {"cluster_name": SDS_CLUSTER, "retry_policy": patience()}}],
            },
        }})
    };
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": {
                "alpn_protocols": ["h2"],
                "tls_params": {"tls_minimum_protocol_version": "TLSv1_2", "tls_maximum_protocol_version": "TLSv1_3"},
                "tls_certificate_sds_secret_configs": [secret(SDS_CERTIFICATE)],
                "combined_validation_context": {
                    "default_validation_context": {"match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": peer}}]},
                    "validation_context_sds_secret_config": secret(SDS_ROOTS),
                },
            },
        },
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use mesh_proto::envoy::config::{bootstrap::v3::Bootstrap, core::v3::api_config_source::ApiType};

    use super::*;
    use crate::mesh::role::{Identity, Proxy};

    fn role(ads: Ads) -> Envoy {
        let identity = Identity {
            id: "spiffe://cluster.local/ns/shop/sa/frontend".into(),
            citadel: "127.0.0.4:15012".parse().unwrap(),
            roots: "/roots.pem".into(),
            token: "a secret".into(),
        };
        let proxy = Proxy {
            node_id: "sidecar~127.0.0.10~frontend.shop~shop.svc.cluster.local".into(),
            node_cluster: "frontend.shop".into(),
            metadata: json!({"NAMESPACE": "shop"}),
            pilot: "127.0.0.3:15012".parse().unwrap(),
            identity,
            admin: "127.0.0.10:15000".parse().unwrap(),
            concurrency: 1,
            sds: None,
        };
        Envoy { program: "envoy".into(), ads, bootstrap: "/run/e.json".into(), sds: "/run/e.sock".into(), proxy }
    }

    #[test]
    fn it_is_a_bootstrap_without_a_secret() {
        let document = document(&role(Ads::Sotw), "spiffe://cluster.local/ns/mesh-system/sa/mesh-pilot");
        assert!(!document.to_string().contains("a secret"));
        let bootstrap: Bootstrap = mesh_proto::json::decode(document).unwrap();
        let dynamic = bootstrap.dynamic_resources.unwrap();
        assert_eq!(dynamic.ads_config.unwrap().api_type(), ApiType::Grpc);
        assert!(dynamic.lds_config.is_some() && dynamic.cds_config.is_some());
        let names: Vec<String> = bootstrap.static_resources.unwrap().clusters.into_iter().map(|cluster| cluster.name).collect();
        assert_eq!(names, [XDS_CLUSTER, SDS_CLUSTER]);
    }

    #[test]
    fn delta_is_asked_for() {
        let bootstrap: Bootstrap = mesh_proto::json::decode(document(&role(Ads::Delta), "spiffe://d/ns/n/sa/p")).unwrap();
        assert_eq!(bootstrap.dynamic_resources.unwrap().ads_config.unwrap().api_type(), ApiType::DeltaGrpc);
    }
}
