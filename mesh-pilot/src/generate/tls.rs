//! TLS contexts: the mesh's own mutual TLS in both directions; what DestinationRules and Gateways ask for is in `tls/user.rs`.

mod user;

use std::{collections::BTreeSet, time::Duration};

use mesh_proto::{
    envoy::{
        config::core::v3::{
            ApiConfigSource, ApiVersion, ConfigSource, GrpcService, TransportSocket,
            api_config_source::ApiType,
            config_source::ConfigSourceSpecifier,
            grpc_service::{EnvoyGrpc, TargetSpecifier},
        },
        extensions::transport_sockets::{
            raw_buffer::v3::RawBuffer,
            tls::v3::{
                CertificateValidationContext, CommonTlsContext, DownstreamTlsContext, SdsSecretConfig, SubjectAltNameMatcher,
                TlsParameters, UpstreamTlsContext,
                common_tls_context::{CombinedCertificateValidationContext, ValidationContextType},
                subject_alt_name_matcher::SanType,
                tls_parameters::TlsProtocol,
            },
        },
        r#type::matcher::v3::StringMatcher,
    },
    id::TrustDomain,
};

use super::{
    names,
    wire::{duration, exact, flag, prefix, transport_socket},
};
use crate::{scope::ProxyScope, settings::MeshSettings};
pub(crate) use user::{client_credential, client_secrets, server_secrets, user_client, user_server};

/// ALPN values that a client of the mesh may offer; a server tells by them that the peer is one. `istio-peer-exchange` is accepted from Istio's proxies
/// and never offered (DESIGN.md §2).
pub(crate) const MESH_ALPN: [&str; 5] = ["istio", "istio-peer-exchange", "istio-http/1.0", "istio-http/1.1", "istio-h2"];
/// Those of them that promise HTTP.
pub(crate) const MESH_HTTP_ALPN: [&str; 3] = ["istio-http/1.0", "istio-http/1.1", "istio-h2"];
/// Those that promise nothing about what is inside.
pub(crate) const MESH_TCP_ALPN: [&str; 2] = ["istio-peer-exchange", "istio"];

const TLS: &str = "envoy.transport_sockets.tls";

/// What an upstream connection is for; decides what ALPN says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Traffic {
    Http1,
    Http2,
    /// HTTP of the version that the client spoke.
    HttpAsClient,
    Bytes,
}

pub(crate) fn plaintext() -> TransportSocket {
    transport_socket("envoy.transport_sockets.raw_buffer", &RawBuffer {})
}

/// Mutual TLS towards endpoints of the mesh.
pub(crate) fn mesh_client(scope: &ProxyScope, traffic: Traffic, sni: String, identities: &BTreeSet<String>) -> TransportSocket {
    let names = identities.iter().map(|id| san(id)).collect();
    let context = UpstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            tls_params: modern(),
            alpn_protocols: client_alpn(scope, traffic),
            ..workload_certificate(names)
        }),
        sni,
        ..Default::default()
    };
    transport_socket(TLS, &context)
}

/// Istio's proxies replace the list for HTTP by their `istio.alpn` filter; Envoy has none, so its clusters say it themselves.
fn client_alpn(scope: &ProxyScope, traffic: Traffic) -> Vec<String> {
    let list: &[&str] = match (scope.speaks_istio(), traffic) {
        (true, Traffic::Http2) => &["istio", "h2"],
        (true, _) | (false, Traffic::Bytes) => &["istio"],
        (false, Traffic::Http1) => &["istio-http/1.1", "istio", "http/1.1"],
        (false, Traffic::Http2) => &["istio-h2", "istio", "h2"],
        // Which version it will be is not known: offer none that the server could take for the answer.
        (false, Traffic::HttpAsClient) => &["istio-http/1.1", "istio"],
    };
    list.iter().map(|text| (*text).to_owned()).collect()
}

/// Mutual TLS of callers from the mesh; their identity must be of a trusted domain.
pub(crate) fn mesh_server(settings: &MeshSettings, http: bool) -> TransportSocket {
    let domains = std::iter::once(&settings.trust_domain).chain(&settings.trust_domain_aliases);
    let names = domains.map(|domain| uri(prefix(spiffe_prefix(domain)))).collect();
    let alpn: &[&str] = if http { &["h2", "http/1.1"] } else { &["istio", "h2", "http/1.1"] };
    let context = DownstreamTlsContext {
        common_tls_context: Some(CommonTlsContext {
            tls_params: modern(),
            alpn_protocols: alpn.iter().map(|text| (*text).to_owned()).collect(),
            ..workload_certificate(names)
        }),
        require_client_certificate: flag(true),
        ..Default::default()
    };
    transport_socket(TLS, &context)
}

fn spiffe_prefix(domain: &TrustDomain) -> String {
    format!("spiffe://{domain}/")
}

/// The workload's certificate and the mesh's roots, both from the proxy's own SDS.
fn workload_certificate(names: Vec<SubjectAltNameMatcher>) -> CommonTlsContext {
    CommonTlsContext {
        tls_certificate_sds_secret_configs: vec![local_secret(names::SDS_DEFAULT)],
        validation_context_type: Some(ValidationContextType::CombinedValidationContext(CombinedCertificateValidationContext {
            default_validation_context: Some(CertificateValidationContext { match_typed_subject_alt_names: names, ..Default::default() }),
            validation_context_sds_secret_config: Some(local_secret(names::SDS_ROOT)),
            ..Default::default()
        })),
        ..Default::default()
    }
}

fn local_secret(name: &str) -> SdsSecretConfig {
    let service = GrpcService {
        target_specifier: Some(TargetSpecifier::EnvoyGrpc(EnvoyGrpc { cluster_name: names::SDS_CLUSTER.into(), ..Default::default() })),
        ..Default::default()
    };
    let source = ApiConfigSource {
        api_type: ApiType::Grpc.into(),
        transport_api_version: ApiVersion::V3.into(),
        set_node_on_first_message_only: true,
        grpc_services: vec![service],
        ..Default::default()
    };
    SdsSecretConfig {
        name: name.to_owned(),
        sds_config: Some(ConfigSource {
            resource_api_version: ApiVersion::V3.into(),
            initial_fetch_timeout: duration(Duration::ZERO),
            config_source_specifier: Some(ConfigSourceSpecifier::ApiConfigSource(source)),
            ..Default::default()
        }),
    }
}

fn modern() -> Option<TlsParameters> {
    Some(TlsParameters {
        tls_minimum_protocol_version: TlsProtocol::TlSv12.into(),
        tls_maximum_protocol_version: TlsProtocol::TlSv13.into(),
        ..Default::default()
    })
}

fn uri(matcher: StringMatcher) -> SubjectAltNameMatcher {
    SubjectAltNameMatcher { san_type: SanType::Uri.into(), matcher: Some(matcher), ..Default::default() }
}

/// A name in a certificate: a URI if it looks like one, else a DNS name.
fn san(name: &str) -> SubjectAltNameMatcher {
    let kind = if name.contains("://") { SanType::Uri } else { SanType::Dns };
    SubjectAltNameMatcher { san_type: kind.into(), matcher: Some(exact(name)), ..Default::default() }
}
