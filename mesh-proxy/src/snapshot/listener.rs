//! Listeners, filter chains and network filters.

use std::{
    net::{IpAddr, SocketAddr},
    path::PathBuf,
    sync::Arc,
    time::Duration,
};

use ipnet::IpNet;

use super::{AccessLog, ClusterSlot, DownstreamTls, HashPolicy, Hcm, ListenerSlot, Rbac};

/// Where something listens or where an endpoint is.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Address {
    /// An IP address and port.
    Socket(SocketAddr),
    /// A Unix socket's path; a leading `@` names the abstract namespace as in Envoy's `Pipe`.
    Pipe(PathBuf),
}

impl std::fmt::Display for Address {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Socket(address) => address.fmt(f),
            Self::Pipe(path) => path.display().fmt(f),
        }
    }
}

/// One listener (`envoy.config.listener.v3.Listener`).
#[derive(Debug)]
pub struct Listener {
    /// Resource name.
    pub name: Arc<str>,
    /// Its slot.
    pub slot: ListenerSlot,
    /// Primary address, then additional ones. Port 0 only in static configuration.
    pub addresses: Vec<Address>,
    /// False: never bound, only reached through `use_original_dst` hand-over by address.
    pub bind_to_port: bool,
    /// Hand connections to the listener that matches their original destination.
    pub use_original_dst: bool,
    /// Which direction the operator says this is.
    pub direction: Direction,
    /// What is read before a chain is chosen.
    pub inspectors: Inspectors,
    /// How long inspectors may take; zero waits for ever (Envoy `listener_filters_timeout`, default 15 s).
    pub inspect_timeout: Duration,
    /// On timeout: go on with what is known instead of closing.
    pub continue_on_inspect_timeout: bool,
    /// In configuration order.
    pub chains: Vec<Arc<FilterChain>>,
    /// Used when none matches.
    pub default_chain: Option<Arc<FilterChain>>,
    /// Logs of connections that found no chain.
    pub access_logs: Vec<Arc<AccessLog>>,
    /// Bytes a connection may buffer (`per_connection_buffer_limit_bytes`, default 1 MiB).
    pub buffer_limit: usize,
    /// Open connections allowed at once; `None` is unlimited.
    pub connection_limit: Option<u64>,
    /// `connection_balance_config.exact_balance`.
    pub exact_balance: bool,
    /// For stats: `stat_prefix` or the address.
    pub stat_prefix: Arc<str>,
    /// Content hash of the resource, for provenance and change detection.
    pub hash: u64,
}

/// `traffic_direction`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    /// Not said.
    #[default]
    Unspecified,
    /// Towards the workload.
    Inbound,
    /// From the workload.
    Outbound,
}

/// Which listener filters are configured.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inspectors {
    /// `envoy.filters.listener.tls_inspector`.
    pub tls: bool,
    /// `envoy.filters.listener.http_inspector`.
    pub http: bool,
    /// `envoy.filters.listener.original_dst`.
    pub original_dst: bool,
    /// `envoy.filters.listener.proxy_protocol`.
    pub proxy_protocol: bool,
}

/// One filter chain.
#[derive(Debug)]
pub struct FilterChain {
    /// Its name; when it has none, `#` and the hash of its match, which stays when chains before it come and go.
    pub name: Arc<str>,
    /// What it takes.
    pub matcher: ChainMatch,
    /// Plain or TLS.
    pub transport: DownstreamTransport,
    /// Network filters that run before the terminal one, in order.
    pub filters: Vec<NetworkFilter>,
    /// What serves the connection.
    pub terminal: Terminal,
    /// `transport_socket_connect_timeout`: the TLS handshake's bound; `None` is unlimited.
    pub handshake_timeout: Option<Duration>,
    /// Content hash: an unchanged chain keeps its connections over a listener update.
    pub hash: u64,
    /// Content hash of how connections get in, match and transport: while it holds, open connections take over new HTTP
    /// settings in place. Together with the name it tells apart the chains of a listener.
    pub entry_hash: u64,
}

/// `filter_chain_match`. An empty list means "any". Criteria are weighed in Envoy's order: destination port, destination IP,
/// server names, transport protocol, application protocols, directly connected source IP, source type, source IP, source port.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChainMatch {
    /// `destination_port`.
    pub destination_port: Option<u16>,
    /// `prefix_ranges`.
    pub destination_ranges: Vec<IpNet>,
    /// `server_names`: exact or `*.suffix`, lower case.
    pub server_names: Vec<Arc<str>>,
    /// `transport_protocol`: `tls`, `raw_buffer`, or `None` for any.
    pub transport_protocol: Option<Arc<str>>,
    /// `application_protocols`.
    pub application_protocols: Vec<Arc<str>>,
    /// `direct_source_prefix_ranges`.
    pub direct_source_ranges: Vec<IpNet>,
    /// `source_type`.
    pub source_type: SourceType,
    /// `source_prefix_ranges`.
    pub source_ranges: Vec<IpNet>,
    /// `source_ports`.
    pub source_ports: Vec<u16>,
}

/// `source_type` of a chain match.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SourceType {
    /// Anyone.
    #[default]
    Any,
    /// The same IP as the destination, or loopback.
    SameIpOrLoopback,
    /// Anyone else.
    External,
}

/// What is known of a connection when a chain is chosen.
#[derive(Debug, Clone)]
pub struct ConnectionFacts {
    /// Local address, original destination if one was recovered.
    pub destination: SocketAddr,
    /// Peer address, from the PROXY header if one was read.
    pub source: SocketAddr,
    /// The peer address of the TCP connection itself.
    pub direct_source: IpAddr,
    /// SNI, lower case.
    pub server_name: Option<Arc<str>>,
    /// A ClientHello was seen.
    pub tls: bool,
    /// ALPN offered (TLS) or protocols found by the HTTP inspector (`http/1.0`, `http/1.1`, `h2c`).
    pub application_protocols: Vec<Arc<str>>,
}

/// How bytes arrive.
#[derive(Debug, Clone)]
pub enum DownstreamTransport {
    /// As they are (`raw_buffer` or none).
    Plain,
    /// TLS is ended here.
    Tls(Arc<DownstreamTls>),
}

/// A network filter before the terminal one.
#[derive(Debug, Clone)]
pub enum NetworkFilter {
    /// `envoy.filters.network.rbac`.
    Rbac(Arc<Rbac>),
    /// Asked for but not implemented here, and skipping it would weaken security: closes the connection.
    Refuse {
        /// The filter's name.
        name: Arc<str>,
        /// What is missing.
        reason: Arc<str>,
    },
}

/// The last network filter.
#[derive(Debug, Clone)]
pub enum Terminal {
    /// `envoy.filters.network.http_connection_manager`.
    Http(Arc<Hcm>),
    /// `envoy.filters.network.tcp_proxy`.
    Tcp(Arc<TcpProxy>),
}

/// `envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy`.
#[derive(Debug)]
pub struct TcpProxy {
    /// For stats.
    pub stat_prefix: Arc<str>,
    /// One cluster, or several with weights (their sum is never 0).
    pub clusters: Vec<(ClusterSlot, u32)>,
    /// No bytes in either direction for so long: close (default 1 h; `None` never).
    pub idle_timeout: Option<Duration>,
    /// Tries to connect, at least 1 (`max_connect_attempts`).
    pub connect_attempts: u32,
    /// Source-IP hashing.
    pub hash_policy: Vec<HashPolicy>,
    /// Connection logs.
    pub access_logs: Vec<Arc<AccessLog>>,
    /// `istio.stats` is configured: emit `istio_tcp_*`.
    pub istio_stats: Option<super::Reporter>,
    /// `max_downstream_connection_duration`.
    pub max_duration: Option<Duration>,
}
