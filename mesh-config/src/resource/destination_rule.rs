//! `DestinationRule` (`networking.istio.io`): how a client speaks to a service once the route has chosen it.

mod load_balancer;
mod pool;
pub(super) mod validate;

pub use load_balancer::*;
pub use pool::*;

use super::{
    duration::Duration,
    selector::{LabelSelector, Labels, Visibility},
    spec::{names, spec},
    virtual_service::PortSelector,
};
use crate::schema::nullable;

spec! {
    /// Policies for the clients of a host, and the named subsets of its endpoints.
    pub struct DestinationRule {
        /// A service of the registry: short name (in the rule's namespace), FQDN or leading wildcard.
        required host: String,
        traffic_policy: Option<TrafficPolicy>,
        subsets: Vec<Subset>,
        export_to: Vec<Visibility>,
        /// The clients it applies to; absent: all that see it.
        workload_selector: Option<LabelSelector>,
    }

    /// Endpoints of the host with the given labels.
    pub struct Subset {
        required name: String,
        labels: Labels,
        /// Overrides the rule's policy, field by field.
        traffic_policy: Option<TrafficPolicy>,
    }

    /// How to balance, limit, watch and secure.
    pub struct TrafficPolicy {
        load_balancer: Option<LoadBalancer>,
        connection_pool: Option<ConnectionPool>,
        outlier_detection: Option<OutlierDetection>,
        tls: Option<ClientTls>,
        /// Per port; what a port leaves out is the default, not the destination's policy.
        #[schemars(length(max = 4096))]
        port_level_settings: Vec<PortTrafficPolicy>,
        /// Reach the host through an HTTP tunnel; excludes `proxy_protocol`.
        tunnel: Option<Tunnel>,
        proxy_protocol: Option<ProxyProtocol>,
        retry_budget: Option<RetryBudget>,
    }

    /// The policy of one port.
    pub struct PortTrafficPolicy {
        port: Option<PortSelector>,
        load_balancer: Option<LoadBalancer>,
        connection_pool: Option<ConnectionPool>,
        outlier_detection: Option<OutlierDetection>,
        tls: Option<ClientTls>,
    }

    /// A tunnel for TCP and TLS routes.
    pub struct Tunnel {
        /// `CONNECT` (default) or `POST`.
        protocol: String,
        required target_host: String,
        required target_port: u16,
    }

    /// Send the PROXY protocol header upstream.
    pub struct ProxyProtocol {
        version: ProxyProtocolVersion,
    }

    /// A bound on concurrent retries as a share of the active requests.
    pub struct RetryBudget {
        /// Of the active and pending requests, 0 to 100; 20 if absent.
        #[schemars(range(min = 0, max = 100))]
        #[schemars(transform = nullable)]
        percent: Option<f64>,
        /// Retries always allowed; 3 if absent.
        min_retry_concurrency: u32,
        budget_interval: Option<Duration>,
    }

    /// TLS towards the endpoints.
    pub struct ClientTls {
        mode: ClientTlsMode,
        /// File paths, for MUTUAL; or `credential_name`.
        client_certificate: String,
        private_key: String,
        ca_certificates: String,
        ca_crl: String,
        /// A Secret, or a ConfigMap as `configmap://name`.
        credential_name: String,
        /// Names the endpoint's certificate may carry.
        subject_alt_names: Vec<String>,
        sni: String,
        /// Do not verify the endpoint's certificate.
        #[schemars(transform = nullable)]
        insecure_skip_verify: Option<bool>,
    }
}

names! {
    /// The PROXY protocol's version.
    pub enum ProxyProtocolVersion {
        #[default]
        V1 = "V1",
        V2 = "V2",
    }

    /// What the client does.
    pub enum ClientTlsMode {
        /// Plaintext.
        #[default]
        Disable = "DISABLE",
        /// TLS.
        Simple = "SIMPLE",
        /// TLS with a client certificate from file or Secret.
        Mutual = "MUTUAL",
        /// TLS with the mesh's own certificates.
        IstioMutual = "ISTIO_MUTUAL",
    }
}
