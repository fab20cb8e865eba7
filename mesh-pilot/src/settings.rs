//! What the operator sets for the whole mesh: the part of Istio's MeshConfig that generators read.
//!
//! One value, part of the World, so that a generator has no other way to a switch.

use std::time::Duration;

use mesh_config::resource::sidecar::OutboundMode;
use mesh_proto::id::TrustDomain;

/// Mesh-wide settings; the defaults are Istio's.
#[derive(Clone, Debug, PartialEq)]
pub struct MeshSettings {
    /// Who vouches for workloads.
    pub trust_domain: TrustDomain,
    /// Earlier or foreign names of the same trust.
    pub trust_domain_aliases: Vec<TrustDomain>,
    /// Policies in this namespace hold for the whole mesh.
    pub root_namespace: String,
    /// Speak mutual TLS to every endpoint that takes it, unless a DestinationRule says otherwise.
    pub enable_auto_mtls: bool,
    /// Where requests to unknown hosts go, unless a Sidecar says otherwise.
    pub outbound_mode: OutboundMode,
    /// A path such as `/dev/stdout`; empty: no access log.
    pub access_log_file: String,
    /// Envoy's format string; empty: Istio's default.
    pub access_log_format: String,
    /// Text or JSON.
    pub access_log_encoding: LogEncoding,
    /// Where spans go; absent: trace headers are forwarded, nothing is reported.
    pub tracing: Option<TracingProvider>,
    /// To establish a connection.
    pub connect_timeout: Duration,
    /// Between two resolutions of a DNS cluster.
    pub dns_refresh_rate: Duration,
    /// How long to wait for a client's first bytes where the protocol is not declared; zero: for ever.
    pub protocol_detection_timeout: Duration,
    /// What is done to a path before it is matched.
    pub path_normalization: PathNormalization,
    /// Where redirected outbound connections arrive.
    pub outbound_port: u16,
    /// Where redirected inbound connections arrive.
    pub inbound_port: u16,
    /// Count dry-run decisions and mark them in the proxies' logs under this mesh's id.
    pub mesh_id: String,
    /// Give Secrets also to proxies whose workload the registry does not know, by the labels that they claim. Whoever holds any service account of a namespace
    /// can then claim its gateways' labels and gets their keys: only for meshes whose namespaces have one operator and whose gateways are not registered.
    pub trust_claimed_labels: bool,
}

/// The form of access logs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogEncoding {
    /// One line of text.
    #[default]
    Text,
    /// One JSON object a line.
    Json,
}

/// An OTLP collector that is a service of the mesh.
#[derive(Clone, Debug, PartialEq)]
pub struct TracingProvider {
    /// Host name of the service.
    pub service: String,
    /// Its gRPC port.
    pub port: u16,
    /// Percent of new traces.
    pub sampling: f64,
}

/// Istio's `pathNormalization`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PathNormalization {
    /// Nothing.
    None,
    /// RFC 3986, backslashes, dot segments.
    #[default]
    Base,
    /// And `//` to `/`.
    MergeSlashes,
    /// And `%2F`, `%5C` decoded before.
    DecodeAndMergeSlashes,
}

impl MeshSettings {
    /// Istio's defaults for a trust domain.
    pub fn new(trust_domain: TrustDomain) -> Self {
        Self {
            trust_domain,
            trust_domain_aliases: Vec::new(),
            root_namespace: "istio-system".into(),
            enable_auto_mtls: true,
            outbound_mode: OutboundMode::AllowAny,
            access_log_file: String::new(),
            access_log_format: String::new(),
            access_log_encoding: LogEncoding::Text,
            tracing: None,
            connect_timeout: Duration::from_secs(10),
            dns_refresh_rate: Duration::from_secs(60),
            protocol_detection_timeout: Duration::ZERO,
            path_normalization: PathNormalization::Base,
            outbound_port: 15001,
            inbound_port: 15006,
            mesh_id: String::new(),
            trust_claimed_labels: false,
        }
    }

    /// Whether an identity of this trust domain belongs to the mesh.
    pub fn trusts(&self, domain: &TrustDomain) -> bool {
        *domain == self.trust_domain || self.trust_domain_aliases.contains(domain)
    }
}
