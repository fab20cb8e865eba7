//! What is known of a connection and a request when it ends: the one source of access logs, metrics and spans.

use std::{
    net::SocketAddr,
    sync::{Arc, OnceLock},
    time::{Instant, SystemTime},
};

use http::{HeaderMap, HeaderValue, Method, Version};
use mesh_proto::id::SpiffeId;

use crate::snapshot::{Address, Direction, ServiceName, Xfcc};

/// A downstream connection.
#[derive(Debug)]
pub struct ConnectionInfo {
    /// Unique in the process.
    pub id: u64,
    /// When it was accepted.
    pub accepted: Instant,
    /// Peer of the TCP connection.
    pub direct_remote: SocketAddr,
    /// Peer, from the PROXY header if one was read.
    pub remote: SocketAddr,
    /// Our side; the original destination if one was recovered.
    pub local: SocketAddr,
    /// The listener's direction.
    pub direction: Direction,
    /// The chain's name.
    pub filter_chain: Arc<str>,
    /// TLS, if it was ended here.
    pub tls: Option<PeerTls>,
    /// SNI, even if TLS was not ended here.
    pub server_name: Option<Arc<str>>,
}

/// A TLS session with a peer.
#[derive(Debug, Clone)]
pub struct PeerTls {
    /// The peer proved this identity.
    pub peer_id: Option<SpiffeId>,
    /// All URI SANs of the peer's certificate.
    pub peer_uris: Arc<[Box<str>]>,
    /// All DNS SANs of the peer's certificate.
    pub peer_dns: Arc<[Box<str>]>,
    /// RFC 2253 subject.
    pub peer_subject: Option<Arc<str>>,
    /// The peer's certificate, DER.
    pub peer_certificate: Option<Arc<[u8]>>,
    /// A certificate was presented and it was verified against roots.
    pub verified: bool,
    /// Our URI SAN.
    pub local_uri: Option<Arc<str>>,
    /// `TLSv1.3`.
    pub version: &'static str,
    /// Cipher suite, OpenSSL's name as Envoy prints it where known.
    pub cipher: &'static str,
    /// ALPN agreed on.
    pub alpn: Option<Arc<[u8]>>,
    /// What `x-forwarded-client-cert` says of the peer, and the settings that it was made for: it takes a digest of the
    /// certificate, so it is made once. `None` inside: it cannot be said in a header.
    pub(crate) xfcc: OnceLock<(Xfcc, Option<HeaderValue>)>,
}

/// A request, as it went.
#[derive(Debug)]
pub struct RequestInfo {
    /// Its connection.
    pub connection: Arc<ConnectionInfo>,
    /// The client: the peer, or whom trusted hops of `x-forwarded-for` name.
    pub client: SocketAddr,
    /// When its headers were complete.
    pub start: Instant,
    /// The same as wall-clock time.
    pub start_time: SystemTime,
    /// Protocol downstream.
    pub version: Version,
    /// Method.
    pub method: Method,
    /// Path and query as they came in, before rewriting.
    pub original_path: Arc<str>,
    /// Authority as matched.
    pub authority: Arc<str>,
    /// Request headers that logs, tags and metrics refer to.
    pub request_headers: HeaderMap,
    /// Response headers that logs refer to.
    pub response_headers: HeaderMap,
    /// Trailers that logs refer to.
    pub response_trailers: HeaderMap,
    /// Status sent, 0 if none was.
    pub status: u16,
    /// gRPC status, if it was gRPC.
    pub grpc_status: Option<u32>,
    /// It is a gRPC request.
    pub is_grpc: bool,
    /// `%RESPONSE_CODE_DETAILS%`.
    pub details: std::borrow::Cow<'static, str>,
    /// What went wrong.
    pub flags: Flags,
    /// Body bytes received from downstream.
    pub bytes_received: u64,
    /// Body bytes sent downstream.
    pub bytes_sent: u64,
    /// From start to the last request byte.
    pub request_complete: Option<Instant>,
    /// From start to the first upstream response byte.
    pub first_upstream_byte: Option<Instant>,
    /// End of the response.
    pub end: Option<Instant>,
    /// Route's name.
    pub route_name: Option<Arc<str>>,
    /// Cluster chosen.
    pub cluster: Option<Arc<str>>,
    /// Its service, for metrics.
    pub service: Option<ServiceName>,
    /// Endpoint chosen last.
    pub upstream_address: Option<Address>,
    /// Our address towards it.
    pub upstream_local: Option<SocketAddr>,
    /// The endpoint's workload metadata (`name;namespace;canonical;revision;cluster`).
    pub upstream_workload: Option<Arc<str>>,
    /// TLS with the endpoint.
    pub upstream_tls: Option<PeerTls>,
    /// Why the transport failed.
    pub upstream_failure: Option<Arc<str>>,
    /// Tries, the first included.
    pub attempts: u32,
    /// The peer's workload as metadata exchange told it.
    pub peer_workload: Option<Arc<crate::peer::Workload>>,
    /// Trace context in force.
    pub trace: Option<TraceContext>,
    /// Dynamic metadata that filters set: RBAC's shadow results and the like.
    pub metadata: Vec<(&'static str, Arc<str>)>,
}

impl RequestInfo {
    /// A request that has just begun on `connection`: everything else is empty.
    pub fn new(connection: Arc<ConnectionInfo>, start: Instant, start_time: SystemTime) -> Self {
        let empty: Arc<str> = Arc::default();
        Self {
            client: connection.remote,
            connection,
            start,
            start_time,
            version: Version::HTTP_11,
            method: Method::GET,
            original_path: empty.clone(),
            authority: empty,
            request_headers: HeaderMap::new(),
            response_headers: HeaderMap::new(),
            response_trailers: HeaderMap::new(),
            status: 0,
            grpc_status: None,
            is_grpc: false,
            details: std::borrow::Cow::Borrowed(""),
            flags: Flags::default(),
            bytes_received: 0,
            bytes_sent: 0,
            request_complete: None,
            first_upstream_byte: None,
            end: None,
            route_name: None,
            cluster: None,
            service: None,
            upstream_address: None,
            upstream_local: None,
            upstream_workload: None,
            upstream_tls: None,
            upstream_failure: None,
            attempts: 0,
            peer_workload: None,
            trace: None,
            metadata: Vec::new(),
        }
    }

    /// A relayed TCP connection in the same form: `version` is HTTP/0.9 (printed as `-`), method, path and headers mean nothing.
    pub fn for_tcp(connection: Arc<ConnectionInfo>, start_time: SystemTime) -> Self {
        let start = connection.accepted;
        Self { version: Version::HTTP_09, ..Self::new(connection, start, start_time) }
    }

    /// Whether this is a relayed TCP connection rather than a request.
    pub fn is_tcp(&self) -> bool {
        self.version == Version::HTTP_09
    }
}

/// W3C trace context.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TraceContext {
    /// Trace.
    pub trace_id: [u8; 16],
    /// Our span.
    pub span_id: [u8; 8],
    /// Its parent, if any.
    pub parent_id: Option<[u8; 8]>,
    /// It is recorded.
    pub sampled: bool,
}

macro_rules! flags {
    ($($name:ident = $bit:literal, $short:literal, $long:literal;)*) => {
        /// Envoy's response flags, a set.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
        pub struct Flags(pub u32);

        impl Flags {
            $(#[doc = concat!("`", $short, "`: ", $long, ".")] pub const $name: Self = Self(1 << $bit);)*
            const NAMES: &'static [(u32, &'static str, &'static str)] = &[$((1 << $bit, $short, $long),)*];
        }
    };
}

flags! {
    NO_HEALTHY_UPSTREAM = 0, "UH", "NoHealthyUpstream";
    UPSTREAM_CONNECTION_FAILURE = 1, "UF", "UpstreamConnectionFailure";
    UPSTREAM_OVERFLOW = 2, "UO", "UpstreamOverflow";
    NO_ROUTE = 3, "NR", "NoRouteFound";
    RETRY_LIMIT_EXCEEDED = 4, "URX", "UpstreamRetryLimitExceeded";
    NO_CLUSTER = 5, "NC", "NoClusterFound";
    DURATION_TIMEOUT = 6, "DT", "DurationTimeout";
    DOWNSTREAM_CONNECTION_TERMINATION = 7, "DC", "DownstreamConnectionTermination";
    UPSTREAM_REQUEST_TIMEOUT = 8, "UT", "UpstreamRequestTimeout";
    LOCAL_RESET = 9, "LR", "LocalReset";
    UPSTREAM_REMOTE_RESET = 10, "UR", "UpstreamRemoteReset";
    UPSTREAM_CONNECTION_TERMINATION = 11, "UC", "UpstreamConnectionTermination";
    DELAY_INJECTED = 12, "DI", "DelayInjected";
    FAULT_INJECTED = 13, "FI", "FaultInjected";
    RATE_LIMITED = 14, "RL", "RateLimited";
    UNAUTHORIZED = 15, "UAEX", "UnauthorizedExternalService";
    STREAM_IDLE_TIMEOUT = 16, "SI", "StreamIdleTimeout";
    DOWNSTREAM_PROTOCOL_ERROR = 17, "DPE", "DownstreamProtocolError";
    UPSTREAM_PROTOCOL_ERROR = 18, "UPE", "UpstreamProtocolError";
    MAX_DURATION = 19, "UMSDR", "UpstreamMaxStreamDurationReached";
    OVERLOAD = 20, "OM", "OverloadManagerTerminated";
    DNS_FAILURE = 21, "DF", "DnsResolutionFailed";
    LOCAL_HEALTH_FAILED = 22, "LH", "FailedLocalHealthCheck";
}

impl Flags {
    /// Adds `other`.
    pub fn insert(&mut self, other: Self) {
        self.0 |= other.0;
    }

    /// Whether all of `other` is set.
    pub fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Whether nothing is set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Short names, in Envoy's order.
    pub fn short(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(bit, ..)| self.0 & bit != 0).map(|(_, short, _)| *short)
    }

    /// Long names, in Envoy's order.
    pub fn long(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES.iter().filter(move |(bit, ..)| self.0 & bit != 0).map(|(.., long)| *long)
    }
}
