//! `MeshConfig` (`istio.mesh.v1alpha1`): what holds for the whole mesh. Not a Kubernetes object: a document of its own,
//! or the key `mesh` of the ConfigMap `istio`.
//!
//! The types hold what is written; what Istio assumes where nothing is written is in `defaults`.

mod defaults;
mod modes;
mod provider;
mod proxy;
mod validate;

pub use modes::*;
pub use provider::*;
pub use proxy::*;

use super::{
    destination_rule::{ClientTls, ConnectionPool, LocalityLbSetting, OutlierDetection, TcpKeepalive, ZoneAwareLbSetting},
    duration::Duration,
    selector::{Labels, Visibility},
    spec::spec,
    virtual_service::HttpRetry,
};

spec! {
    /// What holds for the whole mesh. Where a comment names no default, the default is none, or off.
    pub struct MeshConfig {
        /// Where sidecars take outbound connections; 15001.
        proxy_listen_port: Option<i32>,
        /// Where sidecars take inbound connections; 15006.
        proxy_inbound_listen_port: Option<i32>,
        /// Where sidecars listen as an HTTP proxy; 0: nowhere.
        proxy_http_port: i32,
        /// To an endpoint; 10 s.
        connect_timeout: Option<Duration>,
        hbone_idle_timeout: Option<Duration>,
        /// How long to wait for a client's first bytes; 0 s: for ever.
        protocol_detection_timeout: Option<Duration>,
        tcp_keepalive: Option<TcpKeepalive>,
        /// The class of Ingresses that are ours; `istio`.
        ingress_class: Option<String>,
        /// The Service whose address Ingresses are given; `istio-ingressgateway`.
        ingress_service: Option<String>,
        /// STRICT.
        ingress_controller_mode: IngressControllerMode,
        /// The label `istio` of the gateway that serves Ingresses; `ingressgateway`.
        ingress_selector: Option<String>,
        /// On.
        enable_tracing: Option<bool>,
        /// Such as `/dev/stdout`; empty: no access log.
        access_log_file: String,
        /// Empty: Istio's format.
        access_log_format: String,
        access_log_encoding: AccessLogEncoding,
        enable_envoy_access_log_service: bool,
        /// No access log of connections that no route was found for.
        disable_envoy_listener_log: bool,
        /// Of every proxy; ProxyConfig resources and annotations override it, field by field.
        default_config: Option<ProxyConfig>,
        outbound_traffic_policy: Option<OutboundTrafficPolicy>,
        inbound_traffic_policy: Option<InboundTrafficPolicy>,
        config_sources: Vec<ConfigSource>,
        /// Clients use mutual TLS towards workloads that have it; on.
        enable_auto_mtls: Option<bool>,
        /// `cluster.local`.
        trust_domain: Option<String>,
        /// Identities of these trust domains count as the mesh's own.
        trust_domain_aliases: Vec<String>,
        /// Roots that are trusted beside the mesh's own.
        ca_certificates: Vec<CertificateData>,
        /// Public.
        default_service_export_to: Vec<Visibility>,
        /// Public.
        default_virtual_service_export_to: Vec<Visibility>,
        /// Public.
        default_destination_rule_export_to: Vec<Visibility>,
        /// Whose policies are the mesh's; `istio-system`.
        root_namespace: Option<String>,
        /// Enabled, without rules.
        locality_lb_setting: Option<LocalityLbSetting>,
        /// Comes before `locality_lb_setting`.
        zone_aware_lb_setting: Option<ZoneAwareLbSetting>,
        /// After a DNS lookup that failed; 60 s.
        dns_refresh_rate: Option<Duration>,
        h2_upgrade_policy: MeshH2UpgradePolicy,
        /// A pattern of `%SERVICE%`, `%SERVICE_FQDN%`, `%SERVICE_PORT%`, `%SERVICE_PORT_NAME%`, `%TARGET_PORT%`.
        inbound_cluster_stat_name: String,
        /// The same with `%SUBSET_NAME%`.
        outbound_cluster_stat_name: String,
        /// Deprecated.
        certificates: Vec<Certificate>,
        service_settings: Vec<ServiceSettings>,
        /// Which services other clusters see, in ambient mode.
        service_scope_configs: Vec<ServiceScopeConfigs>,
        /// Sidecars answer for the application's metrics too; on.
        enable_prometheus_merge: Option<bool>,
        /// Deprecated: clients always verify.
        verify_certificate_at_client: Option<bool>,
        /// A certificate authority of one's own.
        ca: Option<CertificateAuthority>,
        /// To be named by Telemetry and AuthorizationPolicy; these and `prometheus`, `stackdriver` and `envoy`.
        extension_providers: Vec<ExtensionProvider>,
        /// Used where no Telemetry names any.
        default_providers: Option<DefaultProviders>,
        /// Namespaces that the control plane looks at: those which one of them selects; none: all.
        discovery_selectors: Vec<LabelSelector>,
        path_normalization: Option<ProxyPathNormalization>,
        /// Of routes that say nothing of retries; two tries on connection failures.
        default_http_retry_policy: Option<HttpRetry>,
        /// The same from the sidecar to its own application; none.
        default_inbound_http_retry_policy: Option<HttpRetry>,
        /// Mutual TLS between workloads.
        #[serde(rename = "meshMTLS")]
        mesh_mtls: Option<TlsConfig>,
        /// Any other TLS.
        tls_defaults: Option<TlsConfig>,
        /// What a DestinationRule leaves out.
        default_traffic_policy: Option<DefaultTrafficPolicy>,
        service_entry_visibility: Option<ServiceEntryVisibility>,
    }

    /// What becomes of outbound traffic to hosts that the mesh does not know.
    pub struct OutboundTrafficPolicy {
        mode: OutboundTrafficMode,
        /// Towards hosts that were found by DNS.
        tls: Option<ClientTls>,
    }

    /// What becomes of inbound traffic to ports that the mesh does not know.
    pub struct InboundTrafficPolicy {
        mode: InboundTrafficMode,
    }

    /// A server of configuration.
    pub struct ConfigSource {
        /// `fs:///path`, `xds://host:port`, or `k8s://`.
        address: String,
        tls_settings: Option<ClientTls>,
        subscribed_resources: Vec<SubscribedResource>,
    }

    /// A root certificate; one of `pem` and `spiffe_bundle_url`.
    pub struct CertificateData {
        pem: String,
        spiffe_bundle_url: String,
        /// The signers whose certificates it verifies; empty: those of `trust_domains`.
        cert_signers: Vec<String>,
        /// Empty: the mesh's.
        trust_domains: Vec<String>,
    }

    /// A certificate for a control-plane service.
    pub struct Certificate {
        secret_name: String,
        dns_names: Vec<String>,
    }

    /// Settings of the services that one of `hosts` names.
    pub struct ServiceSettings {
        settings: Option<ServiceSetting>,
        /// FQDNs, or a leading wildcard.
        hosts: Vec<String>,
    }

    /// Settings of a service.
    pub struct ServiceSetting {
        /// Only endpoints of the client's own cluster.
        cluster_local: bool,
    }

    /// How far services are seen.
    pub struct ServiceScopeConfigs {
        namespace_selector: Option<LabelSelector>,
        services_selector: Option<LabelSelector>,
        scope: ServiceScope,
    }

    /// A certificate authority that signs for workloads.
    pub struct CertificateAuthority {
        address: String,
        tls_settings: Option<ClientTls>,
        /// 10 s.
        request_timeout: Option<Duration>,
        /// The control plane asks it on behalf of workloads.
        istiod_side: bool,
    }

    /// Providers by name.
    pub struct DefaultProviders {
        tracing: Vec<String>,
        metrics: Vec<String>,
        access_logging: Vec<String>,
    }

    /// Kubernetes' label selector.
    pub struct LabelSelector {
        match_labels: Labels,
        /// All must hold.
        match_expressions: Vec<LabelSelectorRequirement>,
    }

    /// A condition on a label.
    pub struct LabelSelectorRequirement {
        key: String,
        /// `In`, `NotIn`, `Exists` or `DoesNotExist`.
        operator: String,
        values: Vec<String>,
    }

    /// What proxies do to a path before they match it.
    pub struct ProxyPathNormalization {
        normalization: NormalizationType,
    }

    /// Versions and algorithms.
    pub struct TlsConfig {
        min_protocol_version: TlsProtocol,
        /// In order of preference.
        ecdh_curves: Vec<String>,
        cipher_suites: Vec<String>,
    }

    /// A baseline under every DestinationRule, block by block.
    pub struct DefaultTrafficPolicy {
        connection_pool: Option<ConnectionPool>,
        outlier_detection: Option<OutlierDetection>,
    }

    /// Who sees ServiceEntries that do not say.
    pub struct ServiceEntryVisibility {
        default_visibility: EntryVisibility,
        /// Not only to waypoints and ztunnels.
        apply_to_sidecars: bool,
        /// The first that matches counts.
        policies: Vec<VisibilityPolicy>,
    }

    /// The visibility of what one of the rules matches.
    pub struct VisibilityPolicy {
        visibility: EntryVisibility,
        matching_rules: Vec<VisibilityRule>,
    }

    /// ServiceEntries by their namespace.
    pub struct VisibilityRule {
        namespace_selector: Option<LabelSelector>,
    }
}

#[cfg(test)]
mod tests;
