//! Access logs: formats are parsed when the snapshot is built.

use std::{path::PathBuf, sync::Arc};

use http::HeaderName;

use super::HeaderMatcher;

/// One access log.
#[derive(Debug)]
pub struct AccessLog {
    /// Where lines go.
    pub sink: LogSink,
    /// What a line looks like.
    pub format: LogFormat,
    /// Which requests are logged.
    pub filter: Option<LogFilter>,
}

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LogSink {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
    /// A file, appended to.
    File(PathBuf),
}

/// What a line looks like.
#[derive(Debug)]
pub enum LogFormat {
    /// Text with operators.
    Text(Arc<Format>),
    /// JSON: keys to values.
    Json(JsonFormat),
}

/// A JSON log's shape.
#[derive(Debug)]
pub enum JsonFormat {
    /// A value with operators; a single typed operator keeps its type (numbers stay numbers).
    Value(Arc<Format>),
    /// An object, keys in order.
    Object(Vec<(Arc<str>, JsonFormat)>),
    /// A list.
    List(Vec<JsonFormat>),
    /// A constant.
    Constant(serde_json::Value),
}

/// A parsed format string.
#[derive(Debug, PartialEq, Eq)]
pub struct Format {
    /// In order.
    pub parts: Vec<FormatPart>,
    /// Empty values print as nothing instead of `-`.
    pub omit_empty: bool,
}

/// A part of a format string.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FormatPart {
    /// As it is.
    Text(Arc<str>),
    /// A value, cut to `max` bytes.
    Operator {
        /// What.
        operator: Operator,
        /// Bound in bytes.
        max: Option<usize>,
    },
}

/// Access-log operators (Envoy docs: access log command operators).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operator {
    /// `%START_TIME(format)%`; `None` is ISO 8601 with milliseconds.
    StartTime(Option<Arc<str>>),
    /// `%REQ(A?B)%`.
    Request(LogHeader, Option<LogHeader>),
    /// `%RESP(A?B)%`.
    Response(LogHeader, Option<LogHeader>),
    /// `%TRAILER(A?B)%`.
    Trailer(LogHeader, Option<LogHeader>),
    /// `%METADATA(namespace:key:…)%` and `%DYNAMIC_METADATA(…)%`.
    Metadata(Vec<Arc<str>>),
    /// `%FILTER_STATE(key)%`.
    FilterState(Arc<str>),
    /// `%ENVIRONMENT(X)%`, resolved when parsed.
    Constant(Arc<str>),
    /// Any operator without arguments.
    Simple(SimpleOperator),
}

/// A header in a log operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LogHeader {
    /// A field.
    Name(HeaderName),
    /// `:method`.
    Method,
    /// `:path`.
    Path,
    /// `:authority`.
    Authority,
    /// `:scheme`.
    Scheme,
    /// `:status`.
    Status,
}

macro_rules! simple_operators {
    ($($variant:ident = $text:literal),* $(,)?) => {
        /// Operators without arguments.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum SimpleOperator {
            $(#[doc = concat!("`%", $text, "%`.")] $variant,)*
        }

        impl SimpleOperator {
            /// By the text between the percent signs.
            pub fn parse(text: &str) -> Option<Self> {
                Some(match text {
                    $($text => Self::$variant,)*
                    _ => return None,
                })
            }
        }
    };
}

simple_operators! {
    Protocol = "PROTOCOL",
    ResponseCode = "RESPONSE_CODE",
    ResponseCodeDetails = "RESPONSE_CODE_DETAILS",
    ResponseFlags = "RESPONSE_FLAGS",
    ResponseFlagsLong = "RESPONSE_FLAGS_LONG",
    ConnectionTerminationDetails = "CONNECTION_TERMINATION_DETAILS",
    UpstreamTransportFailureReason = "UPSTREAM_TRANSPORT_FAILURE_REASON",
    DownstreamTransportFailureReason = "DOWNSTREAM_TRANSPORT_FAILURE_REASON",
    BytesReceived = "BYTES_RECEIVED",
    BytesSent = "BYTES_SENT",
    Duration = "DURATION",
    RequestDuration = "REQUEST_DURATION",
    ResponseDuration = "RESPONSE_DURATION",
    ResponseTxDuration = "RESPONSE_TX_DURATION",
    UpstreamHost = "UPSTREAM_HOST",
    UpstreamCluster = "UPSTREAM_CLUSTER",
    UpstreamClusterRaw = "UPSTREAM_CLUSTER_RAW",
    UpstreamLocalAddress = "UPSTREAM_LOCAL_ADDRESS",
    UpstreamRemoteAddress = "UPSTREAM_REMOTE_ADDRESS",
    UpstreamRequestAttemptCount = "UPSTREAM_REQUEST_ATTEMPT_COUNT",
    UpstreamProtocol = "UPSTREAM_PROTOCOL",
    UpstreamPeerUriSan = "UPSTREAM_PEER_URI_SAN",
    DownstreamLocalAddress = "DOWNSTREAM_LOCAL_ADDRESS",
    DownstreamLocalAddressWithoutPort = "DOWNSTREAM_LOCAL_ADDRESS_WITHOUT_PORT",
    DownstreamLocalPort = "DOWNSTREAM_LOCAL_PORT",
    DownstreamRemoteAddress = "DOWNSTREAM_REMOTE_ADDRESS",
    DownstreamRemoteAddressWithoutPort = "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT",
    DownstreamDirectRemoteAddress = "DOWNSTREAM_DIRECT_REMOTE_ADDRESS",
    DownstreamDirectRemoteAddressWithoutPort = "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT",
    DownstreamPeerUriSan = "DOWNSTREAM_PEER_URI_SAN",
    DownstreamPeerSubject = "DOWNSTREAM_PEER_SUBJECT",
    DownstreamLocalUriSan = "DOWNSTREAM_LOCAL_URI_SAN",
    DownstreamTlsVersion = "DOWNSTREAM_TLS_VERSION",
    DownstreamTlsCipher = "DOWNSTREAM_TLS_CIPHER",
    DownstreamPeerCertificate = "DOWNSTREAM_PEER_CERT",
    ConnectionId = "CONNECTION_ID",
    StreamId = "STREAM_ID",
    RequestedServerName = "REQUESTED_SERVER_NAME",
    RouteName = "ROUTE_NAME",
    VirtualClusterName = "VIRTUAL_CLUSTER_NAME",
    FilterChainName = "FILTER_CHAIN_NAME",
    GrpcStatus = "GRPC_STATUS",
    GrpcStatusNumber = "GRPC_STATUS_NUMBER",
    TraceId = "TRACE_ID",
    Hostname = "HOSTNAME",
    RequestHeadersBytes = "REQUEST_HEADERS_BYTES",
    ResponseHeadersBytes = "RESPONSE_HEADERS_BYTES",
}

/// Which requests are logged.
#[derive(Debug)]
pub enum LogFilter {
    /// All of.
    And(Vec<LogFilter>),
    /// One of.
    Or(Vec<LogFilter>),
    /// `status_code_filter`: operator on the status.
    Status(Comparison),
    /// `duration_filter` in milliseconds.
    Duration(Comparison),
    /// `header_filter`.
    Header(HeaderMatcher),
    /// `response_flag_filter`: any of these, or any at all when empty.
    Flags(Vec<Arc<str>>),
    /// `runtime_filter`: a share.
    Fraction(super::Percent),
    /// `traceable_filter` / `not_health_check_filter`.
    NotHealthCheck,
}

/// A comparison with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Comparison {
    /// `EQ`.
    Equal(u64),
    /// `GE`.
    AtLeast(u64),
    /// `LE`.
    AtMost(u64),
    /// `NE`.
    NotEqual(u64),
}
