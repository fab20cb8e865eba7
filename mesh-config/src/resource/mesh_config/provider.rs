//! Extension providers: services that proxies ask or report to, by the names that Telemetry and AuthorizationPolicy use.

use serde_json::{Map, Value};

use super::{
    modes::{ServiceAttributeEnrichment, TraceContext, TraceContextOption},
    proxy::AccessToken,
};
use crate::resource::{duration::Duration, selector::Labels, spec::spec};

spec! {
    /// A provider: a name, and one of the kinds.
    pub struct ExtensionProvider {
        /// Unique in the mesh.
        name: String,
        envoy_ext_authz_http: Option<ExtAuthzHttpProvider>,
        envoy_ext_authz_grpc: Option<ExtAuthzGrpcProvider>,
        zipkin: Option<ZipkinProvider>,
        /// Deprecated: OpenTelemetry.
        lightstep: Option<LightstepProvider>,
        datadog: Option<DatadogProvider>,
        stackdriver: Option<StackdriverProvider>,
        /// Deprecated: OpenTelemetry.
        opencensus: Option<OpenCensusProvider>,
        skywalking: Option<SkyWalkingProvider>,
        opentelemetry: Option<OpenTelemetryProvider>,
        prometheus: Option<PrometheusProvider>,
        envoy_file_access_log: Option<FileAccessLogProvider>,
        envoy_http_als: Option<HttpAccessLogProvider>,
        envoy_tcp_als: Option<TcpAccessLogProvider>,
        envoy_otel_als: Option<OpenTelemetryLogProvider>,
        sds: Option<SdsProvider>,
    }

    /// What of a request's body an authorizer is shown.
    pub struct ExtAuthzRequestBody {
        max_request_bytes: u32,
        /// A longer body is cut, and not refused.
        allow_partial_message: bool,
        pack_as_bytes: bool,
    }

    /// An authorizer that speaks HTTP.
    pub struct ExtAuthzHttpProvider {
        /// `[namespace/]host`.
        service: String,
        port: u32,
        /// 10 minutes.
        timeout: Option<Duration>,
        /// Put before the request's path.
        path_prefix: String,
        /// Admit where it does not answer.
        fail_open: bool,
        clear_route_cache: bool,
        /// The answer to the client where it does not answer; 403.
        status_on_error: String,
        /// Deprecated: `include_request_headers_in_check`.
        include_headers_in_check: Vec<String>,
        /// Names, or with `*` at one end.
        include_request_headers_in_check: Vec<String>,
        include_additional_headers_in_check: Labels,
        include_request_body_in_check: Option<ExtAuthzRequestBody>,
        headers_to_upstream_on_allow: Vec<String>,
        headers_to_downstream_on_deny: Vec<String>,
        headers_to_downstream_on_allow: Vec<String>,
    }

    /// An authorizer that speaks Envoy's gRPC protocol.
    pub struct ExtAuthzGrpcProvider {
        service: String,
        port: u32,
        /// 10 minutes.
        timeout: Option<Duration>,
        fail_open: bool,
        clear_route_cache: bool,
        status_on_error: String,
        include_request_body_in_check: Option<ExtAuthzRequestBody>,
    }

    /// Zipkin, or what understands its spans.
    pub struct ZipkinProvider {
        service: String,
        port: u32,
        max_tag_length: u32,
        #[serde(rename = "enable64bitTraceId")]
        enable_64bit_trace_id: bool,
        /// `/api/v2/spans`.
        path: String,
        trace_context_option: TraceContextOption,
        timeout: Option<Duration>,
        headers: Vec<HttpHeader>,
    }

    /// Deprecated: OpenTelemetry.
    pub struct LightstepProvider {
        service: String,
        port: u32,
        access_token: AccessToken,
        max_tag_length: u32,
    }

    /// A Datadog agent.
    pub struct DatadogProvider {
        service: String,
        port: u32,
        max_tag_length: u32,
    }

    /// An Apache SkyWalking receiver.
    pub struct SkyWalkingProvider {
        service: String,
        port: u32,
        access_token: AccessToken,
    }

    /// Google Cloud's tracing, metrics and logs.
    pub struct StackdriverProvider {
        /// Deprecated.
        debug: bool,
        /// Deprecated.
        max_number_of_attributes: Option<i64>,
        /// Deprecated.
        max_number_of_annotations: Option<i64>,
        /// Deprecated.
        max_number_of_message_events: Option<i64>,
        max_tag_length: u32,
        logging: Option<StackdriverLogging>,
    }

    /// Labels of log entries, by CEL expressions.
    pub struct StackdriverLogging {
        labels: Labels,
    }

    /// Deprecated: OpenTelemetry.
    pub struct OpenCensusProvider {
        service: String,
        port: u32,
        context: Vec<TraceContext>,
        max_tag_length: u32,
    }

    /// The metrics that proxies are scraped for.
    pub struct PrometheusProvider {}

    /// Access logs into a file.
    pub struct FileAccessLogProvider {
        /// `/dev/stdout`, `/dev/stderr`, or a file of the proxy's container.
        path: String,
        log_format: Option<LogFormat>,
        omit_empty_values: bool,
    }

    /// Of file logs one of the two; of OpenTelemetry both.
    pub struct LogFormat {
        text: String,
        labels: Option<Map<String, Value>>,
    }

    /// Access logs of requests, by Envoy's gRPC protocol.
    pub struct HttpAccessLogProvider {
        service: String,
        port: u32,
        /// `http_envoy_accesslog`.
        log_name: String,
        filter_state_objects_to_log: Vec<String>,
        additional_request_headers_to_log: Vec<String>,
        additional_response_headers_to_log: Vec<String>,
        additional_response_trailers_to_log: Vec<String>,
    }

    /// Access logs of connections, by Envoy's gRPC protocol.
    pub struct TcpAccessLogProvider {
        service: String,
        port: u32,
        /// `tcp_envoy_accesslog`.
        log_name: String,
        filter_state_objects_to_log: Vec<String>,
    }

    /// Access logs by OTLP.
    pub struct OpenTelemetryLogProvider {
        service: String,
        port: u32,
        /// `otel_envoy_accesslog`.
        log_name: String,
        log_format: Option<LogFormat>,
    }

    /// Spans by OTLP.
    pub struct OpenTelemetryProvider {
        service: String,
        port: u32,
        max_tag_length: u32,
        /// By HTTP; excludes `grpc`.
        http: Option<HttpService>,
        grpc: Option<GrpcService>,
        resource_detectors: Option<ResourceDetectors>,
        service_attribute_enrichment: ServiceAttributeEnrichment,
        dynatrace_sampler: Option<DynatraceSampler>,
    }

    /// Dynatrace decides which traces are kept.
    pub struct DynatraceSampler {
        tenant: String,
        cluster_id: i32,
        root_spans_per_minute: u32,
        http_service: Option<DynatraceApi>,
    }

    /// Where it is asked.
    pub struct DynatraceApi {
        service: String,
        port: u32,
        http: Option<HttpService>,
    }

    /// A server of secrets.
    pub struct SdsProvider {
        /// The name that resources use: `sds://name`.
        name: String,
        service: String,
        port: u32,
    }

    /// How an HTTP collector is spoken to.
    pub struct HttpService {
        path: String,
        timeout: Option<Duration>,
        headers: Vec<HttpHeader>,
    }

    /// How a gRPC collector is spoken to.
    pub struct GrpcService {
        timeout: Option<Duration>,
        initial_metadata: Vec<HttpHeader>,
    }

    /// A header; one of `value` and `env_name`.
    pub struct HttpHeader {
        name: String,
        value: AccessToken,
        /// A variable of the proxy's environment.
        env_name: String,
    }

    /// What describes the proxy in spans.
    pub struct ResourceDetectors {
        environment: Option<ResourceDetector>,
        dynatrace: Option<ResourceDetector>,
    }

    /// No settings.
    pub struct ResourceDetector {}
}

impl ExtensionProvider {
    /// The names of the kinds that are set; a provider in order has one.
    pub fn kinds(&self) -> Vec<&'static str> {
        let all = [
            ("envoyExtAuthzHttp", self.envoy_ext_authz_http.is_some()),
            ("envoyExtAuthzGrpc", self.envoy_ext_authz_grpc.is_some()),
            ("zipkin", self.zipkin.is_some()),
            ("lightstep", self.lightstep.is_some()),
            ("datadog", self.datadog.is_some()),
            ("stackdriver", self.stackdriver.is_some()),
            ("opencensus", self.opencensus.is_some()),
            ("skywalking", self.skywalking.is_some()),
            ("opentelemetry", self.opentelemetry.is_some()),
            ("prometheus", self.prometheus.is_some()),
            ("envoyFileAccessLog", self.envoy_file_access_log.is_some()),
            ("envoyHttpAls", self.envoy_http_als.is_some()),
            ("envoyTcpAls", self.envoy_tcp_als.is_some()),
            ("envoyOtelAls", self.envoy_otel_als.is_some()),
            ("sds", self.sds.is_some()),
        ];
        all.into_iter().filter(|(_, set)| *set).map(|(name, _)| name).collect()
    }
}
