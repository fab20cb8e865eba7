//! `ProxyConfig` of the mesh: how a proxy is started. Also the annotation `proxy.istio.io/config`, which overrides it.

use std::collections::BTreeMap;

use super::modes::{
    AuthenticationPolicy, ConnectionProfile, ForwardClientCertDetails, HeadersWithUnderscoresAction, InterceptionMode,
    MetadataExchangeMode, PathWithEscapedSlashesAction, TraceContext, TracingServiceName,
};
use crate::resource::{
    destination_rule::{ClientTls, TcpKeepalive},
    duration::Duration,
    proxy_config::ProxyImage,
    selector::Labels,
    spec::spec,
    workload_group::ReadinessProbe,
};

spec! {
    /// How a proxy is started. Where a comment names no default, the default is none, or off.
    pub struct ProxyConfig {
        /// `./etc/istio/proxy`.
        config_path: Option<String>,
        /// `/usr/local/bin/envoy`.
        binary_path: Option<String>,
        /// The proxy's name in traces; excludes `tracing_service_name`. `istio-proxy`.
        service_cluster: Option<String>,
        tracing_service_name: Option<TracingServiceName>,
        /// How long connections may end by themselves on a restart; 45 s.
        drain_duration: Option<Duration>,
        /// `istiod.istio-system.svc:15012`.
        discovery_address: Option<String>,
        /// Deprecated, without effect.
        discovery_refresh_delay: Option<Duration>,
        /// Deprecated: `tracing.zipkin.address`.
        zipkin_address: String,
        statsd_udp_address: String,
        /// Deprecated: `envoyMetricsService.address`.
        envoy_metrics_service_address: String,
        /// 15000.
        proxy_admin_port: Option<i32>,
        /// Deprecated.
        availability_zone: String,
        /// Towards the control plane; MUTUAL_TLS.
        control_plane_auth_policy: Option<AuthenticationPolicy>,
        /// An Envoy bootstrap of one's own.
        custom_config_file: String,
        /// 189.
        stat_name_length: Option<i32>,
        /// Worker threads; 0: one a core, absent: by the container's CPU limit.
        concurrency: Option<i32>,
        proxy_bootstrap_template_path: String,
        /// How traffic comes to the sidecar.
        interception_mode: InterceptionMode,
        tracing: Option<Tracing>,
        /// Deprecated.
        sds: Option<Sds>,
        envoy_access_log_service: Option<RemoteService>,
        envoy_metrics_service: Option<RemoteService>,
        /// Added to the proxy's environment; merged key by key.
        proxy_metadata: Labels,
        /// Envoy's runtime settings.
        runtime_values: Labels,
        /// 15020.
        status_port: Option<i32>,
        /// Tags that Envoy extracts from names of metrics, beside Istio's.
        extra_stat_tags: Vec<String>,
        gateway_topology: Option<Topology>,
        /// How long connections may end by themselves on termination; 5 s.
        termination_drain_duration: Option<Duration>,
        /// The trust domain, if empty.
        mesh_id: String,
        /// Asks the application, outside Kubernetes.
        readiness_probe: Option<ReadinessProbe>,
        /// Metrics that are kept beside Istio's.
        proxy_stats_matcher: Option<ProxyStatsMatcher>,
        /// The application's containers start when the proxy is ready.
        hold_application_until_proxy_starts: Option<bool>,
        /// Roots that the sidecar trusts beside the mesh's, in PEM.
        ca_certificates_pem: Vec<String>,
        image: Option<ProxyImage>,
        /// Hardware for private keys.
        private_key_provider: Option<PrivateKeyProvider>,
        /// Headers that proxies add.
        proxy_headers: Option<ProxyHeaders>,
        /// Of access logs; 1 s.
        file_flush_interval: Option<Duration>,
        /// Of access logs; 64.
        #[serde(rename = "fileFlushMinSizeKb")]
        file_flush_min_size_kb: u32,
        stats_compression: Option<bool>,
        /// Limits of listeners, clusters and HTTP connections.
        connection_settings: Option<ConnectionSettings>,
    }

    /// Traces, where no Telemetry says otherwise. One of the five tracers.
    pub struct Tracing {
        zipkin: Option<Collector>,
        lightstep: Option<Lightstep>,
        datadog: Option<Collector>,
        stackdriver: Option<Stackdriver>,
        open_census_agent: Option<OpenCensusAgent>,
        custom_tags: BTreeMap<String, CustomTag>,
        /// 256.
        max_path_tag_length: u32,
        /// Percent of the requests; absent: 1.
        sampling: Option<f64>,
        tls_settings: Option<ClientTls>,
        /// On.
        enable_istio_tags: Option<bool>,
    }

    /// A collector that needs only an address.
    pub struct Collector {
        /// `host:port`; `$(HOST_IP)` is the node's address.
        address: String,
    }

    /// Deprecated.
    pub struct Lightstep {
        address: String,
        access_token: AccessToken,
    }

    /// Google Cloud's.
    pub struct Stackdriver {
        debug: bool,
        max_number_of_attributes: Option<i64>,
        max_number_of_annotations: Option<i64>,
        max_number_of_message_events: Option<i64>,
    }

    /// Deprecated.
    pub struct OpenCensusAgent {
        address: String,
        context: Vec<TraceContext>,
    }

    /// Where a tag's value comes from: one of the three.
    pub struct CustomTag {
        literal: Option<LiteralTag>,
        environment: Option<NamedTag>,
        header: Option<NamedTag>,
    }

    /// A fixed text.
    pub struct LiteralTag {
        value: String,
    }

    /// A variable of the proxy's environment, or a request header.
    pub struct NamedTag {
        name: String,
        default_value: String,
    }

    /// Deprecated.
    pub struct Sds {
        enabled: bool,
        #[serde(rename = "k8sSaJwtPath")]
        k8s_sa_jwt_path: String,
    }

    /// What stands before a gateway.
    pub struct Topology {
        /// Proxies whose X-Forwarded-For is believed.
        num_trusted_proxies: u32,
        forward_client_cert_details: ForwardClientCertDetails,
        /// Connections begin with the PROXY protocol.
        proxy_protocol: Option<ProxyProtocolConfiguration>,
    }

    /// No settings.
    pub struct ProxyProtocolConfiguration {}

    /// Metrics by their names.
    pub struct ProxyStatsMatcher {
        inclusion_prefixes: Vec<String>,
        inclusion_suffixes: Vec<String>,
        inclusion_regexps: Vec<String>,
    }

    /// One of the two.
    pub struct PrivateKeyProvider {
        cryptomb: Option<KeyProvider>,
        qat: Option<KeyProvider>,
    }

    /// Hardware for private keys.
    pub struct KeyProvider {
        /// How long operations are gathered.
        poll_delay: Option<Duration>,
        /// Without the hardware, use Envoy's own.
        fallback: Option<bool>,
    }

    /// Headers that proxies add.
    pub struct ProxyHeaders {
        forwarded_client_cert: ForwardClientCertDetails,
        /// What `x-forwarded-client-cert` says, beside the hash.
        set_current_client_cert_details: Option<SetCurrentClientCertDetails>,
        request_id: Option<DisabledHeader>,
        server: Option<ServerHeader>,
        attempt_count: Option<DisabledHeader>,
        envoy_debug_headers: Option<DisabledHeader>,
        metadata_exchange_headers: Option<MetadataExchangeHeaders>,
        preserve_http1_header_case: Option<bool>,
        x_forwarded_host: Option<EnabledHeader>,
        x_forwarded_port: Option<EnabledHeader>,
    }

    /// A header that is on by default.
    pub struct DisabledHeader {
        disabled: Option<bool>,
    }

    /// A header that is off by default.
    pub struct EnabledHeader {
        enabled: Option<bool>,
    }

    /// `server`.
    pub struct ServerHeader {
        disabled: Option<bool>,
        /// `istio-envoy`.
        value: String,
    }

    /// `x-envoy-peer-metadata`.
    pub struct MetadataExchangeHeaders {
        mode: MetadataExchangeMode,
    }

    /// Parts of a client's certificate.
    pub struct SetCurrentClientCertDetails {
        subject: Option<bool>,
        cert: Option<bool>,
        chain: Option<bool>,
        dns: Option<bool>,
        uri: Option<bool>,
    }

    /// Limits of listeners, clusters and HTTP connections; absent: those of the profile.
    pub struct ConnectionSettings {
        profile: ConnectionProfile,
        listener_per_connection_buffer_limit_bytes: Option<i32>,
        cluster_per_connection_buffer_limit_bytes: Option<i32>,
        http_idle_timeout: Option<Duration>,
        http_max_connection_duration: Option<Duration>,
        http_drain_timeout: Option<Duration>,
        http_request_timeout: Option<Duration>,
        http_request_headers_timeout: Option<Duration>,
        http_stream_idle_timeout: Option<Duration>,
        http_max_stream_duration: Option<Duration>,
        http_max_concurrent_streams: Option<i32>,
        http2_initial_stream_window_size: Option<i32>,
        http2_initial_connection_window_size: Option<i32>,
        http_headers_with_underscores_action: HeadersWithUnderscoresAction,
        http_merge_slashes: Option<bool>,
        http_path_with_escaped_slashes_action: PathWithEscapedSlashesAction,
        listener_connection_limit: Option<i32>,
        global_downstream_connection_limit: Option<i32>,
    }

    /// A server that the proxy speaks to.
    pub struct RemoteService {
        /// `host:port`.
        address: String,
        tls_settings: Option<ClientTls>,
        tcp_keepalive: Option<TcpKeepalive>,
    }
}

/// A text that grants access: readable where it is used, never printed.
#[derive(Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct AccessToken(String);

impl AccessToken {
    /// The token, to be sent and nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "\"\"" } else { "[redacted]" })
    }
}

crate::resource::spec::schema_of! {
    AccessToken => String;
}
