//! The HTTP connection manager and its filters.

use std::{sync::Arc, time::Duration};

use super::{AccessLog, HeaderMutation, Percent, Rbac, RouteSlot, RouteTable, StringMatcher};

/// `envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager`.
#[derive(Debug)]
pub struct Hcm {
    /// For stats.
    pub stat_prefix: Arc<str>,
    /// Which protocol to speak.
    pub codec: Codec,
    /// Where routes come from.
    pub routes: RouteSource,
    /// In order; the last is the router.
    pub filters: Vec<NamedFilter>,
    /// Request logs.
    pub access_logs: Vec<Arc<AccessLog>>,
    /// `server_name` (default `envoy`) and what to do with the backend's.
    pub server_header: ServerHeader,
    /// `use_remote_address`: this is the edge.
    pub use_remote_address: bool,
    /// `xff_num_trusted_hops`.
    pub xff_trusted_hops: u32,
    /// `internal_address_config`: clients of these addresses may steer us by `x-envoy-*` headers (default: none).
    pub internal_networks: Vec<ipnet::IpNet>,
    /// `skip_xff_append`.
    pub skip_xff_append: bool,
    /// `generate_request_id` (default true).
    pub generate_request_id: bool,
    /// `preserve_external_request_id`.
    pub preserve_external_request_id: bool,
    /// `always_set_request_id_in_response`.
    pub request_id_in_response: bool,
    /// `forward_client_cert_details` and `set_current_client_cert_details`.
    pub xfcc: Xfcc,
    /// `normalize_path`.
    pub normalize_path: bool,
    /// `merge_slashes`.
    pub merge_slashes: bool,
    /// `path_with_escaped_slashes_action`.
    pub escaped_slashes: EscapedSlashes,
    /// `strip_matching_host_port` / `strip_any_host_port`.
    pub strip_host_port: StripPort,
    /// `upgrade_configs`: lower-case names allowed on every route, such as `websocket`, `connect`.
    pub upgrades: Vec<Arc<str>>,
    /// `stream_idle_timeout` (default 5 min; `None` off).
    pub stream_idle_timeout: Option<Duration>,
    /// `request_timeout`: the whole request must have arrived (`None` off).
    pub request_timeout: Option<Duration>,
    /// `request_headers_timeout`.
    pub request_headers_timeout: Option<Duration>,
    /// `common_http_protocol_options.idle_timeout` (default 1 h).
    pub idle_timeout: Option<Duration>,
    /// `common_http_protocol_options.max_connection_duration`.
    pub max_connection_duration: Option<Duration>,
    /// `common_http_protocol_options.max_requests_per_connection` (0 unlimited).
    pub max_requests_per_connection: u32,
    /// `max_request_headers_kb` in bytes (default 60 KiB).
    pub max_header_bytes: usize,
    /// `common_http_protocol_options.max_headers_count` (default 100).
    pub max_headers: usize,
    /// `http2_protocol_options`.
    pub http2: Http2Options,
    /// `drain_timeout` (default 5 s).
    pub drain_timeout: Duration,
    /// `delayed_close_timeout` (default 1 s).
    pub delayed_close: Duration,
    /// Tracing, when configured.
    pub tracing: Option<Tracing>,
    /// `local_reply_config` is not implemented here; `via` header to append, if any.
    pub via: Option<Arc<str>>,
    /// HTTP/1.0 is accepted (`http_protocol_options.accept_http_10`).
    pub accept_http10: bool,
}

/// A filter under the name the configuration gives it (per-route overrides refer to it).
#[derive(Debug, Clone)]
pub struct NamedFilter {
    /// Name in the chain.
    pub name: Arc<str>,
    /// `disabled: true`: off unless a route turns it on.
    pub disabled: bool,
    /// What it is.
    pub filter: HttpFilter,
}

/// The closed set of HTTP filters.
#[derive(Debug, Clone)]
pub enum HttpFilter {
    /// `envoy.filters.http.router`.
    Router(Arc<RouterOptions>),
    /// `envoy.filters.http.rbac`.
    Rbac(Arc<Rbac>),
    /// `envoy.filters.http.fault`.
    Fault(Arc<Fault>),
    /// `envoy.filters.http.cors`: acts by the route's policy.
    Cors,
    /// `istio.alpn` (and upstream protocol it was told to prefer).
    IstioAlpn,
    /// `istio.stats`: emit Istio's standard metrics.
    IstioStats(Reporter),
    /// Istio peer metadata exchange by headers.
    PeerMetadata(PeerMetadata),
    /// `envoy.filters.http.grpc_stats`: counts, changes nothing.
    GrpcStats,
    /// `envoy.filters.http.header_mutation`.
    HeaderMutation {
        /// On requests.
        request: Arc<HeaderMutation>,
        /// On responses.
        response: Arc<HeaderMutation>,
    },
    /// Asked for and not implemented: every request is answered 500, never skipped (invariant 3).
    Refuse {
        /// What is missing.
        reason: Arc<str>,
    },
}

/// `reporter` label of Istio's metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reporter {
    /// The client's sidecar.
    Source,
    /// The server's sidecar.
    Destination,
}

/// Istio's exchange of workload identity by `x-envoy-peer-metadata` headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PeerMetadata {
    /// Read the peer's from requests (inbound).
    pub downstream_discovery: bool,
    /// Read the peer's from responses (outbound).
    pub upstream_discovery: bool,
    /// Add ours to responses (inbound).
    pub downstream_propagation: Propagation,
    /// Add ours to requests (outbound).
    pub upstream_propagation: Propagation,
}

/// To whom we tell about our workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Propagation {
    /// Nobody.
    Nobody,
    /// Everybody.
    All,
    /// Not to clusters outside of the mesh: `skip_external_clusters`.
    Mesh,
}

/// `envoy.extensions.filters.http.router.v3.Router`.
#[derive(Debug, Clone, Default)]
pub struct RouterOptions {
    /// `suppress_envoy_headers`.
    pub suppress_envoy_headers: bool,
    /// `start_child_span`.
    pub start_child_span: bool,
}

/// `envoy.extensions.filters.http.fault.v3.HTTPFault`.
#[derive(Debug, Clone, Default)]
pub struct Fault {
    /// Wait first, then abort if both are drawn.
    pub delay: Option<(Percent, Delay)>,
    /// What to answer.
    pub abort: Option<(Percent, Abort)>,
    /// Only requests whose headers all match.
    pub headers: Vec<super::HeaderMatcher>,
    /// Only for this upstream cluster.
    pub upstream_cluster: Option<Arc<str>>,
    /// `max_active_faults`.
    pub max_active: Option<u32>,
}

/// How long a fault makes a request wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Delay {
    /// So long.
    Fixed(Duration),
    /// As `x-envoy-fault-delay-request` says, in milliseconds.
    ByHeader,
}

/// The answer of an abort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Abort {
    /// As `x-envoy-fault-abort-request` (a status) or `x-envoy-fault-abort-grpc-request` says.
    ByHeader,
    /// An HTTP status.
    Http(http::StatusCode),
    /// A gRPC status in trailers-only form.
    Grpc(u32),
}

/// Which protocol a connection manager speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    /// By ALPN, else by the HTTP/2 preface.
    Auto,
    /// HTTP/1.
    Http1,
    /// HTTP/2.
    Http2,
}

/// Where a connection manager's routes come from.
#[derive(Debug, Clone)]
pub enum RouteSource {
    /// In the filter itself.
    Inline(Arc<RouteTable>),
    /// RDS: the table in this slot of the current snapshot.
    Rds(RouteSlot),
}

/// `server_header_transformation`.
#[derive(Debug, Clone)]
pub enum ServerHeader {
    /// Put ours in place of the backend's.
    Overwrite(http::HeaderValue),
    /// Only if the backend sent none.
    AppendIfAbsent(http::HeaderValue),
    /// Leave it.
    PassThrough,
}

/// `x-forwarded-client-cert` handling.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Xfcc {
    /// What to do with it.
    pub mode: XfccMode,
    /// Add `Subject`.
    pub subject: bool,
    /// Add `URI`.
    pub uri: bool,
    /// Add `DNS`.
    pub dns: bool,
    /// Add `Cert`.
    pub cert: bool,
    /// Add `Chain`.
    pub chain: bool,
}

/// `forward_client_cert_details`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum XfccMode {
    /// Remove it.
    #[default]
    Sanitize,
    /// Forward what came, only over mTLS.
    ForwardOnly,
    /// Append ours, only over mTLS.
    AppendForward,
    /// Ours only.
    SanitizeSet,
    /// Forward whatever came.
    AlwaysForwardOnly,
}

/// `path_with_escaped_slashes_action`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum EscapedSlashes {
    /// Leave `%2F` and `%5C`.
    #[default]
    Keep,
    /// 400.
    Reject,
    /// Decode and redirect (307).
    UnescapeAndRedirect,
    /// Decode and go on.
    UnescapeAndForward,
}

/// What to strip off `:authority` before matching.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum StripPort {
    /// Nothing.
    #[default]
    No,
    /// The listener's own port.
    Matching,
    /// Any port.
    Any,
}

/// `http2_protocol_options`.
#[derive(Debug, Clone)]
pub struct Http2Options {
    /// `max_concurrent_streams` (Envoy 1.36+ default 1024).
    pub max_concurrent_streams: u32,
    /// `initial_stream_window_size` in bytes.
    pub stream_window: u32,
    /// `initial_connection_window_size` in bytes.
    pub connection_window: u32,
    /// `connection_keepalive`: interval and timeout.
    pub keepalive: Option<(Duration, Duration)>,
    /// `allow_connect` (RFC 8441).
    pub allow_connect: bool,
}

/// Tracing of a connection manager.
#[derive(Debug, Clone)]
pub struct Tracing {
    /// Share of new traces that are sampled.
    pub random_sampling: Percent,
    /// Cap over all.
    pub overall_sampling: Percent,
    /// Share for `x-client-trace-id`.
    pub client_sampling: Percent,
    /// OTLP: cluster name and service name. `None`: headers only.
    pub otlp: Option<OtlpTarget>,
    /// Literal, header and environment tags, already resolved but for headers.
    pub tags: Vec<SpanTag>,
    /// `operation_name` is egress.
    pub egress: bool,
}

/// Where spans go (`envoy.tracers.opentelemetry`).
#[derive(Debug, Clone)]
pub struct OtlpTarget {
    /// Cluster to send to, over gRPC.
    pub cluster: Arc<str>,
    /// `service.name`.
    pub service_name: Arc<str>,
}

/// A custom tag.
#[derive(Debug, Clone)]
pub enum SpanTag {
    /// A constant.
    Literal {
        /// Tag.
        tag: Arc<str>,
        /// Value.
        value: Arc<str>,
    },
    /// A request header's value.
    RequestHeader {
        /// Tag.
        tag: Arc<str>,
        /// Header.
        name: http::HeaderName,
        /// When it is absent.
        default: Option<Arc<str>>,
    },
}

/// CORS policy of a route.
#[derive(Debug, Clone)]
pub struct Cors {
    /// Origins allowed.
    pub allow_origins: Vec<StringMatcher>,
    /// `access-control-allow-methods`.
    pub allow_methods: Option<http::HeaderValue>,
    /// `access-control-allow-headers`.
    pub allow_headers: Option<http::HeaderValue>,
    /// `access-control-expose-headers`.
    pub expose_headers: Option<http::HeaderValue>,
    /// `access-control-max-age`.
    pub max_age: Option<http::HeaderValue>,
    /// `access-control-allow-credentials: true`.
    pub allow_credentials: bool,
    /// Answer preflights whose origin does not match by forwarding them (Istio's default) or with 200 and no headers.
    pub forward_unmatched_preflights: bool,
}
